"""Scenarios for payctl: a REST API with prepared answers, a stack on moto, and outputs that point to them."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
from typer.testing import CliRunner, Result

from payctl import show
from payctl.app import app
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.events import DynamoEventStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.tables import AUDIT_LOG, CONTROLS, GATEWAY_EVENTS, PAYMENTS, PROCESSING_STATUS
from payments.adapters.kms import KmsFieldEncryptor
from payments.adapters.sqs import SqsPaymentQueue
from payments.domain.clock import utc_now
from payments.domain.payment import Payment
from payments.ports.payment_queue import QueuedPayment
from tests.moto_mapping import event_source_mapping
from tests.moto_tables import aws_in_memory, create_table

for console in (show.out, show.err):
    console.width = show.PIPED_COLUMNS  # in every terminal
OUTPUTS = {
    "environment_suffix": "test",
    "region": "us-east-1",
    "auth_mode": "none",
    "batch_bucket": "files",
    "payments_table": "payments",
    "refunds_table": "payment-refunds",
    "processing_status_table": "payment-processing-status",
    "customers_table": "customers",
    "audit_table": AUDIT_LOG.name,
    "gateway_events_table": GATEWAY_EVENTS.name,
    "controls_table": CONTROLS.name,
    "gateway_slot_microseconds": "50000",
    "gateway_backlog_limit_seconds": "300",
    "gateway_secret_arn": "gateway-key",
    "webhook_secret_arn": "webhook-secret",
}


@dataclass
class Received:
    """A request that reached the API."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class FakeApi:
    """Answers each request with the next of `answers`: status, JSON and headers. The last one repeats."""

    url: str
    answers: list[tuple[int, Any, dict[str, str]]] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)

    def will_answer(self, status: int, body: Any, **headers: str) -> None:
        """Queue an answer; header names are written with underscores."""
        self.answers.append((status, body, {name.replace("_", "-"): value for name, value in headers.items()}))


@contextmanager
def fake_api() -> Iterator[FakeApi]:
    """A REST API on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            api.received.append(Received(self.command, self.path, dict(self.headers), body))
            status, content, headers = api.answers.pop(0) if len(api.answers) > 1 else api.answers[0]
            payload = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = handle_request  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api = FakeApi(f"http://127.0.0.1:{server.server_address[1]}/test")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()


type Payctl = Callable[..., Result]


def payctl_with(folder: Path, **outputs: str) -> Payctl:
    """payctl on a stack with OUTPUTS and these. Call it with the command line's words and `input` for its stdin."""
    path = folder / "outputs.json"
    path.write_text(json.dumps(OUTPUTS | {"api_url": "https://api.example/test"} | outputs))
    runner = CliRunner()

    def run(*arguments: str, stdin: str = "") -> Result:
        return runner.invoke(app, ["--outputs", str(path), *arguments], input=stdin)

    return run


