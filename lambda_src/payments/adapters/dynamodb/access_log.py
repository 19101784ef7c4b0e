"""Denied accesses in the audit table."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from payments.observability.logs import logger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
from payments.ports.access_log import Denied

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DynamoAccessLog:
    """Denied accesses in the audit table under `denied:<kind>:<id>`, numbered by the microsecond."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def denied(self, entry: Denied, at: datetime) -> None:
        """Add the entry under the next free number from the time's microsecond on. Never overwrites an item."""
        sequence = (at - EPOCH) // timedelta(microseconds=1)
        while not self._put(entry, sequence):
            sequence += 1
        kind, resource_id = entry.kind, entry.resource_id
        logger().warning("denied", kind=kind, resource_id=resource_id, subject=entry.subject, operation=entry.operation)

    def _put(self, entry: Denied, sequence: int) -> bool:
        texts = {name: getattr(entry, name) for name in Denied.__slots__}
        try:
            self._client.put_item(
                TableName=self._table,
                Item={
                    "payment_id": {"S": f"denied:{entry.kind}:{entry.resource_id}"},
                    "sequence": {"N": str(sequence)},
                    **{name: {"S": text} for name, text in texts.items()},
                },
                ConditionExpression="attribute_not_exists(payment_id)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
