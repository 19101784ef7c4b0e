"""Send a failed payment again: at most one charge, from every side."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest

from fakes.customers import MemoryCustomerStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.gateway import PAGE, Fault, FaultKind, MemoryGateway
from fakes.payments import MemoryPaymentStore
from fakes.tokens import MemoryTokenStore
from fakes.workflow import MemoryWorkflow
from payments.application.charge import Charging
from payments.application.record import record
from payments.application.retry import (
    ChargeFound,
    ListNotRead,
    NotRetryable,
    Retries,
    RetryIdTaken,
    TokenSpent,
)
from payments.application.sealed_payments import opened
from payments.application.validate import PaymentMethods
from payments.domain.errors import NotSent, OutcomeUnknown, PaymentError
from payments.domain.outcome import Outcome
from payments.domain.payment import Payment
from payments.domain.retry import RETRY_REFUSED, is_retry_of, retry_id_of
from payments.domain.sealed_fields import rewritten
from payments.domain.sealed_text import is_sealed
from payments.domain.statuses import Status
from payments.domain.token import Token
from payments.ports.payment_gateway import ChargeRequest
from payments.ports.payment_store import AlreadyExists
from tests.unit.builders import NOON, FixedClock, after, batch_payment, payment

ENVIRONMENT = "env1"


class RetryScenario:
    """A stored payment, a gateway without charges, and an empty workflow."""

    def __init__(self, row: Payment | None = None, search_lag: timedelta = timedelta(0)) -> None:
        self.clock = FixedClock()
        # ids like Stripe's are stored clear
        self.gateway = MemoryGateway(self.clock, prefix="pi_", search_lag=search_lag)
        self.encryptor = MemoryFieldEncryptor()
        self.store: Any = MemoryPaymentStore(self.encryptor)
        self.workflow = MemoryWorkflow()
        self.tokens = MemoryTokenStore()
        self.checked: list[str] = []
        self.held = False
        self.add(row or after(payment(metadata={"order": "A-17"}), Status.PROCESSING, Status.PENDING, Status.FAILED))

    def add(self, row: Payment) -> None:
        """Store a payment as it is, encrypted."""
        self.store.create(row)

    def retry(self, payment_id: str = "pay_1", at: datetime = NOON) -> Any:
        """Send a payment again."""
        retries = Retries(
            self.store,
            self.gateway,
            self.encryptor,
            self.workflow,
            ENVIRONMENT,
            check=self.checked.append,
            tokens=self.tokens,
            held=lambda _: self.held,
            clock=self.clock,
        )
        return retries.retry(payment_id, by="admin:sub", at=at, correlation_id="request-2")

    def charge(self, payment_id: str, former_of: Mapping[str, str] = MappingProxyType({})) -> Outcome:
        """Charge a payment and record its outcome."""
        methods = PaymentMethods(MemoryCustomerStore(), "", MemoryTokenStore(), self.clock)
        charging = Charging(
            self.gateway,
            methods,
            self.store,
            self.clock,
            environment_id=ENVIRONMENT,
            former_of=lambda retry_id: former_of.get(retry_id, ""),
        )
        row = opened(self.store.get(payment_id), self.encryptor)
        charging = replace(charging, row_of=lambda paid: rewritten(paid, self.encryptor.seal))
        outcome = charging.charge(row)
        record(payment_id, outcome, store=self.store, clock=self.clock)
        return outcome

    def charged_elsewhere(self, payment_id: str = "pay_1", method: str = "pm_card_visa") -> None:
        """The gateway has a charge under the payment's ids."""
        request = ChargeRequest(payment_id, self.row(payment_id).money, method, environment_id=ENVIRONMENT)
        with suppress(PaymentError):  # of a declined card, or one that must authenticate
            self.gateway.charge(request)

    def others_are_charged(self, number: int) -> None:
        """Other systems of the account charge so often within a minute."""
        begins = self.clock.now
        for other in range(number):
            self.clock.now = begins + timedelta(milliseconds=20 * other)
            self.gateway.charge(ChargeRequest(f"other_{other}", payment().money, "pm_card_visa"))

    def retry_is_known(self, payment_id: str, retry_id: str) -> bool:
        """Whether one stored payment counts as the retry of another."""
        return is_retry_of(self.row(retry_id), self.row(payment_id))

    def row(self, payment_id: str = "pay_1") -> Payment:
        """A stored payment."""
        row: Payment = self.store.rows[payment_id]
        return row


