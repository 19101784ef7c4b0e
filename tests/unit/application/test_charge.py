"""Charging, in our own state. The gateway's behaviour is in tests/contract."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from fakes.customers import MemoryCustomerStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.gateway import Fault, FaultKind, MemoryGateway
from fakes.payments import MemoryPaymentStore
from fakes.tokens import MemoryTokenStore
from payments.application.charge import MOST_VERSIONS, Charging, may_call_gateway
from payments.application.record import record
from payments.application.sealed_payments import opened
from payments.application.validate import PaymentMethods
from payments.domain.clock import iso
from payments.domain.customer import Customer
from payments.domain.errors import (
    AttemptDeclined,
    Declined,
    InvalidPayment,
    Misconfigured,
    NotSent,
    OutcomeUnknown,
    PaymentError,
    RateLimited,
    RequiresAction,
)
from payments.domain.money import Money
from payments.domain.outcome import Outcome, answered
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge
from payments.ports.payment_store import VersionConflict
from tests.unit.builders import NOON, FixedClock, after, payment
from tests.unit.charge_lists import charge_list, read_the_list

STEP_UP = "pm_card_threeDSecure2Required"


class ChargeScenario:
    """A payment, its store and a gateway whose search lags."""

    def __init__(self, row: Payment | None = None, *, search_lag: timedelta = timedelta(0)) -> None:
        self.clock = FixedClock()
        self.gateway = MemoryGateway(self.clock, search_lag=search_lag)
        self.store = MemoryPaymentStore()
        self.row = row or payment()
        self.store.create(self.row)
        self.timeouts = RecoveryTimeouts()
        self.encryptor = MemoryFieldEncryptor()

    def charge(
        self,
        gateway: Any = None,
        *,
        seen: Payment | None = None,
        reconcile: bool = False,
        environment_id: str = "0123456789abcdef",
        keep: Callable[[str], object] = lambda reference: None,
    ) -> Outcome:
        """Charge the current row, or the row as it was `seen` before."""
        customers = MemoryCustomerStore(Customer("c1", default_payment_method="pm_card_mastercard"))
        methods = PaymentMethods(customers, "pm_card_visa", MemoryTokenStore(), self.clock)
        charging = Charging(
            gateway or self.gateway,
            methods,
            self.store,
            self.clock,
            self.timeouts,
            environment_id=environment_id,
            keep=keep,
        )
        return charging.charge(opened(seen or self.now, self.encryptor), reconcile=reconcile)

    def read_the_list(self) -> bool:
        """Read the gateway's list, as recovery does. False if it cannot answer yet."""
        return read_the_list(charge_list(self.gateway, self.store, self.encryptor, self.clock), self.now)

    def finish(self, *, reconcile: bool = False) -> Payment:
        """Charge and record, as the workflow does; gives the row."""
        outcome = answered(lambda: self.charge(reconcile=reconcile))
        assert outcome
        return record(self.row.payment_id, outcome, store=self.store, clock=self.clock)

    def become(self, *statuses: Status, **changes: Any) -> None:
        """Move the row through `statuses`."""
        self.store.rows[self.row.payment_id] = after(self.now, *statuses, at=self.clock(), **changes)

    @property
    def now(self) -> Payment:
        return self.store.rows[self.row.payment_id]

    @property
    def captured(self) -> int:
        return len(self.gateway.captured)


class Refusing:
    """The same gateway over a failing connection: it refuses our charge, and `meanwhile` runs before that."""

    name = "memory"

    def __init__(self, gateway: MemoryGateway, error: Exception, meanwhile: Callable[[], object] = lambda: None):
        self.find = gateway.find
        self._error = error
        self._meanwhile = meanwhile

    def charge(self, request: ChargeRequest) -> GatewayCharge:
        self._meanwhile()
        raise self._error


BUSY = RateLimited("rate_limit", "slow down")


def unproven(kind: FaultKind) -> type[PaymentError]:
    """The error of a call that charged nothing, about a payment that an earlier call may have charged."""
    return RateLimited if kind is FaultKind.RATE_LIMITED else OutcomeUnknown


def test_charge_when_all_is_well_then_once_and_with_a_reference() -> None:
    scenario = ChargeScenario()
    outcome = scenario.charge()
    assert (outcome.status, outcome.gateway, scenario.captured) == (Status.SUCCEEDED, "memory", 1)
    assert outcome.gateway_reference


def test_charge_writes_its_intent_before_it_calls_the_gateway() -> None:
    scenario = ChargeScenario()

    class Looks(MemoryGateway):
        def charge(self, request: ChargeRequest) -> GatewayCharge:
            seen = scenario.now
            assert (seen.status, seen.attempts) == (Status.PROCESSING, 1)
            assert seen.attempted_at
            return super().charge(request)

    assert scenario.charge(Looks(scenario.clock)).status is Status.SUCCEEDED


