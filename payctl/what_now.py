"""A payment's state, what happens next automatically, and what the operator must do, in full sentences."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from payctl.at_gateway import NO_CHARGE, PAYABLE, STRANGE, GatewaySays
from payments.application.review import Verdict, is_held
from payments.domain.batch.switch import Switch
from payments.domain.batch_breaker import BreakerState, PausedBy
from payments.domain.cancellation import is_canceled
from payments.domain.clock import iso, parse_iso
from payments.domain.deadline import deadline_of
from payments.domain.errors import UNKNOWN_STATUS
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.statuses import CAPTURED, SETTLED, Status

NOT_CHARGED = (Status.DECLINED, Status.REJECTED, Status.FAILED)

DONE = " Nothing is left to do."
"""The end of a sentence about a status that needs no other action, unless there is an alarm."""
SAID: dict[Status, str] = {
    Status.SUCCEEDED: "The gateway captured the money. Nothing is left to do.",
    Status.PARTIALLY_REFUNDED: "A part of the money was refunded to the customer. Nothing is left to do.",
    Status.REFUNDED: "All of the money was refunded to the customer. Nothing is left to do.",
    Status.DISPUTED: "The cardholder disputes the payment: answer in the gateway's dashboard before the deadline.",
    Status.DISPUTE_LOST: "The bank returned the money to the cardholder. Nothing is left to do here.",
    Status.DECLINED: "It was not charged, and this is final. The customer can pay again under a new payment id.",
    Status.REJECTED: "It was never sent to the gateway. Correct it and submit it under a new payment id.",
    Status.FAILED: "It is proven that nothing was charged. Submit it again under a new payment id.",
}
"""Sentences for statuses that need no other facts."""


@dataclass(frozen=True)
class Facts:
    """The facts that decide what to do. `says` is None if the gateway was not queried."""

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


def what_now(facts: Facts) -> list[str]:
    """Sentences, the most urgent first."""
    alarms, sentences = list(_alarms(facts)), list(_by_status(facts))
    return [*alarms, *(sentence.removesuffix(DONE) if alarms else sentence for sentence in sentences)]


def recovery_due_at(payment: Payment, timeouts: RecoveryTimeouts) -> datetime:
    """The earliest time at which recovery handles an unsettled payment that does not change before."""
    return timeouts.restart_at(payment)


def _alarms(facts: Facts) -> Iterator[str]:
    payment, says = facts.payment, facts.says
    held = says is not None and says.status in CAPTURED
    if payment.status in NOT_CHARGED and (held or facts.contradicted):
        yield f"The gateway holds money for it, but it is {payment.status}: refund it in the gateway's dashboard."
    if payment.status in NOT_CHARGED and says is not None and says.status == PAYABLE:
        yield f"Its charge can still be paid, but it is {payment.status}: cancel the charge in the gateway's dashboard."
    if payment.status not in NOT_CHARGED and (facts.contradicted or (says is not None and says.captured_others)):
        yield "The gateway has another charge under this payment id: compare both, and refund or cancel the other one."
    if payment.status in CAPTURED and says is not None and says.status == NO_CHARGE:
        yield "The gateway has no such charge: compare its account and mode (live or test) with those of our key."
    if facts.audit_problem:
        yield f"The audit log does not verify: {facts.audit_problem}. Find out who changed it."


def _by_status(facts: Facts) -> Iterator[str]:
    payment = facts.payment
    after = iso(recovery_due_at(payment, facts.timeouts))
    match payment.status:
        case Status.PENDING:
            yield from _pending(facts, after)
        case Status.PROCESSING if payment.settles:
            yield "The gateway is settling it, which may take days. A webhook then updates the payment."
            yield f"Recovery also queries the gateway after {after}."
        case Status.PROCESSING:
            yield "A workflow is charging it, and the charge may already exist."
            yield f"If that workflow failed, recovery queries the gateway after {after}."
        case Status.REQUIRES_ACTION:
            ends = iso(parse_iso(payment.updated_at) + facts.timeouts.authentication)
            yield "The customer must authenticate at their bank (3-D Secure)."
            yield f"If the customer does not authenticate before {ends}, it is cancelled at the gateway and declined."
        case Status.IN_REVIEW if is_held(payment):
            yield f"It is held for review: {payment.message} ({payment.hold}). Nothing was sent to the gateway."
            yield f"To charge it: payctl payment approve {payment.payment_id}"
            yield f"To reject it permanently: payctl payment reject {payment.payment_id} --reason TEXT"
        case Status.IN_REVIEW:
            yield f"It is held for review: {payment.message or payment.code or 'no reason was recorded'}."
            yield f"Correct it in the gateway's dashboard, then run: payctl payment recheck {payment.payment_id}"
        case Status.UNKNOWN if strange := _strange_status(facts):
            yield f"It was sent, and its outcome is unknown: {strange}. Do not submit it under a new id."
            yield "Cancel the charge in the gateway's dashboard to end the payment, or complete it there to charge it."
            yield f"Recovery queries the gateway after {after}."
            yield f"To check it now: payctl payment recheck {payment.payment_id}"
        case Status.UNKNOWN:
            proof = iso(parse_iso(payment.updated_at) + facts.timeouts.proof)
            yield "It was sent, and its outcome is unknown. Do not submit it under a new id before it is known."
            yield f"Recovery queries the gateway after {after}. If it has no charge after {proof}, it was not charged."
            yield f"To check it now: payctl payment recheck {payment.payment_id}"
        case Status.REJECTED if payment.code == Verdict.REJECTED:
            yield f"An operator rejected it: {payment.message}. It was not sent to the gateway. Nothing is left to do."
        case Status.REJECTED if is_canceled(payment):
            by = payment.history[-1].actor
            yield f"It was canceled by {by} before it was sent to the gateway. Nothing is left to do."
        case status:
            yield SAID[status]
    if payment.status in SETTLED and payment.audited_version < payment.version:
        yield f"The audit log lacks its last change: recovery writes it after {after}."


def _strange_status(facts: Facts) -> str:
    """The sentence about a status at the gateway that is not known here; "" if it reports none, or a known one."""
    if facts.says is not None:
        return facts.says.code if facts.says.status == STRANGE else ""
    return facts.payment.message if facts.payment.code == UNKNOWN_STATUS else ""


def _pending(facts: Facts, after: str) -> Iterator[str]:
    payment, breaker = facts.payment, facts.breaker
    yield "It is accepted and not charged."
    if payment.code == Verdict.APPROVED:
        yield "A fraud rule held it, and an operator approved it."
    elif payment.code:
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
        if ends := deadline_of(payment, facts.timeouts.deadline, breaker):
            yield f"If the gateway takes no payment before {iso(ends)}, it is failed."
    elif breaker.paused_by == PausedBy.GATEWAY:
        yield f"The gateway has rejected our key or account since {breaker.since} ({breaker.reason}): fix it."
        yield "After one successful payment, batch payments resume automatically."
    elif breaker.paused and payment.source == "batch":
        yield f"Batch payments have been paused since {breaker.since} ({breaker.reason}): payctl breaker resume"
    elif payment.source == "batch" and payment.version == 1 and not facts.dead_letter:
        yield (
            "Its workflow started and has changed nothing yet: the timeline shows its state, or why it ended."
            if facts.started
            else "It waits in the queue: payctl breaker status shows the number of waiting messages."
        )
    elif not facts.dead_letter:
        yield f"If no workflow is running for it, recovery starts one after {after}."
