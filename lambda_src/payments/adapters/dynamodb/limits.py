"""The limits table: one item for each counter, changed with `ADD`, so that no instance loses a count."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from payments.ports.limit_store import CounterFull, LimitsUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoLimitStore:
    """Counters as numbers (`hits`) and string sets, which their callers name."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def count(self, counter: str, ends: datetime) -> int:
        """Add one with one write, and return the new value. Raises LimitsUnavailable."""
        item = self._update(counter, "ADD hits :one", ends, {":one": {"N": "1"}})
        return int(item["hits"]["N"])

    def add(
        self, counter: str, member: str, *, most: Mapping[str, int], ends: datetime
    ) -> Mapping[str, frozenset[str]]:
        """Add to string sets with one write, and return all sets of the item. The condition bounds the item's size.

        Raises CounterFull and LimitsUnavailable.
        """
        names = {f"#{place}": name for place, name in enumerate(most)}
        try:
            item = self._update(
                counter,
                "ADD " + ", ".join(f"{name} :member" for name in names),
                ends,
                {":member": {"SS": [member]}, **{f":{name[1:]}": {"N": str(most[names[name]])} for name in names}},
                ConditionExpression=" AND ".join(
                    f"(attribute_not_exists({name}) OR size({name}) <= :{name[1:]})" for name in names
                ),
                ExpressionAttributeNames=names,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            raise CounterFull(counter) from None
        return {name: frozenset(value["SS"]) for name, value in item.items() if "SS" in value}

    def _update(
        self, counter: str, update: str, ends: datetime, values: dict[str, Any], **condition: Any
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
