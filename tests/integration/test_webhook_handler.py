"""The webhook function on moto: signatures, and that no event is acknowledged before it is stored."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from types import ModuleType
from typing import Any

import boto3
import pytest

from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.tables import CONTROLS, CUSTOMERS, GATEWAY_EVENTS
from payments.domain.clock import iso
from payments.domain.customer import Customer
from payments.domain.sealed_text import is_sealed
from payments.domain.statuses import Status
from payments.observability.metrics import CONTRADICTING_EVENTS, GATEWAY_EVENTS_REFUSED
from tests.integration.executions import Executions
from tests.integration.functions import Context, load, metrics_in
from tests.moto_tables import create_table
from tests.unit.builders import NOON, after, payment

SECRET, NEXT_SECRET = "whsec_now", "whsec_next"
CARD = "4242424242424242"
ENVIRONMENT = "0123456789abcdef"


def event(event_id: str = "evt_1", type: str = "payment_intent.succeeded", payment_id: str = "pay_1") -> bytes:
    """An event as Stripe writes it, with data that we must never store."""
    about = {
        "id": "pi_1",
        "object": "payment_intent",
        "metadata": {"payment_id": payment_id} if payment_id else {},
        "description": f"naïve text about {CARD}",
    }
    created = {"id": event_id, "object": "event", "type": type, "created": 1795262400, "data": {"object": about}}
    return json.dumps(created, indent=2, ensure_ascii=False).encode()


def signature(body: bytes, secret: str = SECRET, *, seconds_old: int = 0, scheme: str = "v1") -> str:
    """Stripe's signature scheme (docs.stripe.com/webhooks/signature), implemented independently."""
    signed_at = int(time.time()) - seconds_old
    digest = hmac.new(secret.encode(), f"{signed_at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={signed_at},{scheme}={digest}"


@dataclass
class Endpoint:
    """The deployed webhook, as far as moto supports it."""

    function: ModuleType
    secret_arn: str

    def receive(self, body: bytes, headers: dict[str, str], *, encoded: bool = False) -> dict[str, Any]:
        """The answer to the gateway, with the `body` of a problem parsed."""
        text = base64.b64encode(body).decode() if encoded else body.decode()
        request = {
            "httpMethod": "POST",
            "requestContext": {"requestId": "request-1"},
            "headers": headers,
            "body": text,
            "isBase64Encoded": encoded,
        }
        answer: dict[str, Any] = self.function.handler(request, Context())
        return answer | {"body": json.loads(answer["body"])}

    def deliver(self, body: bytes, *, secret: str = SECRET, encoded: bool = False) -> int:
        """Sign and send, as Stripe does. Returns the status."""
        status: int = self.receive(body, {"Stripe-Signature": signature(body, secret)}, encoded=encoded)["statusCode"]
        return status

    def stored(self) -> dict[str, str]:
        """The stored events and their states."""
        items = boto3.client("dynamodb").scan(TableName=GATEWAY_EVENTS.name)["Items"]
        return {item["event_id"]["S"]: item["state"]["S"] for item in items}

    def set_secrets(self, **secrets: str) -> None:
        """As an operator does."""
        boto3.client("secretsmanager").put_secret_value(SecretId=self.secret_arn, SecretString=json.dumps(secrets))


@pytest.fixture
def endpoint(payments: DynamoPaymentStore, executions: Executions) -> Endpoint:
    """The webhook with a secret, and an unknown payment that a valid event would make the workflow query."""
    create_table(GATEWAY_EVENTS)
    create_table(CUSTOMERS)
    create_table(CONTROLS)
    payments.create(payment())
    processing = after(payment(), Status.PROCESSING)
    payments.save(processing)
    payments.save(after(processing, Status.UNKNOWN))
    secret_arn = boto3.client("secretsmanager").create_secret(Name="payment-webhook-stripe")["ARN"]
    function = load(
        "webhook",
        PAYMENTS_TABLE="payments",
        GATEWAY_EVENTS_TABLE=GATEWAY_EVENTS.name,
        STATE_MACHINE_ARN=executions.arn,
        GATEWAY_MODE="test",
        WEBHOOK_SECRET_ARN=secret_arn,
        CUSTOMERS_TABLE=CUSTOMERS.name,
        CONTROLS_TABLE=CONTROLS.name,
        ENVIRONMENT_ID=ENVIRONMENT,
        VAULT_KEY_ARN=boto3.client("kms").create_key()["KeyMetadata"]["Arn"],
    )
    endpoint = Endpoint(function, secret_arn)
    endpoint.set_secrets(current=SECRET)
    return endpoint


def test_signed_event_is_stored_and_the_workflow_asks_the_gateway(endpoint: Endpoint, executions: Executions) -> None:
    answer = endpoint.receive(event(), {"Stripe-Signature": signature(event())})

    assert (answer["statusCode"], answer["body"]) == (200, {"received": True})
    assert endpoint.stored() == {"evt_1": "parked"}  # until the execution has recorded the gateway's answer
    ((name, state),) = executions.started().items()
    assert name.startswith("pay_1.e")
    assert state.pop("gateway_reference") == "pi_1"
    assert state == {"payment_id": "pay_1", "ask": True, "event_id": "evt_1"}


def test_event_of_a_closed_environment_is_stored_and_waits(endpoint: Endpoint, executions: Executions) -> None:
    breaker = DynamoBreakerStore(boto3.client("dynamodb"), CONTROLS.name)
    breaker.close()
    assert endpoint.deliver(event()) == 200
    assert endpoint.stored() == {"evt_1": "parked"}  # recovery applies it once the environment is open
    assert executions.started() == {}


def test_event_of_the_other_mode_gets_400_with_why_and_is_not_stored(endpoint: Endpoint) -> None:
    live = json.dumps(json.loads(event()) | {"livemode": True}).encode()
    answer = endpoint.receive(live, {"Stripe-Signature": signature(live)})
    assert answer["statusCode"] == 400
    assert "from Stripe's live mode, and this environment is in test mode" in answer["body"]["detail"]
    assert endpoint.stored() == {}


def test_event_before_its_payment_row_is_stored_for_recovery(endpoint: Endpoint, executions: Executions) -> None:
    assert endpoint.deliver(event(payment_id="pay_later")) == 200
    assert endpoint.stored() == {"evt_1": "parked"}
    assert executions.started() == {}


def test_event_when_it_comes_twice_then_stored_once_and_asked_about_once(
    endpoint: Endpoint, executions: Executions
) -> None:
    assert [endpoint.deliver(event()), endpoint.deliver(event())] == [200, 200]
    assert endpoint.stored() == {"evt_1": "parked"}
    assert len(executions.started()) == 1


# Saved cards ---------------------------------------------------------------------------------------------------------


def card_saved(**more: Any) -> bytes:
    """setup_intent.succeeded as Stripe writes it."""
    metadata = {"customer_id": "cus_1", "payment_environment": ENVIRONMENT}
    about = {"id": "seti_1", "object": "setup_intent", "client_secret": "seti_1_secret_2", "metadata": metadata}
    about |= {"customer": "cus_stripe", "payment_method": "pm_1AbC"} | more
    created = {"id": "evt_1", "object": "event", "type": "setup_intent.succeeded", "created": 1795262400}
    return json.dumps(created | {"data": {"object": about}}).encode()


def customer_row() -> dict[str, Any]:
    """The stored customer, in plain types."""
    item = boto3.client("dynamodb").get_item(TableName=CUSTOMERS.name, Key={"customer_id": {"S": "cus_1"}})["Item"]
    return {name: next(iter(value.values())) for name, value in item.items()}


@pytest.fixture
def saver(endpoint: Endpoint) -> None:
    """A customer who has set up a card."""
    row = Customer("cus_1", created_at=iso(NOON), updated_at=iso(NOON), version=2, gateway_customer="cus_stripe")
    endpoint.function.first_cards.customers.create(row)


def test_saved_card_becomes_the_sealed_default_and_no_text_is_logged(
    endpoint: Endpoint, saver: None, executions: Executions, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = StringIO()
    monkeypatch.setattr(endpoint.function.log.registered_handler, "stream", log)
    assert [endpoint.deliver(card_saved()), endpoint.deliver(card_saved())] == [200, 200]
    row = customer_row()
    assert is_sealed(row["default_payment_method"])
    assert row["version"] == "3"
    assert (endpoint.stored(), executions.started()) == ({}, {})
    assert '"customer_id":"cus_1"' in log.getvalue()
    assert "pm_1AbC" not in log.getvalue() + json.dumps(row)
    assert "_secret_" not in log.getvalue()


@pytest.mark.parametrize(
    "more",
    [
        {"metadata": {"customer_id": "cus_1", "payment_environment": "another"}},
        {"metadata": None},
        {"metadata": {"customer_id": ["cus_1"], "payment_environment": ENVIRONMENT}},
        {"customer": "cus_other"},
        {"customer": None},
        {"payment_method": None},
    ],
)
def test_saved_card_of_another_program_is_acknowledged_and_ignored(
    endpoint: Endpoint, saver: None, more: dict[str, Any]
) -> None:
    assert endpoint.deliver(card_saved(**more)) == 200
    assert "default_payment_method" not in customer_row()


@pytest.mark.fault(33)
def test_saved_card_with_a_wrong_signature_changes_nothing(endpoint: Endpoint, saver: None) -> None:
    assert endpoint.deliver(card_saved(), secret="whsec_other") == 400
    assert "default_payment_method" not in customer_row()


FORGED: dict[str, Callable[[bytes], tuple[bytes, dict[str, str]]]] = {
    "missing": lambda body: (body, {}),
    "empty": lambda body: (body, {"Stripe-Signature": ""}),
    "nonsense": lambda body: (body, {"Stripe-Signature": "t=now,v1=ü"}),
    "of another secret": lambda body: (body, {"Stripe-Signature": signature(body, "whsec_other")}),
    "of an empty secret": lambda body: (body, {"Stripe-Signature": signature(body, "")}),
    "of another body": lambda body: (body, {"Stripe-Signature": signature(b"{}")}),
    "of the test scheme": lambda body: (body, {"Stripe-Signature": signature(body, scheme="v0")}),
    "old": lambda body: (body, {"Stripe-Signature": signature(body, seconds_old=302)}),
    "made young": lambda body: (
        body,
        {"Stripe-Signature": f"t={int(time.time())},{signature(body, seconds_old=302).partition(',')[2]}"},
    ),
    "one byte altered": lambda body: (
        body.replace(b"pay_1", b"pay_2"),
        {"Stripe-Signature": signature(body)},
    ),
    "one space more": lambda body: (body + b" ", {"Stripe-Signature": signature(body)}),
}


@pytest.mark.fault(33)
@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_event_when_its_signature_does_not_fit_then_400_and_nothing_stored(
    endpoint: Endpoint,
    executions: Executions,
    forged: Callable[[bytes], tuple[bytes, dict[str, str]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    body, headers = forged(event())

    answer = endpoint.receive(body, headers)

    assert metrics_in(capsys.readouterr().out) == {GATEWAY_EVENTS_REFUSED: 1}

    assert answer["statusCode"] == 400
    assert answer["body"]["type"] == "urn:problem:payment-api:invalid-signature"
    assert "nothing was stored" in answer["body"]["detail"]
    assert endpoint.stored() == {}
    assert executions.started() == {}


@pytest.mark.fault(33)
def test_event_signature_as_old_as_stripes_libraries_allow_is_accepted(endpoint: Endpoint) -> None:
    headers = {"Stripe-Signature": signature(event(), seconds_old=290)}

    assert endpoint.receive(event(), headers)["statusCode"] == 200


@pytest.mark.fault(34)
def test_event_when_its_body_comes_base64_encoded_then_it_verifies(endpoint: Endpoint) -> None:
    assert endpoint.deliver(event(), encoded=True) == 200
    assert endpoint.stored() == {"evt_1": "parked"}


@pytest.mark.fault(34)
def test_event_when_its_encoding_is_broken_then_400_and_nothing_stored(endpoint: Endpoint) -> None:
    request = {
        "requestContext": {},
        "headers": {"Stripe-Signature": signature(event())},
        "body": "no base64!",
        "isBase64Encoded": True,
    }

    assert endpoint.function.handler(request, Context())["statusCode"] == 400
    assert endpoint.stored() == {}


@pytest.mark.fault(34)
def test_rotated_secret_verifies_beside_the_old_one_until_that_is_removed(endpoint: Endpoint) -> None:
    endpoint.set_secrets(current=NEXT_SECRET, previous=SECRET)
    assert endpoint.deliver(event("evt_old"), secret=SECRET) == 200
    assert endpoint.deliver(event("evt_new"), secret=NEXT_SECRET) == 200

    endpoint.set_secrets(current=NEXT_SECRET)
    endpoint.function.secrets.forget()
    assert endpoint.deliver(event("evt_late"), secret=SECRET) == 400
    assert endpoint.deliver(event("evt_newer"), secret=NEXT_SECRET) == 200
    assert endpoint.stored().keys() == {"evt_old", "evt_new", "evt_newer"}


@pytest.mark.fault(34)
def test_event_with_two_signatures_needs_only_one_that_fits(endpoint: Endpoint) -> None:
    other = signature(event(), NEXT_SECRET).partition(",")[2]

    answer = endpoint.receive(event(), {"stripe-signature": f"{signature(event())},{other}"})

    assert answer["statusCode"] == 200


@pytest.mark.fault(34)
def test_event_signed_with_a_newly_rotated_secret_has_it_read_again(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert endpoint.deliver(event("evt_1")) == 200
    endpoint.set_secrets(current=NEXT_SECRET)

    assert (
        endpoint.deliver(event("evt_2"), secret=NEXT_SECRET) == 400
    )  # read just now: unsigned requests cause no further read
    monkeypatch.setattr(endpoint.function.secrets, "_monotonic", lambda: time.monotonic() + 11)
    assert endpoint.deliver(event("evt_2"), secret=NEXT_SECRET) == 400
    assert endpoint.deliver(event("evt_2"), secret=NEXT_SECRET) == 200


def test_event_when_it_cannot_be_stored_then_500_so_that_it_comes_again(
    endpoint: Endpoint, executions: Executions
) -> None:
    boto3.client("dynamodb").delete_table(TableName=GATEWAY_EVENTS.name)

    assert endpoint.deliver(event()) == 500
    assert executions.started() == {}

    create_table(GATEWAY_EVENTS)
    assert endpoint.deliver(event()) == 200
    assert endpoint.stored() == {"evt_1": "parked"}


def test_event_is_stored_and_gets_500_if_the_workflow_cannot_start(endpoint: Endpoint, executions: Executions) -> None:
    boto3.client("stepfunctions").delete_state_machine(stateMachineArn=executions.arn)

    assert endpoint.deliver(event()) == 500
    assert endpoint.stored() == {"evt_1": "parked"}


def test_event_without_a_configured_secret_gets_503_with_what_to_do(
    payments: DynamoPaymentStore, executions: Executions
) -> None:
    create_table(GATEWAY_EVENTS)
    secret_arn = boto3.client("secretsmanager").create_secret(Name="payment-webhook-stripe")["ARN"]
    function = load(
        "webhook",
        PAYMENTS_TABLE="payments",
        GATEWAY_EVENTS_TABLE=GATEWAY_EVENTS.name,
        STATE_MACHINE_ARN=executions.arn,
        GATEWAY_MODE="test",
        WEBHOOK_SECRET_ARN=secret_arn,
        CUSTOMERS_TABLE=CUSTOMERS.name,
        CONTROLS_TABLE=CONTROLS.name,
        ENVIRONMENT_ID=ENVIRONMENT,
    )
    endpoint = Endpoint(function, secret_arn)

    answer = endpoint.receive(event(), {"Stripe-Signature": signature(event())})

    assert answer["statusCode"] == 503
    assert "payctl gateway set-webhook-secret" in answer["body"]["detail"]
    assert endpoint.stored() == {}


@pytest.mark.parametrize(
    "body",
    [
        b"hello",
        b"[]",
        b'{"id": "evt_1"}',
        b'{"id": 1, "type": "x", "created": 1, "data": {"object": {"id": "pi_1", "object": "payment_intent"}}}',
        b'{"id": "evt_1", "type": "x", "created": 1e400, "data": {"object": {"id": "pi_1", "object": "y"}}}',
        b"[" * 100_000,
    ],
    ids=["no JSON", "a list", "no event", "a number for an id", "a time beyond all times", "nested without end"],
)
def test_event_when_signed_and_still_no_event_then_400_and_nothing_stored(endpoint: Endpoint, body: bytes) -> None:
    answer = endpoint.receive(body, {"Stripe-Signature": signature(body)})

    assert answer["statusCode"] == 400
    assert answer["body"]["type"] == "urn:problem:payment-api:invalid-request"
    assert endpoint.stored() == {}


@pytest.mark.parametrize(
    "body",
    [event(type="customer.created"), event(payment_id=""), event(payment_id="../pay 1")],
    ids=["another type", "another system's payment", "no id of ours"],
)
def test_event_when_it_is_none_of_ours_then_acknowledged_and_not_stored(
    endpoint: Endpoint, executions: Executions, body: bytes
) -> None:
    assert endpoint.deliver(body) == 200
    assert endpoint.stored() == {}
    assert executions.started() == {}


def test_money_event_for_an_uncharged_payment_is_counted_and_kept(
    endpoint: Endpoint, payments: DynamoPaymentStore, capsys: pytest.CaptureFixture[str]
) -> None:
    payments.create(payment("pay_9"))
    payments.save(after(payment("pay_9"), Status.REJECTED))

    assert endpoint.deliver(event(payment_id="pay_9")) == 200

    assert endpoint.stored() == {"evt_1": "contradicts"}
    assert metrics_in(capsys.readouterr().out) == {CONTRADICTING_EVENTS: 1}


def test_webhook_never_logs_or_returns_secret_signature_or_event_content(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = StringIO()
    monkeypatch.setattr(endpoint.function.log.registered_handler, "stream", log)
    headers = {"Stripe-Signature": signature(event())}
    answers = [endpoint.receive(event(), headers), endpoint.receive(event() + b" ", headers)]
    boto3.client("dynamodb").delete_table(TableName=GATEWAY_EVENTS.name)
    answers.append(endpoint.receive(event("evt_2"), {"Stripe-Signature": signature(event("evt_2"))}))
    said = log.getvalue() + json.dumps(answers)

    assert [answer["statusCode"] for answer in answers] == [200, 400, 500]
    assert "webhook rejected" in said
    assert "webhook failed" in said
    for unsaid in (SECRET, headers["Stripe-Signature"].rpartition("=")[2], CARD):
        assert unsaid not in said
