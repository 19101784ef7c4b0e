"""The processing-status table: for each batch an item SUMMARY, counter items, and an item ROW#… for a row set aside."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime
from itertools import batched
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from payments.adapters.dynamodb.due import DynamoDueIndex
from payments.adapters.dynamodb.items import from_item, to_item
from payments.adapters.dynamodb.tables import BY_UNFINISHED, PROCESSING_STATUS
from payments.domain.batch.errors import CellError, RejectedRow
from payments.domain.batch.report import FileParts, ReportProgress, ResultFile
from payments.domain.batch.state import UNREPORTED, Batch, BatchStatus, Look, Progress, ResultRow, Source
from payments.domain.batch.switch import CancelPass, Switch, SwitchState
from payments.domain.batch_breaker import Pause
from payments.domain.clock import iso
from payments.domain.due import AT_ONCE, Kind
from payments.domain.payment import Payment
from payments.ports.batch_store import Claim, NotClaimed

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


_serialize = TypeSerializer().serialize

SUMMARY = "SUMMARY"
COUNTER = "SUMMARY#CLOSED#"
COUNTERS = 16
"""The number of items that count closed rows. With a single one, the transactions of a batch that closes dozens of rows
a second would often conflict and be retried."""
ROW = "ROW#"
_RETRY, _FORMER = "retry#", "FORMER"
"""The key of the item that leads from a shortened retry's id to the payment before it."""
_UNFINISHED = "yes"
"""The partition of the older index."""
_ITEMS_A_WRITE = 25  # BatchWriteItem's limit
_TRIES = 12


