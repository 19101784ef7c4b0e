"""What state a payment is in, what happens next by itself, and what a person has to do: in plain words."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from payctl.at_gateway import NO_CHARGE, GatewaySays
from payments.application.review import Verdict, is_held
from payments.domain.batch_breaker import BreakerState, PausedBy
from payments.domain.clock import iso, parse_iso
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.statuses import CAPTURED, SETTLED, Status

NOT_CHARGED = (Status.DECLINED, Status.REJECTED, Status.FAILED)

SAID: dict[Status, str] = {
    Status.SUCCEEDED: "The gateway captured the money. Nothing is left to do.",
    Status.PARTIALLY_REFUNDED: "A part of the money went back to the customer. Nothing is left to do.",
    Status.REFUNDED: "All of the money went back to the customer. Nothing is left to do.",
    Status.DISPUTED: "The cardholder disputes the payment: answer the dispute in the gateway's dashboard in time.",
    Status.DISPUTE_LOST: "The bank took the money back. Nothing is left to do here.",
    Status.DECLINED: "It was not charged, for good. The customer may pay again, under a new payment id.",
    Status.REJECTED: "It was never sent to the gateway. Correct it, and submit it under a new payment id.",
    Status.FAILED: "It is proven that nothing was charged. Submit it again under a new payment id.",
}
"""Statuses that speak for themselves."""


@dataclass(frozen=True)
class Facts:
    """What decides what is to be done. `says` is None if the gateway was not asked."""

    payment: Payment
    timeouts: RecoveryTimeouts = field(default_factory=RecoveryTimeouts)
    lane: BreakerState = field(default_factory=BreakerState)
    dead_letter: bool = False
    started: bool = False
    """An execution of the payment exists."""
    says: GatewaySays | None = None
    audit_problem: str = ""
    contradicted: bool = False
    """An event of the gateway spoke of money for a payment that says it was not charged."""


def what_now(facts: Facts) -> list[str]:
    """Sentences, the most urgent first."""
    return [*_alarms(facts), *_by_status(facts)]


def taken_up_after(payment: Payment, timeouts: RecoveryTimeouts) -> datetime:
    """When the sweeper takes an unsettled payment up again, unless it moves by itself before."""
    since = parse_iso(max(payment.updated_at, payment.restarted_at))
    entry = since + timeouts.unit
    while not timeouts.is_due(payment, entry):  # waits are whole units, a dozen at most
        entry += timeouts.unit
    return entry


def _alarms(facts: Facts) -> Iterator[str]:
    payment, says = facts.payment, facts.says
    held = says is not None and says.status in CAPTURED
    if payment.status in NOT_CHARGED and (held or facts.contradicted):
        yield f"The gateway holds money for it, though it says {payment.status}: refund it in the gateway's dashboard."
    if payment.status in CAPTURED and says is not None and says.status == NO_CHARGE:
        yield "The gateway knows of no such charge: compare its account and mode (live or test) with our key's."
    if facts.audit_problem:
        yield f"The audit log does not verify: {facts.audit_problem}. Find out who wrote there."


def _by_status(facts: Facts) -> Iterator[str]:
    payment = facts.payment
    after = iso(taken_up_after(payment, facts.timeouts))
    match payment.status:
        case Status.PENDING:
            yield from _pending(facts, after)
        case Status.PROCESSING if payment.gateway_reference:
            yield "The gateway settles it, which may take days. Its webhook moves the payment then."
            yield f"The sweeper asks as well, after {after}."
        case Status.PROCESSING:
            yield "A workflow is charging it, and a charge may have happened."
            yield f"If that workflow died, the sweeper asks the gateway after {after}."
        case Status.REQUIRES_ACTION:
            ends = iso(parse_iso(payment.updated_at) + facts.timeouts.authentication)
            yield "The customer must authenticate at their bank (3-D Secure)."
            yield f"If they do not until {ends}, it is cancelled at the gateway and ends as declined."
        case Status.IN_REVIEW if is_held(payment):
            yield f"It is held for a person: {payment.message} ({payment.hold}). Nothing was sent to the gateway."
            yield f"To have it charged: payctl payment approve {payment.payment_id}"
            yield f"To refuse it for good: payctl payment reject {payment.payment_id} --reason TEXT"
        case Status.IN_REVIEW:
            yield f"It is held for a person: {payment.message or payment.code or 'no reason was recorded'}."
            yield f"Put it right in the gateway's dashboard, then: payctl payment recheck {payment.payment_id}"
        case Status.UNKNOWN:
            proof = iso(parse_iso(payment.updated_at) + facts.timeouts.proof)
            yield "It was sent, and what became of it is not known. Never submit it under a new id until it is."
            yield f"The sweeper asks after {after}. If the gateway knows of no charge after {proof}, none was made."
            yield f"To know at once: payctl payment recheck {payment.payment_id}"
        case Status.REJECTED if payment.code == Verdict.REJECTED:
            yield f"A person rejected it: {payment.message}. It was never sent to the gateway. Nothing is left to do."
        case status:
            yield SAID[status]
    if payment.status in SETTLED and payment.audited_version < payment.version:
        yield f"The audit log lacks its last change: the sweeper has it written after {after}."


def _pending(facts: Facts, after: str) -> Iterator[str]:
    payment, lane = facts.payment, facts.lane
    yield "It is accepted and not charged."
    if payment.code == Verdict.APPROVED:
        yield "A fraud rule held it, and a person let it go on."
    elif payment.code:
        yield f"The last attempt charged nothing: {payment.message or payment.code}."
    if facts.dead_letter:
        yield (
            "Its message lies in the dead-letter queue: mend what stopped it, "
            f"then: payctl dlq replay --id {payment.payment_id}"
        )
    if lane.paused_by == PausedBy.GATEWAY:
        yield f"The gateway refuses us since {lane.since} ({lane.reason}): mend the key or the account."
        yield "Once one payment gets through, the others follow by themselves."
    elif lane.paused and payment.source == "batch":
        yield f"The batch lane is paused since {lane.since} ({lane.reason}): payctl lane resume"
    elif payment.source == "batch" and payment.version == 1 and not facts.dead_letter:
        yield (
            "Its workflow began and has changed nothing so far: the time line shows where it is, or why it ended."
            if facts.started
            else "It waits in the queue for its turn: payctl lane status tells how many do."
        )
    elif not facts.dead_letter:
        yield f"If no workflow is at it, the sweeper starts one after {after}."
