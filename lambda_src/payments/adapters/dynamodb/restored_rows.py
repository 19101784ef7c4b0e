"""Writes the rows of a backup so that all tables together are one state, although payments went on while it was read.

The payments are the truth, and everything else is cut to them (docs/architecture.md#restore):

- A payment gets its index attributes anew, so that recovery looks at it when it must, and reserves what the restored
  refunds reserve. A refund asks the gateway before it is sent.
- An audit entry that its payment's row does not name is left out: the row is older. So is one without a row.
- A batch without a report begins again at its first line, and its payments count as not closed: the split finds the
  stored payments, as after a crash, and each is closed and counted once.
- An event of the gateway that is parked is due again. One that arrived meanwhile is kept.
- Controls of the moment are left out: slots, the lease, and above all that the environment is open.
"""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any

from payments.adapters.dynamodb.batch_breaker import OPEN_MARK
from payments.adapters.dynamodb.batches import COUNTER, SUMMARY
from payments.adapters.dynamodb.due import DynamoDueIndex, due_values
from payments.adapters.dynamodb.events import event_of
from payments.adapters.dynamodb.items import to_item
from payments.adapters.dynamodb.payments import index_values, payment_of
from payments.adapters.dynamodb.refunds import DynamoRefundStore, refund_due_values, refund_of
from payments.adapters.dynamodb.tables import (
    AUDIT_LOG,
    CONTROLS,
    GATEWAY_EVENTS,
    PAYMENTS,
    PROCESSING_STATUS,
    REFUNDS,
)
from payments.domain.backup import Row
from payments.domain.batch.state import BatchStatus
from payments.domain.clock import Clock, iso, parse_iso
from payments.domain.due import AT_ONCE, NEVER, Kind
from payments.domain.gateway_event import event_due
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.ports.batch_store import OWNER_WHILE_CLOSED
from payments.ports.restore_target import RestoreProgress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

CLOCKS_DIFFER = timedelta(hours=1)
"""A payment that was accepted this long before the backup began may belong to a batch that the backup does not have."""
_ITEMS_A_WRITE, _KEYS_A_READ, _TRIES, _WORKERS = 25, 100, 12, 16
_PROGRESS: Any = {"control": {"S": "restore"}}
_OF_THE_MOMENT = ("pace#", "recovery", "restore")
"""Controls that mean nothing later: slots of the gateway's rate, the lease of recovery, the progress of a restore."""
_UNENDED = {BatchStatus.SPLITTING, BatchStatus.PROCESSING, BatchStatus.REPORTING}
_PROGRESS_OF_BATCH = (
    "line",
    "rows_read",
    "rows_accepted",
    "rows_rejected",
    "already_submitted",
    "offset",
    "owner",
    "report",
    "file_errors",
    "unfinished",
    "seen",
    "seen_since",
    "checked_line",
    "checked_at",
    "cancel_line",
    "cancel_passed_at",
    "cancel_until",
    "cancel_owner",
)


