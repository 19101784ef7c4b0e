"""The charge step: FAULTS 8 to 20 as far as our own state goes. What the gateway does is in tests/contract."""

from typing import Any

import pytest

from payments.charging import Charging
from payments.errors import Declined, InvalidPayment, Misconfigured, NotSent, OutcomeUnknown, RateLimited
from payments.gateways.memory import Fault, FaultKind, MemoryGateway
from payments.gateways.port import ChargeRequest, GatewayCharge
from payments.money import Money
from payments.outcome import Outcome, answered
from payments.payment import Payment
from payments.recording import record
from payments.statuses import Status
from payments.stores.memory import MemoryCustomerStore, MemoryPaymentStore
from payments.stores.port import VersionConflict
from payments.validating import PaymentMethods
from tests.unit.builders import FixedClock, payment


class World:
    """A payment, its store and a gateway."""

    def __init__(self, row: Payment | None = None) -> None:
        self.clock = FixedClock()
        self.gateway = MemoryGateway(self.clock)
        self.store = MemoryPaymentStore()
        self.row = row or payment()
        self.store.create(self.row)

    def charge(self, gateway: Any = None) -> Outcome:
        methods = PaymentMethods(MemoryCustomerStore({"c1": "pm_card_mastercard"}), "pm_card_visa")
        return Charging(gateway or self.gateway, methods, self.store, self.clock).charge(self.now)

    @property
    def now(self) -> Payment:
        return self.store.rows[self.row.payment_id]

    @property
    def captured(self) -> int:
        return len(self.gateway.captured)


def test_charge_when_all_is_well_then_once_and_with_a_reference() -> None:
    world = World()
    outcome = world.charge()
    assert (outcome.status, outcome.gateway, world.captured) == (Status.SUCCEEDED, "memory", 1)
    assert outcome.gateway_reference


def test_charge_writes_its_intent_before_it_calls_the_gateway() -> None:
    world = World()

    class Looks(MemoryGateway):
        def charge(self, request: ChargeRequest) -> GatewayCharge:
            seen = world.now
            assert (seen.status, seen.attempts) == (Status.PROCESSING, 1)
            assert seen.attempted_at
            return super().charge(request)

    assert world.charge(Looks(world.clock)).status is Status.SUCCEEDED


def test_charge_when_the_intent_cannot_be_written_then_nothing_is_sent() -> None:
    world = World()

    class Raced(MemoryPaymentStore):
        def save(self, payment: Payment) -> None:
            raise VersionConflict("another was faster")

    raced = Raced()
    raced.rows = world.store.rows
    world.store = raced
    with pytest.raises(VersionConflict):
        world.charge()
    assert world.captured == 0


def test_fault_9_charge_when_it_died_after_the_charge_then_it_is_found_again() -> None:
    world = World()
    first = world.charge()  # and the function dies here: nothing is recorded
    again = world.charge()
    assert again == first
    assert world.captured == 1


def test_fault_10_charge_when_the_answer_is_lost_then_unknown_and_a_retry_finds_the_charge() -> None:
    world = World()
    world.gateway.fail(Fault(FaultKind.ANSWER_LOST))
    with pytest.raises(OutcomeUnknown):
        world.charge()
    assert world.now.status is Status.PROCESSING
    assert world.charge().status is Status.SUCCEEDED
    assert world.captured == 1


@pytest.mark.parametrize("executes", [True, False])
def test_fault_11_charge_when_a_500_is_replayed_then_it_stays_unknown_until_found(executes: bool) -> None:
    world = World()
    world.gateway.fail(Fault(FaultKind.SERVER_ERROR, executes=executes))
    with pytest.raises(OutcomeUnknown):
        world.charge()
    if executes:
        assert world.charge().status is Status.SUCCEEDED
    else:
        with pytest.raises(OutcomeUnknown):
            world.charge()
    assert world.captured == int(executes)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FaultKind.RATE_LIMITED, RateLimited),
        (FaultKind.NOT_SENT, NotSent),
        (FaultKind.UNAUTHORIZED, Misconfigured),
    ],
)
def test_faults_12_14_19_charge_when_provably_not_charged_then_pending_again_and_the_retry_charges_once(
    kind: FaultKind, error: type[Exception]
) -> None:
    world = World()
    world.gateway.fail(Fault(kind))
    with pytest.raises(error):
        world.charge()
    assert world.now.status is Status.PENDING
    assert world.charge().status is Status.SUCCEEDED
    assert (world.captured, world.now.attempts) == (1, 2)


@pytest.mark.parametrize("kind", [FaultKind.RATE_LIMITED, FaultKind.NOT_SENT, FaultKind.UNAUTHORIZED])
def test_charge_when_an_earlier_call_may_have_charged_then_a_refusal_proves_nothing(kind: FaultKind) -> None:
    world = World()
    world.gateway.fail(Fault(FaultKind.ANSWER_LOST))
    with pytest.raises(OutcomeUnknown):
        world.charge()
    world.gateway.fail(Fault(kind))
    with pytest.raises(OutcomeUnknown):
        world.charge()
    assert world.now.status is Status.PROCESSING
    assert world.charge().status is Status.SUCCEEDED
    assert world.captured == 1


def test_charge_when_the_gateway_refuses_the_request_then_rejected_and_recorded() -> None:
    world = World()

    class Refuses(MemoryGateway):
        def charge(self, request: ChargeRequest) -> GatewayCharge:
            raise InvalidPayment("request_refused", "the gateway cannot take this request")

    outcome = answered(lambda: world.charge(Refuses(world.clock)))
    assert outcome
    assert record("pay_1", outcome, store=world.store, clock=world.clock).status is Status.REJECTED


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedLostCard", "lost_card"),
    ],
)
def test_faults_15_16_charge_when_the_card_is_declined_then_an_answer_and_not_a_fault(method: str, code: str) -> None:
    world = World(payment(method=method))
    with pytest.raises(Declined):
        world.charge()
    outcome = answered(world.charge)
    assert outcome
    assert (outcome.status, outcome.code, world.captured) == (Status.DECLINED, code, 0)


def test_fault_17_charge_when_authentication_is_needed_then_requires_action() -> None:
    outcome = answered(World(payment(method="pm_card_authenticationRequired")).charge)
    assert outcome
    assert outcome.status is Status.REQUIRES_ACTION


@pytest.mark.parametrize("other", [Money(1, "USD"), Money(9999, "EUR")])
def test_fault_18_charge_when_the_gateway_reports_other_money_then_held_for_review(other: Money) -> None:
    world = World()
    world.gateway.fail(Fault(FaultKind.ALTERED, money=other))
    outcome = answered(world.charge)
    assert outcome
    held = record("pay_1", outcome, store=world.store, clock=world.clock)
    assert (held.status, held.code) == (Status.IN_REVIEW, "amount_differs")
    assert held.gateway_reference


def test_charge_when_the_payment_has_its_outcome_then_the_gateway_is_left_alone() -> None:
    world = World()
    record("pay_1", world.charge(), store=world.store, clock=world.clock)
    again = world.charge(gateway=object())
    assert (again.status, again.gateway_reference) == (Status.SUCCEEDED, world.now.gateway_reference)


@pytest.mark.parametrize(
    ("customer", "method"), [("c1", "pm_card_mastercard"), ("c2", "pm_card_visa"), ("", "pm_card_visa")]
)
def test_charge_when_no_method_is_named_then_the_default_is_kept_with_the_intent(customer: str, method: str) -> None:
    world = World(payment(method="", customer_id=customer))
    assert world.charge().status is Status.SUCCEEDED
    assert world.now.payment_method == method