def test_charge_leaves_the_due_time_as_it_is_although_time_passes() -> None:
    """Each move in the index `by-due` is two more write units of every payment."""
    scenario = ChargeScenario()
    fixed = scenario.clock
    due: list[Any] = []

    class Looks(MemoryGateway):
        def charge(self, request: ChargeRequest) -> GatewayCharge:
            due.append(scenario.timeouts.due(scenario.now, fixed()))
            return super().charge(request)

    def ticking() -> datetime:
        fixed.wait(timedelta(milliseconds=1))
        return fixed()

    scenario.clock = ticking  # type: ignore[assignment]
    outcome = scenario.charge(Looks(fixed))
    succeeded = record(scenario.row.payment_id, outcome, store=scenario.store, clock=ticking)
    assert scenario.timeouts.due(succeeded, fixed()) == due[0]


def test_charge_when_the_intent_cannot_be_written_then_nothing_is_sent() -> None:
    scenario = ChargeScenario()

    class Raced(MemoryPaymentStore):
        def save(self, payment: Payment) -> None:
            raise VersionConflict("another was faster")

    raced = Raced()
    raced.rows = scenario.store.rows
    scenario.store = raced
    with pytest.raises(VersionConflict):
        scenario.charge()
    assert scenario.captured == 0


@pytest.mark.fault(57)
def test_charge_repeats_the_form_of_the_first_request() -> None:
    scenario = ChargeScenario()
    lost(scenario, FaultKind.ANSWER_LOST)
    assert scenario.now.environment_id == "0123456789abcdef"
    scenario.store.rows["pay_1"] = replace(scenario.now, gateway_customer="cus_1", off_session=True)

    class Sent(MemoryGateway):
        def find(self, payment_id: str, reference: str = "", *, environment_id: str = "") -> GatewayCharge | None:
            return None

        def charge(self, request: ChargeRequest) -> GatewayCharge:
            requests.append(request)
            return super().charge(request)

    requests: list[ChargeRequest] = []
    scenario.charge(Sent(scenario.clock), environment_id="changed")
    [request] = requests
    assert (request.key, request.customer, request.off_session) == ("0123456789abcdef:pay_1", "cus_1", True)


@pytest.mark.fault(10)
def test_repeated_send_that_is_refused_with_no_charge_named_stays_open() -> None:
    scenario = ChargeScenario(search_lag=NEVER_SHOWN)
    lost(scenario, FaultKind.ANSWER_LOST)
    other_account = Declined("invalid_payment_method", "the gateway does not know the payment method")
    with pytest.raises(OutcomeUnknown):
        scenario.charge(Refusing(scenario.gateway, other_account))
    assert scenario.now.status is Status.PROCESSING
    assert scenario.captured == 1


@pytest.mark.fault(57)
def test_payment_held_before_it_was_sent_adopts_no_charge_of_its_id() -> None:
    scenario = ChargeScenario()
    scenario.gateway.charge(ChargeRequest("pay_1", scenario.row.money, "pm_card_visa"))  # of another environment
    scenario.become(Status.IN_REVIEW)
    assert scenario.finish(reconcile=True).status is Status.IN_REVIEW
    assert scenario.now.gateway_reference == ""


@pytest.mark.fault(57)
@pytest.mark.parametrize("status", [Status.PENDING, Status.PROCESSING])
def test_charge_keeps_the_form_without_an_environment_of_a_row_sent_before(status: Status) -> None:
    scenario = ChargeScenario(replace(payment(), attempts=1, attempted_at=iso(NOON)))
    if status is Status.PROCESSING:
        scenario.become(status)
    scenario.charge()
    assert scenario.now.environment_id == ""
    assert scenario.gateway.find("pay_1", environment_id="") is not None


@pytest.mark.fault(8)
def test_charge_after_a_crash_before_the_call_charges_once() -> None:
    scenario = ChargeScenario()
    with pytest.raises(KeyboardInterrupt):
        scenario.charge(Refusing(scenario.gateway, KeyboardInterrupt()))  # type: ignore[arg-type]
    assert (scenario.now.status, scenario.captured) == (Status.PROCESSING, 0)
    assert scenario.finish().status is Status.SUCCEEDED
    assert (scenario.captured, scenario.now.attempts) == (1, 2)


@pytest.mark.fault(9)
def test_charge_after_an_unrecorded_charge_finds_it_again() -> None:
    scenario = ChargeScenario()
    first = scenario.charge()  # the function crashes here: nothing is recorded
    again = scenario.charge()
    assert again == first
    assert scenario.captured == 1


@pytest.mark.fault(10)
def test_charge_with_a_lost_answer_is_unknown_and_a_retry_finds_it() -> None:
    scenario = ChargeScenario()
    scenario.gateway.fail(Fault(FaultKind.ANSWER_LOST))
    with pytest.raises(OutcomeUnknown):
        scenario.charge()
    assert scenario.now.status is Status.PROCESSING
    assert scenario.charge().status is Status.SUCCEEDED
    assert scenario.captured == 1


@pytest.mark.fault(11)
@pytest.mark.parametrize("executes", [True, False])
def test_charge_when_a_500_is_replayed_then_it_stays_unknown_until_found(executes: bool) -> None:
    scenario = ChargeScenario()
    scenario.gateway.fail(Fault(FaultKind.SERVER_ERROR, executes=executes))
    with pytest.raises(OutcomeUnknown):
        scenario.charge()
    if executes:
        assert scenario.charge().status is Status.SUCCEEDED
    else:
        with pytest.raises(OutcomeUnknown):
            scenario.charge()
    assert scenario.captured == int(executes)