class DynamoRestoreTarget:
    """The tables. `tables` gives the deployed name of each; `backup_began_at` is the time in the manifest."""

    def __init__(
        self,
        client: "DynamoDBClient",
        tables: "Mapping[str, str]",
        backup_began_at: str,
        clock: Clock,
        timeouts: RecoveryTimeouts,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._tables = tables
        self._closed_before = iso(parse_iso(backup_began_at) - CLOCKS_DIFFER)
        self._clock = clock
        self._timeouts = timeouts
        self._sleep = sleep
        self._unended: set[str] | None = None

    def progress(self) -> RestoreProgress | None:
        """The item `restore` of the controls table."""
        answer = self._client.get_item(TableName=self._tables[CONTROLS.name], Key=_PROGRESS, ConsistentRead=True)
        if not (item := answer.get("Item")):
            return None
        parts = {table: int(number["N"]) for table, number in item["parts"]["M"].items()}
        return RestoreProgress(item["timestamp"]["S"], item["began_at"]["S"], parts, item["is_done"]["BOOL"])

    def save(self, progress: RestoreProgress) -> None:
        """Store the item `restore`."""
        parts: Any = {table: {"N": str(number)} for table, number in progress.parts.items()}
        item = _PROGRESS | {
            "timestamp": {"S": progress.timestamp},
            "began_at": {"S": progress.began_at},
            "parts": {"M": parts},
            "is_done": {"BOOL": progress.is_done},
        }
        self._client.put_item(TableName=self._tables[CONTROLS.name], Item=item)

    def holds_rows(self, table: str) -> bool:
        """Whether the table has rows that a restore would replace.

        A closed environment writes a few: the events that it receives, the files that wait, and controls.
        """
        if table in (GATEWAY_EVENTS.name, CONTROLS.name):
            return False
        pages = self._client.get_paginator("scan").paginate(TableName=self._tables[table], ConsistentRead=True)
        return any(not _waits(row) for page in pages for row in page["Items"])

    def write(self, table: str, rows: Sequence[Row]) -> int:
        """Write rows in requests of 25, several at a time. Events are only added."""
        kept = self._restored(table, rows)
        with ThreadPoolExecutor(_WORKERS) as pool:
            if table == GATEWAY_EVENTS.name:
                list(pool.map(self._add_event, kept))
            else:
                list(pool.map(lambda some: self._put(table, some), batched(kept, _ITEMS_A_WRITE)))
        return len(kept)

    def _restored(self, table: str, rows: Sequence[Row]) -> list[Row]:
        if table == PROCESSING_STATUS.name:
            return [kept for row in rows if (kept := self._batch(row))]
        if table == PAYMENTS.name:
            return [self._payment(row) for row in rows]
        if table == REFUNDS.name:
            return [self._refund(row) for row in rows]
        if table == AUDIT_LOG.name:
            return self._named_entries(rows)
        if table == GATEWAY_EVENTS.name:
            return [self._event(row) for row in rows]
        if table == CONTROLS.name:
            return [_control(row) for row in rows if not row["control"]["S"].startswith(_OF_THE_MOMENT)]
        return list(rows)

    def _batch(self, row: Row) -> Row | None:
        batch_id, item = row["batch_id"]["S"], row["item"]["S"]
        if item.startswith(COUNTER):
            return None if batch_id in self._batches_without_report() else row
        if item != SUMMARY or row["status"]["S"] not in _UNENDED:
            return row
        self._batches_without_report().add(batch_id)
        kept = {name: value for name, value in row.items() if name not in _PROGRESS_OF_BATCH}
        again = {"status": BatchStatus.SPLITTING.value, "owner_until": AT_ONCE, "due_at": AT_ONCE}
        return kept | to_item(again | {"due_kind": Kind.BATCH.value})

    def _payment(self, row: Row) -> Row:
        payment = payment_of(row)
        kept = dict(row)
        if payment.created_at >= self._closed_before or payment.batch_id in self._batches_without_report():
            kept.pop("batch_row_closed", None)
        if any(change.code.startswith("refund_") for change in payment.history):
            refunds = DynamoRefundStore(self._client, self._tables[REFUNDS.name], self._tables[PAYMENTS.name])
            kept.pop("reserved_minor_units", None)
            reserved = sum(refund.reserved_minor_units for refund in refunds.of_payment(payment.payment_id))
            kept |= to_item({"reserved_minor_units": reserved or None})
        for name, value in index_values(payment, self._timeouts.due(payment, self._clock())).items():
            kept.pop(name, None)
            kept |= to_item({name: value})
        return kept

    def _refund(self, row: Row) -> Row:
        kept = {name: value for name, value in row.items() if name not in ("due_kind", "due_at")}
        return kept | to_item(refund_due_values(refund_of(row), self._timeouts, self._clock()))

    def _event(self, row: Row) -> Row:
        kept = {name: value for name, value in row.items() if name not in ("due_kind", "due_at", "parked")}
        return kept | to_item(due_values(event_due(event_of(row), self._clock())))

    def _named_entries(self, rows: Sequence[Row]) -> list[Row]:
        audited = self._audited_versions({row["payment_id"]["S"] for row in rows if not _is_denial(row)})
        return [
            row
            for row in rows
            if _is_denial(row) or int(row["sequence"]["N"]) <= audited.get(row["payment_id"]["S"], 0)
        ]

    def _audited_versions(self, payment_ids: Iterable[str]) -> dict[str, int]:
        """Payment id → the version up to which its restored row is audited. Payments without a row are missing."""
        table, found = self._tables[PAYMENTS.name], {}
        for some in batched(payment_ids, _KEYS_A_READ):
            keys = [{"payment_id": {"S": payment_id}} for payment_id in some]
            waiting: Any = {
                table: {
                    "Keys": keys,
                    "ConsistentRead": True,
                    "ProjectionExpression": "payment_id, audited_version",
                }
            }
            for attempt in range(_TRIES):
                answer = self._client.batch_get_item(RequestItems=waiting)
                for row in answer["Responses"].get(table, []):
                    found[row["payment_id"]["S"]] = int(row.get("audited_version", {"N": "0"})["N"])
                waiting = answer.get("UnprocessedKeys")
                if not waiting:
                    break
                self._back_off(attempt)
            else:
                raise RuntimeError(f"{table} did not answer after {_TRIES} tries")
        return found

    def _batches_without_report(self) -> set[str]:
        """The batches that begin again: those that this run wrote, and those that an earlier run wrote."""
        if self._unended is None:
            index = DynamoDueIndex(self._client, self._tables[PROCESSING_STATUS.name], PROCESSING_STATUS)
            self._unended = {batch_id for batch_id, _ in index.due(Kind.BATCH, parse_iso(NEVER))}
        return self._unended

    def _put(self, table: str, rows: Sequence[Row]) -> None:
        waiting: Any = {self._tables[table]: [{"PutRequest": {"Item": row}} for row in rows]}
        for attempt in range(_TRIES):
            waiting = self._client.batch_write_item(RequestItems=waiting)["UnprocessedItems"]
            if not waiting:
                return
            self._back_off(attempt)
        raise RuntimeError(f"{self._tables[table]} did not accept all rows after {_TRIES} tries")

    def _add_event(self, row: Row) -> None:
        try:
            self._client.put_item(
                TableName=self._tables[GATEWAY_EVENTS.name],
                Item=row,
                ConditionExpression="attribute_not_exists(event_id)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return  # it was sent again meanwhile, or this part is written for the second time

    def _back_off(self, attempt: int) -> None:
        self._sleep(random.uniform(0, min(5.0, 0.05 * 2**attempt)))  # noqa: S311


def _waits(row: Row) -> bool:
    """Whether it is the summary of a file that arrived while the environment was closed: nothing of it is read."""
    return "batch_id" in row and row.get("owner", {}).get("S") == OWNER_WHILE_CLOSED


def _is_denial(row: Row) -> bool:
    return ":" in row["payment_id"]["S"]  # no payment id has a colon


def _control(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in OPEN_MARK}
