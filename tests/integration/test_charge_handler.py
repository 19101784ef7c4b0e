"""The charge function on moto: its slot, its key, and its metrics. Stripe's answers are replaced."""

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from types import ModuleType
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from botocore.exceptions import ClientError

from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.tables import CONTROLS, CUSTOMERS, LIMITS, PROCESSING_STATUS, TOKENS
from payments.adapters.stripe.gateway import StripeGateway
from payments.application.batch_breaker import OUTAGES_UNTIL_COUNTED, PAYMENTS_UNTIL_PAUSE
from payments.application.sealed_payments import opened
from payments.domain.batch_breaker import PausedBy
from payments.domain.errors import (
    SEVERAL_CHARGES,
    Conflict,
    Declined,
    Misconfigured,
    NotSent,
    PaymentError,
    RateLimited,
)
from payments.domain.money import Money
from payments.domain.statuses import Status
from payments.observability.metrics import (
    CHARGES_DIFFER,
    GATEWAY_BACKLOG_SECONDS,
    GATEWAY_MISCONFIGURED,
    GATEWAY_UNREACHABLE,
    PAYMENTS_IN_REVIEW,
    SEVERAL_CHARGES_FOUND,
    SUSPICIOUS_DECLINES,
)
from payments.ports.field_encryptor import EncryptionUnavailable
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge
from payments.ports.payment_store import require
from tests.integration.conftest import stack_encryptor
from tests.integration.functions import Context, load, metrics_in
from tests.moto_tables import create_table
from tests.unit.builders import after, batch_payment, payment


@dataclass
class HandlerScenario:
    """The function, Stripe's next answers, and the keys of its requests."""

    function: ModuleType
    payments: DynamoPaymentStore
    breaker: DynamoBreakerStore
    key_arn: str
    refusal: PaymentError | None = None
    keys: list[str] = field(default_factory=list)

    def charge(self, payment_id: str = "pay_1", **state: Any) -> dict[str, Any]:
        """The output for the workflow."""
        answer: dict[str, Any] = self.function.handler({"payment_id": payment_id, **state}, Context())
        return answer

    def next_slot(self) -> int:
        """The slot after the last one that was taken, 0 if there is none."""
        key: Any = {"control": {"S": "pace#20000"}}
        item = boto3.client("dynamodb").get_item(TableName=CONTROLS.name, Key=key).get("Item", {})
        return int(item.get("next_slot", {}).get("N", 0))


@pytest.fixture
def scenario(payments: DynamoPaymentStore) -> Iterator[HandlerScenario]:
    """A function with an accepted payment. By default the gateway charges it."""
    controls = create_table(CONTROLS)
    create_table(CUSTOMERS)
    create_table(PROCESSING_STATUS)
    payments.create(payment())
    key_arn = boto3.client("secretsmanager").create_secret(Name="payment-gateway-stripe", SecretString="sk_1")["ARN"]
    function = load(
        "charge",
        PAYMENTS_TABLE="payments",
        CUSTOMERS_TABLE=CUSTOMERS.name,
        TOKENS_TABLE=TOKENS.name,
        CONTROLS_TABLE=CONTROLS.name,
        PROCESSING_STATUS_TABLE=PROCESSING_STATUS.name,
        ENVIRONMENT_ID="0123456789abcdef",
        GATEWAY_MODE="test",
        GATEWAY_SECRET_ARN=key_arn,
        STRIPE_API_BASE="http://127.0.0.1:9",
        SLOT_MICROSECONDS="20000",
        PATIENCE_SECONDS="300",
        GATEWAY_DEADLINE_SECONDS="86400",
        LIMITS_TABLE=LIMITS.name,
        DEFAULT_PAYMENT_METHOD="",
    )
    scenario = HandlerScenario(function, payments, DynamoBreakerStore(controls, CONTROLS.name), key_arn)

    def answer(gateway: StripeGateway, request: ChargeRequest) -> GatewayCharge:
        scenario.keys.append(gateway._api_key())
        if scenario.refusal:
            raise scenario.refusal
        return GatewayCharge("pi_1", Status.SUCCEEDED, request.money)

    with patch.object(StripeGateway, "charge", answer):
        yield scenario


