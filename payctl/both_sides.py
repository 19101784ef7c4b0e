"""Our row of a payment beside the gateway's answer: where they differ, and what to do about it. One table."""

from dataclasses import dataclass
from enum import StrEnum

from payctl.at_gateway import NO_ANSWER, NO_CHARGE, PAYABLE, STRANGE, GatewaySays
from payments.application.charge import may_call_gateway
from payments.domain.errors import CHARGE_NOT_FOUND
from payments.domain.fraud_hold import is_held
from payments.domain.money import Money
from payments.domain.payment import Payment
from payments.domain.statuses import Status

_S = Status


class Seen(StrEnum):
    """What the gateway has for a payment. Every answer is one of these."""

    NOTHING = "no charge"
    MISSING = "it does not know the charge of our row"
    CAPTURED = "succeeded"
    PART_REFUNDED = "partially refunded"
    REFUNDED = "refunded"
    SETTLING = "processing"
    WAITING = "waits for its customer"
    PAYABLE = "declined, and still payable"
    ENDED = "declined or canceled"
    CONFLICT = "a conflict"
    STRANGE = "a status that is not known here"


_SEEN: dict[str, Seen] = {
    NO_CHARGE: Seen.NOTHING,
    _S.SUCCEEDED: Seen.CAPTURED,
    _S.PARTIALLY_REFUNDED: Seen.PART_REFUNDED,
    _S.REFUNDED: Seen.REFUNDED,
    _S.PROCESSING: Seen.SETTLING,
    _S.REQUIRES_ACTION: Seen.WAITING,
    PAYABLE: Seen.PAYABLE,
    _S.DECLINED: Seen.ENDED,
    STRANGE: Seen.STRANGE,
}


class Advice(StrEnum):
    """What to do where the two sides differ. `{id}`, `{ours}` and `{theirs}` are filled in."""

    RECHECK = (
        "Our row says {ours}, the gateway says {theirs}. To record the gateway's answer: payctl payment recheck {id}"
    )
    REFUND = "The gateway holds money for it, but it is {ours}: refund it in the gateway's dashboard."
    WATCH = (
        "The gateway still settles a charge for it, but it is {ours}: refund it in the gateway's dashboard when it "
        "is settled. To look again: payctl payment explain {id}"
    )
    CANCEL = "Its charge can still be paid, but it is {ours}: cancel the charge in the gateway's dashboard."
    KEY = (
        "Our row says {ours}, and the gateway has no such charge: compare its account and mode (live or test) with "
        "those of our key. To set the right key: payctl gateway set-key"
    )
    FOREIGN = (
        "Our row says {ours}, so that nothing is charged, but the gateway has a charge for it: {theirs}. It may have "
        "been made this moment: payctl payment explain {id}. If both still differ, another system or a person made "
        "it: refund or cancel it in the gateway's dashboard, before this payment is charged as well."
    )
    COMPARE = (
        "Our row says {ours}, the gateway says {theirs}, and no command settles that: compare both in the gateway's "
        "dashboard and correct it there. To look again: payctl payment explain {id}"
    )
    AMOUNT = (
        "The payment is for {asked}, the gateway charged {charged}: compare both, and refund all of it in the "
        "gateway's dashboard if it is wrong. Then: payctl payment recheck {id}"
    )


def _row(advice: Advice, *agreeing: Seen, **others: Advice) -> dict[Seen, Advice | None]:
    """What to do for each answer: nothing for those that agree, `advice` for all that are not named."""
    given = {"MISSING": Advice.KEY} | others
    return {seen: None if seen in agreeing else given.get(seen.name, advice) for seen in Seen}


_UNCHARGED = _row(
    Advice.CANCEL,
    Seen.NOTHING,
    Seen.ENDED,
    Seen.REFUNDED,
    CAPTURED=Advice.REFUND,
    PART_REFUNDED=Advice.REFUND,
    CONFLICT=Advice.REFUND,
    SETTLING=Advice.WATCH,
)
_NOTHING_SENT = _row(Advice.FOREIGN, Seen.NOTHING, Seen.ENDED, Seen.REFUNDED)

