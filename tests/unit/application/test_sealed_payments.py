"""A payment with encrypted private fields, from acceptance to event: FAULT 45, and what stays hidden."""

import json
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import pytest

from fakes.audit import MemoryAuditStore
from fakes.batches import MemoryBatchStore
from fakes.customers import MemoryCustomerStore
from fakes.events import MemoryEventStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.gateway import Fault, FaultKind, MemoryGateway
from fakes.payments import MemoryPaymentStore
from fakes.slots import MemorySlotStore
from fakes.tokens import MemoryTokenStore
from fakes.workflow import MemoryWorkflow
from payments.application.accept import accept
from payments.application.batch.accept_row import accept_row
from payments.application.batch.close_rows import BatchRows
from payments.application.batch.file import Row
from payments.application.batch.row_rules import rules_of
from payments.application.charge import Charging
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.application.id_rules import IdRules
from payments.application.record import record
from payments.application.sealed_payments import opened, unlocked
from payments.application.steps import State, audit_step, charge_step, record_step
from payments.application.validate import PaymentMethods
from payments.domain.audit_chain import verify
from payments.domain.batch.errors import RejectedRow
from payments.domain.batch.state import Batch, BatchStatus, ResultRow, Source
from payments.domain.errors import OutcomeUnknown, PaymentError, policy_of
from payments.domain.merchants import Merchants
from payments.domain.money import Money
from payments.domain.outcome import outcome_of
from payments.domain.payment import Payment, PaymentRequest
from payments.domain.sealed_fields import NotSealed, private, require_sealed, rewritten
from payments.domain.sealed_text import is_sealed
from payments.domain.statuses import Status
from payments.ports.field_encryptor import DecryptionFailed, EncryptionUnavailable
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge
from payments.rest.views import payment_view
from tests.unit.builders import NOON, FixedClock, after, payment, request
from tests.unit.chain_heads import heads_of

DEFAULT = "pm_card_visa"
PRIVATE = request(payment_method="pm_card_mastercard", metadata={"order": "A-17", "note": ""})


class Gateway(MemoryGateway):
    """Records the requests to charge. `meanwhile` runs during a charge."""

    def __init__(self, clock: FixedClock) -> None:
        super().__init__(clock)
        self.requests: list[ChargeRequest] = []
        self.meanwhile: Any = lambda: None

    def charge(self, request: ChargeRequest) -> GatewayCharge:
        """Record the request and run `meanwhile` before the charge."""
        self.requests.append(request)
        self.meanwhile()
        return super().charge(request)


class EncryptionScenario:
    """The tables, the key, the gateway, and the steps of the workflow."""

    def __init__(self, asked: PaymentRequest | None = None) -> None:
        self.clock = FixedClock()
        self.gateway = Gateway(self.clock)
        self.encryptor = MemoryFieldEncryptor()
        self.store = MemoryPaymentStore(self.encryptor)
        self.log = MemoryAuditStore(self.store)
        self.rows = BatchRows(MemoryBatchStore(self.store), lambda batch_id: None)
        self.states: list[State] = []
        if asked:
            self.accept(asked)

    def accept(self, asked: PaymentRequest) -> None:
        accept(asked, store=self.store, workflow=MemoryWorkflow(), at=NOON, correlation_id="request-1")

    def accept_row(self, asked: PaymentRequest) -> ResultRow | RejectedRow | None:
        """The row of a file of the admins, on line 2."""
        source = Source("bucket", "incoming/a.csv", "v1", "etag", 1)
        batch = Batch("b1", source, BatchStatus.SPLITTING, "", "")
        rules = rules_of(source, IdRules(Merchants(), self.store, MemoryCustomerStore()))
        return accept_row(Row(2, asked), batch, rules, store=self.store, at=NOON)

    def charge(self, *, reconcile: bool = False) -> State:
        methods = PaymentMethods(MemoryCustomerStore(), DEFAULT, MemoryTokenStore(), self.clock, self.encryptor)
        return charge_step(
            {"payment_id": "pay_1", "ask": reconcile},
            charging=Charging(self.gateway, methods, self.store, self.clock),
            encryptor=self.encryptor,
            rate_limiter=GatewayRateLimiter(
                MemorySlotStore(), timedelta(milliseconds=50), self.clock, sleep=lambda seconds: None
            ),
            jitter=lambda most: 0,
        )

    def run(self, *, reconcile: bool = False) -> Payment:
        """The workflow from charge to audit, with its error handling. Returns the row."""
        try:
            state = self.charge(reconcile=reconcile)
        except Exception as error:  # noqa: BLE001 - the state machine catches them all
            state = {"payment_id": "pay_1", "error": {"Error": type(error).__name__, "Cause": _cause(error)}}
        record_step(state, store=self.store, events=MemoryEventStore(), clock=self.clock)
        self.states += [
            state,
            audit_step(
                {"payment_id": "pay_1"}, store=self.store, log=self.log, heads=heads_of(self.log), rows=self.rows
            ),
        ]
        return self.row

    @property
    def row(self) -> Payment:
        return self.store.rows["pay_1"]

    @property
    def opened(self) -> Payment:
        return opened(self.row, self.encryptor)


