"""Who reached for what is not theirs: kept in the audit log, beside the payments' own entries.

These entries stand each for itself. They are about callers, not about a row's versions, so there is no chain to hold
them to. No function may update or delete in the table, and the code puts only what is not there yet.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from payments.clock import iso
from payments.logs import logger
from payments.rest.request import Request

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Denied:
    """One denied access. `kind` and `resource_id` name what was reached for, `subject` and `roles` who did."""

    kind: str
    resource_id: str
    at: str
    subject: str
    roles: str
    operation: str
    ip: str
    correlation_id: str


class AccessLog(Protocol):
    """Keeps denied accesses. Adapters: `DynamoAccessLog` and its twin `MemoryAccessLog`."""

    def denied(self, request: Request, kind: str, resource_id: str) -> None:
        """Keep that the request's caller asked for something of this kind that exists and is not theirs."""


def denied_access(request: Request, kind: str, resource_id: str) -> Denied:
    """The entry for a request."""
    return Denied(
        kind=kind,
        resource_id=resource_id,
        at=iso(request.at),
        subject=request.caller.subject,
        roles=",".join(sorted(request.caller.roles)),
        operation=request.operation,
        ip=request.ip,
        correlation_id=request.request_id,
    )


class MemoryAccessLog:
    """Denied accesses in a list."""

    def __init__(self) -> None:
        self.entries: list[Denied] = []

    def denied(self, request: Request, kind: str, resource_id: str) -> None:
        """See the port."""
        self.entries.append(denied_access(request, kind, resource_id))


class DynamoAccessLog:
    """Denied accesses in the audit table, under `denied:<kind>:<id>`, numbered by the microsecond."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def denied(self, request: Request, kind: str, resource_id: str) -> None:
        """See the port."""
        entry = denied_access(request, kind, resource_id)
        sequence = (request.at - EPOCH) // timedelta(microseconds=1)
        while not self._put(entry, sequence):
            sequence += 1
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