@pytest.mark.fault(12, 14, 19)
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FaultKind.RATE_LIMITED, RateLimited),
        (FaultKind.NOT_SENT, NotSent),
        (FaultKind.UNAUTHORIZED, Misconfigured),
    ],
)
def test_charge_provably_not_made_is_pending_and_a_retry_charges_once(kind: FaultKind, error: type[Exception]) -> None:
    scenario = ChargeScenario()
    scenario.gateway.fail(Fault(kind))
    with pytest.raises(error):
        scenario.charge()
    assert scenario.now.status is Status.PENDING
    assert scenario.charge().status is Status.SUCCEEDED
    assert (scenario.captured, scenario.now.attempts) == (1, 2)


@pytest.mark.parametrize("kind", [FaultKind.RATE_LIMITED, FaultKind.NOT_SENT, FaultKind.UNAUTHORIZED])
def test_charge_refused_after_a_possible_earlier_charge_is_unknown(kind: FaultKind) -> None:
    scenario = ChargeScenario()
    scenario.gateway.fail(Fault(FaultKind.ANSWER_LOST))
    with pytest.raises(OutcomeUnknown):
        scenario.charge()
    scenario.gateway.fail(Fault(kind))
    with pytest.raises(unproven(kind)):
        scenario.charge()
    assert scenario.now.status is Status.PROCESSING
    assert scenario.charge().status is Status.SUCCEEDED
    assert scenario.captured == 1


@pytest.mark.parametrize("kind", [FaultKind.RATE_LIMITED, FaultKind.NOT_SENT, FaultKind.UNAUTHORIZED])
def test_charge_refused_while_search_misses_the_earlier_call_is_unknown(
    kind: FaultKind,
) -> None:
    scenario = ChargeScenario(search_lag=timedelta(minutes=1))
    scenario.gateway.fail(Fault(FaultKind.ANSWER_LOST))
    with pytest.raises(OutcomeUnknown):
        scenario.charge()
    scenario.gateway.fail(Fault(kind, call="charge"))
    with pytest.raises(unproven(kind)):
        scenario.charge()
    assert scenario.now.status is Status.PROCESSING
    assert scenario.charge().status is Status.SUCCEEDED
    assert scenario.captured == 1


def test_charge_request_refused_by_the_gateway_is_recorded_as_rejected() -> None:
    scenario = ChargeScenario()

    class Refuses(MemoryGateway):
        def charge(self, request: ChargeRequest) -> GatewayCharge:
            raise InvalidPayment("request_refused", "the gateway cannot take this request")

    outcome = answered(lambda: scenario.charge(Refuses(scenario.clock)))
    assert outcome
    assert record("pay_1", outcome, store=scenario.store, clock=scenario.clock).status is Status.REJECTED


@pytest.mark.fault(15, 16)
@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedLostCard", "lost_card"),
    ],
)
def test_charge_when_the_card_is_declined_then_an_answer_and_not_a_fault(method: str, code: str) -> None:
    scenario = ChargeScenario(payment(method=method))
    with pytest.raises(Declined):
        scenario.charge()
    outcome = answered(scenario.charge)
    assert outcome
    assert (outcome.status, outcome.code, scenario.captured) == (Status.DECLINED, code, 0)


# Declined only once nothing can pay the charge any more --------------------------------------------------------------

LOST_CARD = "pm_card_chargeDeclinedLostCard"


class Canceling:
    """The gateway, where something happens right before each cancel."""

    name = "memory"

    def __init__(self, gateway: MemoryGateway, meanwhile: Callable[[str], object]) -> None:
        self.charge, self.find = gateway.charge, gateway.find
        self._gateway = gateway
        self._meanwhile = meanwhile

    def cancel(self, reference: str) -> bool:
        self._meanwhile(reference)
        return self._gateway.cancel(reference)


@pytest.mark.fault(58)
def test_charge_declines_only_after_the_charge_is_canceled() -> None:
    scenario = ChargeScenario(payment(method=LOST_CARD))
    declined = scenario.finish()
    assert (declined.status, declined.code) == (Status.DECLINED, "lost_card")
    assert not scenario.gateway.pay_again(declined.gateway_reference)
    assert scenario.captured == 0


@pytest.mark.fault(58)
def test_charge_paid_with_another_card_before_the_cancel_succeeds() -> None:
    scenario = ChargeScenario(payment(method=LOST_CARD))
    outcome = scenario.charge(Canceling(scenario.gateway, scenario.gateway.pay_again))
    assert (outcome.status, scenario.captured) == (Status.SUCCEEDED, 1)


@pytest.mark.fault(58)
@pytest.mark.parametrize("executes", [True, False])
@pytest.mark.parametrize(
    "kind", [FaultKind.ANSWER_LOST, FaultKind.SERVER_ERROR, FaultKind.NOT_SENT, FaultKind.UNAUTHORIZED]
)
def test_charge_with_a_failed_cancel_keeps_its_decline_for_later(kind: FaultKind, executes: bool) -> None:
    scenario = ChargeScenario(payment(method=LOST_CARD))
    scenario.gateway.fail(Fault(kind, call="cancel", executes=executes))
    with pytest.raises(OutcomeUnknown):
        scenario.charge()
    assert scenario.now.status is Status.PROCESSING
    assert (scenario.finish().status, scenario.now.code) == (Status.DECLINED, "lost_card")


