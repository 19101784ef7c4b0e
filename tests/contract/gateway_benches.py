"""Gateways to test, each with its provider's side: the in-memory fake, and Stripe's adapter on the fake Stripe."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Protocol

import pytest

from fakes.gateway import Fault, FaultKind, MemoryGateway
from local.fake_stripe.app import FakeStripe
from local.fake_stripe.errors import ApiError
from local.fake_stripe.faults import Fault as StripeFault
from local.fake_stripe.faults import Kind
from local.fake_stripe.server import in_process
from payments.adapters.stripe.amounts import money_of, stripe_amount
from payments.adapters.stripe.gateway import StripeGateway
from payments.domain.errors import PaymentError
from payments.domain.money import Money
from payments.ports.payment_gateway import ChargeRequest, PaymentGateway

USD = Money(9999, "USD")
SECRET_KEY = "sk_test_contract"


class MovableClock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 15, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **parts: float) -> None:
        self.now += timedelta(**parts)


class Bench(Protocol):
    """A gateway, and the provider's side of it."""

    clock: MovableClock

    @property
    def gateway(self) -> PaymentGateway:
        """The gateway under test."""

    def fault(self, kind: str, **details: Any) -> None:
        """Inject a fault into the next call, or as `details` say."""

    def captured(self) -> list[tuple[str, Money]]:
        """Payment id and money of every captured charge."""

    def finish(self, reference: str, *, well: bool) -> None:
        """The customer authenticates, or a charge settles, successfully or not. No effect on other charges."""

    def refund(self, reference: str, minor_units: int) -> None:
        """Refund money in the gateway's dashboard."""

    def saved_card(self, card: str = "pm_card_visa") -> tuple[str, str]:
        """A payment method that is attached to a new customer of the gateway, and this customer."""

    def new_card(self, card: str = "pm_card_visa") -> str:
        """A payment method that is attached to no customer."""

    def detach(self, payment_method: str) -> None:
        """Detach a payment method from its customer."""

    def fail_refund(self, reference: str) -> None:
        """The last refund of a charge fails after it had succeeded."""

    def pay_again(self, reference: str) -> bool:
        """The customer pays an open charge with another card. False if the charge has ended."""

    def update(self, reference: str) -> None:
        """Update the description of a charge in the gateway's dashboard."""


class MemoryBench:
    def __init__(self, search_lag: timedelta = timedelta(0)) -> None:
        self.clock = MovableClock()
        self.gateway = MemoryGateway(self.clock, search_lag=search_lag)
        self._numbers = count(1)
        self._refunds: list[int] = []

    def fault(self, kind: str, **details: Any) -> None:
        self.gateway.fail(Fault(FaultKind(kind), **details))

    def captured(self) -> list[tuple[str, Money]]:
        return [(charge.payment_id, charge.money) for charge in self.gateway.captured]

    def finish(self, reference: str, *, well: bool) -> None:
        self.gateway.finish(reference, well=well)

    def refund(self, reference: str, minor_units: int) -> None:
        assert self.gateway.refund(reference, minor_units)
        self._refunds.append(minor_units)

    def fail_refund(self, reference: str) -> None:
        assert self.gateway.fail_refund(reference, self._refunds.pop())

    def saved_card(self, card: str = "pm_card_visa") -> tuple[str, str]:
        number = next(self._numbers)
        self.gateway.attach(f"pm_{number}", f"cus_{number}", card)
        return f"pm_{number}", f"cus_{number}"

    def new_card(self, card: str = "pm_card_visa") -> str:
        method = f"pm_{next(self._numbers)}"
        self.gateway.attach(method, "", card)
        return method

    def detach(self, payment_method: str) -> None:
        self.gateway.detach(payment_method)

    def pay_again(self, reference: str) -> bool:
        return self.gateway.pay_again(reference)

    def update(self, reference: str) -> None:
        self.gateway.update(reference)


class StripeBench:
    def __init__(self, url: str, fake_stripe: FakeStripe, clock: MovableClock) -> None:
        self.clock = clock
        self.gateway = StripeGateway(lambda: SECRET_KEY, base_url=url, read_timeout_seconds=10)
        self._fake_stripe = fake_stripe
        self.url = url

    def fault(self, kind: str, *, call: str = "", money: Money | None = None, status: str = "", **details: Any) -> None:
        fields: dict[str, Any] = {"status": status} if status else {}
        if money:
            amount = stripe_amount(money)
            fields |= {"amount": amount, "amount_received": amount, "currency": money.currency.lower()}
        method = {"charge": "POST", "cancel": "POST", "": ""}.get(call, "GET")
        self._fake_stripe.faults.add(StripeFault(Kind(kind), method=method, fields=fields, **details))

    def captured(self) -> list[tuple[str, Money]]:
        return [
            (charge["payment_id"], money_of(charge["amount"], charge["currency"]))
            for charge in self._fake_stripe.ledger.captured()
        ]

    def finish(self, reference: str, *, well: bool) -> None:
        for end in (self._fake_stripe.async_outcomes.authenticate, self._fake_stripe.async_outcomes.settle):
            with suppress(ApiError):
                end(reference, "succeeded" if well else "failed")

    def refund(self, reference: str, minor_units: int) -> None:
        charged = self._fake_stripe.ledger.retrieve({}, reference)
        amount = stripe_amount(Money(minor_units, charged["currency"].upper()))
        self._fake_stripe.refunds.create({"payment_intent": reference, "amount": str(amount)})

    def fail_refund(self, reference: str) -> None:
        refunds = self._fake_stripe.refunds.list({"payment_intent": reference})["data"]
        self._fake_stripe.refunds.fail(next(refund["id"] for refund in refunds if refund["status"] == "succeeded"))

    def end_refund(self, refund: str, status: str) -> None:
        self._fake_stripe.refunds.end(refund, status)

    def saved_card(self, card: str = "pm_card_visa") -> tuple[str, str]:
        customer = self._fake_stripe.customers.create({})["id"]
        return self._fake_stripe.methods.attach({"customer": customer}, card)["id"], customer

    def new_card(self, card: str = "pm_card_visa") -> str:
        token = f"tok_{card.removeprefix('pm_card_')}"
        return str(self._fake_stripe.methods.create({"type": "card", "card": {"token": token}})["id"])

    def detach(self, payment_method: str) -> None:
        self._fake_stripe.methods.detach({}, payment_method)

    def pay_again(self, reference: str) -> bool:
        try:
            self._fake_stripe.ledger.confirm({"payment_method": "pm_card_mastercard"}, reference)
        except ApiError:
            return False
        return True

    def update(self, reference: str) -> None:
        self._fake_stripe.ledger.update({"description": "by hand"}, reference)


@contextmanager
def bench_of(name: str, search_lag: timedelta = timedelta(0)) -> Iterator[Bench]:
    """The bench of the gateway `memory` or `stripe`."""
    if name == "memory":
        yield MemoryBench(search_lag)
        return
    clock = MovableClock()
    with in_process(clock=clock) as (url, fake_stripe):
        fake_stripe.settings.search_lag_seconds = search_lag.total_seconds()
        yield StripeBench(url, fake_stripe, clock)


def request_for(
    payment_id: str = "pay-1", method: str = "pm_card_visa", money: Money = USD, **more: Any
) -> ChargeRequest:
    return ChargeRequest(payment_id, money, method, description="Order 17", metadata={"order": "A-17"}, **more)


def error_of(call: Callable[[], object]) -> PaymentError:
    with pytest.raises(PaymentError) as caught:
        call()
    return caught.value