@dataclass
class PayctlScenario:
    """A whole stack on moto, without its functions, and payctl on it."""

    outputs: dict[str, str]
    payctl: Payctl

    @property
    def payments(self) -> DynamoPaymentStore:
        """The payments table."""
        encryptor = KmsFieldEncryptor(boto3.client("kms"), self.outputs["vault_key_arn"])
        return DynamoPaymentStore(boto3.client("dynamodb"), PAYMENTS.name, encryptor)

    @property
    def audit_log(self) -> DynamoAuditStore:
        """The audit log."""
        return DynamoAuditStore(boto3.client("dynamodb"), AUDIT_LOG.name, PAYMENTS.name)

    @property
    def events(self) -> DynamoEventStore:
        """The gateway's events."""
        return DynamoEventStore(boto3.client("dynamodb"), GATEWAY_EVENTS.name)

    @property
    def breaker(self) -> DynamoBreakerStore:
        """The stored state of the batch breaker."""
        return DynamoBreakerStore(boto3.client("dynamodb"), CONTROLS.name)

    def delivers(self) -> bool:
        """Whether the queue's messages are delivered."""
        mapping = boto3.client("lambda").get_event_source_mapping(UUID=self.outputs["dispatch_mapping_id"])
        return mapping["State"] == "Enabled"

    def stored(self, payment: Payment) -> Payment:
        """Store a payment unchanged."""
        self.payments.create(payment)
        return payment

    def executed(self, name: str) -> None:
        """Start an execution with this name."""
        boto3.client("stepfunctions").start_execution(
            stateMachineArn=self.outputs["state_machine_arn"], name=name, input="{}"
        )

    def executions(self) -> set[str]:
        """The names of all executions."""
        answer = boto3.client("stepfunctions").list_executions(stateMachineArn=self.outputs["state_machine_arn"])
        return {execution["name"] for execution in answer["executions"]}

    def dead_letter(self, payment: Payment | str, reason: str = "") -> str:
        """Put a payment's message, or a text, into the dead-letter queue, and log the reason. Returns its id."""
        url = self.outputs["dead_letter_queue_url"]
        sqs = boto3.client("sqs")
        if isinstance(payment, str):
            message_id = sqs.send_message(QueueUrl=url, MessageBody=payment)["MessageId"]
        else:
            body = json.dumps({"payment_id": payment.payment_id, "batch_id": payment.batch_id, "line": 2})
            message_id = sqs.send_message(QueueUrl=url, MessageBody=body)["MessageId"]
        if reason:
            self.logged("dispatch", {"message": "not dispatched", "message_id": message_id, "reason": reason})
        return message_id

    def queued(self, queue: str = "payment_queue_url") -> list[Any]:
        """The bodies of the visible messages in a queue. Reading does not remove them."""
        answer = boto3.client("sqs").receive_message(
            QueueUrl=self.outputs[queue], MaxNumberOfMessages=10, VisibilityTimeout=0
        )
        return [message["Body"] for message in answer.get("Messages", [])]

    def queue(self, payment: Payment) -> None:
        """Queue a payment."""
        queue = SqsPaymentQueue(boto3.client("sqs"), self.outputs["payment_queue_url"])
        queue.send([QueuedPayment(payment.payment_id, payment.batch_id, payment.batch_line)])

    def logged(self, function: str, *lines: dict[str, Any]) -> None:
        """Write log lines of a function with the current time, or with a line's own `timestamp`."""
        logs, name = boto3.client("logs"), f"/aws/lambda/payment-{function}-test"
        if not logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]:
            logs.create_log_group(logGroupName=name)
            logs.create_log_stream(logGroupName=name, logStreamName="s")
        for line in lines:
            at = datetime.fromisoformat(line["timestamp"]) if "timestamp" in line else utc_now()
            event: Any = {"timestamp": int(at.timestamp() * 1000), "message": json.dumps(line)}
            logs.put_log_events(logGroupName=name, logStreamName="s", logEvents=[event])


@contextmanager
def payctl_scenario(folder: Path) -> Iterator[PayctlScenario]:
    """A stack on moto: its tables, queues, secrets, state machine and the mapping from queue to dispatch."""
    with aws_in_memory():
        for table in (PAYMENTS, AUDIT_LOG, GATEWAY_EVENTS, CONTROLS, PROCESSING_STATUS):
            create_table(table)
        sqs = boto3.client("sqs")
        role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        end = {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}
        machine = boto3.client("stepfunctions").create_state_machine(
            name="payments", definition=json.dumps(end), roleArn=role
        )
        for name in ("gateway_secret_arn", "webhook_secret_arn"):
            boto3.client("secretsmanager").create_secret(Name=OUTPUTS[name])
        outputs = {
            "payment_queue_url": sqs.create_queue(QueueName="payments")["QueueUrl"],
            "dead_letter_queue_url": sqs.create_queue(QueueName="dead-letters")["QueueUrl"],
            "state_machine_arn": machine["stateMachineArn"],
            "dispatch_mapping_id": event_source_mapping(),
            "vault_key_arn": boto3.client("kms").create_key()["KeyMetadata"]["Arn"],
        }
        yield PayctlScenario(outputs, payctl_with(folder, **outputs))


def payment_view(status: str = "succeeded", **more: Any) -> dict[str, Any]:
    """A payment as GET /payments/{payment_id} returns it."""
    return {
        "payment_id": "pay_1",
        "status": status,
        "amount": 99.99,
        "currency": "USD",
        "source": "rest",
        "created_at": "2026-11-21T12:00:00.000Z",
        "updated_at": "2026-11-21T12:00:01.000Z",
        "history": [
            {"version": 1, "status": "pending", "at": "2026-11-21T12:00:00.000Z", "actor": "rest"},
            {"version": 2, "status": status, "at": "2026-11-21T12:00:01.000Z", "actor": "workflow"},
        ],
        "references": {"gateway": "stripe", "gateway_reference": "pi_1"},
        "links": {"self": "/payments/pay_1"},
        **more,
    }


ACCEPTED = {
    "payment_id": "pay_1",
    "status": "pending",
    "accepted_at": "2026-11-21T12:00:00.000Z",
    "links": {"self": "/payments/pay_1"},
}
