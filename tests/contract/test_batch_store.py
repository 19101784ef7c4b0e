"""One suite for the processing-status table on DynamoDB (moto) and for its in-memory fake."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from fakes.batches import MemoryBatchStore
from fakes.payments import MemoryPaymentStore
from local.ministack.server import LocalAws
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.tables import PAYMENTS, PROCESSING_STATUS
from payments.domain.batch.errors import CellError, RejectedRow
from payments.domain.batch.report import FileParts, ReportProgress, ResultFile
from payments.domain.batch.state import Batch, BatchStatus, Look, Progress, ResultRow, Source
from payments.domain.batch.switch import CancelPass, Switch, SwitchState
from payments.domain.clock import iso
from payments.domain.money import Money
from payments.domain.payment import Payment, PaymentRequest, accepted
from payments.ports.batch_store import BatchStore, Claim, NotClaimed
from payments.ports.payment_store import PaymentStore
from tests.moto_tables import aws_in_memory, create_table
from tests.unit.builders import waiting

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SOURCE = Source("bucket", "incoming/payroll.csv", "v1", "etag", 1234)
BATCH = Batch(SOURCE.batch_id, SOURCE, BatchStatus.SPLITTING, iso(NOW), iso(NOW))
PROGRESS = Progress(line=12, rows_read=11, rows_accepted=9, rows_rejected=2, already_submitted=1, offset=345)


@dataclass(frozen=True)
class Stores:
    batches: BatchStore
    payments: PaymentStore


@pytest.fixture(params=["memory", "dynamodb"])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    if request.param == "memory":
        payments = MemoryPaymentStore()
        yield Stores(MemoryBatchStore(payments), payments)
        return
    with aws_in_memory():
        client = create_table(PAYMENTS)
        create_table(PROCESSING_STATUS)
        yield on_dynamodb(client)


def on_dynamodb(client: Any) -> Stores:
    batches = DynamoBatchStore(client, PROCESSING_STATUS.name, PAYMENTS.name, sleep=lambda seconds: None)
    return Stores(batches, DynamoPaymentStore(client, PAYMENTS.name))


def claim(owner: str, seconds: float = 0, lasts_seconds: float = 60) -> Claim:
    at = NOW + timedelta(seconds=seconds)
    return Claim(owner, at, at + timedelta(seconds=lasts_seconds))


def processing(stores: Stores, progress: Progress = PROGRESS) -> Batch:
    stores.batches.claim_split(BATCH, claim("a"))
    stores.batches.finish_split(BATCH.batch_id, "a", progress, NOW)
    return current(stores)


def current(stores: Stores) -> Batch:
    batch = stores.batches.get(BATCH.batch_id)
    assert batch
    return batch


def payment(line: int = 2) -> Payment:
    request = PaymentRequest(f"pay_{line}", Money(100, "USD"))
    return accepted(request, at=NOW, source="batch", batch_id=BATCH.batch_id, batch_line=line)


def test_get_when_there_is_no_such_batch_then_none(stores: Stores) -> None:
    assert stores.batches.get("none") is None


def test_claim_split_when_new_then_the_batch_is_stored(stores: Stores) -> None:
    ends = iso(NOW + timedelta(seconds=60))
    stored = replace(BATCH, owner_until=ends, due_at=ends)
    assert stores.batches.claim_split(BATCH, claim("a")) == stored
    assert stores.batches.get(BATCH.batch_id) == stored


def test_claim_split_when_another_works_on_it_then_refused(stores: Stores) -> None:
    stores.batches.claim_split(BATCH, claim("a"))
    with pytest.raises(NotClaimed):
        stores.batches.claim_split(BATCH, claim("b", seconds=59))


@pytest.mark.parametrize(("owner", "seconds"), [("a", 1), ("b", 61)])
def test_claim_split_by_its_owner_or_after_expiry_keeps_the_progress(
    stores: Stores, owner: str, seconds: float
) -> None:
    stores.batches.claim_split(BATCH, claim("a"))
    stores.batches.save_progress(BATCH.batch_id, "a", PROGRESS)
    assert stores.batches.claim_split(BATCH, claim(owner, seconds)).progress == PROGRESS


def test_save_progress_extends_the_claim_and_the_due_time(stores: Stores) -> None:
    stores.batches.claim_split(BATCH, claim("a"))
    stores.batches.save_progress(BATCH.batch_id, "a", PROGRESS, until=NOW + timedelta(seconds=90))
    assert current(stores).owner_until == current(stores).due_at == iso(NOW + timedelta(seconds=90))
    with pytest.raises(NotClaimed):
        stores.batches.claim_split(BATCH, claim("b", seconds=89))
    assert stores.batches.claim_split(BATCH, claim("b", seconds=91)).progress == PROGRESS


def test_claim_split_when_released_then_another_takes_it_at_once(stores: Stores) -> None:
    stores.batches.claim_split(BATCH, claim("a"))
    stores.batches.save_progress(BATCH.batch_id, "a", PROGRESS, release=True)
    assert stores.batches.claim_split(BATCH, claim("b", seconds=1)).progress == PROGRESS


def test_save_progress_when_another_took_over_then_refused(stores: Stores) -> None:
    stores.batches.claim_split(BATCH, claim("a"))
    stores.batches.claim_split(BATCH, claim("b", seconds=61))
    with pytest.raises(NotClaimed):
        stores.batches.save_progress(BATCH.batch_id, "a", PROGRESS)
    assert current(stores).progress == Progress()


def test_finished_split_cannot_be_claimed_again(stores: Stores) -> None:
    assert processing(stores).status is BatchStatus.PROCESSING
    assert current(stores).progress == PROGRESS
    for owner in ("a", "b"):
        with pytest.raises(NotClaimed):
            stores.batches.claim_split(BATCH, claim(owner, seconds=1000))


def test_finish_split_when_the_file_is_refused_then_its_errors_are_kept(stores: Stores) -> None:
    errors = (CellError(1, "column 2", "'id'", "not a column", "rename it"), CellError(1, "", "", "x", "y"))
    stores.batches.claim_split(BATCH, claim("a"))
    stores.batches.finish_split(BATCH.batch_id, "a", Progress(), NOW, errors)
    assert current(stores).file_errors == errors
    assert current(stores).ready_to_report


def test_rows_added_twice_and_out_of_order_are_listed_once_by_line(stores: Stores) -> None:
    rejected = RejectedRow(1000, "", (CellError(1000, "amount", "'-1'", "negative", "make it positive"),))
    known = ResultRow(9, "pay_9", "1.00", "USD", "succeeded", "", "", "pi_1", "over rest")
    stores.batches.claim_split(BATCH, claim("a"))
    stores.batches.add_rows(BATCH.batch_id, [rejected, known])
    stores.batches.add_rows(BATCH.batch_id, [known])
    assert list(stores.batches.rows(BATCH.batch_id)) == [known, rejected]


def test_rows_when_there_are_many_then_all_come_back(stores: Stores) -> None:
    rows = [RejectedRow(n, f"pay_{n}", (CellError(n, "amount", "", "x" * 200, "y"),)) for n in range(2, 112)]
    stores.batches.claim_split(BATCH, claim("a"))
    stores.batches.add_rows(BATCH.batch_id, rows)
    assert list(stores.batches.rows(BATCH.batch_id)) == rows
    assert list(stores.batches.rows(BATCH.batch_id, 100)) == rows[99:]


@pytest.mark.fault(63)
def test_payments_of_a_batch_after_a_line_are_listed_in_order(stores: Stores) -> None:
    for line in (5, 2, 10):
        stores.payments.create(payment(line))
    assert [found.batch_line for found in stores.payments.of_batch(BATCH.batch_id)] == [2, 5, 10]
    assert [found.batch_line for found in stores.payments.of_batch(BATCH.batch_id, 2)] == [5, 10]


def test_close_row_repeated_counts_once_and_marks_the_payment(stores: Stores) -> None:
    stores.payments.create(payment())
    processing(stores)
    for _ in range(3):
        stores.batches.close_row(payment())
    assert current(stores).rows_closed == 1
    assert stores.payments.get("pay_2") == replace(payment(), batch_row_closed=True)


def test_close_row_when_the_split_still_saves_progress_then_neither_loses(stores: Stores) -> None:
    stores.payments.create(payment())
    stores.batches.claim_split(BATCH, claim("a"))
    stores.batches.close_row(payment())
    stores.batches.save_progress(BATCH.batch_id, "a", PROGRESS)
    assert (current(stores).rows_closed, current(stores).progress) == (1, PROGRESS)
    assert not current(stores).ready_to_report


def test_ready_to_report_when_all_own_payments_are_closed_then_true(stores: Stores) -> None:
    batch = processing(stores, Progress(line=3, rows_read=2, rows_accepted=2, already_submitted=1))
    assert not batch.ready_to_report
    stores.payments.create(payment())
    stores.batches.close_row(payment())
    assert current(stores).ready_to_report


def test_report_when_claimed_then_another_waits_and_it_completes_once(stores: Stores) -> None:
    processing(stores)
    assert stores.batches.claim_report(BATCH.batch_id, claim("r1")).status is BatchStatus.REPORTING
    with pytest.raises(NotClaimed):
        stores.batches.claim_report(BATCH.batch_id, claim("r2", seconds=30))
    stores.batches.claim_report(BATCH.batch_id, claim("r2", seconds=61))
    with pytest.raises(NotClaimed):
        stores.batches.complete(BATCH.batch_id, "r1", BatchStatus.COMPLETED, {}, NOW)
    stores.batches.complete(BATCH.batch_id, "r2", BatchStatus.COMPLETED, {"succeeded": 8, "declined": 1}, NOW)
    assert current(stores).status is BatchStatus.COMPLETED
    assert current(stores).by_status == {"succeeded": 8, "declined": 1}
    with pytest.raises(NotClaimed):
        stores.batches.claim_report(BATCH.batch_id, claim("r2", seconds=1000))


@pytest.mark.fault(63)
def test_save_report_is_kept_for_the_next_run_until_the_claim_is_lost(stores: Stores) -> None:
    assert processing(stores).report == ReportProgress()
    stores.batches.claim_report(BATCH.batch_id, claim("r1"))
    parts = {"results.csv": FileParts("u1", "t1", ("e1", "e2"), 7), "errors.csv": FileParts(tail_bytes=3)}
    some = ReportProgress(5, {"succeeded": 3}, parts, "reporting/b/1")
    stores.batches.save_report(BATCH.batch_id, "r1", some, release=True)
    assert current(stores).is_abandoned(iso(NOW))
    assert stores.batches.claim_report(BATCH.batch_id, claim("r2")).report == some
    with pytest.raises(NotClaimed):
        stores.batches.save_report(BATCH.batch_id, "r1", ReportProgress())
    done = ReportProgress(12, {"succeeded": 9}, results={"results.csv": ResultFile("results/b/results.csv", "v1")})
    stores.batches.save_report(BATCH.batch_id, "r2", done)
    stores.batches.complete(BATCH.batch_id, "r2", BatchStatus.COMPLETED, {"succeeded": 9}, NOW)
    assert current(stores).report == done


def test_claim_report_when_the_file_is_still_split_then_refused(stores: Stores) -> None:
    stores.batches.claim_split(BATCH, claim("a"))
    with pytest.raises(NotClaimed):
        stores.batches.claim_report(BATCH.batch_id, claim("a", seconds=1000))


# Batches that are still open -----------------------------------------------------------------------------


def test_due_lists_batches_without_report_once_no_run_owns_them(stores: Stores) -> None:
    for name, minutes in (("second", 1), ("first", 0), ("third", 2)):
        created = replace(BATCH, batch_id=name, created_at=iso(NOW + timedelta(minutes=minutes)))
        stores.batches.claim_split(created, claim("a"))
    stores.batches.finish_split("second", "a", PROGRESS, NOW)
    stores.batches.finish_split("third", "a", PROGRESS, NOW)
    stores.batches.claim_report("third", claim("r"))
    assert waiting(stores.batches, NOW) == ["second"]  # the others have an owner
    assert sorted(waiting(stores.batches)) == ["first", "second", "third"]


@pytest.mark.parametrize("end", [BatchStatus.COMPLETED, BatchStatus.REJECTED])
def test_due_omits_a_batch_once_its_report_is_complete(stores: Stores, end: BatchStatus) -> None:
    processing(stores)
    stores.batches.claim_report(BATCH.batch_id, claim("r"))
    stores.batches.complete(BATCH.batch_id, "r", end, {}, NOW)
    assert waiting(stores.batches) == []


def test_split_is_abandoned_only_after_its_claim_expires(stores: Stores) -> None:
    stores.batches.claim_split(BATCH, claim("a", lasts_seconds=60))
    assert not current(stores).is_abandoned(iso(NOW + timedelta(seconds=60)))
    assert current(stores).is_abandoned(iso(NOW + timedelta(seconds=61)))


def test_is_abandoned_when_the_splitter_handed_on_then_at_once(stores: Stores) -> None:
    stores.batches.claim_split(BATCH, claim("a"))
    stores.batches.save_progress(BATCH.batch_id, "a", PROGRESS, release=True)
    assert current(stores).is_abandoned(iso(NOW))
    assert waiting(stores.batches, NOW) == [BATCH.batch_id]


def test_report_is_abandoned_only_after_its_claim_expires(stores: Stores) -> None:
    assert not processing(stores).is_abandoned(iso(NOW + timedelta(days=1)))  # no run owns it: none has stopped
    claimed = stores.batches.claim_report(BATCH.batch_id, claim("r", lasts_seconds=60))
    assert claimed.owner_until == current(stores).owner_until == iso(NOW + timedelta(seconds=60))
    assert not claimed.is_abandoned(iso(NOW + timedelta(seconds=60)))
    assert claimed.is_abandoned(iso(NOW + timedelta(seconds=61)))


LOOK = Look("processing 10 3", iso(NOW), 7, iso(NOW))


def test_look_when_two_read_the_same_then_one_has_it(stores: Stores) -> None:
    seen = processing(stores)
    later = NOW + timedelta(minutes=10)
    assert stores.batches.look(seen, LOOK, later) == current(stores) == replace(seen, look=LOOK, due_at=iso(later))
    with pytest.raises(NotClaimed):
        stores.batches.look(seen, LOOK, later)
    assert (waiting(stores.batches, NOW), waiting(stores.batches, later)) == ([], [BATCH.batch_id])


def test_look_when_the_batch_is_reported_meanwhile_then_refused(stores: Stores) -> None:
    seen = processing(stores)
    stores.batches.claim_report(BATCH.batch_id, claim("r"))
    with pytest.raises(NotClaimed):
        stores.batches.look(seen, LOOK, NOW)
    assert current(stores).status is BatchStatus.REPORTING


def test_dynamodb_batches_of_before_move_to_the_index_by_due_time() -> None:
    with aws_in_memory():
        client = create_table(PROCESSING_STATUS)
        create_table(PAYMENTS, client)
        stores = on_dynamodb(client)
        processing(stores)
        client.update_item(
            TableName=PROCESSING_STATUS.name,
            Key={"batch_id": {"S": BATCH.batch_id}, "item": {"S": "SUMMARY"}},
            UpdateExpression="SET unfinished = :yes REMOVE due_kind, due_at",
            ExpressionAttributeValues={":yes": {"S": "yes"}},
        )
        assert list(stores.batches.adopt()) == [BATCH.batch_id] == waiting(stores.batches)
        assert list(stores.batches.adopt()) == []


class FaultyClient:
    """A DynamoDB client whose `operation` first fails with the given errors."""

    def __init__(self, client: Any, operation: str, failures: list[Any]) -> None:
        self._client = client
        self._operation = operation
        self.failures = failures

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)
        if name != self._operation:
            return real

        def call(**arguments: Any) -> Any:
            if not self.failures:
                return real(**arguments)
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure(arguments)

        return call


@pytest.fixture
def faulty() -> Iterator[Callable[[str, list[Any]], tuple[Stores, FaultyClient]]]:
    with aws_in_memory():
        client = create_table(PAYMENTS)
        create_table(PROCESSING_STATUS)

        def stores_on(operation: str, failures: list[Any]) -> tuple[Stores, FaultyClient]:
            broken = FaultyClient(client, operation, failures)
            return on_dynamodb(broken), broken

        yield stores_on


def cancelled(*reasons: str) -> ClientError:
    client = boto3.client("dynamodb")
    error: ClientError = client.exceptions.TransactionCanceledException(
        {
            "Error": {"Code": "TransactionCanceledException", "Message": ""},
            "CancellationReasons": [{"Code": reason} for reason in reasons],
        },
        "TransactWriteItems",
    )
    return error


def conflict() -> ClientError:
    return ClientError({"Error": {"Code": "TransactionConflictException", "Message": ""}}, "UpdateItem")


def test_close_row_when_it_meets_other_closings_then_it_tries_again(faulty: Any) -> None:
    stores, client = faulty("transact_write_items", [cancelled("None", "TransactionConflict")] * 5)
    stores.payments.create(payment())
    processing(stores)
    stores.batches.close_row(payment())
    assert client.failures == []
    assert current(stores).rows_closed == 1


def test_close_row_when_the_table_fails_otherwise_then_it_says_so(faulty: Any) -> None:
    stores, _ = faulty("transact_write_items", [cancelled("None", "ConditionalCheckFailed")])
    stores.payments.create(payment())
    processing(stores)
    with pytest.raises(ClientError):
        stores.batches.close_row(payment())


def test_add_rows_writes_unprocessed_rows_again(faulty: Any) -> None:
    stores, _ = faulty("batch_write_item", [lambda arguments: {"UnprocessedItems": arguments["RequestItems"]}] * 2)
    row = RejectedRow(2, "", (CellError(2, "", "", "x", "y"),))
    stores.batches.claim_split(BATCH, claim("a"))
    stores.batches.add_rows(BATCH.batch_id, [row])
    assert list(stores.batches.rows(BATCH.batch_id)) == [row]


@pytest.fixture(params=["memory", "dynamodb"])
def shared(request: pytest.FixtureRequest) -> Iterator[Stores]:
    """Stores for many threads at once: moto's transactions are not safe there, the local AWS's are."""
    if request.param == "memory":
        payments = MemoryPaymentStore()
        yield Stores(MemoryBatchStore(payments), payments)
        return
    with LocalAws(env={"AUTH": "false"}) as aws:
        client = aws.client("dynamodb")
        for table in (PROCESSING_STATUS, PAYMENTS):
            create_table(table, client)
        yield Stores(
            DynamoBatchStore(client, PROCESSING_STATUS.name, PAYMENTS.name), DynamoPaymentStore(client, PAYMENTS.name)
        )


def test_close_row_when_many_close_at_once_then_none_is_missed(shared: Stores) -> None:
    stores = shared
    processing(stores)
    payments = [payment(line) for line in range(2, 22)]
    for one in payments:
        stores.payments.create(one)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(stores.batches.close_row, [*payments, *payments]))
    assert current(stores).rows_closed == 20


def test_retry_when_noted_then_leads_back_to_its_payment(stores: Stores) -> None:
    assert stores.batches.former_of("pay_r2") == ""
    for _ in range(2):
        stores.batches.link_retry("pay_r2", "pay")
    assert stores.batches.former_of("pay_r2") == "pay"


# The switch, and the payments of a canceled batch ---------------------------------------------------------------------

PAUSED = Switch(SwitchState.PAUSED, "admin:jo", iso(NOW + timedelta(seconds=5)))
CANCELED = Switch(SwitchState.CANCELED, "admin:jo", iso(NOW + timedelta(seconds=6)))
RESUMED = PAUSED.turned(SwitchState.RUNNING, "admin:jo", iso(NOW + timedelta(seconds=7)))


def test_switch_of_a_new_or_unknown_batch_lets_payments_start(stores: Stores) -> None:
    stores.batches.claim_split(BATCH, claim("a"))
    assert (
        stores.batches.switch_of(BATCH.batch_id)
        == stores.batches.switch_of("none")
        == current(stores).switch
        == Switch()
    )


def test_switch_when_set_then_stored_and_due_at_once(stores: Stores) -> None:
    batch = processing(stores)
    stores.batches.set_switch(batch, PAUSED)
    assert stores.batches.switch_of(BATCH.batch_id) == current(stores).switch == PAUSED
    assert current(stores).due_at == PAUSED.at
    stores.batches.set_switch(current(stores), RESUMED)
    assert current(stores).switch == RESUMED


def test_switch_while_the_file_is_read_keeps_the_claim(stores: Stores) -> None:
    batch = stores.batches.claim_split(BATCH, claim("a"))
    stores.batches.set_switch(batch, PAUSED)
    stores.batches.save_progress(BATCH.batch_id, "a", PROGRESS)
    assert (current(stores).switch, current(stores).progress) == (PAUSED, PROGRESS)


def test_switch_when_it_changed_since_it_was_read_then_refused(stores: Stores) -> None:
    batch = processing(stores)
    stores.batches.set_switch(batch, CANCELED)
    with pytest.raises(NotClaimed):
        stores.batches.set_switch(batch, PAUSED)
    assert current(stores).switch == CANCELED


def test_switch_when_the_report_has_begun_then_refused(stores: Stores) -> None:
    processing(stores)
    stores.batches.claim_report(BATCH.batch_id, claim("r"))
    with pytest.raises(NotClaimed):
        stores.batches.set_switch(current(stores), CANCELED)


def test_resume_begins_the_check_of_rows_anew(stores: Stores) -> None:
    batch = processing(stores)
    stores.batches.look(batch, Look("seen", iso(NOW), checked_line=7, checked_at=iso(NOW)), NOW)
    stores.batches.set_switch(current(stores), PAUSED)
    assert current(stores).look.checked_line == 7
    stores.batches.set_switch(current(stores), RESUMED)
    assert current(stores).look == Look("seen", iso(NOW), checked_line=0, checked_at=iso(NOW))


def test_claim_cancel_of_a_batch_that_is_not_canceled_is_refused(stores: Stores) -> None:
    stores.batches.set_switch(processing(stores), PAUSED)
    with pytest.raises(NotClaimed):
        stores.batches.claim_cancel(BATCH.batch_id, claim("a"))


def test_claim_cancel_is_exclusive_until_it_expires_or_is_released(stores: Stores) -> None:
    stores.batches.set_switch(processing(stores), CANCELED)
    claimed = stores.batches.claim_cancel(BATCH.batch_id, claim("a"))
    assert claimed.cancel_pass == CancelPass(until=iso(NOW + timedelta(seconds=60)))
    with pytest.raises(NotClaimed):
        stores.batches.claim_cancel(BATCH.batch_id, claim("b", seconds=59))
    stores.batches.claim_cancel(BATCH.batch_id, claim("a", seconds=59))
    stores.batches.save_cancel(BATCH.batch_id, "a", CancelPass(line=9))
    assert stores.batches.claim_cancel(BATCH.batch_id, claim("b", seconds=60)).cancel_pass.line == 9
    with pytest.raises(NotClaimed):
        stores.batches.save_cancel(BATCH.batch_id, "a", CancelPass(line=10))
    stores.batches.claim_cancel(BATCH.batch_id, claim("c", seconds=121))


def test_cancel_pass_when_complete_then_its_end_is_stored(stores: Stores) -> None:
    stores.batches.set_switch(processing(stores), CANCELED)
    stores.batches.claim_cancel(BATCH.batch_id, claim("a"))
    done = CancelPass(0, passed_at=iso(NOW))
    stores.batches.save_cancel(BATCH.batch_id, "a", done)
    assert current(stores).cancel_pass == done


def test_claim_cancel_when_the_report_has_begun_then_refused(stores: Stores) -> None:
    stores.batches.set_switch(processing(stores), CANCELED)
    stores.batches.claim_report(BATCH.batch_id, claim("r"))
    with pytest.raises(NotClaimed):
        stores.batches.claim_cancel(BATCH.batch_id, claim("a"))


def test_canceled_batch_when_reported_then_recovery_has_nothing_to_do(stores: Stores) -> None:
    stores.batches.set_switch(processing(stores), CANCELED)
    stores.batches.claim_report(BATCH.batch_id, claim("r"))
    stores.batches.complete(BATCH.batch_id, "r", BatchStatus.CANCELED, {"rejected": 9}, NOW)
    assert current(stores).status is BatchStatus.CANCELED
    assert waiting(stores.batches) == []
