"""Denied attempts, in a table of their own."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from payments.observability.logs import logger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
from payments.ports.access_log import Denied

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DynamoAccessLog:
    """Denied attempts under `<kind>:<id>`, numbered by the microsecond. DynamoDB deletes each after `kept_for`."""

    def __init__(self, client: "DynamoDBClient", table: str, kept_for: timedelta) -> None:
        self._client = client
        self._table = table
        self._kept_for = kept_for

    def denied(self, entry: Denied, at: datetime) -> None:
        """Add the entry under the next free number from the time's microsecond on. Never overwrites an item."""
        sequence = (at - EPOCH) // timedelta(microseconds=1)
        while not self._put(entry, sequence, at + self._kept_for):
            sequence += 1
        kind, resource_id = entry.kind, entry.resource_id
        logger().warning("denied", kind=kind, resource_id=resource_id, subject=entry.subject, operation=entry.operation)

    def _put(self, entry: Denied, sequence: int, until: datetime) -> bool:
        texts = {name: getattr(entry, name) for name in Denied.__slots__}
        try:
            self._client.put_item(
                TableName=self._table,
                Item={
                    "resource": {"S": f"{entry.kind}:{entry.resource_id}"},
                    "sequence": {"N": str(sequence)},
                    "purge_at": {"N": str(int(until.timestamp()))},
                    **{name: {"S": text} for name, text in texts.items()},
                },
                ConditionExpression="attribute_not_exists(#resource)",
                ExpressionAttributeNames={"#resource": "resource"},  # a reserved word
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
