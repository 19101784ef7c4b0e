"""A payment's state, what happens next automatically, and what the operator must do, in full sentences."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from payctl.at_gateway import STRANGE, GatewaySays
from payctl.both_sides import Advice, Difference, difference, seen
from payments.application.hold import BATCH_PAUSED, BATCHES_PAUSED
from payments.domain.batch.switch import Switch
from payments.domain.batch_breaker import BreakerState, PausedBy
from payments.domain.cancellation import is_canceled
from payments.domain.clock import iso, parse_iso
from payments.domain.deadline import deadline_of
from payments.domain.errors import UNKNOWN_STATUS
from payments.domain.fraud_hold import Verdict, is_held
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.retry import may_be_retried
from payments.domain.statuses import SETTLED, Status

HELD = (BATCH_PAUSED, BATCHES_PAUSED)
"""The codes of a payment that an operator's pause held. What holds it now is said on its own."""
NOT_CHARGED = (Status.DECLINED, Status.REJECTED, Status.FAILED)
RECOVERED = (Status.PROCESSING, Status.REQUIRES_ACTION, Status.UNKNOWN)
"""Statuses in which recovery asks the gateway without an operator."""

DONE = " Nothing is left to do."
"""The end of a sentence about a status that needs no other action. It holds only where the gateway agrees."""
SAID: dict[Status, str] = {
    Status.SUCCEEDED: "The gateway captured the money. Nothing is left to do.",
    Status.PARTIALLY_REFUNDED: "A part of the money was refunded to the customer. Nothing is left to do.",
    Status.REFUNDED: "All of the money was refunded to the customer. Nothing is left to do.",
    Status.DISPUTED: "The cardholder disputes the payment: answer in the gateway's dashboard before the deadline.",
    Status.DISPUTE_LOST: "The bank returned the money to the cardholder. Nothing is left to do.",
    Status.DECLINED: "It was not charged, and this is final. The customer can pay again under a new payment id.",
    Status.REJECTED: "It was never sent to the gateway. Correct it and submit it under a new payment id.",
    Status.FAILED: "It is proven that nothing was charged. To send it again",
}
"""Sentences for statuses that need no other facts."""


@dataclass(frozen=True)
class Facts:
    """The facts that decide what to do, as of `now`. `says` is None if the gateway was not queried."""

    payment: Payment
    timeouts: RecoveryTimeouts = field(default_factory=RecoveryTimeouts)
    breaker: BreakerState = field(default_factory=BreakerState)
    dead_letter: bool = False
    started: bool = False
    """An execution of the payment exists."""
    says: GatewaySays | None = None
    audit_problem: str = ""
    contradicted: bool = False
    """An event of the gateway reports money for a payment whose status says that it was not charged."""
    switch: Switch = field(default_factory=Switch)
    """The switch of its batch, if it has one."""
    now: datetime = field(kw_only=True)

    @property
    def differs(self) -> Difference | None:
        """Where our row and the gateway differ; None if they agree, or if the gateway's side is not known."""
        return difference(self.payment, self.says)

    def when(self, at: datetime) -> str:
        """When recovery does something that is due at a time: a time that has passed is not announced as coming."""
        return f"after {iso(at)}" if self.now < at else f"in its next run, within minutes (due since {iso(at)})"


def what_now(facts: Facts) -> list[str]:
    """Sentences, the most urgent first. They are true of both sides, or say which side they do not know."""
    alarms, sentences = list(_alarms(facts)), list(_by_both_sides(facts))
    done = not alarms and seen(facts.says) is not None
    return [*alarms, *(sentence if done else sentence.removesuffix(DONE) for sentence in sentences), *_one_side(facts)]


def recovery_due_at(payment: Payment, timeouts: RecoveryTimeouts) -> datetime:
    """The earliest time at which recovery handles an unsettled payment that does not change before."""
    return timeouts.restart_at(payment)


