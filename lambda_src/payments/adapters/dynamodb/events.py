"""The gateway events table. DynamoDB deletes settled events after their expiry time."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from payments.adapters.dynamodb.due import DynamoDueIndex, due_values
from payments.adapters.dynamodb.items import to_item
from payments.adapters.dynamodb.tables import BY_PARKED, BY_PAYMENT, GATEWAY_EVENTS
from payments.domain.clock import parse_iso
from payments.domain.due import Kind
from payments.domain.gateway_event import EventState, GatewayEvent, event_due

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


KEPT = timedelta(days=90)
_PARKED = "yes"
"""The partition of the older index."""


class DynamoEventStore(DynamoDueIndex):
    """The gateway events table."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        super().__init__(client, table, GATEWAY_EVENTS)

    def add(self, event: GatewayEvent) -> bool:
        """Store an event with a conditional put. False if it is already stored."""
        values: dict[str, Any] = {**asdict(event), "state": event.state.value}
        values |= (
            due_values(event_due(event, parse_iso(event.received_at)))
            if event.state is EventState.PARKED
            else {"expires_at": _expires_at(parse_iso(event.received_at))}
        )
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_item(values),
                ConditionExpression="attribute_not_exists(event_id)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def settle(self, event_id: str, state: EventState, at: datetime) -> None:
        """Set the state of a parked event and its expiry time with one conditional write. No effect on others."""
        self._update_parked(
            event_id,
            "SET #state = :state, expires_at = :expires REMOVE due_kind, due_at, parked",
            {":state": {"S": state.value}, ":expires": {"N": str(_expires_at(at))}},
        )

    def identify(self, event: GatewayEvent) -> None:
        """Set the ids and the digest of a parked event with one conditional write. No effect on others."""
        names = ("payment_id", "environment_id", "reference_digest")
        values = {f":{name}": {"S": value} for name in names if (value := getattr(event, name))}
        self._update_parked(
            event.event_id,
            f"SET {', '.join(f'{name[1:]} = {name}' for name in values)}, due_kind = :kind REMOVE gateway_reference",
            {**values, ":kind": {"S": Kind.EVENT.value}},
        )

    def get(self, event_id: str) -> GatewayEvent | None:
        """The event from a strongly consistent read, or None."""
        key: Any = {"event_id": {"S": event_id}}
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return event_of(item) if item else None

    def look_again(self, event: GatewayEvent, at: datetime) -> None:
        """Set the event's next due time with one conditional write. No effect on others."""
        values = {f":{name}": {"S": value} for name, value in due_values(event_due(event, at)).items() if value}
        if values:
            self._update_parked(event.event_id, "SET due_kind = :due_kind, due_at = :due_at REMOVE parked", values)

    def adopt(self) -> Iterator[str]:
        """Move the index `by-parked` into the index by due time, one write for each event."""
        return self.adopt_share(BY_PARKED, _PARKED, lambda item: Kind.EVENT if "payment_id" in item else Kind.REFUND)

    def _update_parked(self, event_id: str, update: str, values: dict[str, Any]) -> None:
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"event_id": {"S": event_id}},
                UpdateExpression=update,
                ConditionExpression="#state = :parked",
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues={**values, ":parked": {"S": EventState.PARKED.value}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def of_payment(self, payment_id: str) -> list[GatewayEvent]:
        """The events of a payment from the index by payment, oldest first. Eventually consistent."""
        return list(self._query(BY_PAYMENT, "payment_id", payment_id))

    def _query(self, index: str, name: str, value: str) -> Iterator[GatewayEvent]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=index,
            KeyConditionExpression=f"{name} = :value",
            ExpressionAttributeValues={":value": {"S": value}},
        )
        for page in pages:
            yield from map(event_of, page["Items"])


def _expires_at(settled_at: datetime) -> int:
    return int((settled_at + KEPT).timestamp())


def event_of(item: Mapping[str, Any]) -> GatewayEvent:
    """The event in a row."""
    values = {field.name: item[field.name]["S"] for field in fields(GatewayEvent) if field.name in item}
    return GatewayEvent(**{"payment_id": "", "gateway_reference": "", **values, "state": EventState(values["state"])})