def _cause(error: Exception) -> str:
    return json.dumps({"errorMessage": str(error)})


# The fields of a payment ------------------------------------------------------------------------------------------


def test_payment_survives_sealing_and_hides_all_private_fields() -> None:
    encryptor = MemoryFieldEncryptor()
    plain = replace(payment(metadata={"order": "A-17", "empty": ""}), gateway_reference="PAYID-1")

    stored = rewritten(plain, encryptor.seal)

    assert {name for name, text in private(stored).items() if is_sealed(text)} == {
        "payment_method",
        "gateway_reference",
        "metadata.order",
    }
    assert opened(stored, encryptor) == plain
    assert rewritten(stored, encryptor.seal) == stored
    require_sealed(stored)
    with pytest.raises(NotSealed):
        require_sealed(replace(stored, gateway_reference="PAYID-1"))


def test_payment_from_before_sealing_opens_without_a_key() -> None:
    encryptor = MemoryFieldEncryptor()
    encryptor.available = False
    assert opened(payment(metadata={"order": "A-17"}), encryptor) == payment(metadata={"order": "A-17"})


def test_payment_with_text_moved_to_another_row_or_field_does_not_open() -> None:
    encryptor = MemoryFieldEncryptor()
    mine = rewritten(payment(metadata={"order": "A-17", "note": "gift"}), encryptor.seal)
    for moved_text in (
        replace(mine, payment_id="pay_2"),
        replace(mine, gateway_reference=mine.payment_method),
        replace(mine, metadata={"order": mine.metadata["note"]}),
    ):
        with pytest.raises(DecryptionFailed):
            opened(moved_text, encryptor)


@pytest.mark.parametrize("other", ["pi_2", "PAYID-2"])
def test_unlocked_row_from_before_keeps_its_very_text_if_unchanged(other: str) -> None:
    encryptor = MemoryFieldEncryptor()
    row = rewritten(replace(payment(), gateway_reference="pi_1"), encryptor.seal_every)
    assert is_sealed(row.gateway_reference)
    open_row = unlocked(row, encryptor)

    assert open_row.sealed_reference("pi_1") == row.gateway_reference
    assert open_row.sealed(open_row.payment) == row
    stored = open_row.sealed_reference(other)
    assert is_sealed(stored) is not other.startswith("pi_")
    assert opened(replace(row, gateway_reference=stored), encryptor).gateway_reference == other


@pytest.mark.parametrize("reference", ["pi_3Q1", "ch_3Q1", "py_3Q1", "re_3Q1", "pyr_3Q1", "dp_3Q1", "du_3Q1"])
def test_id_of_a_charge_is_stored_clear_and_asks_no_key(reference: str) -> None:
    encryptor = MemoryFieldEncryptor()
    encryptor.available = False
    row = rewritten(replace(payment(method=""), gateway_reference=reference), encryptor.seal)

    assert row.gateway_reference == reference
    require_sealed(row)
    assert opened(row, encryptor) == row


@pytest.mark.parametrize("secret", ["pi_3Q1_secret_9x", "pm_1", "cus_1", "seti_1_secret_2", "pi_", "x pi_1", "pi_1\n"])
def test_reference_that_is_no_plain_id_of_a_charge_is_stored_sealed(secret: str) -> None:
    encryptor = MemoryFieldEncryptor()
    row = rewritten(replace(payment(), gateway_reference=secret), encryptor.seal)
    assert is_sealed(row.gateway_reference)
    with pytest.raises(NotSealed):
        require_sealed(replace(row, gateway_reference=secret))


def test_id_of_a_charge_in_another_field_is_stored_sealed() -> None:
    row = rewritten(payment(method="pi_1", metadata={"order": "pi_1"}), MemoryFieldEncryptor().seal)
    assert is_sealed(row.payment_method)
    assert is_sealed(row.metadata["order"])


# The number of KMS requests ------------------------------------------------------------------------------------------


def test_key_is_used_once_in_the_whole_life_of_an_ordinary_payment() -> None:
    scenario = EncryptionScenario(request())
    assert scenario.run().status is Status.SUCCEEDED
    assert scenario.encryptor.calls == 1
    assert scenario.opened.payment_method == DEFAULT


