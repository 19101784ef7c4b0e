"""The event about a saved card: the first one becomes the default, once, in its own environment only."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from fakes.customers import MemoryCustomerStore
from fakes.field_encryptor import MemoryFieldEncryptor
from payments.application.first_cards import FirstCards
from payments.domain.clock import iso
from payments.domain.customer import Customer, changed, erased
from payments.domain.gateway_event import SET_UP, CardSaved, EventState
from payments.ports.field_encryptor import EncryptionUnavailable
from payments.ports.payment_store import VersionConflict
from tests.unit.builders import NOON, FixedClock

EVENT = CardSaved("evt_1", SET_UP, "cus_1", "123-us-east-1-dev", "cus_stripe", "pm_saved", iso(NOON))
JO = Customer("cus_1", created_at=iso(NOON), updated_at=iso(NOON), version=2, gateway_customer="cus_stripe")


class Scenario:
    """A customer's row, and the events about her cards. Other callers write it just before our saves."""

    def __init__(self, row: Customer | None = JO) -> None:
        self.clock = FixedClock()
        self.customers = MemoryCustomerStore(*[row] if row else [])
        self.encryptor = MemoryFieldEncryptor()
        self.first_cards = FirstCards(self.customers, self.encryptor, self.clock, EVENT.environment_id)
        self.others: list[Callable[[Customer], Customer]] = []
        self._save = self.customers.save
        self.customers.save = self.save  # type: ignore[method-assign]

    def save(self, customer: Customer) -> None:
        if self.others:
            self._save(self.others.pop(0)(self.row))
        self._save(customer)

    def receive(self, event: CardSaved = EVENT) -> EventState:
        return self.first_cards.receive(event)

    @property
    def row(self) -> Customer:
        return self.customers.rows["cus_1"]

    @property
    def default(self) -> str:
        """The default payment method in plain text."""
        return self.encryptor.open(self.row.context, self.row.private)["default_payment_method"]


def test_first_card_becomes_the_default_and_counts_as_new() -> None:
    scenario = Scenario()
    scenario.clock.wait(timedelta(minutes=5))
    assert scenario.receive() is EventState.APPLIED
    assert (scenario.default, scenario.row.version) == ("pm_saved", 3)
    assert "pm_saved" not in repr(scenario.row)
    assert scenario.row.updated_at == iso(scenario.clock.now)  # the card-testing rule counts a default that is new


def test_first_card_event_repeated_changes_nothing() -> None:
    scenario = Scenario()
    scenario.receive()
    before = scenario.row
    assert scenario.receive() is EventState.APPLIED
    assert scenario.row == before


def test_second_card_leaves_the_default() -> None:
    scenario = Scenario()
    scenario.receive()
    assert scenario.receive(replace(EVENT, event_id="evt_2", payment_method="pm_second")) is EventState.APPLIED
    assert scenario.default == "pm_saved"


IGNORED = {
    "of another environment": replace(EVENT, environment_id="123-us-east-1-prod"),
    "of no environment": replace(EVENT, environment_id=""),
    "of an unknown customer": replace(EVENT, customer_id="cus_2"),
    "of no customer": replace(EVENT, customer_id=""),
    "of another customer at the gateway": replace(EVENT, gateway_customer="cus_other"),
    "of no customer at the gateway": replace(EVENT, gateway_customer=""),
    "without a payment method": replace(EVENT, payment_method=""),
    "with a strange payment method": replace(EVENT, payment_method="pm 1"),
}


@pytest.mark.parametrize("event", IGNORED.values(), ids=IGNORED)
def test_first_card_event_that_is_not_ours_is_ignored(event: CardSaved) -> None:
    scenario = Scenario()
    assert scenario.receive(event) is EventState.IGNORED
    assert scenario.row == JO


@pytest.mark.parametrize("row", [erased(JO, at=NOON), replace(JO, gateway_customer="")], ids=["erased", "never set up"])
@pytest.mark.parametrize("gateway_customer", ["cus_stripe", ""])
def test_first_card_of_a_customer_without_cards_is_ignored(row: Customer, gateway_customer: str) -> None:
    scenario = Scenario(row)
    assert scenario.receive(replace(EVENT, gateway_customer=gateway_customer)) is EventState.IGNORED
    assert scenario.row == row


@pytest.mark.parametrize("seconds", [0, 1, 3600])
def test_first_card_event_after_a_removal_does_not_bring_it_back(seconds: int) -> None:
    removed = changed(JO, {"default_payment_method": ""}, at=NOON + timedelta(seconds=seconds, milliseconds=300))
    scenario = Scenario(removed)
    assert scenario.receive() is EventState.APPLIED
    assert scenario.row == removed


def test_first_card_saved_after_a_removal_becomes_the_default() -> None:
    scenario = Scenario(changed(JO, {"default_payment_method": ""}, at=NOON - timedelta(seconds=1)))
    scenario.receive()
    assert scenario.default == "pm_saved"


def test_first_card_while_the_customer_changes_keeps_both() -> None:
    scenario = Scenario()
    scenario.others = [lambda row: changed(row, {"name": "sealed.v1.x"}, at=NOON)]
    assert scenario.receive() is EventState.APPLIED
    assert (scenario.row.name, bool(scenario.row.default_payment_method)) == ("sealed.v1.x", True)


def test_first_card_while_another_default_is_chosen_keeps_that_one() -> None:
    scenario = Scenario()
    chosen = scenario.encryptor.seal(JO.context, {"default_payment_method": "pm_chosen"})
    scenario.others = [lambda row: changed(row, chosen, at=NOON)]
    assert scenario.receive() is EventState.APPLIED
    assert scenario.default == "pm_chosen"


def test_first_card_of_a_customer_that_always_changes_is_sent_again() -> None:
    scenario = Scenario()
    scenario.others = [lambda row: changed(row, {}, at=NOON)] * 9
    with pytest.raises(VersionConflict):
        scenario.receive()


def test_first_card_without_the_key_is_sent_again() -> None:
    scenario = Scenario()
    scenario.encryptor.available = False
    with pytest.raises(EncryptionUnavailable):
        scenario.receive()
    assert scenario.row == JO


def test_first_card_event_when_printed_then_shows_no_payment_method() -> None:
    assert "pm_saved" not in repr(EVENT)
