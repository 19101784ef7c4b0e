"""The payments table, with conditional writes of single items."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from payments.adapters.dynamodb.due import DynamoDueIndex, due_values
from payments.adapters.dynamodb.tables import BY_BATCH, BY_UNSETTLED, PAYMENTS
from payments.domain.clock import iso, parse_iso
from payments.domain.due import Due, Kind
from payments.domain.money import Money
from payments.domain.payment import Change, Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.sealed_fields import require_sealed, require_sealed_reference, rewritten
from payments.domain.sealed_text import is_to_seal
from payments.domain.statuses import Status
from payments.ports.field_encryptor import FieldEncryptor
from payments.ports.payment_store import AlreadyExists, VersionConflict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
from payments.adapters.dynamodb.items import audited_up_to, from_item, serialize, to_item
from payments.adapters.dynamodb.payment_writes import SAVED

_KEPT = ("gateway_reference", "reference_digest")
"""The attributes of `SAVED` that no save removes: `keep_reference` may have written them since the row was read."""
_PRIVATE = ("payment_method", "gateway_reference")
"""The ones of them that `is_to_seal` may refuse in plain text."""


def payment_values(payment: Payment) -> dict[str, Any]:
    """A payment as the attributes of its row, before serialization."""
    values = {field.name: getattr(payment, field.name) for field in fields(payment)}
    del values["money"]
    return values | {
        "minor_units": payment.money.minor_units,
        "currency": payment.money.currency,
        "status": payment.status.value,
        "status_day": f"{payment.status.value}#{payment.updated_at[:10]}",
        "created_day": payment.created_at[:10],
        "unsettled": "",  # written before due times existed
        "metadata": dict(payment.metadata),
        "history": [{**asdict(change), "status": change.status.value} for change in payment.history],
        # 0 and False are stored as absent attributes, in the row and in the index by batch
        "batch_line": payment.batch_line or None,
        "batch_row_closed": payment.batch_row_closed or None,
        "restarts": payment.restarts or None,
        "off_session": payment.off_session or None,
        "absent_version": payment.absent_version or None,
        "audited_version": payment.audited_version or None,
        "refunded_minor_units": payment.refunded_minor_units or None,
        "reserved_minor_units": payment.reserved_minor_units or None,
        "disputed_minor_units": payment.disputed_minor_units or None,
    }


def payment_of(item: Mapping[str, Any]) -> Payment:
    """The payment in a row."""
    values = from_item(item)
    for index_key in ("status_day", "created_day", "unsettled", "due_kind", "due_at"):
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
            "absent_version": int(values.get("absent_version", 0)),
            "refunded_minor_units": int(values.get("refunded_minor_units", 0)),
            "reserved_minor_units": int(values.get("reserved_minor_units", 0)),
            "disputed_minor_units": int(values.get("disputed_minor_units", 0)),
            "history": tuple(
                Change(**change | {"version": int(change["version"]), "status": Status(change["status"])})
                for change in values.get("history", [])
            ),
        }
    )


class DynamoPaymentStore(DynamoDueIndex):
    """The payments table. With an encryptor, `create` encrypts private fields. Without them, none is needed.

    `timeouts` says when recovery must look at a row that is written.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        encryptor: FieldEncryptor | None = None,
        timeouts: RecoveryTimeouts | None = None,
    ) -> None:
        super().__init__(client, table, PAYMENTS)
        self._encryptor = encryptor
        self._timeouts = timeouts or RecoveryTimeouts()

    def _due_values(self, payment: Payment, now: datetime) -> dict[str, str]:
        return _due_values(payment, self._timeouts.due(payment, now))

    def create(self, payment: Payment) -> None:
        """Store version 1 with a conditional write, private fields encrypted. Raises AlreadyExists with the row.

        An update and no put: functions that may put could replace a row with all its marks.
        """
        if self._encryptor:
            payment = rewritten(payment, self._encryptor.seal)
        require_sealed(payment)
        item = to_item(payment_values(payment) | self._due_values(payment, parse_iso(payment.created_at)))
        key = {"payment_id": item.pop("payment_id")}
        try:
            self._client.update_item(
                TableName=self._table,
                Key=key,
                UpdateExpression="SET " + ", ".join([f"#{name} = :{name}" for name in item]),
                ConditionExpression="attribute_not_exists(payment_id)",
                ExpressionAttributeNames={f"#{name}": name for name in item},
                ExpressionAttributeValues={f":{name}": value for name, value in item.items()},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as refusal:
            refused: Any = refusal.response  # ALL_OLD: it contains the existing row, without another read
            raise AlreadyExists(payment_of(refused["Item"])) from None

    def get(self, payment_id: str) -> Payment | None:
        """The current row from a strongly consistent read, or None."""
        item = self._client.get_item(
            TableName=self._table, Key={"payment_id": {"S": payment_id}}, ConsistentRead=True
        ).get("Item")
        return payment_of(item) if item else None

    def save(self, payment: Payment) -> None:
        """Update the changed attributes if the previous version is stored. Raises VersionConflict, and NotSealed."""
        values = payment_values(payment) | self._due_values(payment, parse_iso(payment.updated_at))
        written = {name: value for name, value in values.items() if name in SAVED}
        kept = {name: value for name, value in written.items() if value not in ("", None)}
        removed = [name for name in written if name not in kept and name not in _KEPT]
        # a row from before encryption may keep its plain text; new plain text is never written
        plain = [name for name in _PRIVATE if name in kept and is_to_seal(name, kept[name])]
        update = "SET " + ", ".join(f"#{name} = :{name}" for name in kept if name not in plain)
        if removed:
            update += " REMOVE " + ", ".join(f"#{name}" for name in removed)
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"payment_id": {"S": payment.payment_id}},
                UpdateExpression=update,
                ConditionExpression=" AND ".join(["#version = :previous", *(f"#{name} = :{name}" for name in plain)]),
                ExpressionAttributeNames={f"#{name}": name for name in [*kept, *removed]},
                ExpressionAttributeValues={
                    ":previous": {"N": str(payment.version - 1)},
                    **{f":{name}": serialize(value) for name, value in kept.items()},
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            why = f", or does not have the given plain {' and '.join(plain)}" if plain else ""
            raise VersionConflict(
                f"payment {payment.payment_id} is not at version {payment.version - 1}{why}"
            ) from None

    def postpone(self, payment_id: str, until: datetime) -> None:
        """Set `not_before` with one conditional write. No effect if the stored time is later."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"payment_id": {"S": payment_id}},
                UpdateExpression="SET not_before = :until",
                ConditionExpression="attribute_exists(version)"
                " AND (attribute_not_exists(not_before) OR not_before < :until)",
                ExpressionAttributeValues={":until": {"S": iso(until)}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def keep_reference(self, payment_id: str, reference: str, digest: str) -> None:
        """Set the reference and its digest with one conditional write. No effect on a row that has a reference."""
        require_sealed_reference(payment_id, reference)
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"payment_id": {"S": payment_id}},
                UpdateExpression="SET gateway_reference = :reference, reference_digest = :digest",
                ConditionExpression="attribute_exists(version) AND attribute_not_exists(gateway_reference)",
                ExpressionAttributeValues={":reference": {"S": reference}, ":digest": {"S": digest}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def prove_absent(self, payment: Payment) -> None:
        """Set `absent_version` with one conditional write. No effect on a row that changed or has a reference."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"payment_id": {"S": payment.payment_id}},
                UpdateExpression="SET absent_version = :version",
                ConditionExpression="version = :version AND attribute_not_exists(gateway_reference)",
                ExpressionAttributeValues={":version": {"N": str(payment.version)}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def mark_retried(self, payment: Payment, retry_id: str) -> None:
        """Set `retried_as` with one conditional write: of two writers, the first wins. Raises VersionConflict."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"payment_id": {"S": payment.payment_id}},
                UpdateExpression="SET retried_as = :retry",
                ConditionExpression="version = :version AND #status = :status"
                " AND (attribute_not_exists(retried_as) OR retried_as = :retry)",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={
                    ":retry": {"S": retry_id},
                    ":version": {"N": str(payment.version)},
                    ":status": {"S": payment.status.value},
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            raise VersionConflict(f"payment {payment.payment_id} changed, or was sent again as another one") from None

    def forget_buyer(self, payment_id: str) -> None:
        """Remove the buyer's address, and where the card was counted, with one write."""
        self._client.update_item(
            TableName=self._table,
            Key={"payment_id": {"S": payment_id}},
            UpdateExpression="REMOVE client_ip, card_counters",
            ConditionExpression="attribute_exists(version)",
        )

    def of_batch(self, batch_id: str, after: int = 0) -> Iterator[Payment]:
        """The payments of a batch after a line, from its index, in the order of lines. Eventually consistent."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=BY_BATCH,
            KeyConditionExpression="batch_id = :batch_id AND batch_line > :after",
            ExpressionAttributeValues={":batch_id": {"S": batch_id}, ":after": {"N": str(after)}},
        )
        for page in pages:
            yield from map(payment_of, page["Items"])

    def adopt(self) -> Iterator[str]:
        """Move the sixteen shares of the index `by-unsettled` into the index by due time, one write for each row."""
        for share in "0123456789abcdef":
            yield from self.adopt_share(BY_UNSETTLED, share, due_values(Due(Kind.OPEN, ""), share)["due_kind"])

    def look_again(self, payment: Payment, due: Due | None) -> None:
        """Set the due time with one conditional write. No effect on a row that changed or was restarted since."""
        values = _due_values(payment, due)
        never = "attribute_not_exists(restarts)"
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"payment_id": {"S": payment.payment_id}},
                UpdateExpression="SET due_kind = :due_kind, due_at = :due_at" if due else "REMOVE due_kind, due_at",
                ConditionExpression=f"version = :version AND {audited_up_to(payment.audited_version, ':audited')}"
                f" AND {'restarts = :seen' if payment.restarts else never}",
                ExpressionAttributeValues={
                    ":version": {"N": str(payment.version)},
                    ":audited": {"N": str(payment.audited_version)},
                    **({f":{name}": {"S": value} for name, value in values.items()} if due else {}),
                    **({":seen": {"N": str(payment.restarts)}} if payment.restarts else {}),
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def claim_restart(self, payment: Payment, at: datetime) -> Payment:
        """Increment `restarts` with one conditional write. Raises VersionConflict if it or the version changed."""
        claimed = replace(payment, restarts=payment.restarts + 1, restarted_at=iso(at))
        due = {name: value for name, value in self._due_values(claimed, at).items() if value}
        never = "attribute_not_exists(restarts)"
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"payment_id": {"S": payment.payment_id}},
                UpdateExpression="SET "
                + ", ".join(["restarts = :next", "restarted_at = :at", *(f"{name} = :{name}" for name in due)]),
                ConditionExpression=f"version = :version AND {'restarts = :seen' if payment.restarts else never}",
                ExpressionAttributeValues={
                    ":version": {"N": str(payment.version)},
                    ":next": {"N": str(claimed.restarts)},
                    ":at": {"S": claimed.restarted_at},
                    **{f":{name}": {"S": value} for name, value in due.items()},
                    **({":seen": {"N": str(payment.restarts)}} if payment.restarts else {}),
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            raise VersionConflict(f"payment {payment.payment_id} was restarted by another run, or moved on") from None
        return claimed


def index_values(payment: Payment, due: Due | None) -> dict[str, str]:
    """Every attribute that only an index needs and that follows from the row, "" for one that the row must not have."""
    values = payment_values(payment)
    names = ("status_day", "created_day", "unsettled")
    return {name: values[name] for name in names} | _due_values(payment, due)


def _due_values(payment: Payment, due: Due | None) -> dict[str, str]:
    return due_values(due, payment.fingerprint[:1])