@pytest.mark.fault(90)
def test_retry_when_failed_then_stored_linked_and_started_once() -> None:
    scenario = RetryScenario()
    first, again = scenario.retry(), scenario.retry()
    assert (first.payment.payment_id, first.repeated, again.repeated) == ("pay_1_r2", False, True)
    assert again.payment == scenario.row("pay_1_r2")
    assert scenario.row().retried_as == "pay_1_r2"
    assert scenario.row("pay_1_r2").retry_of == "pay_1"
    assert scenario.workflow.started == ["pay_1_r2"]
    assert scenario.checked == ["pay_1_r2"]


def test_retry_seals_the_private_fields_under_its_own_id() -> None:
    scenario = RetryScenario()
    scenario.retry()
    row = scenario.row("pay_1_r2")
    assert is_sealed(row.payment_method)
    assert row.metadata["order"] != scenario.row().metadata["order"]
    assert opened(row, scenario.encryptor).metadata == {"order": "A-17"}
    assert scenario.charge("pay_1_r2").status is Status.SUCCEEDED


PATHS: dict[Status, tuple[Status, ...]] = {
    Status.PENDING: (),
    Status.PROCESSING: (Status.PROCESSING,),
    Status.UNKNOWN: (Status.PROCESSING, Status.UNKNOWN),
    Status.IN_REVIEW: (Status.IN_REVIEW,),
    Status.REQUIRES_ACTION: (Status.PROCESSING, Status.REQUIRES_ACTION),
    Status.SUCCEEDED: (Status.PROCESSING, Status.SUCCEEDED),
    Status.DECLINED: (Status.PROCESSING, Status.DECLINED),
    Status.REJECTED: (Status.REJECTED,),
}


@pytest.mark.fault(90)
@pytest.mark.parametrize("status", PATHS)
def test_retry_when_not_failed_then_nothing_is_written_or_sent(status: Status) -> None:
    scenario = RetryScenario(after(payment(), *PATHS[status]))
    with pytest.raises(NotRetryable, match=f"pay_1 is {status}"):
        scenario.retry()
    assert (set(scenario.store.rows), scenario.row().retried_as) == ({"pay_1"}, "")
    assert scenario.workflow.started == scenario.workflow.reconciling  # these only ask


@pytest.mark.fault(90)
@pytest.mark.parametrize("status", PATHS)
def test_retry_of_what_may_be_charged_asks_about_it_once_a_minute(status: Status) -> None:
    scenario = RetryScenario(after(payment(), *PATHS[status]))
    asked = status in (Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION)
    for seconds in (0, 59, 60):
        with pytest.raises(NotRetryable) as refused:
            scenario.retry(at=NOON + timedelta(seconds=seconds))
        assert refused.value.asked is asked
    assert len(scenario.workflow.reconciling) == (2 if asked else 0)


@pytest.mark.fault(90)
@pytest.mark.parametrize("method", ["pm_card_visa", "pm_card_chargeDeclined", "pm_card_threeDSecure2Required"])
def test_retry_when_the_gateway_has_a_charge_then_refused(method: str) -> None:
    scenario = RetryScenario()
    scenario.charged_elsewhere(method=method)
    with pytest.raises(ChargeFound):
        scenario.retry()
    assert (set(scenario.store.rows), scenario.row().retried_as, scenario.workflow.started) == ({"pay_1"}, "", [])


@pytest.mark.fault(90)
def test_retry_asks_the_list_because_the_search_lags() -> None:
    scenario = RetryScenario(search_lag=timedelta(hours=1))
    scenario.charged_elsewhere()
    assert scenario.gateway.find("pay_1", environment_id=ENVIRONMENT) is None
    with pytest.raises(ChargeFound):
        scenario.retry()
    assert (set(scenario.store.rows), scenario.workflow.started) == ({"pay_1"}, [])


@pytest.mark.fault(90)
def test_charge_of_a_retry_asks_the_list_because_the_search_lags() -> None:
    scenario = RetryScenario(search_lag=timedelta(hours=1))
    scenario.retry()
    scenario.charged_elsewhere()
    assert scenario.charge("pay_1_r2").code == RETRY_REFUSED
    assert [charge.payment_id for charge in scenario.gateway.captured] == ["pay_1"]


@pytest.mark.fault(90)
@pytest.mark.parametrize("hours", [0, 3])
def test_retry_reads_every_page_of_the_time_of_each_attempt(hours: int) -> None:
    row = after(payment(), Status.PROCESSING, Status.PENDING)
    row = after(row, Status.PROCESSING, Status.PENDING, Status.FAILED, at=NOON + timedelta(hours=3))
    scenario = RetryScenario(row, search_lag=timedelta(hours=1))
    scenario.clock.wait(timedelta(hours=hours))
    scenario.charged_elsewhere()
    scenario.others_are_charged(3 * PAGE)
    with pytest.raises(ChargeFound):
        scenario.retry()


