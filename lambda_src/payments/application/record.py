"""Record: write the outcome of a payment to its row, in the order of versions."""

from payments.domain.clock import Clock
from payments.domain.errors import UNKNOWN_STATUS
from payments.domain.outcome import NOT_CHARGED, Outcome
from payments.domain.payment import RECORDER, IllegalMove, Payment, moved
from payments.domain.statuses import CAPTURED, OPEN, SETTLED, Status, may_move
from payments.ports.payment_store import PaymentStore, VersionConflict, require

ACTOR = RECORDER
_TRIES = 5


def record(payment_id: str, outcome: Outcome, *, store: PaymentStore, clock: Clock) -> Payment:
    """Move the payment to the outcome's status and return its current row.

    A second run changes nothing. A row that another execution has moved on is not changed. A captured payment follows
    only an answer that was asked for after its last change: refunds go both ways, so that an older answer could undo a
    newer one. Raises VersionConflict after several lost races, LookupError if the payment is not stored, and
    IllegalMove if the payment cannot have the outcome and the outcome must not be dropped. The workflow then fails and
    its alarm fires.
    """
    seen_version = outcome.seen_version
    for _ in range(_TRIES):
        payment = require(store, payment_id)
        wanted = _as_far_as_it_came(outcome.status, payment.status)
        status = _next_step(payment.status, wanted)
        known = (
            status is payment.status
            and not _tells_another_reference(outcome, payment)
            and not _tells_why_it_waits(outcome, payment)
            and (status not in CAPTURED or shows(payment, outcome))
        )
        overtaken = payment.status in CAPTURED and status in CAPTURED and payment.version != seen_version
        moved_on = payment.status not in OPEN and not may_move(payment.status, status)
        if moved_on and status in CAPTURED and payment.status not in CAPTURED:
            raise IllegalMove(f"payment {payment_id} is {payment.status}, but the gateway holds a charge for it")
        if moved_on and status is Status.IN_REVIEW and payment.status is Status.REFUNDED:
            raise IllegalMove(f"payment {payment_id} is refunded, but the refund that resolved its conflict failed")
        if (
            known
            or moved_on
            or overtaken
            or _is_disproved(outcome, payment)
            or _was_held_before(outcome, payment)
            or _says_nothing_new(outcome, payment)
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
            reference_digest=outcome.reference_digest or payment.reference_digest,
            refunded_minor_units=_refunded(outcome, payment) if status is wanted else payment.refunded_minor_units,
        )
        try:
            store.save(changed)
        except VersionConflict:
            continue
        if status is wanted:
            return changed
        seen_version = changed.version
    raise VersionConflict(f"payment {payment_id} changed {_TRIES} times while its outcome was recorded")


def shows(payment: Payment, outcome: Outcome) -> bool:
    """Whether the row has the outcome of a captured payment. True for all other outcomes."""
    if outcome.status not in CAPTURED:
        return True
    return payment.status is outcome.status and outcome.refunded_minor_units in (None, payment.refunded)


def _refunded(outcome: Outcome, payment: Payment) -> int:
    reported = outcome.refunded_minor_units
    return payment.refunded_minor_units if reported is None else reported


def _as_far_as_it_came(outcome: Status, current: Status) -> Status:
    """A step that fails while the row is `pending` has no running call to the gateway. The failure is ours, not the
    payment's: the payment stays `pending`, and recovery restarts it."""
    return current if outcome is Status.UNKNOWN and current is Status.PENDING else outcome


def _tells_another_reference(outcome: Outcome, payment: Payment) -> bool:
    """Whether the outcome has a reference to record. References are encrypted here, and the same reference encrypted
    twice gives different texts. The charge step returns the row's own text, but two executions that query the gateway
    while the row has no reference do not know of each other. A settled row therefore keeps its first reference."""
    if payment.status in SETTLED and payment.gateway_reference:
        return False
    return outcome.gateway_reference not in ("", payment.gateway_reference)


def _tells_why_it_waits(outcome: Outcome, payment: Payment) -> bool:
    """Whether the outcome has a reason to wait that the row of a `pending` payment does not show yet."""
    return outcome.status is Status.PENDING is payment.status and outcome.code not in ("", payment.code)


def _next_step(current: Status, target: Status) -> Status:
    """The status to move to now. A refund follows a capture, even if our row missed the capture."""
    refunded = target in (Status.PARTIALLY_REFUNDED, Status.REFUNDED)
    missed = refunded and current not in CAPTURED and may_move(current, Status.SUCCEEDED)
    return Status.SUCCEEDED if missed else target


def _was_held_before(outcome: Outcome, payment: Payment) -> bool:
    """A fraud rule holds a payment once. An execution that reports the hold late must not undo the decision on it."""
    held = any(change.status is Status.IN_REVIEW for change in payment.history)
    return held and bool(payment.hold) and outcome.code == payment.hold


def _says_nothing_new(outcome: Outcome, payment: Payment) -> bool:
    """Whether a payment that waits for its customer still does: no answer is no news. An answer with a status that we
    do not know is: an operator must look at it."""
    waits = payment.status is Status.REQUIRES_ACTION and outcome.status is Status.UNKNOWN
    return waits and outcome.code != UNKNOWN_STATUS


def _is_disproved(outcome: Outcome, payment: Payment) -> bool:
    """Whether an event named the payment's charge after the list seemed to prove that there is none."""
    return outcome.code == NOT_CHARGED and bool(payment.gateway_reference)


def _speaks_of_another_attempt(outcome: Outcome, current: Status) -> bool:
    """A failed attempt leaves its payment `pending`. A row in another status belongs to another attempt, which may have
    charged."""
    came_to_nothing = outcome.status in (Status.PENDING, Status.FAILED) and outcome.code != NOT_CHARGED
    return came_to_nothing and current in (Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION)
