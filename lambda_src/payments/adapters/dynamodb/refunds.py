"""The refunds table. A refund and its payment change in one transaction."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from payments.adapters.dynamodb.due import DynamoDueIndex, due_values
from payments.adapters.dynamodb.items import from_item, serialize, to_item
from payments.adapters.dynamodb.payment_writes import BOOKED
from payments.adapters.dynamodb.payments import index_values, payment_values
from payments.adapters.dynamodb.tables import BY_PAYMENT, BY_STATUS_DAY, REFUNDS
from payments.domain.clock import iso, parse_iso
from payments.domain.due import Due
from payments.domain.money import Money
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.refund import Refund, RefundChange
from payments.domain.refund_due import refund_due
from payments.domain.refund_statuses import RefundStatus
from payments.domain.sealed_fields import require_sealed_metadata
from payments.ports.payment_store import VersionConflict
from payments.ports.refund_store import RefundExists, RefundPage

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_MARKS = frozenset({"restarts", "restarted_at", "not_before"})
"""The attributes that `claim_restart` and `postpone` write, and no other write."""
_NUMBERS = ("version", "attempts", "restarts")
_INDEX_KEYS = ("status_day", "due_kind", "due_at")
_SEPARATOR = " "


def refund_values(refund: Refund, due: Due | None) -> dict[str, Any]:
    """A refund as the attributes of its row, before serialization."""
    values = {field.name: getattr(refund, field.name) for field in fields(refund)}
    del values["money"]
    return (
        values
        | {
            "minor_units": refund.money.minor_units,
            "currency": refund.money.currency,
            "status": refund.status.value,
            "status_day": f"{refund.status.value}#{refund.updated_at[:10]}",
            "metadata": dict(refund.metadata),
            "history": [{**asdict(change), "status": change.status.value} for change in refund.history],
            "restarts": refund.restarts or None,
        }
        | due_values(due)
    )


def refund_of(item: Mapping[str, Any]) -> Refund:
    """The refund in a row."""
    values = from_item(item)
    for index_key in _INDEX_KEYS:
        values.pop(index_key, None)
    money = Money(int(values.pop("minor_units")), values.pop("currency"))
    return Refund(
        **values
        | {name: int(values.get(name, 0)) for name in _NUMBERS}
        | {
            "money": money,
            "status": RefundStatus(values["status"]),
            "history": tuple(
                RefundChange(**change | {"version": int(change["version"]), "status": RefundStatus(change["status"])})
                for change in values.get("history", [])
            ),
        }
    )


def refund_due_values(refund: Refund, timeouts: RecoveryTimeouts, now: datetime) -> dict[str, str]:
    """The attributes of the index by due time, "" for those that the row must not have."""
    return due_values(refund_due(refund, timeouts, now))


class DynamoRefundStore(DynamoDueIndex):
    """The refunds table, and what it reserves in the payments table. `timeouts` says when recovery looks at a row."""

    def __init__(
        self, client: "DynamoDBClient", table: str, payments_table: str, timeouts: RecoveryTimeouts | None = None
    ) -> None:
        super().__init__(client, table, REFUNDS)
        self._payments_table = payments_table
        self._timeouts = timeouts or RecoveryTimeouts()

    def create(self, refund: Refund, payment: Payment) -> None:
        """Put the refund and update the payment in one transaction. Raises RefundExists and VersionConflict."""
        put: Any = {
            "Put": {
                "TableName": self._table,
                "Item": to_item(self._values(refund)),
                "ConditionExpression": "attribute_not_exists(refund_id)",
            }
        }
        try:
            self._transact(put, payment)
        except VersionConflict:
            if existing := self.get(refund.refund_id):
                raise RefundExists(existing) from None
            raise

    def get(self, refund_id: str) -> Refund | None:
        """The current row from a strongly consistent read, or None."""
        answer = self._client.get_item(TableName=self._table, Key=_key(refund_id), ConsistentRead=True)
        return refund_of(answer["Item"]) if "Item" in answer else None

    def save(self, refund: Refund, payment: Payment) -> None:
        """Update both rows in one transaction if their previous versions are stored. Raises VersionConflict."""
        values = {name: value for name, value in self._values(refund).items() if name not in _MARKS}
        del values["refund_id"]
        self._transact(_update(self._table, _key(refund.refund_id), values, refund.version - 1), payment)

    def _values(self, refund: Refund) -> dict[str, Any]:
        require_sealed_metadata(refund.refund_id, refund.metadata)
        return refund_values(refund, refund_due(refund, self._timeouts, parse_iso(refund.updated_at)))

    def _transact(self, change: Any, payment: Payment) -> None:
        due = self._timeouts.due(payment, parse_iso(payment.updated_at))
        values = payment_values(payment) | index_values(payment, due)
        booked = {name: values[name] for name in BOOKED}
        key: Any = {"payment_id": {"S": payment.payment_id}}
        update = _update(self._payments_table, key, booked, payment.version - 1)
        try:
            self._client.transact_write_items(TransactItems=[change, update])
        except self._client.exceptions.TransactionCanceledException:
            # a failed condition or a concurrent writer: in both cases the rows must be read again
            raise VersionConflict(f"payment {payment.payment_id} or its refund changed") from None

    def claim_restart(self, refund: Refund, at: datetime) -> Refund:
        """Increment `restarts` with one conditional write. Raises VersionConflict if it or the version changed."""
        claimed = replace(refund, restarts=refund.restarts + 1, restarted_at=iso(at))
        due = {name: value for name, value in due_values(refund_due(claimed, self._timeouts, at)).items() if value}
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_key(refund.refund_id),
                UpdateExpression="SET "
                + ", ".join(["restarts = :next", "restarted_at = :at", *(f"{name} = :{name}" for name in due)]),
                ConditionExpression=f"version = :version AND {_seen(refund)}",
                ExpressionAttributeValues={
                    ":version": {"N": str(refund.version)},
                    ":next": {"N": str(claimed.restarts)},
                    ":at": {"S": claimed.restarted_at},
                    **{f":{name}": {"S": value} for name, value in due.items()},
                    **_seen_value(refund),
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            raise VersionConflict(f"refund {refund.refund_id} was restarted by another run, or moved on") from None
        return claimed

    def postpone(self, refund_id: str, until: datetime) -> None:
        """Set `not_before` with one conditional write. No effect if the stored time is later."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_key(refund_id),
                UpdateExpression="SET not_before = :until",
                ConditionExpression="attribute_exists(version)"
                " AND (attribute_not_exists(not_before) OR not_before < :until)",
                ExpressionAttributeValues={":until": {"S": iso(until)}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def look_again(self, refund: Refund, due: Due | None) -> None:
        """Set the due time with one conditional write. No effect on a row that changed or was restarted since."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_key(refund.refund_id),
                UpdateExpression="SET due_kind = :due_kind, due_at = :due_at" if due else "REMOVE due_kind, due_at",
                ConditionExpression=f"version = :version AND {_seen(refund)}",
                ExpressionAttributeValues={
                    ":version": {"N": str(refund.version)},
                    **({f":{name}": {"S": value} for name, value in due_values(due).items()} if due else {}),
                    **_seen_value(refund),
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def adopt(self) -> Iterator[str]:
        """Nothing: no row is older than the index."""
        return iter(())

    def of_payment(self, payment_id: str) -> list[Refund]:
        """The refunds of a payment, from its index and then their rows, oldest first."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=BY_PAYMENT,
            KeyConditionExpression="payment_id = :payment_id",
            ExpressionAttributeValues={":payment_id": {"S": payment_id}},
        )
        found = [self.get(item["refund_id"]["S"]) for page in pages for item in page["Items"]]
        return [refund for refund in found if refund]

    def of_day(self, status: RefundStatus, day: str, limit: int, after: str = "") -> RefundPage:
        """A page of the index by status and day, newest change first."""
        share: Any = {"S": f"{status.value}#{day}"}
        start: Any = {}
        if after:
            updated_at, _, refund_id = after.partition(_SEPARATOR)
            key = {"status_day": share, "updated_at": {"S": updated_at}, "refund_id": {"S": refund_id}}
            start = {"ExclusiveStartKey": key}
        answer = self._client.query(
            TableName=self._table,
            IndexName=BY_STATUS_DAY,
            KeyConditionExpression="status_day = :share",
            ExpressionAttributeValues={":share": share},
            ScanIndexForward=False,
            Limit=limit,
            **start,
        )
        found = [self.get(item["refund_id"]["S"]) for item in answer["Items"]]
        last: Any = answer.get("LastEvaluatedKey")
        after = _SEPARATOR.join((last["updated_at"]["S"], last["refund_id"]["S"])) if last else ""
        return RefundPage([refund for refund in found if refund and refund.status is status], after)


def _key(refund_id: str) -> Any:
    return {"refund_id": {"S": refund_id}}


def _seen(refund: Refund) -> str:
    return "restarts = :seen" if refund.restarts else "attribute_not_exists(restarts)"


def _seen_value(refund: Refund) -> Any:
    return {":seen": {"N": str(refund.restarts)}} if refund.restarts else {}


def _update(table: str, key: Any, values: Mapping[str, Any], previous_version: int) -> Any:
    """The update of a row whose previous version is stored: empty values are removed."""
    kept = to_item(values)
    removed = [name for name in values if name not in kept]
    expression = "SET " + ", ".join(f"#{name} = :{name}" for name in kept)
    if removed:
        expression += " REMOVE " + ", ".join(f"#{name}" for name in removed)
    return {
        "Update": {
            "TableName": table,
            "Key": key,
            "UpdateExpression": expression,
            "ConditionExpression": "#version = :previous",
            "ExpressionAttributeNames": {f"#{name}": name for name in values},
            "ExpressionAttributeValues": {
                ":previous": serialize(previous_version),
                **{f":{name}": value for name, value in kept.items()},
            },
        }
    }