class DynamoBatchStore(DynamoDueIndex):
    """The processing-status table, and the mark `batch_row_closed` in the payments table."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        payments_table: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(client, table, PROCESSING_STATUS)
        self._payments_table = payments_table
        self._sleep = sleep

    def claim_split(self, batch: Batch, claim: Claim) -> Batch:
        """Create the batch or take over its split with one conditional write, and return it. Raises NotClaimed."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_item(_summary_values(batch) | _claimed(claim)),
                ConditionExpression="attribute_not_exists(batch_id)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return self._claim(batch.batch_id, BatchStatus.SPLITTING, BatchStatus.SPLITTING, claim)
        return replace(batch, owner_until=iso(claim.until), due_at=iso(claim.until))

    def save_progress(
        self, batch_id: str, owner: str, progress: Progress, *, until: datetime | None = None, release: bool = False
    ) -> None:
        """Store the progress if `owner` still has the claim; extend or end the claim. Raises NotClaimed."""
        ends = _ends(until) if until else {}
        released = {"owner_until": "", "due_at": AT_ONCE} if release else ends
        self._update_owned(batch_id, owner, BatchStatus.SPLITTING, asdict(progress) | released)

    def add_rows(self, batch_id: str, rows: Sequence[RejectedRow | ResultRow]) -> None:
        """Write the rows in requests of 25 items, and resend unprocessed ones. Not atomic, but safe to repeat."""
        for some in batched(rows, _ITEMS_A_WRITE):
            items = [to_item({"batch_id": batch_id, "item": _row_key(row.line)} | asdict(row)) for row in some]
            waiting: Any = {self._table: [{"PutRequest": {"Item": item}} for item in items]}
            for attempt in range(_TRIES):
                waiting = self._client.batch_write_item(RequestItems=waiting)["UnprocessedItems"]
                if not waiting:
                    break
                self._back_off(attempt)
            else:
                raise RuntimeError(f"batch {batch_id}: the table did not accept all rows after {_TRIES} tries")

    def finish_split(
        self, batch_id: str, owner: str, progress: Progress, at: datetime, file_errors: Sequence[CellError] = ()
    ) -> None:
        """Store the final progress and the file's errors, and move the batch to processing. Raises NotClaimed."""
        values = asdict(progress) | {
            "status": BatchStatus.PROCESSING.value,
            "updated_at": iso(at),
            "due_at": iso(at),
            "file_errors": [asdict(error) for error in file_errors],
        }
        self._update_owned(batch_id, owner, BatchStatus.SPLITTING, values)

    def close_row(self, payment: Payment) -> None:
        """Set the payment's mark and increment a counter in one transaction. No effect if the mark is already set."""
        mark: Any = {
            "TableName": self._payments_table,
            "Key": to_item({"payment_id": payment.payment_id}),
            "UpdateExpression": "SET batch_row_closed = :true",
            "ConditionExpression": "attribute_exists(payment_id) AND attribute_not_exists(batch_row_closed)",
            "ExpressionAttributeValues": {":true": {"BOOL": True}},
        }
        count: Any = {
            "TableName": self._table,
            "Key": _key(payment.batch_id, f"{COUNTER}{payment.batch_line % COUNTERS:02}"),
            "UpdateExpression": "ADD rows_closed :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
        try:
            self._despite_conflicts(
                lambda: self._client.transact_write_items(TransactItems=[{"Update": mark}, {"Update": count}])
            )
        except self._client.exceptions.TransactionCanceledException as cancelled:
            if _reasons(cancelled)[:1] != ["ConditionalCheckFailed"]:  # for the mark: it was already set
                raise

    def claim_report(self, batch_id: str, claim: Claim) -> Batch:
        """Start or take over the report with one conditional write, and return the batch. Raises NotClaimed."""
        return self._claim(batch_id, BatchStatus.PROCESSING, BatchStatus.REPORTING, claim)

    def save_report(self, batch_id: str, owner: str, progress: ReportProgress, *, release: bool = False) -> None:
        """Store the progress if `owner` still has the claim; `release` ends the claim. Raises NotClaimed."""
        released = {"owner_until": "", "due_at": AT_ONCE} if release else {}
        self._update_owned(batch_id, owner, BatchStatus.REPORTING, {"report": asdict(progress)} | released)

    def complete(
        self, batch_id: str, owner: str, status: BatchStatus, by_status: Mapping[str, int], at: datetime
    ) -> None:
        """Store the status and the result counts if `owner` still has the claim. Raises NotClaimed."""
        values = {"status": status.value, "by_status": dict(by_status), "updated_at": iso(at)}
        self._update_owned(batch_id, owner, BatchStatus.REPORTING, values, " REMOVE unfinished, due_kind, due_at")

    def get(self, batch_id: str) -> Batch | None:
        """The batch with the sum of its counters, from a strongly consistent query, or None."""
        items = self._client.query(
            TableName=self._table,
            KeyConditionExpression="batch_id = :batch_id AND begins_with(#item, :summary)",
            ExpressionAttributeNames={"#item": "item"},
            ExpressionAttributeValues={":batch_id": {"S": batch_id}, ":summary": {"S": SUMMARY}},
            ConsistentRead=True,
        )["Items"]
        # the summary sorts before its counters; without it the batch does not exist
        return _batch_of(*items) if items and items[0]["item"] == {"S": SUMMARY} else None

    def adopt(self) -> Iterator[str]:
        """Move the index `by-unfinished` into the index by due time, one write for each batch."""
        return self.adopt_share(BY_UNFINISHED, _UNFINISHED, Kind.BATCH)

    def set_switch(self, batch: Batch, switch: Switch) -> None:
        """Set the switch with one conditional write: no report, and the switch as read. Raises NotClaimed."""
        again = {} if switch.holds else {"checked_line": 0}
        values: dict[str, Any] = {"switch": switch.state.value, "switch_by": switch.by, "switch_at": switch.at}
        values |= {"due_at": switch.at, "switch_pauses": [f"{pause.since}/{pause.until}" for pause in switch.pauses]}
        # batches from before the switch existed have none
        seen = "#switch = :seen" if batch.switch.at else "attribute_not_exists(switch_at)"
        splitting, processing = (status.value for status in UNREPORTED)
        self._update(
            batch.batch_id,
            {**values, **again},
            f"#status IN (:splitting, :processing) AND {seen}",
            {":splitting": splitting, ":processing": processing}
            | ({":seen": batch.switch.state.value} if batch.switch.at else {}),
        )

    def switch_of(self, batch_id: str) -> Switch:
        """The switch, from a strongly consistent read of its attributes of the summary."""
        item = self._client.get_item(
            TableName=self._table,
            Key=_key(batch_id),
            ProjectionExpression="#switch, switch_by, switch_at, switch_pauses",
            ExpressionAttributeNames={"#switch": "switch"},
            ConsistentRead=True,
        ).get("Item", {})
        return _switch_of(from_item(item))

    def link_retry(self, retry_id: str, payment_id: str) -> None:
        """Note the payment in an item of its own."""
        self._client.update_item(
            TableName=self._table,
            Key=_key(f"{_RETRY}{retry_id}", _FORMER),
            UpdateExpression="SET payment_id = :payment_id",
            ExpressionAttributeValues={":payment_id": {"S": payment_id}},
        )

    def former_of(self, retry_id: str) -> str:
        """The noted payment, or ""."""
        key = _key(f"{_RETRY}{retry_id}", _FORMER)
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item", {})
        return item["payment_id"]["S"] if item else ""

    def claim_cancel(self, batch_id: str, claim: Claim) -> Batch:
        """Claim the pass with one conditional write, and return the batch. Raises NotClaimed."""
        splitting, processing = (status.value for status in UNREPORTED)
        self._update(
            batch_id,
            {"cancel_owner": claim.owner, "cancel_until": iso(claim.until)},
            "#status IN (:splitting, :processing) AND #switch = :canceled"
            " AND (attribute_not_exists(cancel_until) OR cancel_until < :at OR cancel_owner = :cancel_owner)",
            {
                ":splitting": splitting,
                ":processing": processing,
                ":canceled": SwitchState.CANCELED.value,
                ":at": iso(claim.at),
            },
        )
        return self._after_claim(batch_id)

    def save_cancel(self, batch_id: str, owner: str, progress: CancelPass) -> None:
        """Store the pass if `owner` still has the claim. Raises NotClaimed."""
        values = {f"cancel_{name}": value for name, value in asdict(progress).items()}
        self._update(batch_id, values, "cancel_owner = :claimed_by", {":claimed_by": owner})

    def look(self, batch: Batch, look: Look, due: datetime) -> Batch:
        """Note the look with one conditional write: the status and the due time are as read. Raises NotClaimed."""
        seen = {":read": batch.status.value, ":due": batch.due_at}
        self._update(batch.batch_id, asdict(look) | {"due_at": iso(due)}, "#status = :read AND #due_at = :due", seen)
        return replace(batch, look=look, due_at=iso(due))

    def rows(self, batch_id: str, after: int = 0) -> Iterator[RejectedRow | ResultRow]:
        """The rows after a line that were set aside, in the order of lines. Strongly consistent."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="batch_id = :batch_id AND #item BETWEEN :first AND :last",
            ExpressionAttributeNames={"#item": "item"},
            ExpressionAttributeValues={
                ":batch_id": {"S": batch_id},
                ":first": {"S": _row_key(after + 1)},
                ":last": {"S": f"{ROW}~"},
            },
            ConsistentRead=True,
        )
        for page in pages:
            yield from map(_row_of, page["Items"])

    def _claim(self, batch_id: str, ready: BatchStatus, working: BatchStatus, claim: Claim) -> Batch:
        """Claim the work if the batch is `ready` for it, or if the owner that is `working` on it has stopped."""
        self._update(
            batch_id,
            {
                "status": working.value,
                "updated_at": iso(claim.at),
                **_claimed(claim),
            },
            # splitting has no ready state: the batch is created in it
            condition=("#status = :ready OR " if ready is not working else "")
            + "(#status = :working AND (#owner = :owner OR owner_until < :at))",
            compared={":working": working.value, ":at": iso(claim.at)}
            | ({":ready": ready.value} if ready is not working else {}),
        )
        return self._after_claim(batch_id)

    def _after_claim(self, batch_id: str) -> Batch:
        claimed = self.get(batch_id)
        if claimed is None:
            raise LookupError(f"batch {batch_id} was claimed but does not exist")
        return claimed

    def _update_owned(
        self, batch_id: str, owner: str, status: BatchStatus, values: Mapping[str, Any], and_then: str = ""
    ) -> None:
        condition = "#owner = :claimed_by AND #status = :during"
        self._update(batch_id, values, condition, {":claimed_by": owner, ":during": status.value}, and_then)

    def _update(
        self,
        batch_id: str,
        values: Mapping[str, Any],
        condition: str,
        compared: Mapping[str, str],
        and_then: str = "",
    ) -> None:
        """Set `values` on the summary. Names are written as `#name`, because `status` is a reserved word."""
        assignments = ", ".join(f"#{name} = :{name}" for name in values)
        names = {name for name in ("status", "owner", "switch") if f"#{name}" in condition} | set(
            values
        )  # DynamoDB rejects unused values
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_key(batch_id),
                UpdateExpression=f"SET {assignments}{and_then}",
                ConditionExpression=condition,
                ExpressionAttributeNames={f"#{name}": name for name in names},
                ExpressionAttributeValues={
                    name: _serialize(value)
                    for name, value in ({f":{name}": v for name, v in values.items()} | {**compared}).items()
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            raise NotClaimed(f"batch {batch_id} belongs to another run, or is already further") from None

    def _despite_conflicts[T](self, write: Callable[[], T]) -> T:
        """Run a transaction, and repeat it while it conflicts with another one on the same item."""
        for attempt in range(_TRIES - 1):
            try:
                return write()
            except ClientError as error:
                if not _met_a_transaction(error):
                    raise
            self._back_off(attempt)
        return write()

    def _back_off(self, attempt: int) -> None:
        # full jitter, so that conflicting writers do not meet again
        self._sleep(random.uniform(0, min(1.0, 0.02 * 2**attempt)))  # noqa: S311


def _met_a_transaction(error: ClientError) -> bool:
    reasons = _reasons(error)
    return "TransactionConflict" in reasons and "ConditionalCheckFailed" not in reasons


def _reasons(error: ClientError) -> list[str]:
    return [reason.get("Code", "") for reason in error.response.get("CancellationReasons", [])]


def _key(batch_id: str, item: str = SUMMARY) -> dict[str, Any]:
    return {"batch_id": {"S": batch_id}, "item": {"S": item}}


def _row_key(line: int) -> str:
    return f"{ROW}{line:09}"


def _claimed(claim: Claim) -> dict[str, str]:
    """A claim as attributes of the summary."""
    return {"owner": claim.owner} | _ends(claim.until)


def _ends(until: datetime) -> dict[str, str]:
    """The end of a claim as attributes of the summary. Recovery looks when the claim has expired."""
    return {"owner_until": iso(until), "due_at": iso(until)}


def _summary_values(batch: Batch) -> dict[str, Any]:
    """A batch as the attributes of its summary item."""
    return {
        "batch_id": batch.batch_id,
        "item": SUMMARY,
        "status": batch.status.value,
        "created_at": batch.created_at,
        "updated_at": batch.updated_at,
        "due_kind": Kind.BATCH.value,
        **asdict(batch.source),
        **asdict(batch.progress),
    }


def _batch_of(summary: Mapping[str, Any], *counters: Mapping[str, Any]) -> Batch:
    values = from_item(summary)
    return Batch(
        batch_id=values["batch_id"],
        source=Source(
            bucket=values["bucket"],
            key=values["key"],
            version_id=values.get("version_id", ""),
            etag=values.get("etag", ""),
            size_bytes=int(values["size_bytes"]),
            uploaded_by=values.get("uploaded_by", ""),
        ),
        status=BatchStatus(values["status"]),
        created_at=values["created_at"],
        updated_at=values["updated_at"],
        progress=Progress(**{field.name: int(values.get(field.name, 0)) for field in fields(Progress)}),
        rows_closed=sum(int(counter["rows_closed"]["N"]) for counter in counters),
        file_errors=tuple(map(_error_of, values.get("file_errors", []))),
        by_status={status: int(count) for status, count in values.get("by_status", {}).items()},
        owner_until=values.get("owner_until", ""),
        report=_report_of(values.get("report", {})),
        due_at=values.get("due_at", ""),
        look=Look(
            seen=values.get("seen", ""),
            seen_since=values.get("seen_since", ""),
            checked_line=int(values.get("checked_line", 0)),
            checked_at=values.get("checked_at", ""),
        ),
        switch=_switch_of(values),
        cancel_pass=CancelPass(
            line=int(values.get("cancel_line", 0)),
            passed_at=values.get("cancel_passed_at", ""),
            until=values.get("cancel_until", ""),
        ),
    )


def _switch_of(values: Mapping[str, Any]) -> Switch:
    """The switch in a summary. Batches from before it existed are running."""
    state = SwitchState(values.get("switch", SwitchState.RUNNING))
    pauses = tuple(Pause(*pause.split("/")) for pause in values.get("switch_pauses", ()))
    return Switch(state, values.get("switch_by", ""), values.get("switch_at", ""), pauses)


def _report_of(values: Mapping[str, Any]) -> ReportProgress:
    """The progress of a report; that of a report which older code wrote is empty."""
    return ReportProgress(
        line=int(values.get("line", 0)),
        by_status={status: int(count) for status, count in values.get("by_status", {}).items()},
        parts={
            name: FileParts(**parts | {"etags": tuple(parts["etags"]), "tail_bytes": int(parts["tail_bytes"])})
            for name, parts in values.get("parts", {}).items()
        },
        tails=values.get("tails", ""),
        results={name: ResultFile(**file) for name, file in values.get("results", {}).items()},
    )


def _row_of(item: Mapping[str, Any]) -> RejectedRow | ResultRow:
    values = from_item(item)
    if "errors" in values:
        errors = tuple(map(_error_of, values["errors"]))
        return RejectedRow(int(values["line"]), values.get("payment_id", ""), errors)
    texts = {field.name: values.get(field.name, "") for field in fields(ResultRow)}
    return ResultRow(**texts | {"line": int(values["line"])})


def _error_of(values: Mapping[str, Any]) -> CellError:
    return CellError(**{**values, "line": int(values["line"])})