def test_key_is_used_once_more_at_acceptance_for_private_fields() -> None:
    scenario = EncryptionScenario(PRIVATE)
    assert scenario.run().status is Status.SUCCEEDED
    assert scenario.encryptor.calls == 2


def test_charge_of_a_payment_with_an_outcome_uses_no_key() -> None:
    scenario = EncryptionScenario(PRIVATE)
    row, calls = scenario.run(), scenario.encryptor.calls
    scenario.encryptor.available = False
    state = scenario.charge()
    assert outcome_of(state).gateway_reference == row.gateway_reference
    assert (scenario.run(), scenario.encryptor.calls) == (row, calls)


# Visibility ----------------------------------------------------------------------------------------------------


def test_gateway_when_it_charges_then_it_gets_the_plain_texts() -> None:
    scenario = EncryptionScenario(PRIVATE)
    scenario.run()
    (asked,) = scenario.gateway.requests
    assert (asked.payment_method, asked.metadata) == ("pm_card_mastercard", PRIVATE.metadata)


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("pm_card_mastercard", Status.SUCCEEDED),
        ("pm_card_chargeDeclined", Status.DECLINED),
        ("pm_card_threeDSecure2Required", Status.REQUIRES_ACTION),
    ],
)
def test_row_state_and_audit_log_of_a_payment_show_nothing_private(method: str, status: Status) -> None:
    scenario = EncryptionScenario(replace(PRIVATE, payment_method=method))
    assert scenario.run().status is status
    reference = scenario.opened.gateway_reference
    assert reference.startswith("mem_")

    left = json.dumps(
        [asdict(scenario.row), scenario.states, [asdict(entry) for entry in scenario.log.entries("pay_1")]]
    )
    assert not any(text in left for text in (reference, method, "A-17"))
    assert payment_view(scenario.opened)["references"]["gateway_reference"] == reference


def test_event_when_published_then_it_has_no_reference_of_the_gateway() -> None:
    scenario = EncryptionScenario(PRIVATE)
    scenario.run()
    assert "gateway_reference" not in scenario.states[-1]["event"]


def test_charge_step_seals_the_reference_in_an_error_that_names_it() -> None:
    scenario = EncryptionScenario(PRIVATE)
    scenario.gateway.fail(Fault(FaultKind.ALTERED, status="requires_confirmation"))
    with pytest.raises(OutcomeUnknown) as unknown:
        scenario.charge()

    assert is_sealed(unknown.value.gateway_reference)
    assert "mem_" not in str(unknown.value)
    caught = {"error": {"Error": "OutcomeUnknown", "Cause": _cause(unknown.value)}}
    record("pay_1", outcome_of(caught), store=scenario.store, clock=scenario.clock)
    assert scenario.row.status is Status.UNKNOWN
    assert scenario.opened.gateway_reference.startswith("mem_")


# Comparison and audit chain -----------------------------------------------------------------------------


def test_record_of_the_same_answer_again_changes_nothing() -> None:
    scenario = EncryptionScenario(request(metadata={"settles_later": "yes"}))
    settling = scenario.run()
    assert settling.status is Status.PROCESSING
    for _ in range(2):
        assert scenario.run(reconcile=True) == settling


def test_partial_refund_reported_twice_is_recorded_once() -> None:
    scenario = EncryptionScenario(PRIVATE)
    scenario.run()
    scenario.gateway.refund(scenario.opened.gateway_reference, 5000)
    refunded = scenario.run(reconcile=True)
    assert refunded.status is Status.PARTIALLY_REFUNDED
    assert scenario.run(reconcile=True) == refunded


def test_audit_entries_never_change_and_verify_without_a_key() -> None:
    scenario = EncryptionScenario(PRIVATE)
    scenario.run()
    entries = scenario.log.entries("pay_1")
    scenario.gateway.refund(scenario.opened.gateway_reference, 9999)
    scenario.run(reconcile=True)
    scenario.encryptor.available = False

    assert scenario.log.entries("pay_1")[: len(entries)] == entries
    verify(scenario.row, scenario.log.entries("pay_1"))
    assert {is_sealed(entry.gateway_reference) for entry in entries} == {True}


# FAULT 45 ---------------------------------------------------------------------------------------------------------


@pytest.mark.fault(45)
def test_accept_with_a_disabled_key_stores_and_starts_nothing() -> None:
    scenario, workflow = EncryptionScenario(), MemoryWorkflow()
    scenario.encryptor.available = False
    with pytest.raises(EncryptionUnavailable):
        accept(PRIVATE, store=scenario.store, workflow=workflow, at=NOON, correlation_id="")
    assert (scenario.store.rows, workflow.started) == ({}, [])


