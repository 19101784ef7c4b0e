"""The stores on DynamoDB, with conditional single-item writes."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from payments.audit import AuditEntry
from payments.clock import iso
from payments.money import Money
from payments.payment import Change, Payment
from payments.sealed_fields import require_sealed, sealed
from payments.sealing import Vault, is_sealed
from payments.statuses import SETTLED, Status
from payments.stores.port import AlreadyExists, VersionConflict
from payments.stores.tables import BY_BATCH, BY_UNSETTLED

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize

_SAVED = [
    "status",
    "version",
    "updated_at",
    "status_day",
    "unsettled",
    "payment_method",
    "attempts",
    "attempted_at",
    "gateway",
    "gateway_reference",
    "code",
    "message",
    "history",
]
"""What `save` writes: what a status change can change, and nothing that others write beside it."""
_PRIVATE = ("payment_method", "gateway_reference")
"""Those of them that are stored sealed."""


def to_item(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values as DynamoDB attributes; empty ones are left out, so that indexes stay sparse."""
    return {name: _serialize(value) for name, value in values.items() if value not in ("", None, {}, [])}


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """DynamoDB attributes as plain values; numbers are Decimal."""
    return {name: _deserialize(value) for name, value in item.items()}


def payment_values(payment: Payment) -> dict[str, Any]:
    """A payment as the attributes of its row, before serialisation."""
    values = {field.name: getattr(payment, field.name) for field in fields(payment)}
    del values["money"]
    waits_in_queue = payment.source == "batch" and payment.version == 1
    return values | {
        "minor_units": payment.money.minor_units,
        "currency": payment.money.currency,
        "status": payment.status.value,
        "status_day": f"{payment.status.value}#{payment.updated_at[:10]}",
        "created_day": payment.created_at[:10],
        # sixteen shares of one index: on a single one all writes would meet
        "unsettled": "" if waits_in_queue else payment.fingerprint[:1],
        "metadata": dict(payment.metadata),
        "history": [{**asdict(change), "status": change.status.value} for change in payment.history],
        # 0 and False are the absence of these: left out of the row, and of the index by batch
        "batch_line": payment.batch_line or None,
        "batch_row_closed": payment.batch_row_closed or None,
        "restarts": payment.restarts or None,
    }


def payment_of(item: Mapping[str, Any]) -> Payment:
    """A payment from its row."""
    values = from_item(item)
    for index_key in ("status_day", "created_day", "unsettled"):
        values.pop(index_key, None)
    return Payment(
        **values
        | {
            "money": Money(int(values.pop("minor_units")), values.pop("currency")),
            "status": Status(values["status"]),
            "version": int(values["version"]),
            "attempts": int(values.get("attempts", 0)),
            "audited_version": int(values.get("audited_version", 0)),
            "batch_line": int(values.get("batch_line", 0)),
            "restarts": int(values.get("restarts", 0)),
            "history": tuple(
                Change(**change | {"version": int(change["version"]), "status": Status(change["status"])})
                for change in values.get("history", [])
            ),
        }
    )


