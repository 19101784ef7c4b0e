"""The audit log table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from payments.domain.audit_chain import AuditEntry
from payments.domain.statuses import SETTLED, Status
from payments.ports.payment_store import VersionConflict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
from payments.adapters.dynamodb.items import from_item, serialize


class DynamoAuditStore:
    """The audit log table, and the marks in the payments table that say how far it covers a row."""

    def __init__(self, client: "DynamoDBClient", table: str, payments_table: str) -> None:
        self._client = client
        self._table = table
        self._payments_table = payments_table

    def append(self, entries: Sequence[AuditEntry]) -> None:
        """Add the entries and update the row's marks in one transaction. Raises VersionConflict."""
        first, last = entries[0], entries[-1]
        settled = Status(last.status) in SETTLED
        puts: list[Any] = [
            {
                "Put": {
                    "TableName": self._table,
                    "Item": {name: serialize(value) for name, value in asdict(entry).items()},
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
                + (" REMOVE unsettled" if settled else ""),
                "ConditionExpression": "audited_version = :before AND version = :last",
                "ExpressionAttributeValues": {
                    ":before": {"N": str(first.sequence - 1)},
                    ":last": {"N": str(last.sequence)},
                    ":hash": {"S": last.hash},
                },
            }
        }
        try:
            self._client.transact_write_items(TransactItems=[*puts, mark])
        except self._client.exceptions.TransactionCanceledException:
            # a failed condition or a concurrent writer: in both cases the row must be read again
            raise VersionConflict(f"audit entry {first.sequence} of payment {last.payment_id} exists") from None

    def entries(self, payment_id: str) -> list[AuditEntry]:
        """All entries of a payment, oldest first. Strongly consistent."""
        # a payment's history has few entries and always fits in one page of 1 MB
        items = self._client.query(
            TableName=self._table,
            KeyConditionExpression="payment_id = :payment_id",
            ExpressionAttributeValues={":payment_id": {"S": payment_id}},
            ConsistentRead=True,
        )["Items"]
        return [_audit_entry_of(item) for item in items]


def _audit_entry_of(item: Mapping[str, Any]) -> AuditEntry:
    values = from_item(item)
    values |= {name: int(values[name]) for name in ("sequence", "minor_units")}
    return AuditEntry(**values)
