"""Payments for tests."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from payments.application.charge import MOST_VERSIONS
from payments.domain.clock import iso
from payments.domain.due import Kind
from payments.domain.gateway_event import GatewayEvent
from payments.domain.money import Money
from payments.domain.payment import (
    MAX_DESCRIPTION,
    MAX_MESSAGE,
    MAX_METADATA_KEYS,
    Payment,
    PaymentRequest,
    accepted,
    moved,
)
from payments.domain.statuses import Status
from payments.ports.due_index import DueIndex

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


ALWAYS = datetime.max.replace(tzinfo=UTC)


def waiting(index: DueIndex, until: datetime = ALWAYS, kinds: Iterable[Kind] = Kind) -> list[str]:
    """The ids in an index by due time, kind by kind."""
    return [row_id for kind in kinds for row_id, _ in index.due(kind, until)]


class FixedClock:
    """A clock that advances by a second at every read."""

    def __init__(self, start: datetime = NOON) -> None:
        self.now = start

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def wait(self, time: timedelta) -> None:
        """Let time pass."""
        self.now += time


def request(payment_id: str = "pay_1", amount: int = 9999, currency: str = "USD", **more: Any) -> PaymentRequest:
    """A payment request for 99.99 USD."""
    return PaymentRequest(payment_id, Money(amount, currency), **more)


def payment(payment_id: str = "pay_1", method: str = "pm_card_visa", **more: Any) -> Payment:
    """An accepted payment with a card that works."""
    asked = request(payment_id, payment_method=method, **more)
    return accepted(asked, at=NOON, source="rest", correlation_id="request-1")


def batch_payment(payment_id: str = "pay_1", line: int = 2, batch_id: str = "b1", **more: Any) -> Payment:
    """An accepted payment of a batch, as it waits in the queue."""
    asked = request(payment_id, payment_method="pm_card_visa", **more)
    return accepted(asked, at=NOON, source="batch", batch_id=batch_id, batch_line=line)


def after(row: Payment, *statuses: Status, at: datetime = NOON, **changes: Any) -> Payment:
    """The row after it went through `statuses`; `changes` come with the last."""
    for place, status in enumerate(statuses, 1):
        row = moved(row, status, at=at, actor="test", **(changes if place == len(statuses) else {}))
    return row


def versions(number: int) -> Payment:
    """A payment that succeeded after many attempts, at version `number`, which is 3 or more. Nothing is audited."""
    attempts = [Status.PROCESSING, Status.PENDING] * number
    return after(payment(method=""), *attempts[: number - 3], Status.PROCESSING, Status.SUCCEEDED)


def largest_row() -> Payment:
    """A payment with the most versions that are sent, and the longest texts in every field."""
    sealed = "sealed.v1." + "k" * 246 + "."
    asked = request(
        "p" * 64,
        customer_id="c" * 64,
        payment_method=sealed + "m" * 208,
        description="\U0001f4b6" * MAX_DESCRIPTION,
        metadata={f"{n:040}": sealed + "v" * 2704 for n in range(MAX_METADATA_KEYS)},
    )
    paid = accepted(asked, at=NOON, source="rest", correlation_id="r" * 128, submitted_by="s" * 255, batch_id="b" * 128)
    reason = {"code": "c" * 64, "message": "m" * MAX_MESSAGE}
    while paid.version < MOST_VERSIONS:
        paid = moved(paid, Status.PROCESSING, at=NOON, actor="charge")
        paid = moved(paid, Status.PENDING, at=NOON, actor="charge", **reason)
    return moved(paid, Status.FAILED, at=NOON, actor="workflow", gateway_reference=sealed + "g" * 128, **reason)


def gateway_event(
    type: str = "payment_intent.succeeded",
    event_id: str = "evt_1",
    payment_id: str = "pay_1",
    at: datetime = NOON,
    reference: str = "mem_1",
) -> GatewayEvent:
    """A verified event about a payment; by default about the first charge of `MemoryGateway`."""
    return GatewayEvent(event_id, type, payment_id, reference, iso(at), iso(at))