class DynamoPaymentStore:
    """The payments table. With a vault, `create` seals what is private; whoever creates nothing private needs none."""

    def __init__(self, client: "DynamoDBClient", table: str, vault: Vault | None = None) -> None:
        self._client = client
        self._table = table
        self._vault = vault

    def create(self, payment: Payment) -> None:
        """See the port."""
        if self._vault:
            payment = sealed(payment, self._vault)
        require_sealed(payment)
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_item(payment_values(payment)),
                ConditionExpression="attribute_not_exists(payment_id)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as refusal:
            refused: Any = refusal.response  # ALL_OLD: it holds the row in the way, without another read
            raise AlreadyExists(payment_of(refused["Item"])) from None

    def get(self, payment_id: str) -> Payment | None:
        """See the port."""
        item = self._client.get_item(
            TableName=self._table, Key={"payment_id": {"S": payment_id}}, ConsistentRead=True
        ).get("Item")
        return payment_of(item) if item else None

    def save(self, payment: Payment) -> None:
        """See the port."""
        written = {name: value for name, value in payment_values(payment).items() if name in _SAVED}
        kept = {name: value for name, value in written.items() if value not in ("", None)}
        removed = [name for name in written if name not in kept]
        # a row from before fields were sealed may keep its plain text; none is ever written
        plain = [name for name in _PRIVATE if name in kept and not is_sealed(kept[name])]
        update = "SET " + ", ".join(f"#{name} = :{name}" for name in kept if name not in plain)
        if removed:
            update += " REMOVE " + ", ".join(f"#{name}" for name in removed)
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"payment_id": {"S": payment.payment_id}},
                UpdateExpression=update,
                ConditionExpression=" AND ".join(["#version = :previous", *(f"#{name} = :{name}" for name in plain)]),
                ExpressionAttributeNames={f"#{name}": name for name in written},
                ExpressionAttributeValues={
                    ":previous": {"N": str(payment.version - 1)},
                    **{f":{name}": _serialize(value) for name, value in kept.items()},
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            why = f", or has not the plain {' and '.join(plain)} given" if plain else ""
            raise VersionConflict(
                f"payment {payment.payment_id} is not at version {payment.version - 1}{why}"
            ) from None

    def of_batch(self, batch_id: str) -> Iterator[Payment]:
        """See the port."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=BY_BATCH,
            KeyConditionExpression="batch_id = :batch_id",
            ExpressionAttributeValues={":batch_id": {"S": batch_id}},
        )
        for page in pages:
            yield from map(payment_of, page["Items"])

    def unsettled(self, before: datetime) -> Iterator[str]:
        """See the port."""
        shares = list("0123456789abcdef")
        random.shuffle(shares)  # whoever stops early begins elsewhere the next time
        for share in shares:
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                IndexName=BY_UNSETTLED,
                KeyConditionExpression="unsettled = :share AND created_at < :before",
                ExpressionAttributeValues={":share": {"S": share}, ":before": {"S": iso(before)}},
            )
            for page in pages:
                yield from (item["payment_id"]["S"] for item in page["Items"])

    def claim_restart(self, payment: Payment, at: datetime) -> Payment:
        """See the port."""
        claimed = replace(payment, restarts=payment.restarts + 1, restarted_at=iso(at))
        never = "attribute_not_exists(restarts)"
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"payment_id": {"S": payment.payment_id}},
                UpdateExpression="SET restarts = :next, restarted_at = :at",
                ConditionExpression=f"version = :version AND {'restarts = :seen' if payment.restarts else never}",
                ExpressionAttributeValues={
                    ":version": {"N": str(payment.version)},
                    ":next": {"N": str(claimed.restarts)},
                    ":at": {"S": claimed.restarted_at},
                    **({":seen": {"N": str(payment.restarts)}} if payment.restarts else {}),
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            raise VersionConflict(f"payment {payment.payment_id} was taken up by another, or moved on") from None
        return claimed


class DynamoAuditStore:
    """The audit log table, and the marks on the payments table that say how far it goes."""

    def __init__(self, client: "DynamoDBClient", table: str, payments_table: str) -> None:
        self._client = client
        self._table = table
        self._payments_table = payments_table

    def append(self, entries: Sequence[AuditEntry]) -> None:
        """See the port."""
        first, last = entries[0], entries[-1]
        settled = Status(last.status) in SETTLED
        puts: list[Any] = [
            {
                "Put": {
                    "TableName": self._table,
                    "Item": {name: _serialize(value) for name, value in asdict(entry).items()},
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
            # a condition that failed, or another writer at this very moment: in both cases the row is to be read anew
            raise VersionConflict(f"audit entry {first.sequence} of payment {last.payment_id} exists") from None

    def entries(self, payment_id: str) -> list[AuditEntry]:
        """See the port."""
        # a payment's history is some entries long: one page of at most 1 MB always holds it
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