DIFFERENCES: dict[Status, dict[Seen, Advice | None]] = {
    _S.PENDING: _NOTHING_SENT,
    # while its charge may be on its way, a search that shows nothing agrees with it: a search may lag
    _S.PROCESSING: _row(Advice.RECHECK, Seen.NOTHING, Seen.SETTLING),
    _S.REQUIRES_ACTION: _row(Advice.RECHECK, Seen.WAITING, NOTHING=Advice.KEY),
    # what waits for an operator changes only by what they do at the gateway; a recheck records what they did
    _S.IN_REVIEW: _row(Advice.RECHECK, Seen.NOTHING, Seen.CONFLICT, Seen.SETTLING, Seen.WAITING, Seen.STRANGE),
    _S.UNKNOWN: _row(Advice.RECHECK, Seen.NOTHING, Seen.STRANGE),
    _S.SUCCEEDED: _row(
        Advice.COMPARE,
        Seen.CAPTURED,
        PART_REFUNDED=Advice.RECHECK,
        REFUNDED=Advice.RECHECK,
        NOTHING=Advice.KEY,
    ),
    _S.PARTIALLY_REFUNDED: _row(
        Advice.COMPARE,
        Seen.PART_REFUNDED,
        CAPTURED=Advice.RECHECK,
        REFUNDED=Advice.RECHECK,
        NOTHING=Advice.KEY,
    ),
    _S.REFUNDED: _row(
        Advice.COMPARE,
        Seen.REFUNDED,
        CAPTURED=Advice.RECHECK,
        PART_REFUNDED=Advice.RECHECK,
        NOTHING=Advice.KEY,
    ),
    # the gateway reports a dispute by its events only: its charge still says what it said before
    _S.DISPUTED: _row(Advice.COMPARE, Seen.CAPTURED, Seen.PART_REFUNDED, NOTHING=Advice.KEY),
    _S.DISPUTE_LOST: _row(Advice.COMPARE, Seen.CAPTURED, Seen.PART_REFUNDED, NOTHING=Advice.KEY),
    _S.DECLINED: _UNCHARGED,
    _S.REJECTED: _UNCHARGED,
    _S.FAILED: _UNCHARGED,
}
"""Status of our row → what the gateway has → what to do; None where both agree."""

_CHARGED = (Seen.CAPTURED, Seen.PART_REFUNDED, Seen.SETTLING)


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between our row and the gateway, and what to do about it."""

    advice: Advice
    payment: Payment
    says: GatewaySays

    def __str__(self) -> str:
        """The advice in full sentences."""
        return self.advice.format(
            id=self.payment.payment_id,
            ours=_ours(self.payment),
            theirs=self.says.without_reference,
            asked=self.payment.money,
            charged=self.says.charged,
        )


def seen(says: GatewaySays | None) -> Seen | None:
    """What the gateway has; None if it was not asked, or did not answer."""
    if says is None:
        return None
    if says.status == NO_ANSWER:
        return Seen.MISSING if says.code == CHARGE_NOT_FOUND else None
    return _SEEN.get(says.status, Seen.CONFLICT)  # the status of a conflict is its code


def difference(payment: Payment, says: GatewaySays | None) -> Difference | None:
    """Where both sides differ; None where they agree, and where the gateway's side is not known."""
    theirs = seen(says)
    if says is None or theirs is None:
        return None
    table = _NOTHING_SENT if is_held(payment) else DIFFERENCES[payment.status]
    advice = table[theirs]
    if theirs in _CHARGED and advice in (None, Advice.RECHECK) and says.charged not in (None, payment.money):
        advice = Advice.AMOUNT
    elif theirs is Seen.PART_REFUNDED and advice is None and says.refunded not in (None, payment.refunded):
        advice = Advice.RECHECK
    if advice in (Advice.RECHECK, Advice.AMOUNT) and not may_call_gateway(payment, reconcile=True):
        advice = Advice.COMPARE
    return Difference(advice, payment, says) if advice else None


def _ours(payment: Payment) -> str:
    if payment.status is _S.PARTIALLY_REFUNDED and payment.refunded is not None:
        return f"{payment.status} ({Money(payment.refunded, payment.money.currency)} of {payment.money})"
    return payment.status.value
