"""The refund function on moto and the fake Stripe: one refund, one that fails later, one by hand."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import boto3
import pytest

from local.fake_stripe.app import FakeStripe
from local.fake_stripe.server import in_process
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.refunds import DynamoRefundStore
from payments.adapters.dynamodb.tables import CONTROLS, PAYMENTS, REFUNDS
from payments.domain.money import Money
from payments.domain.refund import RefundRequest, booked, refund_requested
from payments.domain.refund_statuses import RefundStatus
from payments.domain.statuses import Status
from payments.ports.payment_store import require
from payments.ports.refund_store import require_refund
from tests.integration.executions import Executions
from tests.integration.functions import load
from tests.moto_tables import create_table
from tests.unit.builders import NOON, after, payment

STATE = {"refund_id": "ref_1", "payment_id": "pay_1"}


class RefundFunction:
    def __init__(self, url: str, stripe: FakeStripe, executions: Executions) -> None:
        self.stripe = stripe
        for table in (REFUNDS, CONTROLS):
            create_table(table)
        client = boto3.client("dynamodb")
        self.payments = DynamoPaymentStore(client, PAYMENTS.name)
        self.refunds = DynamoRefundStore(client, REFUNDS.name, PAYMENTS.name)
        secret = boto3.client("secretsmanager").create_secret(Name="gateway", SecretString="sk_test_refunds")
        self.module: ModuleType = load(
            "refund",
            PAYMENTS_TABLE=PAYMENTS.name,
            REFUNDS_TABLE=REFUNDS.name,
            CONTROLS_TABLE=CONTROLS.name,
            VAULT_KEY_ARN=boto3.client("kms").create_key()["KeyMetadata"]["Arn"],
            GATEWAY_SECRET_ARN=secret["ARN"],
            GATEWAY_MODE="test",
            STRIPE_API_BASE=url,
            ENVIRONMENT_ID="env",
            SLOT_MICROSECONDS="1000",
            PATIENCE_SECONDS="300",
            STATE_MACHINE_ARN=executions.arn,
            ENVIRONMENT_SUFFIX="test",
        )

    def run(self, state: dict[str, Any]) -> dict[str, Any]:
        answered: dict[str, Any] = self.module.handler(state, object())
        return answered

    def paid(self) -> str:
        card = {"amount": "9999", "currency": "usd", "confirm": "true", "payment_method": "pm_card_visa"}
        automatic = {"automatic_payment_methods": {"enabled": "true", "allow_redirects": "never"}}
        intent = str(self.stripe.ledger.create(card | automatic, "")["id"])
        row = payment(method="")
        self.payments.create(row)
        for status in (Status.PROCESSING, Status.SUCCEEDED):
            reference = intent if status is Status.SUCCEEDED else ""
            row = after(row, status, gateway_reference=reference)
            self.payments.save(row)
        return intent

    def request(self) -> None:
        row = require(self.payments, "pay_1")
        refund = refund_requested(
            RefundRequest("ref_1", "pay_1"),
            Money(4000, "USD"),
            status=RefundStatus.PENDING,
            at=NOON,
            actor="admin:sub_jo",
            source="rest",
        )
        self.refunds.create(refund, booked(row, None, refund))


@pytest.fixture
def function(payments: DynamoPaymentStore, executions: Executions) -> Iterator[RefundFunction]:
    with in_process() as (url, stripe):
        yield RefundFunction(url, stripe, executions)


def test_refund_is_sent_once_and_its_event_says_so(function: RefundFunction) -> None:
    intent = function.paid()
    function.request()

    state = function.run(STATE)

    assert (state["event"]["status"], state["event"]["amount_refunded"]) == ("succeeded", "40.00")
    assert function.run(STATE)["event"] == state["event"]
    assert len(function.stripe.refunds.list({"payment_intent": intent})["data"]) == 1
    assert require(function.payments, "pay_1").reserved_minor_units == 0


@pytest.mark.fault(81, 82)
def test_comparison_takes_in_what_changed_at_stripe(function: RefundFunction, executions: Executions) -> None:
    intent = function.paid()
    function.request()
    function.run(STATE)
    ours = function.stripe.refunds.list({"payment_intent": intent})["data"][0]["id"]
    function.stripe.refunds.create({"payment_intent": intent, "amount": "1000"})
    function.stripe.refunds.fail(ours)

    assert function.run({"payment_id": "pay_1"}) == {"payment_id": "pay_1"}

    row = require(function.payments, "pay_1")
    assert (row.refunded_minor_units, row.status) == (1000, Status.PARTIALLY_REFUNDED)
    assert require_refund(function.refunds, "ref_1").attention == "failed_late"
    assert "ref_1.v4" in executions.started()
