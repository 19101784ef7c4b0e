"""The tokens table. DynamoDB deletes a token long after it has expired."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from payments.adapters.dynamodb.items import from_item, to_item
from payments.adapters.dynamodb.tables import BY_CUSTOMER
from payments.domain.clock import iso
from payments.domain.token import Token
from payments.ports.token_store import TokenExists

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


_NAMES = [field.name for field in fields(Token)]


class DynamoTokenStore:
    """The tokens table."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def create(self, token: Token) -> None:
        """Store a token with a conditional put. Raises TokenExists."""
        values = {name: getattr(token, name) for name in _NAMES}
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_item(values | {"metadata": dict(token.metadata), "purge_at": token.purge_at}),
                ConditionExpression="attribute_not_exists(token_id)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            raise TokenExists(token.token_id) from None

    def get(self, token_id: str) -> Token | None:
        """The current token from a strongly consistent read, or None."""
        item = self._client.get_item(TableName=self._table, Key={"token_id": {"S": token_id}}, ConsistentRead=True).get(
            "Item"
        )
        return _token_of(item) if item else None

    def revoke(self, token_id: str, at: datetime) -> None:
        """Set the revocation time and remove payment method and metadata with one conditional write."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"token_id": {"S": token_id}},
                UpdateExpression="SET revoked_at = :at REMOVE payment_method, metadata",
                ConditionExpression="attribute_exists(token_id) AND attribute_not_exists(revoked_at)",
                ExpressionAttributeValues={":at": {"S": iso(at)}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def revoke_all_of(self, customer_id: str, at: datetime) -> None:
        """Query the index by customer for the tokens that are not revoked, and revoke each. Not atomic.

        A repeated call continues with the tokens that an interrupted one left.
        """
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=BY_CUSTOMER,
            KeyConditionExpression="customer_id = :customer_id",
            FilterExpression="attribute_not_exists(revoked_at)",
            ExpressionAttributeValues={":customer_id": {"S": customer_id}},
            ProjectionExpression="token_id",
        )
        for page in pages:
            for item in page["Items"]:
                self.revoke(item["token_id"]["S"], at)


def _token_of(item: Mapping[str, Any]) -> Token:
    values = from_item(item)
    return Token(**{"payment_method": "", "metadata": {}} | {name: values[name] for name in _NAMES if name in values})