@pytest.mark.fault(58)
def test_charge_after_a_crash_after_the_cancel_keeps_the_code() -> None:
    """The repeated request replays the decline, and the gateway refuses a second cancel."""
    scenario = ChargeScenario(payment(method=LOST_CARD), search_lag=timedelta(days=1))
    with pytest.raises(Declined):
        scenario.charge()  # nothing is recorded
    assert (scenario.finish().status, scenario.now.code) == (Status.DECLINED, "lost_card")


@pytest.mark.fault(58)
def test_charge_that_names_no_charge_to_cancel_stays_unknown() -> None:
    scenario = ChargeScenario()
    with pytest.raises(OutcomeUnknown):
        scenario.charge(Refusing(scenario.gateway, AttemptDeclined("card_declined", "the card was declined")))
    assert scenario.now.status is Status.PROCESSING


@pytest.mark.fault(58)
def test_charge_that_the_gateway_does_not_cancel_stays_unknown() -> None:
    scenario = ChargeScenario(payment(method=LOST_CARD))

    class Refuses(MemoryGateway):
        def cancel(self, reference: str) -> bool:
            return False

    with pytest.raises(OutcomeUnknown) as caught:
        scenario.charge(Refuses(scenario.clock))
    assert (caught.value.code, bool(caught.value.gateway_reference)) == ("not_canceled", True)


@pytest.mark.fault(58)
def test_charge_keeps_the_reference_before_it_cancels() -> None:
    scenario = ChargeScenario(payment(method=LOST_CARD))
    kept: list[str] = []
    seen: list[list[str]] = []
    with pytest.raises(Declined):
        scenario.charge(Canceling(scenario.gateway, lambda _: seen.append(list(kept))), keep=kept.append)
    assert seen == [["mem_1"]]


@pytest.mark.fault(58)
def test_requires_action_without_an_error_waits_for_its_customer() -> None:
    scenario = waiting_for_the_customer()
    reference = scenario.now.gateway_reference
    scenario.gateway.finish(reference, well=False)
    scenario.gateway.update(reference)
    assert scenario.finish().status is Status.REQUIRES_ACTION
    scenario.gateway.pay_again(reference)
    assert (scenario.finish().status, scenario.captured) == (Status.SUCCEEDED, 1)


@pytest.mark.fault(17)
def test_charge_when_authentication_is_needed_then_requires_action() -> None:
    outcome = answered(ChargeScenario(payment(method="pm_card_authenticationRequired")).charge)
    assert outcome
    assert outcome.status is Status.REQUIRES_ACTION


@pytest.mark.fault(18)
@pytest.mark.parametrize("other", [Money(1, "USD"), Money(9999, "EUR")])
def test_charge_when_the_gateway_reports_other_money_then_held_for_review(other: Money) -> None:
    scenario = ChargeScenario()
    scenario.gateway.fail(Fault(FaultKind.ALTERED, money=other))
    outcome = answered(scenario.charge)
    assert outcome
    held = record("pay_1", outcome, store=scenario.store, clock=scenario.clock)
    assert (held.status, held.code) == (Status.IN_REVIEW, "amount_differs")
    assert held.gateway_reference


def test_charge_of_a_payment_with_an_outcome_does_not_call_the_gateway() -> None:
    scenario = ChargeScenario()
    record("pay_1", scenario.charge(), store=scenario.store, clock=scenario.clock)
    again = scenario.charge(gateway=object())
    assert (again.status, again.gateway_reference) == (Status.SUCCEEDED, scenario.now.gateway_reference)


@pytest.mark.parametrize(
    ("customer", "method"), [("c1", "pm_card_mastercard"), ("c2", "pm_card_visa"), ("", "pm_card_visa")]
)
def test_charge_without_a_named_method_stores_the_default_with_the_intent(customer: str, method: str) -> None:
    scenario = ChargeScenario(payment(method="", customer_id=customer))
    assert scenario.charge().status is Status.SUCCEEDED
    assert scenario.now.payment_method == method


# The fence: two attempts at a time ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [False, True], ids=["charged", "answer-lost"])
def test_charge_refused_after_another_attempt_sent_is_unknown_not_pending(lost: bool) -> None:
    scenario = ChargeScenario(search_lag=timedelta(minutes=1))
    if lost:
        scenario.gateway.fail(Fault(FaultKind.ANSWER_LOST, call="charge"))

    def another() -> None:
        assert scenario.now.status is Status.PROCESSING
        if lost:
            with pytest.raises(OutcomeUnknown):
                scenario.charge()
        else:
            assert scenario.charge().status is Status.SUCCEEDED

    with pytest.raises(RateLimited):
        scenario.charge(Refusing(scenario.gateway, BUSY, meanwhile=another))
    assert scenario.now.status is Status.PROCESSING
    assert scenario.finish().status is Status.SUCCEEDED
    assert scenario.captured == 1
    assert Status.PENDING not in [change.status for change in scenario.now.history[1:]]


