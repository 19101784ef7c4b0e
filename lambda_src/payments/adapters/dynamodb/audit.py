"""The audit log table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from payments.domain.audit_chain import AuditEntry
from payments.domain.statuses import SETTLED, Status
from payments.ports.payment_store import VersionConflict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
from payments.adapters.dynamodb.items import audited_up_to, from_item, to_item

_ITEMS_A_TRANSACTION = 100
"""TransactWriteItems' limit. Its other limit, 4 MB, is far away: an entry has about one kilobyte."""


_FIELDS = frozenset(field.name for field in fields(AuditEntry))
_TEXTS = dict.fromkeys(_FIELDS - {"sequence", "minor_units"}, "")


class DynamoAuditStore:
    """The audit log table, and the marks in the payments table that say how far it covers a row."""

    most_entries = _ITEMS_A_TRANSACTION - 1  # one item is the row with its marks

    def __init__(self, client: "DynamoDBClient", table: str, payments_table: str) -> None:
        self._client = client
        self._table = table
        self._payments_table = payments_table

    def append(self, entries: Sequence[AuditEntry], *, row_version: int) -> None:
        """Add the entries and update the row's marks in one transaction. Raises VersionConflict."""
        first, last = entries[0], entries[-1]
        done = last.sequence == row_version and Status(last.status) in SETTLED
        puts: list[Any] = [
            {
                "Put": {
                    "TableName": self._table,
                    "Item": to_item(asdict(entry)),
                    "ConditionExpression": "attribute_not_exists(payment_id)",
                }
            }
            for entry in entries
        ]
        mark: Any = {
            "Update": {
                "TableName": self._payments_table,
                "Key": {"payment_id": {"S": last.payment_id}},
                "UpdateExpression": "SET audited_version = :last, audit_hash = :hash"
                + (" REMOVE unsettled, due_kind, due_at" if done else ""),
                "ConditionExpression": f"{audited_up_to(first.sequence - 1, ':before')} AND version = :version",
                "ExpressionAttributeValues": {
                    ":before": {"N": str(first.sequence - 1)},
                    ":last": {"N": str(last.sequence)},
                    ":hash": {"S": last.hash},
                    ":version": {"N": str(row_version)},
                },
            }
        }
        try:
            self._client.transact_write_items(TransactItems=[*puts, mark])
        except self._client.exceptions.TransactionCanceledException:
            # a failed condition or a concurrent writer: in both cases the row must be read again
            raise VersionConflict(
                f"payment {last.payment_id} moved on, or has audit entry {first.sequence} already"
            ) from None

    def entry(self, payment_id: str, sequence: int) -> AuditEntry | None:
        """One entry, None if there is none. Strongly consistent."""
        key: Any = {"payment_id": {"S": payment_id}, "sequence": {"N": str(sequence)}}
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return audit_entry_of(item) if item else None

    def entries(self, payment_id: str) -> list[AuditEntry]:
        """All entries of a payment, oldest first. Strongly consistent."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="payment_id = :payment_id",
            ExpressionAttributeValues={":payment_id": {"S": payment_id}},
            ConsistentRead=True,
        )
        return [audit_entry_of(item) for page in pages for item in page["Items"]]


def audit_entry_of(item: Mapping[str, Any]) -> AuditEntry:
    """The entry in an item of the table."""
    values = from_item(item)
    values |= {name: int(values[name]) for name in ("sequence", "minor_units")}
    # an empty text is absent, and in entries of before it is empty
    return AuditEntry(**{**_TEXTS, **{name: value for name, value in values.items() if name in _FIELDS}})
