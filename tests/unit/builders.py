"""Payments for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from payments.money import Money
from payments.payment import Payment, PaymentRequest, accepted

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class FixedClock:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self, start: datetime = NOON) -> None:
        self.now = start

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def request(payment_id: str = "pay_1", amount: int = 9999, currency: str = "USD", **more: Any) -> PaymentRequest:
    """A payment request over 99.99 USD."""
    return PaymentRequest(payment_id, Money(amount, currency), **more)


def payment(payment_id: str = "pay_1", method: str = "pm_card_visa", **more: Any) -> Payment:
    """An accepted payment with a card that works."""
    asked = request(payment_id, payment_method=method, **more)
    return accepted(asked, at=NOON, source="rest", correlation_id="request-1")
