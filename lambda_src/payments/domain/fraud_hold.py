"""Payments that a fraud rule holds: the decisions on them, and what their payers see."""

from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256

from payments.domain.clock import iso, parse_iso
from payments.domain.errors import GENERIC_DECLINE, GENERIC_DECLINE_MESSAGE, HIDDEN_DECLINE_CODES
from payments.domain.payment import RECORDER, SENDER, Change, Payment
from payments.domain.retry import RETRY_REFUSED
from payments.domain.statuses import Status

_REFUSED_RETRY = "the payment before it did not end without a charge; nothing was sent"
_LEAST_MS, _SPREAD_MS = 300, 1_200
"""How long a charge that is declined takes at the gateway."""


class Verdict(StrEnum):
    """The decision on a held payment. The value is the change's code in the history, the audit log and the events."""

    APPROVED = "approved_in_review"
    """An operator decided that the payment is charged."""
    REJECTED = "rejected_in_review"
    """An operator decided that the payment is never sent to the gateway."""
    EXPIRED = "hold_expired"
    """No operator decided in time: the payment is never sent to the gateway."""
    RELEASED = "hold_released"
    """No operator decided in time, and a setting says that the payment is then charged."""


LEADS_TO = {
    Verdict.APPROVED: Status.PENDING,
    Verdict.REJECTED: Status.REJECTED,
    Verdict.EXPIRED: Status.REJECTED,
    Verdict.RELEASED: Status.PENDING,
}
_ENDINGS = frozenset(verdict for verdict, status in LEADS_TO.items() if status is Status.REJECTED)


def is_held(payment: Payment) -> bool:
    """Whether a fraud rule holds the payment now.

    A payment that was already sent is not held: the gateway is queried for its result instead.
    """
    in_review = payment.status is Status.IN_REVIEW
    return in_review and bool(payment.hold) and payment.code == payment.hold and not payment.attempts


def decision_on(payment: Payment) -> Change | None:
    """The last decision in a payment's history."""
    return next((change for change in reversed(payment.history) if change.code in {*Verdict}), None)


def as_payers_see_it(payment: Payment) -> Payment:
    """The payment without what would teach a card tester: a trace of a fraud rule, and that a card is known as stolen.

    While a fraud rule holds it, it is `pending`. One that is rejected then looks like one that the gateway declined,
    and one that is charged after all like every other one. No declined one shows its charge at the gateway.
    """
    shown = _without_hold(payment) if payment.hold else payment
    if shown.status is Status.DECLINED:
        shown = replace(shown, gateway="", gateway_reference="")
    code, message = _for_payers(shown.code, shown.message)
    history = [
        replace(change, code=code, message=message)
        for change in shown.history
        for code, message in [_for_payers(change.code, change.message)]
    ]
    return replace(shown, code=code, message=message, history=tuple(history))


def _without_hold(payment: Payment) -> Payment:
    history = _without_review(payment)
    if payment.code in _ENDINGS:
        ended = history[-1].at
        sent = replace(
            history[-1],
            status=Status.PROCESSING,
            at=_sent_before(ended, history[-2].at, payment.payment_id),
            actor=SENDER,
            code="",
            message="",
        )
        declined = replace(
            sent,
            status=Status.DECLINED,
            at=ended,
            actor=RECORDER,
            code=GENERIC_DECLINE,
            message=GENERIC_DECLINE_MESSAGE,
        )
        history = [*history[:-1], sent, declined]
    last = history[-1]
    return replace(
        payment,
        status=last.status,
        code=last.code,
        message=last.message,
        updated_at=last.at,
        history=tuple(replace(change, version=place) for place, change in enumerate(history, 1)),
    )


def _sent_before(ended: str, earliest: str, payment_id: str) -> str:
    """When a charge that was declined at `ended` may have been sent: always the same for a payment."""
    spread = int.from_bytes(sha256(payment_id.encode()).digest()[:2]) % _SPREAD_MS
    at = parse_iso(ended) - timedelta(milliseconds=_LEAST_MS + spread)
    return max(iso(at), earliest)


def _for_payers(code: str, message: str) -> tuple[str, str]:
    if code in HIDDEN_DECLINE_CODES:
        return GENERIC_DECLINE, GENERIC_DECLINE_MESSAGE
    # it names the status of the payment before this one, which may be held
    return (code, _REFUSED_RETRY) if code == RETRY_REFUSED else (code, message)


def _without_review(payment: Payment) -> list[Change]:
    """The changes but the hold, and the decision that made the payment `pending` again."""
    hidden = {Verdict.APPROVED, Verdict.RELEASED}
    return [
        change
        for change in payment.history
        if change.code not in hidden and (change.status is not Status.IN_REVIEW or change.code != payment.hold)
    ]


def may_be_canceled(payment: Payment) -> bool:
    """Whether nothing was sent yet: it waits to be sent, or for a decision. For its payer, both look alike."""
    return payment.status is Status.PENDING or is_held(payment)
