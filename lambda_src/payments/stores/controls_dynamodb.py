"""The controls table on DynamoDB: an item `lane`, the switch, and an item for the pace's counter."""

import math
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from payments.clock import iso
from payments.lane import LaneState, PausedBy
from payments.pace import NoFreeSlot

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_LANE = {"control": {"S": "lane"}}
_TRIES = 10


class DynamoLaneStore:
    """The item `lane`."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def state(self) -> LaneState:
        """See the port."""
        item = self._client.get_item(TableName=self._table, Key=_LANE, ConsistentRead=True).get("Item", {})
        names = ("paused_by", "reason", "since", "refused_at", "canary")
        return LaneState(**{name: item[name]["S"] for name in names if name in item})

    def count_refusal(self, at: datetime, window: timedelta) -> int:
        """See the port."""
        now = {":at": {"S": iso(at)}}
        counted = self._update(
            "SET refusals = refusals + :one, refused_at = :at", "window_ends > :at", now | {":one": {"N": "1"}}
        )
        if counted is None:
            begin = {":one": {"N": "1"}, ":ends": {"S": iso(at + window)}}
            over = "attribute_not_exists(window_ends) OR window_ends <= :at"
            counted = self._update("SET refusals = :one, window_ends = :ends, refused_at = :at", over, now | begin)
        # None: another began the window this very moment, and this refusal is the one that goes uncounted
        return int(counted["refusals"]["N"]) if counted else 1

    def pause(self, by: PausedBy, reason: str, at: datetime) -> bool:
        """See the port."""
        values = {":by": {"S": by.value}, ":reason": {"S": reason}, ":at": {"S": iso(at)}}
        paused = self._update(
            "SET paused_by = :by, reason = :reason, since = :at REMOVE canary",
            "attribute_not_exists(paused_by)",
            values,
        )
        return paused is not None

    def resume(self) -> bool:
        """See the port."""
        names = "paused_by, reason, since, refused_at, canary, refusals, window_ends"
        return self._update(f"REMOVE {names}", "attribute_exists(paused_by)", {}) is not None

    def send_canary(self, payment_id: str) -> None:
        """See the port."""
        self._update("SET canary = :id", "attribute_exists(paused_by)", {":id": {"S": payment_id}})

    def _update(self, update: str, condition: str, values: dict[str, Any]) -> dict[str, Any] | None:
        """The item after the update; None if the condition does not hold."""
        some_values: Any = {"ExpressionAttributeValues": values} if values else {}  # an empty one is refused
        try:
            return self._client.update_item(
                TableName=self._table,
                Key=_LANE,
                UpdateExpression=update,
                ConditionExpression=condition,
                ReturnValues="ALL_NEW",
                **some_values,
            ).get("Attributes", {})
        except self._client.exceptions.ConditionalCheckFailedException:
            return None


class DynamoSlotStore:
    """The item `pace#…`, one for each length of a slot: counters of different lengths do not compare.

    What `next_slot` saw holds for `remember_seconds`.
    """

    def __init__(self, client: "DynamoDBClient", table: str, slot: timedelta, *, remember_seconds: float = 0) -> None:
        self._client = client
        self._table = table
        self._key: Any = {"control": {"S": f"pace#{slot // timedelta(microseconds=1)}"}}
        self._busy = False
        self.remember_seconds = remember_seconds
        self._seen, self._seen_at = 0, -math.inf

    def take_slot(self, first: int, last: int) -> int:
        """See the port. One write where the guess holds that it is as busy, or idle, as at the call before."""
        for _ in range(_TRIES):
            if self._busy:
                taken, counter = self._update(
                    "SET next_slot = next_slot + :one",
                    "next_slot BETWEEN :first AND :last",
                    {":one": 1, ":first": first, ":last": last},
                )
            else:
                taken, counter = self._update(
                    "SET next_slot = :after",
                    "attribute_not_exists(next_slot) OR next_slot < :first",
                    {":after": first + 1, ":first": first},
                )
            if taken:
                return counter - 1
            if counter > last:
                raise NoFreeSlot
            self._busy = counter >= first
        raise NoFreeSlot

    def next_slot(self) -> int:
        """See the port."""
        if time.monotonic() - self._seen_at >= self.remember_seconds:
            item = self._client.get_item(TableName=self._table, Key=self._key).get("Item", {})
            self._seen, self._seen_at = int(item.get("next_slot", {}).get("N", 0)), time.monotonic()
        return self._seen

    def _update(self, update: str, condition: str, values: dict[str, int]) -> tuple[bool, int]:
        """Whether the condition holds, and the counter after the update, or as it stands."""
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