def test_charge_when_two_saw_the_payment_pending_then_one_sends() -> None:
    scenario = ChargeScenario()
    seen = scenario.now
    scenario.charge()
    with pytest.raises(VersionConflict):
        scenario.charge(Refusing(scenario.gateway, AssertionError("sent")), seen=seen)
    assert scenario.captured == 1


def test_charge_sends_nothing_when_the_intent_it_saw_is_withdrawn() -> None:
    scenario = ChargeScenario()
    intents: list[Payment] = []
    with pytest.raises(RateLimited):
        scenario.charge(Refusing(scenario.gateway, BUSY, meanwhile=lambda: intents.append(scenario.now)))
    with pytest.raises(VersionConflict):
        scenario.charge(seen=intents[0])
    assert (scenario.now.status, scenario.captured) == (Status.PENDING, 0)


@pytest.mark.parametrize(("status", "ends_in"), [(Status.PENDING, Status.FAILED), (Status.PROCESSING, Status.UNKNOWN)])
def test_charge_of_a_row_with_too_many_versions_is_not_sent(status: Status, ends_in: Status) -> None:
    scenario = ChargeScenario(replace(after(payment(), Status.PROCESSING, status), version=MOST_VERSIONS))
    row = scenario.finish()
    assert (row.status, row.code, scenario.captured) == (ends_in, "too_many_attempts", 0)


def test_charge_of_a_row_just_below_the_most_versions_is_sent() -> None:
    scenario = ChargeScenario(replace(payment(), version=MOST_VERSIONS - 1))
    assert (scenario.finish().status, scenario.captured) == (Status.SUCCEEDED, 1)


def test_charge_at_the_most_versions_still_finds_an_earlier_charge() -> None:
    scenario = ChargeScenario(replace(payment(), version=MOST_VERSIONS - 1))
    scenario.charge()
    assert (scenario.now.version, scenario.finish().status) == (MOST_VERSIONS, Status.SUCCEEDED)
    assert scenario.captured == 1


# Unknown: only the gateway's answer ends it -------------------------------------------------------------------------


@pytest.mark.fault(11)
def test_unknown_when_found_then_its_outcome() -> None:
    scenario = ChargeScenario()
    scenario.gateway.fail(Fault(FaultKind.SERVER_ERROR))
    with pytest.raises(OutcomeUnknown):
        scenario.charge()
    scenario.become(Status.UNKNOWN)
    assert scenario.finish().status is Status.SUCCEEDED
    assert scenario.captured == 1


@pytest.mark.fault(11)
def test_unknown_payment_not_found_fails_only_after_the_proof_time() -> None:
    scenario = ChargeScenario()
    scenario.gateway.fail(Fault(FaultKind.SERVER_ERROR, executes=False))
    with pytest.raises(OutcomeUnknown):
        scenario.charge()
    scenario.become(Status.UNKNOWN)
    scenario.clock.wait(scenario.timeouts.proof - timedelta(seconds=5))
    assert not scenario.read_the_list()
    assert scenario.finish().status is Status.UNKNOWN
    scenario.clock.wait(timedelta(seconds=5))
    assert scenario.read_the_list()
    assert (scenario.finish().status, scenario.now.code) == (Status.FAILED, "not_charged")
    assert scenario.captured == 0


def lost(scenario: ChargeScenario, kind: FaultKind = FaultKind.SERVER_ERROR, *, executes: bool = True) -> None:
    """The charge step gets no answer."""
    scenario.gateway.fail(Fault(kind, call="charge", executes=executes))
    with pytest.raises(OutcomeUnknown):
        scenario.charge()


NEVER_SHOWN = timedelta(days=365)
"""A search that lags without bound."""


@pytest.mark.fault(55)
@pytest.mark.parametrize(("early", "status"), [(True, Status.SUCCEEDED), (False, Status.UNKNOWN)])
def test_charge_sends_nothing_again_23_hours_after_the_first_send(early: bool, status: Status) -> None:
    scenario = ChargeScenario(search_lag=NEVER_SHOWN)
    lost(scenario, FaultKind.ANSWER_LOST)
    for _ in range(3):  # later attempts do not prolong it
        scenario.clock.wait(timedelta(hours=7))
        lost(scenario, FaultKind.ANSWER_LOST)
    scenario.clock.wait(timedelta(hours=2) - timedelta(minutes=early))
    sent = scenario.now.attempts
    assert scenario.finish().status is status
    assert (scenario.now.attempts, scenario.captured) == (sent + early, 1)


@pytest.mark.fault(55)
def test_charge_too_late_to_send_again_is_settled_by_the_list() -> None:
    scenario = ChargeScenario(search_lag=NEVER_SHOWN)
    lost(scenario)
    scenario.clock.wait(timedelta(hours=30))
    assert (scenario.finish().status, scenario.now.code) == (Status.UNKNOWN, "too_late_to_send_again")
    scenario.clock.wait(scenario.timeouts.proof)
    assert scenario.read_the_list()
    assert scenario.finish().status is Status.SUCCEEDED
    assert scenario.captured == 1


@pytest.mark.fault(11)
def test_unknown_when_found_then_nothing_is_ever_sent_again() -> None:
    scenario = ChargeScenario()
    scenario.become(Status.PROCESSING, Status.UNKNOWN)
    scenario.clock.wait(timedelta(days=2))
    assert scenario.read_the_list()
    scenario.finish()
    assert (scenario.now.status, scenario.captured) == (Status.FAILED, 0)