def _alarms(facts: Facts) -> Iterator[str]:
    payment, says = facts.payment, facts.says
    if payment.status in NOT_CHARGED and facts.contradicted and facts.differs is None:
        yield (
            f"An event of the gateway reported money for it, but it is {payment.status}: refund the charge that the "
            f"event names in the gateway's dashboard{', if it is not yet refunded' if seen(says) else ''}."
        )
    if payment.status not in NOT_CHARGED and (facts.contradicted or (says is not None and says.captured_others)):
        yield "The gateway has another charge under this payment id: compare both, and refund or cancel the other one."
    if facts.audit_problem:
        yield f"The audit log does not verify: {facts.audit_problem}. Find out who changed it."


def _by_both_sides(facts: Facts) -> Iterator[str]:
    """What follows from our row and from the gateway's answer. Our row alone says nothing where they differ."""
    payment, differs = facts.payment, facts.differs
    if payment.status in NOT_CHARGED and facts.contradicted and differs is None:
        pass  # the alarm has said it: our row alone would say that the customer can pay again
    elif differs is None or differs.advice is Advice.FOREIGN:
        yield from [str(differs)] if differs else []
        yield from _by_status(facts)
    else:
        yield str(differs)
        if differs.advice is Advice.RECHECK and payment.status in RECOVERED:
            yield f"Recovery does the same {facts.when(recovery_due_at(payment, facts.timeouts))}."
    if payment.status in SETTLED and payment.audited_version < payment.version:
        written = facts.when(recovery_due_at(payment, facts.timeouts))
        yield f"The audit log lacks its last change: recovery writes it {written}."


def _one_side(facts: Facts) -> Iterator[str]:
    """The sentence that says why only our side is known; none if the gateway answered."""
    if facts.says is None:
        yield "The gateway was not asked: this is our side only."
    elif seen(facts.says) is None:
        yield (
            f"The gateway did not answer ({facts.says.code}): this is our side only. To ask again: payctl payment "
            f"explain {facts.payment.payment_id}"
        )


def _by_status(facts: Facts) -> Iterator[str]:
    payment = facts.payment
    after = facts.when(recovery_due_at(payment, facts.timeouts))
    match payment.status:
        case Status.PENDING:
            yield from _pending(facts, after)
        case Status.PROCESSING if payment.settles:
            yield "The gateway is settling it, which may take days. A webhook then updates the payment."
            yield f"Recovery also queries the gateway {after}."
        case Status.PROCESSING:
            yield "A workflow is charging it, and the charge may already exist."
            yield f"If that workflow failed, recovery queries the gateway {after}."
        case Status.REQUIRES_ACTION:
            yield from _authentication(facts, after)
        case Status.IN_REVIEW if is_held(payment):
            yield f"It is held for review: {payment.message} ({payment.hold}). Nothing was sent to the gateway."
            yield f"Its hold ends {facts.when(facts.timeouts.hold_ends(payment))}, if no operator decides until then."
            yield f"To charge it: payctl payment approve {payment.payment_id}"
            yield f"To reject it permanently: payctl payment reject {payment.payment_id} --reason TEXT"
        case Status.IN_REVIEW:
            yield f"It is held for review: {payment.message or payment.code or 'no reason was recorded'}."
            yield f"Correct it in the gateway's dashboard, then run: payctl payment recheck {payment.payment_id}"
        case Status.UNKNOWN if strange := _strange_status(facts):
            yield f"It was sent, and its outcome is unknown: {strange}. Do not submit it under a new id."
            yield "Cancel the charge in the gateway's dashboard to end the payment, or complete it there to charge it."
            yield f"Recovery queries the gateway {after}."
            yield f"To check it now: payctl payment recheck {payment.payment_id}"
        case Status.UNKNOWN:
            yield "It was sent, and its outcome is unknown. Do not submit it under a new id before it is known."
            yield f"Recovery queries the gateway {after}. {_proof(facts)}"
            yield f"To check it now: payctl payment recheck {payment.payment_id}"
        case Status.REJECTED if payment.code == Verdict.REJECTED:
            yield f"An operator rejected it: {payment.message}. It was not sent to the gateway. Nothing is left to do."
        case Status.REJECTED if payment.code == Verdict.EXPIRED:
            yield "A fraud rule held it, and no operator decided on it in time. It was not sent to the gateway."
        case Status.FAILED | Status.REJECTED if payment.retried_as:
            yield f"It was not charged, and was sent again as {payment.retried_as}. Do not pay it under another id."
            yield f"To see its retry: payctl payment explain {payment.retried_as}"
            yield (
                "If there is no such payment, or it was not charged either, this creates it, or names the next one: "
                f"payctl payment retry {payment.payment_id}"
            )
        case Status.FAILED | Status.REJECTED if may_be_retried(payment):
            yield f"{SAID[Status.FAILED]}: payctl payment retry {payment.payment_id}"
        case Status.REJECTED if is_canceled(payment):
            by = payment.history[-1].actor
            yield f"It was canceled by {by} before it was sent to the gateway. Nothing is left to do."
        case status:
            yield SAID[status]


