"""Replaying dead letters: what is to become of a message that the queue gave up on, after five deliveries in vain, and
of an uploaded file that split failed of three times.

A message only ever asks for a payment's first execution. So what to do with one follows from the payment's row, and
replaying it after days is as safe as after seconds: where a call to the gateway may have been made, it is asked first.
A file is read by one run at a time, and its rows are stored once, however often it is given to split.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from payments.domain.batch.state import Batch
from payments.domain.batch_breaker import BreakerState
from payments.domain.payment import Payment
from payments.domain.statuses import OPEN, SETTLED, Status
from payments.ports.payment_store import PaymentStore
from payments.ports.workflow import Workflow

_AWS_CODE = re.compile(r"An error occurred \((\w+)\)")


class Action(StrEnum):
    """What to do with a message."""

    REQUEUE = "requeue"
    """Nothing was started: the same message goes back to the queue, and is dispatched at its pace."""
    RESTART = "restart"
    """The execution that the message asks for was used up: another one asks the gateway, then goes on."""
    SPLIT = "split"
    """Nothing of the file was taken in: it is given to split once more."""
    REFUSE = "refuse"
    """The message is not to be replayed, at least not now."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why in plain words. A message that is not `needed` may be deleted: nothing would be lost."""

    action: Action
    why: str
    needed: bool = True


def decide(payment_id: str, payment: Payment | None, breaker: BreakerState, *, started: bool) -> Decision:
    """What to do with a message.

    `payment_id` is what the message names, empty if it is malformed; `payment` is its row, strongly consistent;
    `started` says whether an execution of the payment's own name exists, whatever became of it.
    """
    if not payment_id:
        return Decision(Action.REFUSE, "the message names no payment: somebody else wrote it", needed=False)
    if payment is None:
        return Decision(Action.REFUSE, "its payment is not in the payments table: nothing to charge", needed=False)
    match payment.status:
        case status if status in SETTLED:
            return Decision(Action.REFUSE, f"the payment is {status}: settled already", needed=False)
        case Status.REQUIRES_ACTION:
            return Decision(Action.REFUSE, "the payment waits for its customer, and is followed up", needed=False)
        case Status.IN_REVIEW:
            return Decision(Action.REFUSE, "the payment is held for a person", needed=False)
        case Status.PENDING if breaker.paused:
            why = f"the lane is paused by the {breaker.paused_by} since {breaker.since}: {breaker.reason}"
            return Decision(Action.REFUSE, why)
        case Status.PENDING if payment.version == 1 and not started:
            return Decision(Action.REQUEUE, "the payment was never started")
        case Status.PENDING:
            return Decision(Action.RESTART, "its execution ended, and nothing was charged")
        case status:
            return Decision(Action.RESTART, f"the payment is {status}: the gateway is asked before anything is sent")


def decide_file(batch: Batch | None) -> Decision:
    """What to do with an uploaded file that split failed of; `batch` is what it had made of the file, if anything."""
    if batch is None:
        return Decision(Action.SPLIT, "nothing of the file was taken in")
    return Decision(Action.REFUSE, f"split took the file up, and its batch is {batch.status}", needed=False)


def restart(payment: Payment, *, store: PaymentStore, workflow: Workflow, at: datetime) -> str:
    """Start another execution of an open or unknown payment; gives its occasion, the end of its name.

    Raises VersionConflict if the payment moved on, or if another took it up at this moment.
    """
    if payment.status not in OPEN | {Status.UNKNOWN}:
        raise ValueError(f"payment {payment.payment_id} is {payment.status}: it needs no other execution")
    execution_suffix = str(store.claim_restart(payment, at).restarts + 1)
    workflow.restart(payment.payment_id, execution_suffix)
    return execution_suffix


def reason_class(reason: str) -> str:
    """The error's name in a reason as dispatch logs it: `LookupError`, or AWS's own code such as `ThrottlingException`.

    Empty for an empty reason.
    """
    code = _AWS_CODE.search(reason)
    return code[1] if code else reason.partition(":")[0].strip()
