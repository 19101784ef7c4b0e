"""The gateway's list: one reading answers for many payments, and proves only what it covers."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from fakes import gateway as memory
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.gateway import Fault, FaultKind, MemoryGateway
from fakes.payments import MemoryPaymentStore
from fakes.slots import MemorySlotStore
from payments.application import charge_list as charge_lists
from payments.application.charge_list import CLOCKS_DIFFER, LONGEST_WINDOW, SENDS_FOR, ChargeList
from payments.application.sealed_payments import opened
from payments.domain.errors import Misconfigured, NotSent, OutcomeUnknown, PaymentError, RateLimited
from payments.domain.money import Money
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest, Listed
from payments.ports.slot_counter import NoFreeSlot
from tests.unit.builders import FixedClock, after, payment
from tests.unit.charge_lists import charge_list

MINUTE = timedelta(minutes=1)
USD = Money(9999, "USD")


class CountingGateway(MemoryGateway):
    """Remembers the time that each page covers."""

    def __init__(self, clock: FixedClock) -> None:
        super().__init__(clock, search_lag=timedelta(days=365))
        self.read: list[tuple[datetime, datetime]] = []

    def listed(self, since: datetime, until: datetime, after: str = "") -> Listed:
        """Remember the time, and list."""
        self.read.append((since, until))
        return super().listed(since, until, after)


class ListScenario:
    """Unknown payments, and a gateway whose search never shows a charge."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.gateway = CountingGateway(self.clock)
        self.store = MemoryPaymentStore()
        self.encryptor = MemoryFieldEncryptor()

    @property
    def listing(self) -> ChargeList:
        return charge_list(self.gateway, self.store, self.encryptor, self.clock)

    def charge(self, payment_id: str, environment_id: str = "", method: str = "pm_card_visa") -> str:
        """Charge at the gateway now. Returns the reference."""
        request = ChargeRequest(payment_id, USD, method, environment_id=environment_id)
        try:
            return self.gateway.charge(request).reference
        except PaymentError as error:
            return error.gateway_reference

    def unknown(
        self, payment_id: str, *, sent: int = 1, apart: timedelta = MINUTE, environment_id: str = ""
    ) -> Payment:
        """A payment that was sent now, and again after `apart`, without an answer."""
        row = payment(payment_id)
        for number in range(sent):
            if number:
                self.clock.wait(apart)
            row = after(row, Status.PROCESSING, at=self.clock(), environment_id=environment_id)
            row = replace(row, attempts=number + 1)
        row = after(row, Status.UNKNOWN, at=self.clock())
        self.store.rows[payment_id] = row
        return row

    def answer(self, *payments: Payment, may_go_on: Callable[[], bool] = lambda: True) -> dict[str, str]:
        """Read the list after the time of proof: payment id → reference, "" for proven absent."""
        self.clock.wait(2 * RecoveryTimeouts().proof)
        assert all(map(self.listing.can_answer, payments))
        answered = {}
        for answer in self.listing.answer(payments, may_go_on):
            row = opened(self.store.rows[answer.payment_id], self.encryptor)
            assert bool(row.gateway_reference) != row.is_proven_absent
            answered[answer.payment_id] = row.gateway_reference
        return answered


@pytest.fixture
def scenario() -> ListScenario:
    return ListScenario()


def test_answer_never_chooses_between_several_captured_charges(scenario: ListScenario) -> None:
    """The payment stays unknown until a search shows all of them, and holds it."""
    scenario.charge("pay_1")
    scenario.clock.wait(timedelta(hours=24))  # the gateway forgot the key
    scenario.charge("pay_1")
    row = scenario.unknown("pay_1", sent=1)
    row = replace(
        row, history=(row.history[0], replace(row.history[1], at="2026-11-21T12:00:03.000Z"), *row.history[1:])
    )
    other = scenario.unknown("pay_2")
    assert scenario.answer(row, other) == {"pay_2": ""}


@pytest.mark.fault(50)
def test_one_reading_answers_for_every_payment_of_its_time(scenario: ListScenario) -> None:
    charged = scenario.charge("pay_1")
    rows = [scenario.unknown(f"pay_{number}") for number in range(1, 4)]
    assert scenario.answer(*rows) == {"pay_1": charged, "pay_2": "", "pay_3": ""}
    assert len(scenario.gateway.read) == 1


def test_answer_is_about_exactly_the_payment_and_its_environment(scenario: ListScenario) -> None:
    scenario.charge("PAY_1")
    scenario.charge("pay_1", "other")
    own = scenario.charge("pay_2", "env1")
    rows = scenario.unknown("pay_1"), scenario.unknown("pay_2", environment_id="env1")
    assert scenario.answer(*rows) == {"pay_1": "", "pay_2": own}


def test_answer_among_several_charges_is_the_captured_one(scenario: ListScenario) -> None:
    captured = scenario.charge("pay_1")
    scenario.clock.wait(timedelta(hours=24))  # the gateway forgot the key
    scenario.charge("pay_1", method="pm_card_threeDSecure2Required")
    row = scenario.unknown("pay_1", sent=1)
    row = replace(
        row, history=(row.history[0], replace(row.history[1], at="2026-11-21T12:00:03.000Z"), *row.history[1:])
    )
    assert scenario.answer(row) == {"pay_1": captured}


