"""The rate limiter's counter in the controls table."""

import math
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from payments.ports.slot_counter import NoFreeSlot

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


_TRIES = 10


class DynamoSlotStore:
    """The item `pace#…`, one for each slot length: counters of different lengths cannot be compared.

    A value read by `next_slot` is cached for `remember_seconds`.
    """

    def __init__(self, client: "DynamoDBClient", table: str, slot: timedelta, *, remember_seconds: float = 0) -> None:
        self._client = client
        self._table = table
        self._key: Any = {"control": {"S": f"pace#{slot // timedelta(microseconds=1)}"}}
        self._busy = False
        self.remember_seconds = remember_seconds
        self._seen, self._seen_at = 0, -math.inf

    def take_slot(self, first: int, last: int, count: int = 1) -> int:
        """Take slots with a conditional write. One write is enough if the load is as at the last call, busy or idle.

        Raises NoFreeSlot, also after 10 lost races.
        """
        for _ in range(_TRIES):
            if self._busy:
                taken, counter = self._update(
                    "SET next_slot = next_slot + :count",
                    "next_slot BETWEEN :first AND :last",
                    {":count": count, ":first": first, ":last": last},
                )
            else:
                taken, counter = self._update(
                    "SET next_slot = :after",
                    "attribute_not_exists(next_slot) OR next_slot < :first",
                    {":after": first + count, ":first": first},
                )
            if taken:
                return counter - count
            if counter > last:
                raise NoFreeSlot
            self._busy = counter >= first
        raise NoFreeSlot

    def next_slot(self) -> int:
        """The slot after the last one taken, 0 if there is none, possibly from the cache. Eventually consistent."""
        if time.monotonic() - self._seen_at >= self.remember_seconds:
            item = self._client.get_item(TableName=self._table, Key=self._key).get("Item", {})
            self._seen, self._seen_at = int(item.get("next_slot", {}).get("N", 0)), time.monotonic()
        return self._seen

    def _update(self, update: str, condition: str, values: dict[str, int]) -> tuple[bool, int]:
        """Whether the condition holds, and the counter after the update, or its current value."""
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=self._key,
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues={name: {"N": str(value)} for name, value in values.items()},
                ReturnValues="UPDATED_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as refusal:
            refused: Any = refusal.response
            return False, int(refused.get("Item", {}).get("next_slot", {}).get("N", 0))
        return True, int(answer["Attributes"]["next_slot"]["N"])
