"""The lease of recovery: an item of the controls table."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from payments.domain.clock import iso

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_RECOVERY: Any = {"control": {"S": "recovery"}}


class DynamoLease:
    """The item `recovery` of the controls table."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def take(self, owner: str, at: datetime, until: datetime) -> bool:
        """Take the lease with one conditional write. False if another owner holds it."""
        return self._update(
            "SET #owner = :owner, leased_until = :until",
            "attribute_not_exists(leased_until) OR leased_until <= :at OR #owner = :owner",
            {":owner": owner, ":at": iso(at), ":until": iso(until)},
        )

    def release(self, owner: str) -> None:
        """End the lease with one conditional write. No effect if another owner holds it."""
        self._update("REMOVE leased_until", "#owner = :owner", {":owner": owner})

    def _update(self, update: str, condition: str, values: dict[str, str]) -> bool:
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_RECOVERY,
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeNames={"#owner": "owner"},
                ExpressionAttributeValues={name: {"S": value} for name, value in values.items()},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