@pytest.mark.fault(89)
def test_charge_of_a_payment_that_waited_is_held_while_its_batch_is_paused(scenario: HandlerScenario) -> None:
    row = after(batch_payment("p2"), Status.PROCESSING, Status.PENDING)
    scenario.payments.create(row)
    paused = {"batch_id": row.batch_id, "item": "SUMMARY", "switch": "paused", "switch_at": row.created_at}
    item: Any = {name: {"S": value} for name, value in paused.items()}
    boto3.client("dynamodb").put_item(TableName=PROCESSING_STATUS.name, Item=item)
    outcome = scenario.charge("p2")["outcome"]
    assert (outcome["status"], outcome["code"], scenario.keys) == ("pending", "batch_paused", [])


def test_charge_accepted_by_the_gateway_has_its_outcome_and_own_slot(scenario: HandlerScenario) -> None:
    before = time.time() / 0.02
    assert scenario.next_slot() == 0

    state = scenario.charge()

    assert state["payment_id"] == "pay_1"
    assert state["outcome"]["status"] == "succeeded"
    assert state["outcome"]["gateway_reference"] == "pi_1"
    assert before < scenario.next_slot() <= time.time() / 0.02 + 1  # sent in its slot, not before


@pytest.mark.fault(75)
def test_closed_environment_sends_nothing_even_a_moment_after_it_was_open(scenario: HandlerScenario) -> None:
    scenario.charge()
    scenario.payments.create(payment("pay_2"))
    sent = list(scenario.keys)
    scenario.breaker.close()

    state = scenario.charge("pay_2")

    assert state["outcome"]["status"] == "pending"
    assert scenario.keys == sent
    row = scenario.payments.get("pay_2")
    assert row
    assert row.version == 1


def test_rate_limited_charge_says_how_long_to_wait_and_stays_pending(
    scenario: HandlerScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "randint", lambda low, high: high)
    scenario.refusal = RateLimited("rate_limit", "slow down", retry_after_seconds=7)

    assert scenario.charge() == {"payment_id": "pay_1", "wait_seconds": 14}
    row = scenario.payments.get("pay_1")
    assert row
    assert row.status is Status.PENDING

    scenario.refusal = None
    assert 0 < scenario.charge()["wait_seconds"] <= 14  # the row keeps the time for every execution