@pytest.mark.fault(90)
def test_retry_when_the_list_is_too_long_to_be_read_then_refused() -> None:
    scenario = RetryScenario()
    scenario.others_are_charged(12 * PAGE)  # the clock gives each page a second
    with pytest.raises(ListNotRead):
        scenario.retry()
    assert (set(scenario.store.rows), scenario.row().retried_as) == ({"pay_1"}, "")
    scenario.add(batch_payment("pay_1_r2"))
    with pytest.raises(NotSent, match="list_not_read"):
        scenario.charge("pay_1_r2")
    assert scenario.row("pay_1_r2").status is Status.PENDING


def test_retry_when_its_charge_was_canceled_then_sent() -> None:
    scenario = RetryScenario(search_lag=timedelta(hours=1))
    scenario.charged_elsewhere(method="pm_card_chargeDeclined")
    (listed,) = scenario.gateway.listed(NOON, scenario.clock.now).charges
    scenario.gateway.cancel(listed.reference)
    assert scenario.retry().payment.payment_id == "pay_1_r2"


def test_retry_of_what_was_never_sent_reads_no_list() -> None:
    scenario = RetryScenario(after(payment(), Status.FAILED))
    scenario.gateway.fail(Fault(FaultKind.NOT_SENT, call="listed"))
    assert scenario.retry().payment.payment_id == "pay_1_r2"


@pytest.mark.parametrize("call", ["find", "listed"])
def test_retry_when_the_gateway_does_not_answer_then_nothing_is_written(call: Any) -> None:
    scenario = RetryScenario()
    scenario.gateway.fail(Fault(FaultKind.NOT_SENT, call=call))
    with pytest.raises(NotSent):
        scenario.retry()
    assert (set(scenario.store.rows), scenario.row().retried_as) == ({"pay_1"}, "")


def test_retry_when_an_unrelated_payment_has_its_id_then_refused() -> None:
    scenario = RetryScenario()
    scenario.add(payment("pay_1_r2", customer_id="cus_other"))
    with pytest.raises(RetryIdTaken):
        scenario.retry()
    assert (scenario.row().retried_as, scenario.workflow.started) == ("", [])


def test_retry_when_a_file_has_its_row_then_the_same_payment() -> None:
    scenario = RetryScenario()
    scenario.add(batch_payment("pay_1_r2"))
    done = scenario.retry()
    assert (done.payment.batch_id, done.repeated, scenario.row().retried_as) == ("b1", True, "pay_1_r2")


def test_retry_when_the_row_was_created_meanwhile_then_the_same_payment() -> None:
    scenario = RetryScenario()

    def late(_: Payment) -> None:
        raise AlreadyExists(batch_payment("pay_1_r2"))

    scenario.store.create = late
    assert scenario.retry().repeated


@pytest.mark.fault(89, 90)
def test_retry_whose_row_a_batch_holds_is_not_started() -> None:
    scenario = RetryScenario()
    scenario.add(batch_payment("pay_1_r2"))
    scenario.held = True
    assert scenario.retry().repeated
    assert (scenario.workflow.started, scenario.row().retried_as) == ([], "pay_1_r2")


@pytest.mark.fault(90)
def test_retry_of_a_retry_only_once_that_one_failed() -> None:
    scenario = RetryScenario()
    scenario.retry()
    with pytest.raises(NotRetryable):
        scenario.retry("pay_1_r2")
    scenario.store.save(after(scenario.row("pay_1_r2"), Status.FAILED))
    assert scenario.retry("pay_1_r2").payment.payment_id == "pay_1_r3"
    assert scenario.retry().payment.payment_id == "pay_1_r2"
    assert scenario.row("pay_1_r2").retried_as == "pay_1_r3"


@pytest.mark.parametrize("state", ["revoked", "expired", "unknown"])
def test_retry_when_its_token_is_spent_then_refused(state: str) -> None:
    scenario = RetryScenario(after(replace(payment(), token_id="t"), Status.FAILED))
    expires, revoked = ("2026-11-01", "") if state == "expired" else ("2027-01-01", "2026-11-02")
    if state != "unknown":
        scenario.tokens.create(Token("t", "cus_1", "", {}, "2026-10-01", expires, "sub", revoked_at=revoked))
    with pytest.raises(TokenSpent, match=state):
        scenario.retry()


# A row or request under a retry's id ---------------------------------------------------------------------------------