@pytest.mark.fault(11)
@pytest.mark.parametrize("kind", [FaultKind.RATE_LIMITED, FaultKind.NOT_SENT, FaultKind.UNAUTHORIZED])
def test_unknown_when_the_gateway_cannot_be_asked_then_that_proves_nothing(kind: FaultKind) -> None:
    scenario = ChargeScenario()
    scenario.become(Status.PROCESSING, Status.UNKNOWN)
    scenario.clock.wait(timedelta(days=2))
    scenario.gateway.fail(Fault(kind))
    with pytest.raises(unproven(kind)):
        scenario.charge()


def test_unknown_when_the_charge_was_declined_then_declined() -> None:
    scenario = ChargeScenario(payment(method="pm_card_chargeDeclinedLostCard"))
    scenario.gateway.fail(Fault(FaultKind.ANSWER_LOST))
    with pytest.raises(OutcomeUnknown):
        scenario.charge()
    scenario.become(Status.UNKNOWN)
    assert (scenario.finish().status, scenario.now.code) == (Status.DECLINED, "lost_card")


@pytest.mark.fault(20)
@pytest.mark.parametrize("status", [Status.PROCESSING, Status.UNKNOWN])
def test_charge_replayed_after_25_hours_asks_the_gateway_first(status: Status) -> None:
    scenario = ChargeScenario()
    scenario.gateway.fail(Fault(FaultKind.ANSWER_LOST))
    with pytest.raises(OutcomeUnknown):
        scenario.charge()
    if status is Status.UNKNOWN:
        scenario.become(Status.UNKNOWN)
    scenario.clock.wait(timedelta(hours=25))  # the key is forgotten: sending would charge again
    assert scenario.finish().status is Status.SUCCEEDED
    assert scenario.captured == 1


@pytest.mark.fault(10)
def test_charge_when_the_search_lags_then_the_key_keeps_it_at_one_charge() -> None:
    scenario = ChargeScenario(search_lag=timedelta(minutes=1))
    scenario.gateway.fail(Fault(FaultKind.ANSWER_LOST))
    with pytest.raises(OutcomeUnknown):
        scenario.charge()
    assert scenario.gateway.find("pay_1") is None
    assert scenario.finish().status is Status.SUCCEEDED
    assert scenario.captured == 1


# Authentication -----------------------------------------------------------------------------------------------------


def waiting_for_the_customer() -> ChargeScenario:
    scenario = ChargeScenario(payment(method=STEP_UP))
    assert scenario.finish().status is Status.REQUIRES_ACTION
    return scenario


@pytest.mark.fault(17)
def test_requires_action_when_the_customer_authenticated_then_succeeded() -> None:
    scenario = waiting_for_the_customer()
    scenario.gateway.finish(scenario.now.gateway_reference, well=True)
    assert scenario.finish().status is Status.SUCCEEDED
    assert scenario.captured == 1


@pytest.mark.fault(17)
def test_requires_action_when_the_customer_takes_their_time_then_it_stays() -> None:
    scenario = waiting_for_the_customer()
    scenario.clock.wait(scenario.timeouts.authentication - timedelta(seconds=5))
    with pytest.raises(RequiresAction):
        scenario.charge()
    version = scenario.now.version
    assert scenario.finish().version == version
    assert len(scenario.gateway.waiting("requires_action")) == 1


@pytest.mark.fault(17)
def test_requires_action_when_abandoned_then_cancelled_and_declined() -> None:
    scenario = waiting_for_the_customer()
    scenario.clock.wait(scenario.timeouts.authentication)
    assert (scenario.finish().status, scenario.now.code) == (Status.DECLINED, "authentication_abandoned")
    scenario.gateway.finish(scenario.now.gateway_reference, well=True)
    assert scenario.captured == 0


@pytest.mark.fault(17)
def test_requires_action_with_failed_authentication_declines_and_cancels() -> None:
    scenario = waiting_for_the_customer()
    reference = scenario.now.gateway_reference
    scenario.gateway.finish(reference, well=False)
    assert scenario.finish().status is Status.DECLINED
    assert scenario.now.code == "payment_intent_authentication_failure"
    assert [charge.reference for charge in scenario.gateway.waiting("canceled")] == [reference]


@pytest.mark.fault(17)
def test_requires_action_completed_just_before_the_cancel_succeeds() -> None:
    scenario = waiting_for_the_customer()

    class LastSecond(MemoryGateway):
        def cancel(self, reference: str) -> bool:
            scenario.gateway.finish(reference, well=True)
            return scenario.gateway.cancel(reference)

    late = LastSecond(scenario.clock)
    late.find = scenario.gateway.find  # type: ignore[method-assign]
    scenario.clock.wait(scenario.timeouts.authentication)
    assert scenario.charge(late).status is Status.SUCCEEDED
    assert scenario.captured == 1


