"""After a restore: every charge that the gateway lists gets a row that knows of it, so that nothing is sent again."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fakes.customers import MemoryCustomerStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.gateway import MemoryGateway
from fakes.payments import MemoryPaymentStore
from fakes.tokens import MemoryTokenStore
from fakes.workflow import MemoryWorkflow
from payments.application.accept import Acceptance, OtherPayment, accept
from payments.application.charge import Charging
from payments.application.compare_with_gateway import ACTOR, FOUND, CompareWithGateway, Finding
from payments.application.validate import PaymentMethods
from payments.domain.audit_chain import missing_entries
from payments.domain.errors import RequiresAction
from payments.domain.money import Money
from payments.domain.payment import RECREATED, Payment, accepted, moved
from payments.domain.sealed_fields import reference_digest, rewritten
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest
from tests.unit.builders import request

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=3)
OURS = "0123456789abcdef"


class CompareScenario:
    """A gateway with charges, and restored rows."""

    def __init__(self) -> None:
        self.now = NOON
        self.gateway = MemoryGateway(clock=lambda: self.now)
        self.encryptor = MemoryFieldEncryptor()
        self.payments = MemoryPaymentStore(self.encryptor)
        self.found: list[tuple[str, Finding]] = []

    def charged(self, payment_id: str, environment_id: str = OURS, method: str = "pm_card_visa") -> Payment:
        """Charge at the gateway, as before the restore. Returns the payment as it was accepted."""
        payment = accepted(request(payment_id), at=self.now, source="rest")
        asked = ChargeRequest(payment_id, payment.money, method, environment_id=environment_id)
        with suppress(RequiresAction):
            self.gateway.charge(asked)
        return payment

    def compare(self) -> Counter[Finding]:
        """Compare three days later."""
        self.now = LATER
        self.found.clear()
        CompareWithGateway(
            self.gateway,
            self.payments,
            self.encryptor,
            lambda: self.now,
            OURS,
            lambda charge, finding: self.found.append((charge.payment_id, finding)),
        ).compare(NOON - timedelta(hours=1))
        return Counter(finding for _, finding in self.found)

    def row(self, payment_id: str) -> Payment:
        """The row of a payment."""
        found = self.payments.get(payment_id)
        assert found
        return found

    def send(self, payment_id: str) -> Status:
        """What the charge step does with the row."""
        charging = Charging(
            self.gateway,
            PaymentMethods(MemoryCustomerStore(), "pm_card_visa", MemoryTokenStore(), lambda: self.now, self.encryptor),
            self.payments,
            lambda: self.now,
            environment_id=OURS,
            row_of=lambda payment: rewritten(payment, self.encryptor.seal),
        )
        return charging.charge(self.row(payment_id)).status

    def charges(self, payment_id: str) -> int:
        """The number of charges at the gateway."""
        return sum(charge.payment_id == payment_id for charge in self.gateway.listed(NOON, self.now).charges)


@pytest.fixture
def scenario() -> CompareScenario:
    return CompareScenario()


@pytest.mark.fault(75)
def test_missing_row_is_recreated_with_status_amount_and_reference(scenario: CompareScenario) -> None:
    payment = scenario.charged("pay_lost")

    assert scenario.compare() == {Finding.RECREATED: 1}

    row = scenario.row("pay_lost")
    assert (row.status, row.money, row.created_at[:10]) == (Status.SUCCEEDED, payment.money, "2026-12-01")
    assert row.gateway_reference
    assert row.environment_id == OURS
    entries = missing_entries(row)
    assert [(entry.actor, entry.code) for entry in entries][1:] == [(ACTOR, RECREATED)] * 2
    assert "known from the gateway's list" in entries[-1].message


@pytest.mark.fault(75)
def test_client_that_sends_a_recreated_payment_again_gets_its_outcome(scenario: CompareScenario) -> None:
    money = scenario.charged("pay_lost").money
    scenario.compare()
    again = request("pay_lost", money.minor_units, money.currency, description="the recreated row does not know it")
    at: dict[str, Any] = {"store": scenario.payments, "workflow": MemoryWorkflow(), "at": NOON, "correlation_id": ""}

    assert accept(again, **at) == Acceptance(scenario.row("pay_lost"), replayed=True)
    with pytest.raises(OtherPayment):
        accept(replace(again, money=Money(money.minor_units + 1, money.currency)), **at)


@pytest.mark.fault(75)
def test_row_from_before_the_charge_is_not_sent_again(scenario: CompareScenario) -> None:
    scenario.payments.create(scenario.charged("pay_1"))

    assert scenario.compare() == {Finding.UPDATED: 1}

    assert scenario.row("pay_1").status is Status.SUCCEEDED
    assert scenario.row("pay_1").code == FOUND
    assert scenario.send("pay_1") is Status.SUCCEEDED
    assert scenario.charges("pay_1") == 1


def test_without_the_comparison_the_row_would_be_charged_twice(scenario: CompareScenario) -> None:
    scenario.payments.create(scenario.charged("pay_1"))
    scenario.now = LATER  # the gateway has forgotten the key

    scenario.send("pay_1")

    assert scenario.charges("pay_1") == 2


def test_charge_that_is_not_captured_makes_a_row_that_asks(scenario: CompareScenario) -> None:
    scenario.charged("pay_3ds", method="pm_card_authenticationRequired")

    scenario.compare()

    row = scenario.row("pay_3ds")
    assert (row.status, row.attempts) == (Status.PROCESSING, 1)
    assert row.reference_digest == reference_digest(
        "pay_3ds", scenario.gateway.listed(NOON, LATER).charges[0].reference
    )


def test_held_payment_that_was_approved_later_is_not_sent_again(scenario: CompareScenario) -> None:
    first = scenario.charged("pay_held")
    scenario.payments.create(replace(first, hold="velocity"))
    scenario.payments.save(moved(scenario.row("pay_held"), Status.IN_REVIEW, at=NOON, actor="workflow"))

    assert scenario.compare() == {Finding.UPDATED: 1}
    assert scenario.row("pay_held").status is Status.SUCCEEDED


def test_comparison_that_is_repeated_changes_nothing(scenario: CompareScenario) -> None:
    scenario.charged("pay_lost")
    scenario.payments.create(scenario.charged("pay_1"))
    scenario.compare()
    rows = dict(scenario.payments.rows)

    assert scenario.compare() == {Finding.SAME: 2}
    assert scenario.payments.rows == rows


def test_charges_of_other_environments_make_no_rows(scenario: CompareScenario) -> None:
    scenario.charged("pay_1", environment_id="another")

    assert scenario.compare() == {Finding.NOT_OURS: 1}
    assert scenario.payments.get("pay_1") is None


def test_row_that_says_something_else_is_left_to_an_operator(scenario: CompareScenario) -> None:
    first = scenario.charged("pay_failed")
    scenario.payments.create(first)
    scenario.payments.save(moved(first, Status.FAILED, at=NOON, actor="workflow"))
    scenario.payments.create(accepted(request("pay_other", amount=100), at=NOON, source="rest"))
    scenario.charged("pay_other")

    assert scenario.compare() == {Finding.DIFFERS: 2}
    assert scenario.row("pay_failed").status is Status.FAILED
    assert scenario.row("pay_other").status is Status.PENDING


def test_open_row_without_a_reference_gets_it(scenario: CompareScenario) -> None:
    first = scenario.charged("pay_1")
    scenario.payments.create(first)
    sent = moved(first, Status.PROCESSING, at=NOON, actor="charge", attempts=1, environment_id=OURS)
    scenario.payments.save(sent)

    assert scenario.compare() == {Finding.UPDATED: 1}
    assert scenario.row("pay_1").gateway_reference
    assert scenario.row("pay_1").status is Status.PROCESSING
