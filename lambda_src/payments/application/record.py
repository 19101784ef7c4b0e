"""Record: write what became of a payment onto its row, in the order of versions."""

from payments.domain.clock import Clock
from payments.domain.outcome import NOT_CHARGED, Outcome
from payments.domain.payment import IllegalMove, Payment, moved
from payments.domain.statuses import CAPTURED, OPEN, SETTLED, Status, may_move
from payments.ports.payment_store import PaymentStore, VersionConflict, require

ACTOR = "workflow"
_TRIES = 5


def record(payment_id: str, outcome: Outcome, *, store: PaymentStore, clock: Clock) -> Payment:
    """Move the payment to the outcome's status and give its row as it stands afterwards.

    Running twice changes nothing the second time. A row that another execution moved on in between is left as it
    is. Raises VersionConflict after some lost races, LookupError for a payment that is not stored, and IllegalMove
    for an outcome that the payment cannot have and that must not be dropped: better a failed workflow and its alarm.
    """
    for _ in range(_TRIES):
        payment = require(store, payment_id)
        wanted = _as_far_as_it_came(outcome.status, payment.status)
        status = _next_step(payment.status, wanted)
        known = status is payment.status and not _tells_another_reference(outcome, payment)
        moved_on = payment.status not in OPEN and not may_move(payment.status, status)
        if moved_on and status in CAPTURED and payment.status not in CAPTURED:
            raise IllegalMove(f"payment {payment_id} is {payment.status}, and the gateway holds a charge for it")
        if (
            known
            or moved_on
            or _was_held_before(outcome, payment)
            or _speaks_of_another_attempt(outcome, payment.status)
        ):
            return payment
        changed = moved(
            payment,
            status,
            at=clock(),
            actor=ACTOR,
            code=outcome.code,
            message=outcome.message,
            gateway=outcome.gateway or payment.gateway,
            gateway_reference=outcome.gateway_reference or payment.gateway_reference,
        )
        try:
            store.save(changed)
        except VersionConflict:
            continue
        if status is wanted:
            return changed
    raise VersionConflict(f"payment {payment_id} changed {_TRIES} times while its outcome was recorded")


def _as_far_as_it_came(outcome: Status, current: Status) -> Status:
    """A step that died while the row is `pending` died with no call to the gateway under way. That is our trouble,
    not the payment's: it stays `pending`, and the sweeper takes it up again."""
    return current if outcome is Status.UNKNOWN and current is Status.PENDING else outcome


def _tells_another_reference(outcome: Outcome, payment: Payment) -> bool:
    """Whether there is a reference to note down. They are sealed here, and the same one sealed twice reads differently:
    charge hands on the row's own text, but two that asked while the row had none do not know of each other. So the
    first one stays where there is nothing more to ask for."""
    if payment.status in SETTLED and payment.gateway_reference:
        return False
    return outcome.gateway_reference not in ("", payment.gateway_reference)


def _next_step(current: Status, target: Status) -> Status:
    """The status to move to now. A refund follows a capture, also where our row missed that."""
    refunded = target in (Status.PARTIALLY_REFUNDED, Status.REFUNDED)
    missed = refunded and not may_move(current, target) and may_move(current, Status.SUCCEEDED)
    return Status.SUCCEEDED if missed else target


def _was_held_before(outcome: Outcome, payment: Payment) -> bool:
    """A fraud rule holds a payment once: an execution that says so late must not undo what a person decided since."""
    held = any(change.status is Status.IN_REVIEW for change in payment.history)
    return held and bool(payment.hold) and outcome.code == payment.hold


def _speaks_of_another_attempt(outcome: Outcome, current: Status) -> bool:
    """That an attempt came to nothing leaves its payment `pending`. A row that says otherwise is at another attempt,
    which may have charged."""
    came_to_nothing = outcome.status in (Status.PENDING, Status.FAILED) and outcome.code != NOT_CHARGED
    return came_to_nothing and current in (Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION)