@pytest.mark.fault(45)
def test_accept_with_nothing_to_seal_works_with_a_disabled_key() -> None:
    scenario = EncryptionScenario()
    scenario.encryptor.available = False
    scenario.accept(request())
    assert scenario.row.status is Status.PENDING


@pytest.mark.fault(45)
@pytest.mark.parametrize("asked", [request(), PRIVATE], ids=["nothing sealed yet", "sealed"])
def test_charge_with_a_disabled_key_sends_nothing_until_it_is_enabled(
    asked: PaymentRequest,
) -> None:
    scenario = EncryptionScenario(asked)
    accepted = scenario.row
    scenario.encryptor.available = False

    with pytest.raises(EncryptionUnavailable):
        scenario.charge()
    assert (scenario.row, scenario.gateway.requests) == (accepted, [])
    assert scenario.run().status is Status.PENDING  # recovery restarts it

    scenario.encryptor.available = True
    assert scenario.run().status is Status.SUCCEEDED
    assert len(scenario.gateway.captured) == 1


@pytest.mark.fault(45)
@pytest.mark.parametrize("method", ["pm_card_mastercard", "pm_card_chargeDeclined"])
def test_charge_keeps_the_outcome_when_the_key_is_disabled_meanwhile(
    method: str,
) -> None:
    scenario = EncryptionScenario(replace(PRIVATE, payment_method=method))

    def disable() -> None:
        scenario.encryptor.available = False

    scenario.gateway.meanwhile = disable
    ended = scenario.run()

    assert ended.status in (Status.SUCCEEDED, Status.DECLINED)
    scenario.encryptor.available = True
    assert scenario.opened.gateway_reference.startswith("mem_")


@pytest.mark.fault(45)
def test_charge_not_sent_while_the_key_is_disabled_returns_to_pending() -> None:
    scenario = EncryptionScenario(PRIVATE)
    scenario.gateway.fail(Fault(FaultKind.NOT_SENT))

    def disable() -> None:
        scenario.encryptor.available = False

    scenario.gateway.meanwhile = disable
    with pytest.raises(PaymentError):
        scenario.charge()
    assert scenario.row.status is Status.PENDING
    assert is_sealed(scenario.row.payment_method)


@pytest.mark.fault(45)
def test_charge_with_a_lost_answer_is_unknown_until_the_key_is_enabled() -> None:
    scenario = EncryptionScenario(PRIVATE)
    scenario.gateway.fail(Fault(FaultKind.ANSWER_LOST))
    with suppress(PaymentError):
        scenario.charge()
    scenario.encryptor.available = False

    assert scenario.run().status is Status.UNKNOWN
    assert policy_of("EncryptionUnavailable").status is Status.UNKNOWN
    scenario.encryptor.available = True
    assert scenario.run().status is Status.SUCCEEDED
    assert len(scenario.gateway.captured) == 1


@pytest.mark.fault(45)
def test_payment_when_the_key_is_disabled_then_it_can_not_be_shown() -> None:
    scenario = EncryptionScenario(PRIVATE)
    scenario.encryptor.available = False
    with pytest.raises(EncryptionUnavailable):
        opened(scenario.row, scenario.encryptor)


# Rows of files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (replace(PRIVATE, money=Money(1, "USD")), "amount"),
        (replace(PRIVATE, payment_method=""), "payment_method or metadata"),
        (replace(PRIVATE, metadata={"order": "A-17"}), "metadata"),
        (replace(PRIVATE, metadata={"order": "A-17", "note": "new"}), "metadata"),
        (replace(PRIVATE, payment_method="pm_secret_1"), "payment_method or metadata"),
        (replace(PRIVATE, payment_method="pm_secret_1", description="tea"), "description"),
    ],
)
def test_row_with_a_taken_id_names_what_differs_from_the_sealed_payment(asked: PaymentRequest, names: str) -> None:
    scenario = EncryptionScenario(PRIVATE)
    before = scenario.row

    refused = scenario.accept_row(asked)

    assert isinstance(refused, RejectedRow)
    assert refused.errors[0].reason.endswith(f"with other {names}")
    assert "pm_" not in str(refused)
    assert scenario.row == before


def test_row_with_a_taken_id_ignores_a_default_that_the_workflow_set() -> None:
    scenario = EncryptionScenario(request())
    row = scenario.run()
    assert is_sealed(row.payment_method)
    refused = scenario.accept_row(request(amount=1))
    assert isinstance(refused, RejectedRow)
    assert refused.errors[0].reason.endswith("with other amount")


def test_row_when_it_moved_on_then_its_private_fields_are_those_it_had() -> None:
    scenario = EncryptionScenario(PRIVATE)
    moved_on = after(scenario.row, Status.PROCESSING, Status.SUCCEEDED)
    assert private(moved_on) == private(scenario.row)