@pytest.mark.fault(17)
@pytest.mark.parametrize("kind", [FaultKind.RATE_LIMITED, FaultKind.NOT_SENT, FaultKind.ANSWER_LOST])
def test_requires_action_with_a_failed_cancel_is_not_yet_declined(kind: FaultKind) -> None:
    scenario = waiting_for_the_customer()
    scenario.clock.wait(scenario.timeouts.authentication)
    scenario.gateway.fail(Fault(kind, call="cancel"))
    with pytest.raises(unproven(kind)):
        scenario.charge()
    assert scenario.finish().status is Status.DECLINED


# What the gateway says, and this code does not know ------------------------------------------------------------------


@pytest.mark.parametrize("status", ["requires_capture", "requires_confirmation", "expired"])
def test_charge_with_an_unknown_status_keeps_the_reference_and_stays_open(status: str) -> None:
    scenario = ChargeScenario()
    scenario.gateway.fail(Fault(FaultKind.ALTERED, status=status, times=2))
    with pytest.raises(OutcomeUnknown) as first:
        scenario.charge()
    assert (first.value.gateway_reference, scenario.now.status) == ("mem_1", Status.PROCESSING)
    scenario.become(Status.UNKNOWN, gateway_reference="mem_1")
    with pytest.raises(OutcomeUnknown, match=status):
        scenario.charge()
    assert scenario.finish().status is Status.SUCCEEDED
    assert scenario.captured == 1


def test_charge_with_several_captured_charges_is_held_until_one_is_left() -> None:
    scenario = ChargeScenario()
    request = ChargeRequest("pay_1", scenario.row.money, "pm_card_visa", environment_id="0123456789abcdef")
    first = scenario.gateway.charge(request)
    scenario.clock.wait(timedelta(hours=25))
    second = scenario.gateway.charge(request)
    scenario.become(Status.PROCESSING, environment_id=request.environment_id, attempts=1)
    held = scenario.finish()
    assert (held.status, held.code, held.gateway_reference) == (Status.IN_REVIEW, "several_charges", first.reference)
    assert scenario.finish(reconcile=True).status is Status.IN_REVIEW
    scenario.gateway.refund(first.reference, scenario.row.money.minor_units)
    ended = scenario.finish(reconcile=True)
    assert (ended.status, ended.gateway_reference) == (Status.SUCCEEDED, second.reference)


# Queries on request --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "status"), [(1000, Status.PARTIALLY_REFUNDED), (9999, Status.REFUNDED)])
def test_charge_when_asked_about_a_refunded_payment_then_the_row_follows(part: int, status: Status) -> None:
    scenario = ChargeScenario()
    scenario.gateway.refund(scenario.finish().gateway_reference, part)
    assert scenario.finish().status is Status.SUCCEEDED  # no query was requested
    assert scenario.finish(reconcile=True).status is status
    assert scenario.captured == 1


def test_charge_reconciling_a_payment_in_review_follows_the_gateway() -> None:
    scenario = ChargeScenario()
    scenario.gateway.fail(Fault(FaultKind.ALTERED, money=Money(1, "USD")))
    assert scenario.finish().status is Status.IN_REVIEW
    assert scenario.finish().status is Status.IN_REVIEW  # no query was requested
    assert scenario.finish(reconcile=True).status is Status.SUCCEEDED


def test_charge_reconciling_a_full_refund_in_review_ends_the_conflict() -> None:
    scenario = ChargeScenario()
    scenario.gateway.fail(Fault(FaultKind.ALTERED, money=Money(1, "USD")))
    held = scenario.finish()
    scenario.gateway.refund(held.gateway_reference, scenario.row.money.minor_units)
    scenario.gateway.fail(Fault(FaultKind.ALTERED, money=Money(1, "USD")))  # it still reports the other amount
    ended = scenario.finish(reconcile=True)
    assert [change.status for change in ended.history][-3:] == [Status.IN_REVIEW, Status.SUCCEEDED, Status.REFUNDED]


PATHS: dict[Status, tuple[Status, ...]] = {
    Status.PENDING: (),
    Status.REJECTED: (Status.REJECTED,),
    Status.PROCESSING: (Status.PROCESSING,),
    **{
        status: (Status.PROCESSING, status)
        for status in (Status.REQUIRES_ACTION, Status.IN_REVIEW, Status.UNKNOWN, Status.DECLINED, Status.FAILED)
    },
    Status.SUCCEEDED: (Status.PROCESSING, Status.SUCCEEDED),
    **{
        status: (Status.PROCESSING, Status.SUCCEEDED, status)
        for status in (Status.PARTIALLY_REFUNDED, Status.REFUNDED, Status.DISPUTED)
    },
    Status.DISPUTE_LOST: (Status.PROCESSING, Status.SUCCEEDED, Status.DISPUTED, Status.DISPUTE_LOST),
}


@pytest.mark.parametrize("reconcile", [False, True])
@pytest.mark.parametrize("status", Status)
def test_may_call_gateway_when_charge_calls_it_then_true_and_else_false(status: Status, reconcile: bool) -> None:
    """A slot is taken for each payment for which this returns True."""
    scenario = ChargeScenario()
    calls: list[str] = []

    class Counts(MemoryGateway):
        def charge(self, request: ChargeRequest) -> GatewayCharge:
            calls.append("charge")
            return super().charge(request)

        def find(self, payment_id: str, reference: str = "", *, environment_id: str = "") -> GatewayCharge | None:
            calls.append("find")
            return None

    if PATHS[status]:
        scenario.become(*PATHS[status])
    expected = may_call_gateway(scenario.now, reconcile=reconcile)
    with suppress(OutcomeUnknown):  # it finds no charge
        scenario.charge(Counts(scenario.clock), reconcile=reconcile)
    assert bool(calls) == expected


