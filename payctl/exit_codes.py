"""Which exit code the outcome of a payment, or of a batch, gives. Every command that reports an outcome uses it."""

from collections.abc import Iterable

from payctl.failures import Exit
from payments.domain.batch.state import Batch, BatchStatus
from payments.domain.statuses import Status

OF_STATUS: dict[Status, Exit] = {
    Status.PENDING: Exit.STILL_OPEN,
    Status.PROCESSING: Exit.STILL_OPEN,
    Status.REQUIRES_ACTION: Exit.NOT_SETTLED,
    Status.IN_REVIEW: Exit.NOT_SETTLED,
    Status.UNKNOWN: Exit.NOT_SETTLED,
    Status.SUCCEEDED: Exit.DONE,
    Status.PARTIALLY_REFUNDED: Exit.DONE,
    Status.REFUNDED: Exit.DONE,
    Status.DISPUTED: Exit.DONE,
    Status.DISPUTE_LOST: Exit.DONE,
    Status.DECLINED: Exit.NOT_CHARGED,
    Status.REJECTED: Exit.NOT_CHARGED,
    Status.FAILED: Exit.NOT_CHARGED,
}
"""The exit code of each status. The table in docs/payctl.md and the tests are checked against it."""

PRECEDENCE = (Exit.NOT_SETTLED, Exit.STILL_OPEN, Exit.NOT_CHARGED)
"""Of several payments, the first of these that one of them has: what must not be sent anew is said first."""

OF_UNENDED: dict[BatchStatus, Exit] = {
    BatchStatus.SPLITTING: Exit.STILL_OPEN,
    BatchStatus.PROCESSING: Exit.STILL_OPEN,
    BatchStatus.REPORTING: Exit.STILL_OPEN,
}
"""The exit code of a batch without result files."""


def of_payment(status: str) -> Exit:
    """The exit code of a payment's status. A status of a newer API may have been charged."""
    return OF_STATUS[Status(status)] if status in OF_STATUS else Exit.NOT_SETTLED


def of_batch(batch: Batch) -> Exit:
    """The exit code of a batch: of its rejected rows and of all its payments."""
    if batch.status in OF_UNENDED:
        return OF_UNENDED[batch.status]
    refused = batch.status in (BatchStatus.REJECTED, BatchStatus.CANCELED) or batch.progress.rows_rejected
    return _first([*map(of_payment, batch.by_status), *([Exit.NOT_CHARGED] if refused else [])])


def of_results(statuses: Iterable[str], *, has_errors: bool) -> Exit:
    """The exit code of a file by its result files: the statuses of its payments, and whether a row has an error."""
    return _first([*map(of_payment, statuses), *([Exit.NOT_CHARGED] if has_errors else [])])


def _first(codes: Iterable[Exit]) -> Exit:
    found = set(codes)
    return next((code for code in PRECEDENCE if code in found), Exit.DONE)
