"""Replay dead letters: what to do with a message that the queue dropped after five failed deliveries, and with an
uploaded file that the split function failed on three times.

A message only requests the first execution of a payment. The payment's row therefore decides what to do with it, and a
replay is as safe after days as after seconds: if a call to the gateway may have been made, the gateway is queried
first. One run at a time reads a file, and each row is stored once, however often the file is passed to split.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from payments.domain.batch.state import Batch, BatchStatus
from payments.domain.batch.switch import Switch
from payments.domain.batch_breaker import BreakerState
from payments.domain.clock import iso
from payments.domain.payment import Payment
from payments.domain.statuses import OPEN, SETTLED, Status
from payments.ports.payment_store import PaymentStore
from payments.ports.workflow import Workflow

_AWS_CODE = re.compile(r"An error occurred \((\w+)\)")


class Action(StrEnum):
    """What to do with a dead letter."""

    REQUEUE = "requeue"
    """No execution was started: the message returns to the queue and is dispatched at the usual rate."""
    RESTART = "restart"
    """The execution that the message requests already ran: another one queries the gateway and then continues."""
    SPLIT = "split"
    """Split never took the file: it is passed to split again."""
    REFUSE = "refuse"
    """Do not replay the message, at least not now."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The action and its reason in plain words. A message that is not `needed` can be deleted without any loss.

    `recovery` says what recovery does without the message, and when; "" if the reason says it.
    """

    action: Action
    why: str
    needed: bool = True
    recovery: str = ""


_NO_BATCH = Switch()


def decide(
    payment_id: str, payment: Payment | None, breaker: BreakerState, *, started: bool, switch: Switch = _NO_BATCH
) -> Decision:
    """Decide what to do with a message.

    `payment_id` is the id in the message, empty if the message is malformed. `payment` is its row, read strongly
    consistently. `started` is true if an execution with the payment's own name exists, in any state. `switch` is that
    of the payment's batch.
    """
    if not payment_id:
        return Decision(Action.REFUSE, "the message names no payment: another program wrote it", needed=False)
    if payment is None:
        return Decision(Action.REFUSE, "its payment is not in the payments table: nothing to charge", needed=False)
    match payment.status:
        case status if status in SETTLED:
            return Decision(Action.REFUSE, f"the payment is {status}: already settled", needed=False)
        case Status.REQUIRES_ACTION:
            return Decision(Action.REFUSE, "the payment waits for its customer; recovery follows up", needed=False)
        case Status.IN_REVIEW:
            return Decision(Action.REFUSE, "the payment is held for an operator", needed=False)
        case Status.PENDING if switch.is_canceled:
            why = f"its batch was canceled at {switch.at} by {switch.by}: recovery ends the payment"
            return Decision(Action.REFUSE, why, needed=False)
        case Status.PENDING if switch.holds:
            why = f"its batch was paused at {switch.at} by {switch.by}: recovery starts the payment once it is resumed"
            return Decision(Action.REFUSE, why, needed=False)
        case Status.PENDING if breaker.paused:
            why = f"the batch breaker was paused by the {breaker.paused_by} at {breaker.since}: {breaker.reason}"
            return Decision(Action.REFUSE, why)
        case Status.PENDING if payment.version == 1 and not started:
            return Decision(Action.REQUEUE, "the payment was never started")
        case Status.PENDING:
            return Decision(Action.RESTART, "its execution ended without a charge")
        case status:
            return Decision(Action.RESTART, f"the payment is {status}: the gateway is queried before anything is sent")


def decide_file(batch: Batch | None, now: datetime) -> Decision:
    """Decide what to do with a file that split failed on. `batch` is the file's batch, or None if there is none."""
    if batch is None:
        why = "split never took the file: no row of it is stored"
        return Decision(Action.SPLIT, why, recovery="does not know the file: only a replay reads it")
    why = f"split took the file, and its batch is {batch.status}"
    return Decision(Action.REFUSE, why, needed=False, recovery=_recovery_of(batch, now))


def _recovery_of(batch: Batch, now: datetime) -> str:
    """What recovery does for a batch, and when."""
    match batch.status:
        case BatchStatus.SPLITTING:
            due = f"after {batch.owner_until}" if iso(now) < batch.owner_until else "in its next run, within minutes"
            return f"starts split again {due}, after line {batch.progress.line}"
        case BatchStatus.PROCESSING:
            return "has nothing to read: split read the whole file"
        case BatchStatus.REPORTING:
            return "has nothing to read: the file is read, and its report is being written"
    return "does nothing: the batch has ended"


def restart(payment: Payment, *, store: PaymentStore, workflow: Workflow, at: datetime) -> str:
    """Start another execution of an open or unknown payment. Returns the suffix of its name.

    Raises VersionConflict if the payment moved on, or if another caller restarts it at the same time.
    """
    if payment.status not in OPEN | {Status.UNKNOWN}:
        raise ValueError(f"payment {payment.payment_id} is {payment.status}: it needs no further execution")
    execution_suffix = str(store.claim_restart(payment, at).restarts + 1)
    workflow.restart(payment.payment_id, execution_suffix)
    return execution_suffix


def reason_class(reason: str) -> str:
    """The error's name in a reason logged by dispatch: `NotStored`, or an AWS code such as `ThrottlingException`.

    Empty for an empty reason.
    """
    code = _AWS_CODE.search(reason)
    return code[1] if code else reason.partition(":")[0].strip()
