"""The adapters that payctl creates from a stack's outputs. The tests of the commands show their behaviour."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from payctl import adapters, at_gateway
from payctl.failures import Failure
from payctl.stack import Stack
from payments.domain.recovery_timeouts import RecoveryTimeouts
from tests.moto_tables import aws_in_memory
from tests.unit.payctl.scenarios import OUTPUTS, FakeApi, fake_api

KEY = "sk_test_51AbCdEf"
INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "status": "succeeded",
    "amount": 9999,
    "amount_received": 9999,
    "currency": "usd",
    "latest_charge": None,
    "last_payment_error": None,
    "metadata": {"payment_id": "pay_1"},
}
FOUND = {"object": "search_result", "data": [INTENT], "has_more": False, "url": "/v1/payment_intents/search"}


@pytest.fixture
def secrets() -> Iterator[Any]:
    """Secrets Manager, with the gateway's key not yet set."""
    with aws_in_memory():
        client = boto3.client("secretsmanager")
        client.create_secret(Name=OUTPUTS["gateway_secret_arn"])
        yield client


@pytest.fixture
def stripe() -> Iterator[FakeApi]:
    with fake_api() as api:
        api.will_answer(200, FOUND)
        yield api


def stack(**outputs: str) -> Stack:
    return Stack(OUTPUTS | outputs, Path("outputs.json"))


@pytest.mark.parametrize("output", ["gateway_url", "stripe_api_base"])
def test_gateway_when_asked_then_with_the_stacks_key_at_the_stacks_address(
    output: str, secrets: Any, stripe: FakeApi
) -> None:
    secrets.put_secret_value(SecretId=OUTPUTS["gateway_secret_arn"], SecretString=KEY)
    gateway = at_gateway.gateway(stack(**{output: stripe.url.removesuffix("/test")}))
    assert str(at_gateway.says(gateway, "pay_1", environment_id="")) == "succeeded 99.99 USD (pi_1)"
    [request] = stripe.received
    assert request.path.startswith("/v1/payment_intents/search?")
    assert request.headers["Authorization"] == f"Bearer {KEY}"


def test_gateway_of_a_local_stack_bypasses_the_operators_proxy(
    secrets: Any, stripe: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets.put_secret_value(SecretId=OUTPUTS["gateway_secret_arn"], SecretString=KEY)
    monkeypatch.setattr(Stack, "client", lambda self, service: secrets)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "elsewhere.example")
    gateway = at_gateway.gateway(stack(endpoint_url="https://x", gateway_url=stripe.url.removesuffix("/test")))
    assert at_gateway.says(gateway, "pay_1", environment_id="").status == "succeeded"


def test_gateway_without_a_key_says_how_to_set_one_and_sends_nothing(secrets: Any, stripe: FakeApi) -> None:
    with pytest.raises(Failure, match="payctl gateway set-key"):
        at_gateway.gateway(stack(gateway_url=stripe.url))
    assert stripe.received == []


def test_timeouts_use_the_unit_from_the_stack_outputs() -> None:
    assert adapters.timeouts(stack(patience_seconds="10")) == RecoveryTimeouts(timedelta(seconds=10))
    assert adapters.timeouts(stack(gateway_deadline_seconds="60")).deadline == timedelta(minutes=1)
    assert adapters.timeouts(stack()) == RecoveryTimeouts()


def test_execution_arn_when_the_machine_is_known_then_names_its_execution() -> None:
    machine = "arn:aws:states:eu-west-1:1:stateMachine:payment-processor-dev"
    expected = "arn:aws:states:eu-west-1:1:execution:payment-processor-dev:pay_1.2"
    assert adapters.execution_arn(stack(state_machine_arn=machine), "pay_1.2") == expected