def _authentication(facts: Facts, after: str) -> Iterator[str]:
    ends = parse_iso(facts.payment.updated_at) + facts.timeouts.authentication
    if facts.now < ends:
        yield "The customer must authenticate at their bank (3-D Secure)."
        yield f"If the customer does not authenticate before {iso(ends)}, it is canceled at the gateway and declined."
    else:
        yield f"The customer did not authenticate before {iso(ends)} (3-D Secure)."
        yield f"Recovery cancels it at the gateway {after}; then it is declined."


def _proof(facts: Facts) -> str:
    """When the gateway's list proves that nothing was charged."""
    proof = parse_iso(facts.payment.updated_at) + facts.timeouts.proof
    if facts.now < proof:
        return f"If it has no charge after {iso(proof)}, it was not charged."
    return "If its list has no charge then, it was not charged."


def _strange_status(facts: Facts) -> str:
    """The sentence about a status at the gateway that is not known here; "" if it reports none, or a known one."""
    if facts.says is not None:
        return facts.says.code if facts.says.status == STRANGE else ""
    return facts.payment.message if facts.payment.code == UNKNOWN_STATUS else ""


def _pending(facts: Facts, after: str) -> Iterator[str]:
    payment, breaker = facts.payment, facts.breaker
    yield "It is accepted and not charged."
    if payment.code in (Verdict.APPROVED, Verdict.RELEASED):
        yield "A fraud rule held it, and an operator approved it."
    elif payment.code not in ("", *HELD):
        yield f"The last attempt charged nothing: {payment.message or payment.code}."
    if facts.dead_letter:
        yield (
            "Its message is in the dead-letter queue: fix the cause, "
            f"then run: payctl dlq replay --id {payment.payment_id}"
        )
    if facts.switch.is_canceled:
        yield f"Its batch was canceled by {facts.switch.by} at {facts.switch.at}: it ends rejected within minutes."
        return
    if facts.switch.holds:
        since = f"by {facts.switch.by} since {facts.switch.at}"
        yield f"Its batch has been paused {since}: payctl batch resume {payment.batch_id}"
        return
    if breaker.paused_by == PausedBy.OUTAGE:
        yield f"The gateway has been out of reach since {breaker.since} ({breaker.reason})."
        yield "It is sent when a probe payment gets through; recovery asks the gateway once a minute."
        if ends := deadline_of(payment, facts.timeouts.deadline, breaker, facts.switch):
            if facts.now < ends:
                yield f"If the gateway takes no payment before {iso(ends)}, it is failed."
            else:
                yield f"Its time was over at {iso(ends)}: recovery fails it {facts.when(ends)}."
    elif breaker.paused_by == PausedBy.GATEWAY:
        yield f"The gateway has rejected our key or account since {breaker.since} ({breaker.reason}): fix it."
        yield "After one successful payment, batch payments resume automatically."
    if breaker.operator_holds(payment):
        why = breaker.operator_reason or breaker.reason
        yield f"An operator paused batch payments at {breaker.operator_paused_since} ({why}): payctl breaker resume"
    elif breaker.by_gateway:
        return
    elif payment.source == "batch" and payment.version == 1 and not facts.dead_letter:
        yield (
            "Its workflow started and has changed nothing yet: the timeline shows its state, or why it ended."
            if facts.started
            else "It waits in the queue: payctl breaker status shows the number of waiting messages."
        )
    elif not facts.dead_letter:
        yield f"If no workflow is running for it, recovery starts one {after}."
