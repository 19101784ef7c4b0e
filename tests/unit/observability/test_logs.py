"""Log lines: the same format in every function, and one id from the API to the audit log."""

import ast
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from aws_lambda_powertools import Logger

from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.instrumented_payments import InstrumentedPaymentStore
from payments.adapters.dynamodb.tables import (
    AUDIT_LOG,
    CONTROLS,
    CUSTOMERS,
    GATEWAY_EVENTS,
    PAYMENTS,
    PROCESSING_STATUS,
    TOKENS,
)
from payments.adapters.kms import KmsFieldEncryptor
from payments.adapters.step_functions import StepFunctionsWorkflow
from payments.adapters.stripe.gateway import StripeGateway
from payments.domain.errors import OutcomeUnknown
from payments.domain.outcome import outcome_of
from payments.domain.statuses import Status
from payments.observability import logs
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge
from tests.integration.functions import Context, load
from tests.moto_tables import aws_in_memory, create_table
from tests.unit.builders import batch_payment, payment

LAMBDA = Path(__file__).parents[3] / "lambda_src"
HANDLERS = sorted(path for path in (LAMBDA / "handlers").glob("*.py") if path.stem != "__init__")


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """What our logger prints in a test."""
    stream = io.StringIO()
    log = Logger(service=f"logs-{id(stream)}", stream=stream, logger_formatter=logs.RedactingFormatter(utc=True))
    with patch.object(logs, "logger", lambda: log):
        yield stream


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    """The lines, parsed."""
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_lines_after_binding_a_payment_carry_its_id_and_correlation_id(out: io.StringIO) -> None:
    @logs.invocation
    def handler(event: dict[str, Any], context: None) -> None:
        logs.logger().info("before")
        logs.bind_log_context(payment("pay_7"))
        logs.logger().info("after")

    handler({}, None)

    before, after = lines(out)
    assert "payment_id" not in before
    assert (after["payment_id"], after["correlation_id"]) == ("pay_7", "request-1")


def test_lines_carry_nothing_from_an_earlier_invocation(out: io.StringIO) -> None:
    @logs.invocation
    def handler(event: dict[str, Any], context: None) -> None:
        logs.logger().info("begun")
        logs.bind_log_context(payment())
        if event:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        handler({"requestContext": {"requestId": "request-9"}}, None)
    handler({}, None)
    logs.logger().info("outside")

    first, *others = lines(out)
    assert first["request_id"] == "request-9"
    assert all({"payment_id", "correlation_id", "request_id"}.isdisjoint(line) for line in others)