@pytest.mark.fault(50)
def test_every_attempt_is_covered_and_the_hours_between_are_not_read(scenario: ListScenario) -> None:
    row = scenario.unknown("pay_1", sent=2, apart=timedelta(hours=20))
    charged = scenario.charge("pay_1")
    assert scenario.answer(row) == {"pay_1": charged}
    assert sum((until - since for since, until in scenario.gateway.read), timedelta(0)) < 10 * MINUTE


@pytest.mark.parametrize("differs", [-CLOCKS_DIFFER, SENDS_FOR + CLOCKS_DIFFER - timedelta(seconds=3)])
def test_charge_is_found_wherever_the_clocks_may_put_it(scenario: ListScenario, differs: timedelta) -> None:
    row = scenario.unknown("pay_1")
    scenario.clock.wait(differs)
    charged = scenario.charge("pay_1")
    assert scenario.answer(row) == {"pay_1": charged}


def test_payments_far_apart_are_read_apart_and_the_oldest_first(scenario: ListScenario) -> None:
    rows = []
    for number in range(3):
        rows.append(scenario.unknown(f"pay_{number}"))
        scenario.clock.wait(LONGEST_WINDOW)
    assert list(scenario.answer(*reversed(rows))) == ["pay_0", "pay_1", "pay_2"]
    assert len(scenario.gateway.read) == 3


def test_continuous_payments_are_read_in_bounded_times(scenario: ListScenario) -> None:
    rows = []
    for number in range(120):
        rows.append(scenario.unknown(f"pay_{number}"))
        scenario.clock.wait(MINUTE)
    assert len(scenario.answer(*rows)) == 120
    assert all(until - since <= LONGEST_WINDOW for since, until in scenario.gateway.read)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of ten charges."""
    monkeypatch.setattr(memory, "PAGE", 10)


def others(scenario: ListScenario, charges: int) -> None:
    """Charges of other payments, some seconds apart."""
    for number in range(charges):
        scenario.charge(f"other_{number}")


@pytest.mark.usefixtures("small_pages")
def test_reading_that_is_cut_short_answers_what_it_has_passed(scenario: ListScenario) -> None:
    others(scenario, 15)
    old = scenario.unknown("pay_old")
    scenario.clock.wait(2 * MINUTE)
    new = scenario.unknown("pay_new")
    others(scenario, 8)
    pages = iter([True])
    assert scenario.answer(old, new, may_go_on=lambda: next(pages, False)) == {"pay_new": ""}
    assert not scenario.store.rows["pay_old"].is_proven_absent
    assert scenario.answer(old) == {"pay_old": ""}


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize(("most", "answered"), [(2, {}), (3, {"pay_1": ""})])
def test_reading_ends_at_the_most_pages(
    scenario: ListScenario, monkeypatch: pytest.MonkeyPatch, most: int, answered: dict[str, str]
) -> None:
    row = scenario.unknown("pay_1")
    others(scenario, 25)
    monkeypatch.setattr(charge_lists, "MOST_PAGES", most)
    assert scenario.answer(row) == answered
    assert len(scenario.gateway.read) == most


def test_reading_waits_for_a_slot_and_ends_without_one(scenario: ListScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    row = scenario.unknown("pay_1")

    def none_free(self: MemorySlotStore, first: int, last: int) -> int:
        raise NoFreeSlot

    monkeypatch.setattr(MemorySlotStore, "take_slot", none_free)
    assert scenario.answer(row) == {}
    assert scenario.gateway.read == []


@pytest.mark.fault(50)
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FaultKind.RATE_LIMITED, RateLimited),
        (FaultKind.NOT_SENT, NotSent),
        (FaultKind.UNAUTHORIZED, Misconfigured),
        (FaultKind.SERVER_ERROR, OutcomeUnknown),
        (FaultKind.ANSWER_LOST, OutcomeUnknown),
    ],
)
def test_list_that_fails_proves_nothing(scenario: ListScenario, kind: FaultKind, error: type[PaymentError]) -> None:
    row = scenario.unknown("pay_1")
    scenario.gateway.fail(Fault(kind, call="listed"))
    with pytest.raises(error):
        scenario.answer(row)
    assert not scenario.store.rows["pay_1"].is_proven_absent


def test_payment_that_changed_meanwhile_is_not_proven_absent(scenario: ListScenario) -> None:
    row = scenario.unknown("pay_1")
    scenario.store.rows["pay_1"] = after(row, Status.PROCESSING, at=scenario.clock())
    scenario.clock.wait(RecoveryTimeouts().proof)
    assert list(scenario.listing.answer([row], lambda: True)) == [row]
    assert not scenario.store.rows["pay_1"].is_proven_absent


def test_can_answer_only_for_unknown_payments_after_the_proof_time(scenario: ListScenario) -> None:
    row = scenario.unknown("pay_1")
    assert not scenario.listing.can_answer(row)
    scenario.clock.wait(RecoveryTimeouts().proof)
    assert scenario.listing.can_answer(row)
    assert not scenario.listing.can_answer(replace(row, gateway_reference="sealed"))
    assert not scenario.listing.can_answer(replace(row, absent_version=row.version))
    assert not scenario.listing.can_answer(replace(row, status=Status.PROCESSING))
