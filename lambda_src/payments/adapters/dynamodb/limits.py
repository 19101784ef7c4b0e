"""The limits table: one item for each counter, changed with `ADD`, so that no instance loses a count."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from payments.ports.limit_store import LimitsUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoLimitStore:
    """Counters as numbers (`hits`) and string sets (`members`)."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def count(self, counter: str, ends: datetime) -> int:
        """Add one with one write, and return the new value. Raises LimitsUnavailable."""
        item = self._update(counter, "ADD hits :one", ends, {":one": {"N": "1"}})
        return int(item["hits"]["N"])

    def add(self, counter: str, member: str, *, most: int, ends: datetime) -> int:
        """Add to a string set with one write, and return its size. The condition bounds the size of the item.

        Raises LimitsUnavailable.
        """
        try:
            item = self._update(
                counter,
                "ADD members :member",
                ends,
                {":member": {"SS": [member]}, ":most": {"N": str(most)}},
                ConditionExpression="attribute_not_exists(members) OR size(members) <= :most",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return most + 1
        return len(item["members"]["SS"])

    def _update(
        self, counter: str, update: str, ends: datetime, values: dict[str, Any], **condition: str
    ) -> dict[str, Any]:
        more: Any = condition
        try:
            return self._client.update_item(
                TableName=self._table,
                Key={"counter": {"S": counter}},
                UpdateExpression=f"{update} SET purge_at = :purge_at",
                ExpressionAttributeValues={**values, ":purge_at": {"N": str(int(ends.timestamp()))}},
                ReturnValues="ALL_NEW",
                **more,
            )["Attributes"]
        except self._client.exceptions.ConditionalCheckFailedException:
            raise
        except (BotoCoreError, ClientError) as error:
            raise LimitsUnavailable(f"{type(error).__name__} of the limits table") from error
