"""The customers table: one item for each customer."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from payments.adapters.dynamodb.items import from_item, to_item
from payments.adapters.dynamodb.tables import BY_EMAIL
from payments.domain.customer import Customer
from payments.domain.listing import Cursor
from payments.ports.customer_store import CustomerExists, Found
from payments.ports.payment_store import VersionConflict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoCustomerStore:
    """The customers table."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def create(self, customer: Customer) -> None:
        """Store version 1 with a conditional put. Raises CustomerExists with the existing row, without another read."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_item(asdict(customer)),
                ConditionExpression="attribute_not_exists(customer_id)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as refusal:
            refused: Any = refusal.response  # ALL_OLD: it contains the existing row, without another read
            raise CustomerExists(_customer_of(refused["Item"])) from None

    def get(self, customer_id: str) -> Customer | None:
        """The current row, including an erased one, from a strongly consistent read, or None."""
        item = self._client.get_item(
            TableName=self._table, Key={"customer_id": {"S": customer_id}}, ConsistentRead=True
        ).get("Item")
        return _customer_of(item) if item else None

    def save(self, customer: Customer) -> None:
        """Put the whole item if the previous version is stored. No attribute of an erased customer remains.

        Raises VersionConflict.
        """
        previous = customer.version - 1
        condition: dict[str, Any] = (
            {
                "ConditionExpression": "version = :previous",
                "ExpressionAttributeValues": {":previous": {"N": str(previous)}},
            }
            if previous
            # rows written before owners existed have no version
            else {"ConditionExpression": "attribute_exists(customer_id) AND attribute_not_exists(version)"}
        )
        try:
            self._client.put_item(TableName=self._table, Item=to_item(asdict(customer)), **condition)
        except self._client.exceptions.ConditionalCheckFailedException:
            raise VersionConflict(f"customer {customer.customer_id} is not at version {previous}") from None

    def find_by_email_hash(self, email_hash: str, limit: int, after: Cursor | None = None) -> Found:
        """Query the index by e-mail hash, oldest first, then read the rows and drop those that have changed since."""
        start: Any = {}
        if after:
            position = {"email_hash": email_hash, "created_at": after.at, "customer_id": after.payment_id}
            start = {"ExclusiveStartKey": to_item(position)}
        page = self._client.query(
            TableName=self._table,
            IndexName=BY_EMAIL,
            KeyConditionExpression="email_hash = :email_hash",
            ExpressionAttributeValues={":email_hash": {"S": email_hash}},
            Limit=limit,
            **start,
        )
        rows = [self.get(key["customer_id"]["S"]) for key in page["Items"]]
        last = page.get("LastEvaluatedKey")
        # the index is slightly behind the table: a customer may meanwhile be erased or have another address
        return Found(
            [row for row in rows if row and row.email_hash == email_hash],
            Cursor(last["created_at"]["S"], last["customer_id"]["S"]) if last else None,
        )


def _customer_of(item: Mapping[str, Any]) -> Customer:
    values = from_item(item)
    known = {field.name: values[field.name] for field in fields(Customer) if field.name in values}
    return Customer(**known | {"version": int(values.get("version", 0))})
