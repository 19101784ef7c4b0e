"""The exit code of each outcome: of a payment in every status, and of a batch with every mix."""

import pytest

from payctl.exit_codes import OF_STATUS, of_batch, of_payment
from payctl.failures import MEANING, Exit
from payments.domain.batch.state import Batch, BatchStatus, Progress, Source
from payments.domain.clock import iso
from payments.domain.statuses import CAPTURED, FINAL, OPEN, TRANSITIONS, Status
from tests.unit.builders import NOON


def batch(status: BatchStatus = BatchStatus.COMPLETED, *, rejected: int = 0, **by_status: int) -> Batch:
    progress = Progress(rows_rejected=rejected)
    source = Source("files", "incoming/a.csv", "v1", "", 1)
    return Batch("a-1", source, status, iso(NOON), iso(NOON), progress, by_status=by_status)


@pytest.mark.parametrize("status", sorted(TRANSITIONS))
def test_payment_exits_3_only_if_it_is_final_and_not_charged(status: Status) -> None:
    assert (OF_STATUS[status] is Exit.DONE) == (status in CAPTURED)
    assert (OF_STATUS[status] is Exit.STILL_OPEN) == (status in OPEN)
    assert (OF_STATUS[status] is Exit.NOT_CHARGED) == (status in FINAL - CAPTURED)


@pytest.mark.parametrize("status", ["in_review", "requires_action", "unknown", "a_status_of_tomorrow"])
def test_payment_that_may_be_charged_exits_7(status: str) -> None:
    assert of_payment(status) == 7


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (batch(succeeded=2, refunded=1), Exit.DONE),
        (batch(succeeded=2, declined=1), Exit.NOT_CHARGED),
        (batch(rejected=1, succeeded=2), Exit.NOT_CHARGED),
        (batch(rejected=1, succeeded=2, declined=1, in_review=1), Exit.NOT_SETTLED),
        (batch(succeeded=2, requires_action=1), Exit.NOT_SETTLED),
        (batch(succeeded=2, pending=1, failed=1), Exit.STILL_OPEN),  # the pending one was accepted elsewhere
        (batch(BatchStatus.REJECTED), Exit.NOT_CHARGED),
        (batch(BatchStatus.PROCESSING, rejected=1), Exit.STILL_OPEN),
    ],
)
def test_batch_exits_with_what_must_not_be_sent_anew_first(ended: Batch, code: Exit) -> None:
    assert of_batch(ended) is code


@pytest.mark.parametrize("status", list(BatchStatus))
def test_batch_in_every_status_has_an_exit_code(status: BatchStatus) -> None:
    assert of_batch(batch(status)) in (Exit.DONE, Exit.STILL_OPEN, Exit.NOT_CHARGED)


def test_meanings_name_the_statuses_of_their_codes() -> None:
    for status, code in OF_STATUS.items():
        if code is not Exit.DONE:
            assert status in MEANING[code]
