"""The gateway events table. DynamoDB deletes settled events after their expiry time."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from payments.adapters.dynamodb.items import to_item
from payments.adapters.dynamodb.tables import BY_PARKED, BY_PAYMENT
from payments.domain.clock import parse_iso
from payments.domain.gateway_event import EventState, GatewayEvent

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


KEPT = timedelta(days=90)
_PARKED = "yes"


class DynamoEventStore:
    """The gateway events table."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def add(self, event: GatewayEvent) -> bool:
        """Store an event with a conditional put. False if it is already stored."""
        values: dict[str, Any] = {**asdict(event), "state": event.state.value}
        values |= (
            {"parked": _PARKED}
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
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"event_id": {"S": event_id}},
                UpdateExpression="SET #state = :state, expires_at = :expires REMOVE parked",
                ConditionExpression="attribute_exists(parked)",
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues={":state": {"S": state.value}, ":expires": {"N": str(_expires_at(at))}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def identify(self, event: GatewayEvent) -> None:
        """Set the ids and the digest of a parked event with one conditional write. No effect on others."""
        names = ("payment_id", "environment_id", "reference_digest")
        values = {f":{name}": {"S": value} for name in names if (value := getattr(event, name))}
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"event_id": {"S": event.event_id}},
                UpdateExpression=f"SET {', '.join(f'{name[1:]} = {name}' for name in values)} REMOVE gateway_reference",
                ConditionExpression="attribute_exists(parked)",
                ExpressionAttributeValues=values,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def parked(self) -> Iterator[GatewayEvent]:
        """The parked events from the sparse index, oldest first. Eventually consistent."""
        return self._query(BY_PARKED, "parked", _PARKED)

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
            yield from map(_event_of, page["Items"])


def _expires_at(settled_at: datetime) -> int:
    return int((settled_at + KEPT).timestamp())


def _event_of(item: Mapping[str, Any]) -> GatewayEvent:
    values = {field.name: item[field.name]["S"] for field in fields(GatewayEvent) if field.name in item}
    return GatewayEvent(**{"payment_id": "", "gateway_reference": "", **values, "state": EventState(values["state"])})