def test_lines_of_a_message_without_a_payment_do_not_name_the_previous_one(out: io.StringIO) -> None:
    logs.bind_log_context(batch_payment("pay_1"))
    logs.bind_log_context(None)
    logs.logger().info("not dispatched")

    assert {"payment_id", "correlation_id"}.isdisjoint(lines(out)[0])


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no customer jo@example.com", {"a": 1}),
        KeyError("sk_live_abcdefgh"),
        ExceptionGroup("2 items", [ValueError("jo@example.com"), KeyError("sk_live_abcdefgh")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_raised_by_a_function_keeps_its_class_and_hides_secrets(error: Exception) -> None:
    error.add_note("for jo@example.com")

    @logs.invocation
    def handler(event: None, context: None) -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        handler(None, None)

    inside = raised.value.exceptions if isinstance(raised.value, ExceptionGroup) else ()
    text = f"{raised.value} {raised.value.args} {raised.value.__notes__} {inside}"
    assert "jo@example.com" not in text
    assert "sk_live_" not in text
    assert "[redacted: " in text


def test_redacted_payment_error_is_still_readable_by_the_workflow() -> None:
    error = OutcomeUnknown("no_answer", "no answer for jo@example.com", gateway_reference="sealed.v1.abc.def")
    logs.redact_exception(error)

    outcome = outcome_of({"error": {"Error": "OutcomeUnknown", "Cause": json.dumps({"errorMessage": str(error)})}})
    assert (outcome.status, outcome.code) == (Status.UNKNOWN, "no_answer")
    assert outcome.message == "no answer for [redacted: e-mail]"
    assert outcome.gateway_reference == "sealed.v1.abc.def"


def test_library_warnings_are_redacted_too() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    root.addHandler(handler)
    others = {other: other.formatter for other in root.handlers}
    try:
        logs.logger.cache_clear()
        logs.logger()
        logging.getLogger("urllib3.connectionpool").warning("Retrying: /v1/customers?email=%s", "jo@example.com")
    finally:
        root.removeHandler(handler)
        for other, formatter in others.items():
            other.setFormatter(formatter)

    assert "Retrying" in json.loads(stream.getvalue())["message"]
    assert "jo@example.com" not in stream.getvalue()


# How handlers log ----------------------------------------------------------------------------------------------------


def _calls(path: Path) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.stem)
def test_handler_uses_the_shared_logger_and_the_invocation_decorator(path: Path) -> None:
    tree = ast.parse(path.read_text())
    (handler,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "handler"]

    assert ast.unparse(handler.decorator_list[0]) == "invocation"
    assert "log = logger()" in path.read_text()


def test_lambda_code_when_it_prints_then_only_through_the_one_logger() -> None:
    printing = {
        "print",
        "sys.stdout.write",
        "sys.stderr.write",
        "os.write",
        "warnings.warn",
        "logging.getLogger",
        "Logger",
    }
    printing |= {
        "pprint",
        "traceback.print_exc",
        "logging.info",
        "logging.warning",
        "logging.error",
        "logging.exception",
    }
    found = {path.relative_to(LAMBDA).as_posix(): printing & _calls(path) for path in LAMBDA.rglob("*.py")}

    assert {path: calls for path, calls in found.items() if calls} == {
        "payments/observability/logs.py": {
            "Logger",
            "logging.getLogger",
        },  # and `metrics` prints numbers, by powertools
        "payments/adapters/stripe/gateway.py": {"logging.getLogger"},  # it reduces Stripe's own log
    }


# From the API to the audit log ---------------------------------------------------------------------------------------


@pytest.fixture
def settings() -> Iterator[dict[str, str]]:
    """AWS in memory with the tables, a key and a gateway's secret, and the settings of functions on them."""
    with aws_in_memory():
        for table in (
            PAYMENTS,
            CUSTOMERS,
            TOKENS,
            CONTROLS,
            GATEWAY_EVENTS,
            AUDIT_LOG,
            PROCESSING_STATUS,
        ):
            create_table(table)
        audit_key = boto3.client("kms").create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
        secret = boto3.client("secretsmanager").create_secret(Name="gateway", SecretString="sk_1")["ARN"]
        made = {
            "PAYMENTS_TABLE": PAYMENTS.name,
            "CUSTOMERS_TABLE": CUSTOMERS.name,
            "TOKENS_TABLE": TOKENS.name,
            "CONTROLS_TABLE": CONTROLS.name,
            "LIMITS_TABLE": "limits",
            "GATEWAY_EVENTS_TABLE": GATEWAY_EVENTS.name,
            "AUDIT_TABLE": AUDIT_LOG.name,
            "AUDIT_KEY_ARN": audit_key["KeyMetadata"]["Arn"],
            "DENIED_TABLE": "unused",
            "DENIED_RETENTION_DAYS": "400",
            "PROCESSING_STATUS_TABLE": PROCESSING_STATUS.name,
            "VAULT_KEY_ARN": boto3.client("kms").create_key()["KeyMetadata"]["Arn"],
            "EMAIL_HASH_KEY_ARN": "no key of the metadata is searchable",
            "GATEWAY_SECRET_ARN": secret,
            "REPORT_FUNCTION": "report",
            "REFUNDS_TABLE": "payment-refunds",
            "STATE_MACHINE_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:payment-processor",
            "STRIPE_API_BASE": "http://127.0.0.1:9",
            "GATEWAY_MODE": "test",
            "ENVIRONMENT_ID": "0123456789ab",
            "SLOT_MICROSECONDS": "20000",
            "PATIENCE_SECONDS": "300",
            "GATEWAY_DEADLINE_SECONDS": "86400",
            "FRAUD_HOLD_HOURS": "72",
            "FRAUD_HOLD_OUTCOME": "reject",
            "CARDS_PER_MERCHANT": "120/24",
            "GATEWAY_OUTAGE_LIMIT": "10000",
            "DEFAULT_PAYMENT_METHOD": "",
            "DISPATCH_PACE_SECONDS": "0",
            "PAYMENT_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/payment-queue",
            "ENVIRONMENT_SUFFIX": "test",
        }
        with patch.dict("os.environ", made):
            yield made


def test_correlation_id_is_in_every_log_line_and_audit_entry_of_a_payment(
    settings: dict[str, str], out: io.StringIO
) -> None:
    dynamodb = boto3.client("dynamodb")
    encryptor = KmsFieldEncryptor(boto3.client("kms"), settings["VAULT_KEY_ARN"])
    asked = payment("pay_1")  # by request-1
    InstrumentedPaymentStore(dynamodb, PAYMENTS.name, encryptor).create(asked)
    state: dict[str, Any] = {"payment_id": "pay_1"}
    message = {"messageId": "m1", "body": json.dumps(state), "eventSource": "aws:sqs"}

    def charged(gateway: StripeGateway, request: ChargeRequest) -> GatewayCharge:
        return GatewayCharge("pi_3MtwBwLkdIwHu7ix28a3tqPa", Status.SUCCEEDED, request.money)

    with (
        patch.object(StripeGateway, "charge", charged),
        patch.object(StepFunctionsWorkflow, "start"),
        patch("payments.application.batch.dispatch.LONGEST_PROBE_SECONDS", 0),
    ):
        assert load("dispatch").handler({"Records": [message]}, Context()) == {"batchItemFailures": []}
        for step in ("validate", "charge", "record", "audit"):
            state = load(step).handler(state, Context())

    assert state["status"] == Status.SUCCEEDED
    logged = [(line["message"], line.get("payment_id"), line.get("correlation_id")) for line in lines(out)]
    messages = ["dispatched", "validated", "charged", "recorded", "audited"]
    assert logged == [(message, "pay_1", "request-1") for message in messages]
    entries = DynamoAuditStore(dynamodb, AUDIT_LOG.name, PAYMENTS.name).entries("pay_1")
    assert {entry.correlation_id for entry in entries} == {"request-1"}
    assert "pi_3Mtw" not in out.getvalue()
    assert "pm_card_visa" not in out.getvalue()
