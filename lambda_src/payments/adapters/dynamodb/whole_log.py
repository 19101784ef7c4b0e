"""Reads the audit log and the payments as a whole, for a verification by an operator."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from payments.adapters.dynamodb.audit import audit_entry_of
from payments.adapters.dynamodb.payments import payment_of
from payments.domain.audit_chain import AuditEntry
from payments.domain.payment import Payment

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoWholeLog:
    """Strongly consistent scans, and reads of up to 100 items."""

    def __init__(self, client: "DynamoDBClient", audit_table: str, payments_table: str) -> None:
        self._client = client
        self._audit_table = audit_table
        self._payments_table = payments_table

    def about_payments(self) -> int:
        """How many payments there are, as DynamoDB counted them within the last six hours."""
        return int(self._client.describe_table(TableName=self._payments_table)["Table"].get("ItemCount", 0))

    def chains(self) -> Iterator[list[AuditEntry]]:
        """The entries of each payment, which a scan returns together and in their order."""
        items = (item for item in self._scanned(self._audit_table) if ":" not in item["payment_id"]["S"])
        for _, entries in groupby(map(audit_entry_of, items), key=lambda entry: entry.payment_id):
            yield list(entries)

    def rows(self, payment_ids: Sequence[str]) -> dict[str, Payment]:
        """The rows of at most 100 payments."""
        keys = [{"payment_id": {"S": payment_id}} for payment_id in payment_ids]
        return {item["payment_id"]["S"]: payment_of(item) for item in self._read(self._payments_table, keys)}

    def audited_rows(self) -> Iterator[Payment]:
        """All rows with a mark of the audit function."""
        return (payment_of(item) for item in self._scanned(self._payments_table) if "audited_version" in item)

    def entries_of(self, keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], AuditEntry]:
        """At most 100 entries, by payment and sequence."""
        wanted = [{"payment_id": {"S": payment_id}, "sequence": {"N": str(number)}} for payment_id, number in set(keys)]
        found = map(audit_entry_of, self._read(self._audit_table, wanted))
        return {(entry.payment_id, entry.sequence): entry for entry in found}

    def _scanned(self, table: str) -> Iterator[dict[str, Any]]:
        for page in self._client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
            yield from page["Items"]

    def _read(self, table: str, keys: list[Any]) -> Iterator[dict[str, Any]]:
        waiting: Any = {table: {"Keys": keys, "ConsistentRead": True}} if keys else {}
        while waiting:
            answer = self._client.batch_get_item(RequestItems=waiting)
            yield from answer["Responses"].get(table, [])
            waiting = answer.get("UnprocessedKeys")