@pytest.mark.fault(90)
def test_charge_of_a_row_with_a_retrys_id_links_it_first() -> None:
    scenario = RetryScenario()
    scenario.add(batch_payment("pay_1_r2"))
    assert scenario.charge("pay_1_r2").status is Status.SUCCEEDED
    assert scenario.row().retried_as == "pay_1_r2"


@pytest.mark.fault(90)
def test_charge_of_a_row_with_a_shortened_id_links_what_the_report_noted() -> None:
    old = after(payment("p" * 62), Status.FAILED)
    scenario = RetryScenario(old)
    retry_id = retry_id_of(old.payment_id)
    scenario.add(batch_payment(retry_id))
    scenario.charged_elsewhere(old.payment_id)
    outcome = scenario.charge(retry_id, former_of={retry_id: old.payment_id})
    assert (outcome.status, outcome.code) == (Status.REJECTED, RETRY_REFUSED)
    assert scenario.retry_is_known(old.payment_id, retry_id)


@pytest.mark.fault(90)
@pytest.mark.parametrize("status", [*PATHS])
def test_charge_of_a_retry_when_the_former_is_not_failed_then_rejected(status: Status) -> None:
    scenario = RetryScenario(after(payment(), *PATHS[status]))
    scenario.add(batch_payment("pay_1_r2"))
    outcome = scenario.charge("pay_1_r2")
    assert (outcome.status, outcome.code) == (Status.REJECTED, RETRY_REFUSED)
    assert f"pay_1, which is {status}" in outcome.message
    assert (scenario.gateway.captured, scenario.row().retried_as) == ([], "")


@pytest.mark.fault(90)
def test_charge_of_a_retry_when_the_old_charge_exists_then_rejected() -> None:
    scenario = RetryScenario()
    scenario.retry()
    scenario.charged_elsewhere()
    assert scenario.charge("pay_1_r2").code == RETRY_REFUSED
    assert [charge.payment_id for charge in scenario.gateway.captured] == ["pay_1"]


@pytest.mark.parametrize("kind", [FaultKind.NOT_SENT, FaultKind.ANSWER_LOST])
def test_charge_of_a_retry_when_the_question_fails_then_it_waits(kind: FaultKind) -> None:
    scenario = RetryScenario()
    scenario.retry()
    scenario.gateway.fail(Fault(kind, "pay_1", call="find"))
    with pytest.raises((NotSent, OutcomeUnknown)) as error:
        scenario.charge("pay_1_r2")
    assert error.value.gateway_reference == ""
    assert (scenario.row("pay_1_r2").status, scenario.gateway.captured) == (Status.PENDING, [])


def test_charge_of_a_payment_whose_id_only_looks_like_a_retry() -> None:
    scenario = RetryScenario(after(payment(), Status.PROCESSING))
    scenario.add(batch_payment("pay_1_r2", customer_id="cus_2"))
    scenario.add(batch_payment("order_r2", line=3))
    assert scenario.charge("pay_1_r2").status is Status.SUCCEEDED
    assert scenario.charge("order_r2").status is Status.SUCCEEDED


def test_retry_that_was_refused_too_early_has_a_next_one() -> None:
    scenario = RetryScenario(after(payment(), Status.PROCESSING))
    scenario.add(batch_payment("pay_1_r2"))
    assert scenario.charge("pay_1_r2").code == RETRY_REFUSED
    assert scenario.retry("pay_1_r2").payment.payment_id == "pay_1_r3"
    assert scenario.charge("pay_1_r3").code == RETRY_REFUSED
    scenario.store.save(after(scenario.row(), Status.FAILED))
    assert scenario.retry("pay_1_r3").payment.payment_id == "pay_1_r4"
    assert scenario.charge("pay_1_r4").status is Status.SUCCEEDED
    names = {payment_id: row.retried_as for payment_id, row in scenario.store.rows.items()}
    assert names == {"pay_1": "pay_1_r2", "pay_1_r2": "pay_1_r3", "pay_1_r3": "pay_1_r4", "pay_1_r4": ""}


def test_later_attempt_of_a_retry_does_not_ask_again() -> None:
    scenario = RetryScenario()
    scenario.retry()
    scenario.gateway.fail(Fault(FaultKind.NOT_SENT, "pay_1_r2", call="charge"))
    with pytest.raises(NotSent):
        scenario.charge("pay_1_r2")
    scenario.gateway.fail(Fault(FaultKind.NOT_SENT, "pay_1", call="find"))
    scenario.clock.wait(timedelta(minutes=1))
    assert scenario.charge("pay_1_r2").status is Status.SUCCEEDED