def test_refused_api_key_is_counted_reread_and_finally_pauses_the_breaker(
    scenario: HandlerScenario, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario.refusal = Misconfigured("invalid_api_key", "the key is refused")
    for attempt in range(1, PAYMENTS_UNTIL_PAUSE + 1):
        assert not scenario.breaker.state().paused
        scenario.payments.create(payment(f"refused_{attempt}"))
        boto3.client("secretsmanager").put_secret_value(SecretId=scenario.key_arn, SecretString=f"sk_{attempt}")
        with pytest.raises(Misconfigured):
            scenario.charge(f"refused_{attempt}")

    assert scenario.keys == ["sk_1", "sk_2", "sk_3"]
    assert scenario.breaker.state().paused_by == PausedBy.GATEWAY
    assert "invalid_api_key" in scenario.breaker.state().reason
    assert metrics_in(capsys.readouterr().out) == {GATEWAY_MISCONFIGURED: 3}


@pytest.mark.fault(86)
def test_outage_is_counted_and_pauses_the_breaker_which_holds_the_payment(
    scenario: HandlerScenario, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario.refusal = NotSent("gateway_unreachable", "no connection")
    for attempt in range(OUTAGES_UNTIL_COUNTED + PAYMENTS_UNTIL_PAUSE - 1):
        assert not scenario.breaker.state().paused
        scenario.payments.create(payment(f"refused_{attempt}"))
        with pytest.raises(NotSent):
            scenario.charge(f"refused_{attempt}")
    assert scenario.breaker.state().paused_by == PausedBy.OUTAGE
    assert metrics_in(capsys.readouterr().out) == {GATEWAY_UNREACHABLE: PAYMENTS_UNTIL_PAUSE}

    scenario.function.hold.remembered_for = timedelta(0)
    sent, outcome = len(scenario.keys), scenario.charge()["outcome"]
    assert (outcome["status"], outcome["code"]) == ("pending", "gateway_unreachable")
    assert len(scenario.keys) == sent


def test_charge_with_a_key_of_the_other_mode_sends_nothing(scenario: HandlerScenario) -> None:
    boto3.client("secretsmanager").put_secret_value(SecretId=scenario.key_arn, SecretString="sk_live_1")
    with pytest.raises(Misconfigured, match="needs a test key"):
        scenario.charge()
    assert scenario.keys == []


@pytest.mark.fault(65)
def test_charge_above_the_rate_notes_the_wait_of_its_ticket(
    scenario: HandlerScenario, capsys: pytest.CaptureFixture[str]
) -> None:
    now = int(time.time() / 0.02)
    scenario.function.rate_limiter.slots.take_slot(now, now, 60 * 50)

    state = scenario.charge()

    (line,) = [line for line in capsys.readouterr().out.splitlines() if GATEWAY_BACKLOG_SECONDS in line]
    metrics = json.loads(line)
    assert (metrics[GATEWAY_BACKLOG_SECONDS], metrics["step"]) == ([state["wait_seconds"]], "charge")
    assert set(state) == {"payment_id", "wait_seconds", "ticket", "version"}


@pytest.mark.parametrize(("code", "counted"), [("stolen_card", {SUSPICIOUS_DECLINES: 1}), ("insufficient_funds", {})])
def test_charge_counts_only_suspicious_declines(
    scenario: HandlerScenario, capsys: pytest.CaptureFixture[str], code: str, counted: dict[str, int]
) -> None:
    scenario.refusal = Declined(code, "the card was declined")

    assert scenario.charge()["outcome"]["status"] == "declined"
    assert metrics_in(capsys.readouterr().out) == counted


@pytest.mark.fault(18)
def test_charge_with_other_content_for_its_id_is_held_and_counted(
    scenario: HandlerScenario, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario.refusal = Conflict("idempotency_error", "the id is known with other content")

    assert scenario.charge()["outcome"]["status"] == "in_review"
    assert metrics_in(capsys.readouterr().out) == {PAYMENTS_IN_REVIEW: 1, CHARGES_DIFFER: 1}


@pytest.mark.fault(18)
def test_charge_that_finds_several_charges_counts_them_apart(
    scenario: HandlerScenario, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario.refusal = Conflict(SEVERAL_CHARGES, "the gateway captured two charges")

    assert scenario.charge()["outcome"]["status"] == "in_review"
    assert metrics_in(capsys.readouterr().out) == {PAYMENTS_IN_REVIEW: 1, SEVERAL_CHARGES_FOUND: 1}


@pytest.mark.fault(18)
def test_other_money_found_after_the_capture_is_counted_and_the_row_stays(
    scenario: HandlerScenario, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    captured = after(payment("pay_2"), Status.PROCESSING, Status.SUCCEEDED, gateway_reference="pi_2")
    for row in (payment("pay_2"), after(payment("pay_2"), Status.PROCESSING), captured):
        scenario.payments.create(row) if row.version == 1 else scenario.payments.save(row)
    other = GatewayCharge("pi_2", Status.PARTIALLY_REFUNDED, Money(1, "USD"))
    monkeypatch.setattr(StripeGateway, "find", lambda *_, **__: other)

    assert scenario.charge("pay_2", ask=True)["outcome"]["code"] == "amount_differs"
    assert opened(require(scenario.payments, "pay_2"), stack_encryptor()) == captured
    assert metrics_in(capsys.readouterr().out) == {PAYMENTS_IN_REVIEW: 1, CHARGES_DIFFER: 1}


@pytest.mark.fault(45)
def test_charge_with_a_disabled_key_sends_nothing_and_logs_nothing_private(
    scenario: HandlerScenario, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "DisabledException", "Message": "-"}}, "-")

    client = scenario.function.encryptor._client
    client.meta.events.register("before-call.kms", refuse)
    with pytest.raises(EncryptionUnavailable, match="DisabledException"):
        scenario.charge()
    row = scenario.payments.get("pay_1")
    assert row
    assert (row.status, row.version, scenario.keys) == (Status.PENDING, 1, [])

    client.meta.events.unregister("before-call.kms", refuse)
    scenario.charge()
    assert scenario.keys == ["sk_1"]
    assert "pi_1" not in capsys.readouterr().out