# Saved cards ---------------------------------------------------------------------------------------------------------


class SavedCardScenario(ChargeScenario):
    """A payment of a customer who has saved a card, and what was sent for it."""

    def __init__(self, **more: Any) -> None:
        super().__init__(replace(payment(method="", customer_id="c1"), **more))
        self.customers = MemoryCustomerStore(
            Customer("c1", default_payment_method="pm_card_visa", gateway_customer="cus_stripe")
        )
        self.sent: list[ChargeRequest] = []

    def charge(self, *_: Any, **__: Any) -> Outcome:
        """Charge the current row at a gateway that records what it was sent."""
        methods = PaymentMethods(self.customers, "pm_card_visa", MemoryTokenStore(), self.clock)
        return Charging(Recording(self), methods, self.store, self.clock, self.timeouts).charge(self.now)


class Recording:
    """The scenario's gateway. It keeps each request for a charge."""

    def __init__(self, scenario: SavedCardScenario) -> None:
        self._scenario = scenario

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scenario.gateway, name)

    def charge(self, request: ChargeRequest) -> GatewayCharge:
        """Charge at the gateway."""
        self._scenario.sent.append(request)
        return self._scenario.gateway.charge(request)


@pytest.mark.fault(52)
@pytest.mark.parametrize("off_session", [True, False])
def test_saved_card_is_charged_with_its_customer_at_the_gateway(off_session: bool) -> None:
    scenario = SavedCardScenario(off_session=off_session)
    assert scenario.finish().status is Status.SUCCEEDED
    [sent] = scenario.sent
    assert (sent.payment_method, sent.customer, sent.off_session) == ("pm_card_visa", "cus_stripe", off_session)
    assert scenario.now.gateway_customer == "cus_stripe"


def test_customer_is_repeated_verbatim_after_it_changed() -> None:
    """Another customer, or none, would be another request under the same key."""
    scenario = SavedCardScenario(off_session=True)
    scenario.gateway.fail(Fault(FaultKind.ANSWER_LOST, call="charge"))
    with pytest.raises(OutcomeUnknown):
        scenario.charge()
    scenario.gateway.fail(Fault(FaultKind.NOT_SENT, call="find"))
    scenario.customers.rows["c1"] = replace(scenario.customers.rows["c1"], gateway_customer="", version=9)
    with suppress(PaymentError):
        scenario.charge()
    assert scenario.finish().status is Status.SUCCEEDED
    assert set(map(repr, scenario.sent)) == {repr(scenario.sent[0])}
    assert len(scenario.gateway.captured) == 1


def test_customer_set_up_after_the_first_attempt_is_not_sent() -> None:
    scenario = SavedCardScenario()
    saved = scenario.customers.rows["c1"]
    scenario.customers.rows["c1"] = replace(saved, gateway_customer="")
    scenario.gateway.fail(Fault(FaultKind.NOT_SENT, call="charge"))
    with pytest.raises(NotSent):
        scenario.charge()
    scenario.customers.rows["c1"] = saved
    assert scenario.finish().status is Status.SUCCEEDED
    assert [request.customer for request in scenario.sent] == ["", ""]


def test_off_session_without_a_customer_at_the_gateway_is_not_sent() -> None:
    scenario = SavedCardScenario(off_session=True)
    scenario.customers.rows.clear()
    scenario.finish()
    assert [(request.customer, request.off_session) for request in scenario.sent] == [("", False)]


def test_return_url_is_sent_with_the_charge() -> None:
    scenario = SavedCardScenario(return_url="https://shop.example/done")
    scenario.finish()
    [sent] = scenario.sent
    assert sent.return_url == "https://shop.example/done"
    assert "shop.example" not in repr(sent)


@pytest.mark.fault(17)
@pytest.mark.parametrize("well", [True, False], ids=["confirmed again", "not authenticated"])
def test_absent_customer_whose_bank_asks_requires_action_and_can_finish(well: bool) -> None:
    scenario = SavedCardScenario(off_session=True, payment_method=STEP_UP)
    waiting = scenario.finish()
    assert (waiting.status, waiting.code) == (Status.REQUIRES_ACTION, "authentication_required")
    assert scenario.finish().status is Status.REQUIRES_ACTION  # a later query says the same
    scenario.gateway.finish(waiting.gateway_reference, well=well)
    assert scenario.finish().status is (Status.SUCCEEDED if well else Status.DECLINED)
    assert len(scenario.gateway.captured) == well


def test_absent_customer_who_never_authenticates_is_declined_and_cancelled() -> None:
    scenario = SavedCardScenario(off_session=True, payment_method=STEP_UP)
    reference = scenario.finish().gateway_reference
    scenario.clock.wait(scenario.timeouts.authentication)
    assert (scenario.finish().status, scenario.now.code) == (Status.DECLINED, "authentication_abandoned")
    assert [charge.reference for charge in scenario.gateway.waiting("canceled")] == [reference]
