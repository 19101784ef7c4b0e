"""The batch breaker's item in the controls table."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from payments.domain.batch_breaker import MOST_REFUSED_PAYMENTS, BreakerState, Pause, PausedBy
from payments.domain.clock import iso

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


_BREAKER = {"control": {"S": "lane"}}
OPEN_MARK = ("opened_at", "opened_by")
"""The attributes that say that the environment is open. On this item, because Charge reads it before each send."""
_SAME = ("paused_by", "reason", "since", "refused_at", "operator_since", "operator_reason")
_FIELDS = {name: name for name in _SAME} | {"canary": "probe"}
"""Stored attribute → field of BreakerState."""
_COUNTERS = "refused_at, canary, refusals, refused_payments, window_ends"
"""What ends with the gateway's pause."""


class DynamoBreakerStore:
    """The item `lane` of the controls table."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def state(self) -> BreakerState:
        """The current state, from a strongly consistent read."""
        item = self._client.get_item(TableName=self._table, Key=_BREAKER, ConsistentRead=True).get("Item", {})
        texts = {field: item[name]["S"] for name, field in _FIELDS.items() if name in item}
        pauses = [Pause(*pause["S"].split("/")) for pause in item.get("pauses", {}).get("L", [])]
        return BreakerState(**texts, pauses=tuple(pauses), is_open=OPEN_MARK[0] in item)

    def count_refusal(self, payment_id: str, at: datetime, window: timedelta) -> int:
        """Add the payment to the current window, or start a new window, with at most two writes. `refusals` counts
        each refusal, as before `refused_payments` existed."""
        values: dict[str, Any] = {
            ":payment": {"SS": [payment_id]},
            ":one": {"N": "1"},
            ":at": {"S": iso(at)},
            ":most": {"N": str(MOST_REFUSED_PAYMENTS)},
        }
        counted = self._update(
            "SET refusals = refusals + :one, refused_at = :at ADD refused_payments :payment",
            "window_ends > :at AND (attribute_not_exists(refused_payments) OR size(refused_payments) < :most)",
            values,
        )
        if counted is None:
            counted = self._update(
                "SET refusals = :one, refused_at = :at, refused_payments = :payment, window_ends = :ends",
                "attribute_not_exists(window_ends) OR window_ends <= :at OR size(refused_payments) >= :most",
                values | {":ends": {"S": iso(at + window)}},
            )
        # None: another caller started the window at the same moment, and this payment is not counted
        return len(counted["refused_payments"]["SS"]) if counted else 1

    def pause(self, by: PausedBy, reason: str, at: datetime) -> bool:
        """Pause the breaker with a conditional write, or two if the other cause holds. False if this one does."""
        values = {":reason": {"S": reason}, ":at": {"S": iso(at)}}
        mine = {":by": {"S": by.value}}
        paused = self._update(
            "SET paused_by = :by, reason = :reason, since = :at REMOVE canary",
            "attribute_not_exists(paused_by)",
            values | mine,
        )
        operator = {":operator": {"S": PausedBy.OPERATOR.value}}
        if paused is None and by is PausedBy.OPERATOR:
            paused = self._update(
                "SET operator_since = :at, operator_reason = :reason",
                "paused_by <> :operator AND attribute_not_exists(operator_since)",
                values | operator,
            )
        elif paused is None:
            paused = self._update(
                "SET operator_since = since, operator_reason = reason, paused_by = :by, reason = :reason, since = :at "
                "REMOVE canary",
                "paused_by = :operator",
                values | mine | operator,
            )
        return paused is not None

    def resume(self, at: datetime) -> bool:
        """End the operator's pause, else the gateway's, with one conditional write. False if the breaker is not paused.

        If another caller pauses it anew between the read and the write, that pause stays."""
        state = self.state()
        if not (state.by_gateway and state.by_operator):
            return state.paused and self._end(state, at)
        ended = self._update(
            "SET pauses = :pauses REMOVE operator_since, operator_reason",
            "operator_since = :since",
            {":pauses": _stored(state.pauses_at(at)), ":since": {"S": state.operator_since}},
        )
        return ended is not None

    def resume_gateway(self, at: datetime) -> bool:
        """End the gateway's pause with one conditional write. False if it is no cause, or if a pause came meanwhile."""
        state = self.state()
        if not (state.by_gateway and state.by_operator):
            return state.by_gateway and self._end(state, at)
        ended = self._update(
            "SET paused_by = :operator, since = operator_since, reason = operator_reason "
            f"REMOVE operator_since, operator_reason, {_COUNTERS}",
            "paused_by = :by AND since = :since AND attribute_exists(operator_since)",
            {
                ":operator": {"S": PausedBy.OPERATOR.value},
                ":by": {"S": state.paused_by},
                ":since": {"S": state.since},
            },
        )
        return ended is not None

    def _end(self, state: BreakerState, at: datetime) -> bool:
        """End the only pause, and delete the counters."""
        ended = self._update(
            f"SET pauses = :pauses REMOVE paused_by, reason, since, {_COUNTERS}",
            "paused_by = :by AND since = :since AND attribute_not_exists(operator_since)",
            {":pauses": _stored(state.pauses_at(at)), ":by": {"S": state.paused_by}, ":since": {"S": state.since}},
        )
        return ended is not None

    def open(self, by: str, at: datetime) -> None:
        """Write the mark with one write."""
        self._client.update_item(
            TableName=self._table,
            Key=_BREAKER,
            UpdateExpression="SET opened_at = :at, opened_by = :by",
            ExpressionAttributeValues={":at": {"S": iso(at)}, ":by": {"S": by}},
        )

    def close(self) -> None:
        """Remove the mark with one write."""
        self._client.update_item(TableName=self._table, Key=_BREAKER, UpdateExpression=f"REMOVE {', '.join(OPEN_MARK)}")

    def send_probe(self, payment_id: str) -> None:
        """Store the probe's payment id. No effect if the breaker is not paused."""
        self._update("SET canary = :id", "attribute_exists(paused_by)", {":id": {"S": payment_id}})

    def _update(self, update: str, condition: str, values: dict[str, Any]) -> dict[str, Any] | None:
        """The item after the update, or None if the condition does not hold."""
        try:
            return self._client.update_item(
                TableName=self._table,
                Key=_BREAKER,
                UpdateExpression=update,
                ConditionExpression=condition,
                ReturnValues="ALL_NEW",
                ExpressionAttributeValues=values,
            ).get("Attributes", {})
        except self._client.exceptions.ConditionalCheckFailedException:
            return None


def _stored(pauses: tuple[Pause, ...]) -> dict[str, Any]:
    return {"L": [{"S": f"{pause.since}/{pause.until}"} for pause in pauses]}
