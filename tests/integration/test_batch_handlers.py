"""The three batch functions, wired as deployed, on moto: a file in, result files and an event out."""

import importlib
import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType
from typing import Any
from unittest.mock import patch

import boto3
import pytest

from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.customers import DynamoCustomerStore
from payments.adapters.dynamodb.slots import DynamoSlotStore
from payments.adapters.dynamodb.tables import AUDIT_LOG, CONTROLS, CUSTOMERS, PAYMENTS, PROCESSING_STATUS
from payments.adapters.lambda_functions import FunctionCaller, FunctionStarter
from payments.application.batch.close_rows import BatchRows
from payments.application.batch.switch_batch import switch_batch
from payments.domain.batch.switch import SwitchState
from payments.domain.batch_breaker import PausedBy
from payments.domain.clock import utc_now
from payments.domain.customer import Customer
from payments.domain.due import Kind
from payments.domain.payment import moved
from payments.domain.statuses import Status
from tests.integration.functions import Context, metrics_in
from tests.moto_tables import aws_in_memory, create_table
from tests.waiting import eventually

HEADER = b"payment_id,amount,currency\n"
SLOT = timedelta(milliseconds=10)


@dataclass
class BatchScenario:
    """The batch part of the stack, as far as moto supports it."""

    split: ModuleType
    dispatch: ModuleType
    report: ModuleType
    s3: Any
    sqs: Any
    queue_url: str
    events_url: str
    invoked: list[tuple[str, dict[str, Any]]]

    def upload(self, key: str, content: bytes) -> dict[str, Any]:
        """Upload a file. Returns S3's notification."""
        version = self.s3.put_object(Bucket="batch", Key=key, Body=content)["VersionId"]
        uploaded = {"key": key.replace(" ", "+"), "versionId": version, "eTag": "e", "size": len(content)}
        return {"Records": [{"s3": {"bucket": {"name": "batch"}, "object": uploaded}}]}

    def messages(self, queue_url: str) -> list[dict[str, Any]]:
        found = []
        while batch := self.sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages"):
            found += [json.loads(message["Body"]) for message in batch]
        return found

    def delivered(self) -> dict[str, Any]:
        """The event that Lambda passes to dispatch."""
        received = self.sqs.receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=10, AttributeNames=["ApproximateReceiveCount"]
        ).get("Messages", [])
        records = [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "attributes": message["Attributes"],
                "body": message["Body"],
                "eventSource": "aws:sqs",
            }
            for message in received
        ]
        return {"Records": records}

    def receives(self, event: dict[str, Any]) -> list[str]:
        """How often each message was received, as SQS counts it."""
        return [record["attributes"]["ApproximateReceiveCount"] for record in event["Records"]]

    def delete(self, event: dict[str, Any]) -> None:
        """Delete the messages, as Lambda does after they succeeded."""
        for record in event["Records"]:
            self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=record["receiptHandle"])

    def succeed(self, payment_id: str) -> None:
        """The workflow's changes to a payment, as far as the batch sees them."""
        store = self.report.reporter.payments
        processing = moved(store.get(payment_id), Status.PROCESSING, at=utc_now(), actor="test")
        store.save(processing)
        succeeded = moved(processing, Status.SUCCEEDED, at=utc_now(), actor="test")
        store.save(succeeded)
        start_report = lambda batch_id: self.invoked.append(("report", {"batch_id": batch_id}))  # noqa: E731
        BatchRows(self.report.reporter.batches, start_report).close(succeeded)

    def result(self, key: str) -> str:
        with closing(self.s3.get_object(Bucket="batch", Key=key)["Body"]) as body:
            text: str = body.read().decode()
            return text


@pytest.fixture
def scenario(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchScenario]:
    with aws_in_memory():
        s3, sqs, sns = boto3.client("s3"), boto3.client("sqs"), boto3.client("sns")
        s3.create_bucket(Bucket="batch")
        s3.put_bucket_versioning(Bucket="batch", VersioningConfiguration={"Status": "Enabled"})
        queue_url = sqs.create_queue(QueueName="payments")["QueueUrl"]
        events_url = sqs.create_queue(QueueName="events")["QueueUrl"]
        topic = sns.create_topic(Name="events")["TopicArn"]
        sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint="arn:aws:sqs:us-east-1:123456789012:events",
            Attributes={"RawMessageDelivery": "true", "FilterPolicy": json.dumps({"event_type": ["batch"]})},
        )
        create_table(PAYMENTS)
        create_table(PROCESSING_STATUS)
        create_table(AUDIT_LOG)
        create_table(CUSTOMERS)
        just_now = int(time.time() / SLOT.total_seconds())  # a recent charge
        DynamoSlotStore(create_table(CONTROLS), CONTROLS.name, SLOT).take_slot(just_now, just_now)
        audit_key = boto3.client("kms").create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
        for name, value in {
            "PAYMENTS_TABLE": PAYMENTS.name,
            "VAULT_KEY_ARN": boto3.client("kms").create_key()["KeyMetadata"]["Arn"],
            "EMAIL_HASH_KEY_ARN": "no key of the metadata is searchable",
            "ENVIRONMENT_SUFFIX": "test",
            "PROCESSING_STATUS_TABLE": PROCESSING_STATUS.name,
            "CUSTOMERS_TABLE": CUSTOMERS.name,
            "MERCHANTS": "shop:sh_:client-of-shop",
            "CONTROLS_TABLE": CONTROLS.name,
            "LIMITS_TABLE": "limits",
            "SLOT_MICROSECONDS": str(SLOT // timedelta(microseconds=1)),
            "PAYMENT_QUEUE_URL": queue_url,
            "PAYMENT_EVENTS_TOPIC_ARN": topic,
            "AUDIT_TABLE": AUDIT_LOG.name,
            "PATIENCE_SECONDS": "300",
            "STATE_MACHINE_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:payment",
            "REPORT_FUNCTION": "report",
            "AUDIT_FUNCTION": "audit",
            "AUDIT_KEY_ARN": audit_key["KeyMetadata"]["Arn"],
            "AWS_LAMBDA_FUNCTION_NAME": "split",
            "DISPATCH_PACE_SECONDS": "0",
        }.items():
            monkeypatch.setenv(name, value)
        invoked: list[tuple[str, dict[str, Any]]] = []

        def invoke(starter: FunctionStarter, event: dict[str, Any]) -> None:
            invoked.append((starter._function_name, json.loads(json.dumps(event))))

        def call(caller: FunctionCaller, event: dict[str, Any]) -> None:
            assert caller._function_name == "audit"
            audit.handler(event, Context())

        # moto copies its tables in a transaction, and fails if another thread writes meanwhile
        monkeypatch.setattr("payments.application.batch.cancel_rows.WORKERS", 1)
        # moto runs functions only in Docker
        with patch.object(FunctionStarter, "__call__", invoke), patch.object(FunctionCaller, "__call__", call):
            split, dispatch, report, audit = (
                importlib.reload(importlib.import_module(f"handlers.{name}"))
                for name in ("split", "dispatch", "report", "audit")
            )
            yield BatchScenario(split, dispatch, report, s3, sqs, queue_url, events_url, invoked)


@pytest.mark.fault(73)
def test_file_of_a_merchant_is_its_own_and_names_its_uploader(scenario: BatchScenario) -> None:
    theirs = Customer("sh_theirs", created_by="client-of-another", version=1)
    DynamoCustomerStore(boto3.client("dynamodb"), CUSTOMERS.name).create(theirs)
    header = HEADER.replace(b"currency", b"currency,customer_id")
    content = header + b"sh_1,1.50,USD,\nsh_2,2,USD,sh_theirs\npay_3,3,USD,\n"
    event = scenario.upload("incoming/merchants/shop/may.csv", content)
    event["Records"][0]["userIdentity"] = {"principalId": "AWS:AROAX:jo"}
    scenario.split.handler(event, Context())
    (queued,) = scenario.messages(scenario.queue_url)
    payment = scenario.report.reporter.payments.get("sh_1")
    assert (queued["payment_id"], payment.submitted_by) == ("sh_1", "client-of-shop")
    assert payment.history[0].actor == "batch:AWS:AROAX:jo"
    batch = scenario.report.reporter.batches.get(queued["batch_id"])
    assert (batch.source.merchant, batch.source.uploaded_by) == ("shop", "AWS:AROAX:jo")
    scenario.succeed("sh_1")
    scenario.report.handler({"batch_id": queued["batch_id"]}, Context())
    errors = scenario.result(f"results/merchants/shop/may.csv/{queued['batch_id']}/errors.csv").splitlines()[1:]
    assert [line.split(",")[:2] for line in errors] == [["3", "customer_id"], ["4", "payment_id"]]


def test_uploaded_file_yields_its_results_and_one_event(scenario: BatchScenario) -> None:
    content = HEADER + b"p1,1.50,USD\nbad,-1,USD\np2,2,JPY\np1,9,USD\n"
    scenario.split.handler(scenario.upload("incoming/2026/may pay.csv", content), Context())
    queued = scenario.messages(scenario.queue_url)
    assert sorted(message["payment_id"] for message in queued) == ["p1", "p2"]
    assert all(set(message) == {"payment_id", "batch_id", "line"} for message in queued)

    scenario.succeed("p1")
    assert scenario.invoked == []
    scenario.succeed("p2")
    ((function, event),) = scenario.invoked
    assert (function, event) == ("report", {"batch_id": queued[0]["batch_id"]})
    scenario.report.handler(event, Context())

    folder = f"results/2026/may pay.csv/{event['batch_id']}"
    assert [line.split(",")[:5] for line in scenario.result(f"{folder}/results.csv").splitlines()[1:]] == [
        ["2", "p1", "1.50", "USD", "succeeded"],
        ["4", "p2", "2", "JPY", "succeeded"],
    ]
    assert [line.split(",")[:3] for line in scenario.result(f"{folder}/errors.csv").splitlines()[1:]] == [
        ["3", "amount", "bad"],
        ["5", "payment_id", "p1"],
    ]
    assert scenario.result(f"{folder}/resubmit.csv").splitlines()[1:] == ["bad,-1,USD", "p1,9,USD"]
    (published,) = scenario.messages(scenario.events_url)
    assert (published["event"], published["accepted"], published["rejected"], published["rows_read"]) == (
        "batch.completed",
        2,
        2,
        4,
    )
    assert published["by_status"] == {"succeeded": 2}


def test_split_short_of_time_invokes_itself_and_finishes_the_file(scenario: BatchScenario) -> None:
    content = HEADER + b"".join(b"p%03d,1,USD\n" % n for n in range(250))
    scenario.split.handler(scenario.upload("incoming/a.csv", content), Context(milliseconds=1000))
    ((function, event),) = scenario.invoked
    assert function == "split"
    assert event["resume"]["key"] == "incoming/a.csv"
    scenario.split.handler(event, Context())
    assert {m["payment_id"] for m in scenario.messages(scenario.queue_url)} == {f"p{n:03d}" for n in range(250)}


def test_split_when_no_row_can_be_read_then_the_report_rejects_the_batch(scenario: BatchScenario) -> None:
    scenario.split.handler(scenario.upload("incoming/notes.txt", b"hello"), Context())
    ((_, event),) = scenario.invoked
    scenario.report.handler(event, Context())
    (published,) = scenario.messages(scenario.events_url)
    assert published["event"] == "batch.rejected"
    assert "does not end in .csv" in scenario.result(f"results/notes.txt/{event['batch_id']}/errors.csv")


def test_dispatch_returns_only_the_poison_message_of_ten(scenario: BatchScenario) -> None:
    content = HEADER + b"".join(b"p%d,1,USD\n" % n for n in range(9))
    scenario.split.handler(scenario.upload("incoming/a.csv", content), Context())
    bodies = [json.dumps(message) for message in scenario.messages(scenario.queue_url)]
    bodies.insert(4, '{"payment_id": "never stored"}')
    event = {
        "Records": [
            {"messageId": f"m{n}", "receiptHandle": f"r{n}", "body": body, "eventSource": "aws:sqs"}
            for n, body in enumerate(bodies)
        ]
    }
    started: list[str] = []
    with (
        patch(
            "payments.adapters.step_functions.StepFunctionsWorkflow.start",
            lambda self, payment_id: started.append(payment_id),
        ),
        patch.object(scenario.dispatch.log, "warning") as warning,
        patch.object(scenario.dispatch, "queue"),
    ):
        answer = scenario.dispatch.handler(event, Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m4"}]}
    assert sorted(started) == [f"p{n}" for n in range(9)]
    assert warning.call_args.kwargs["message_id"] == "m4"
    assert "payment_id" in warning.call_args.kwargs["reason"]


def test_dispatch_of_only_poison_messages_returns_all_without_failing(scenario: BatchScenario) -> None:
    event = {"Records": [{"messageId": "m1", "receiptHandle": "r1", "body": "{}", "eventSource": "aws:sqs"}]}
    with patch.object(scenario.dispatch, "queue") as queue:
        assert scenario.dispatch.handler(event, Context()) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert queue.hand_back.call_args.kwargs == {"seconds": 1}


@pytest.mark.parametrize("body", ["no json", '{"payment_id": "never_stored"}'])
def test_poison_message_uses_up_its_deliveries_within_seconds(scenario: BatchScenario, body: str) -> None:
    """With the queue's own visibility timeout they take half an hour, and another alarm fires before that."""
    scenario.sqs.send_message(QueueUrl=scenario.queue_url, MessageBody=body)
    counts = []
    with patch.object(scenario.dispatch.queue, "hand_back", wraps=scenario.dispatch.queue.hand_back) as hand_back:
        for _ in range(3):
            event = eventually("the next delivery", scenario.delivered, lambda seen: seen["Records"])
            counts += scenario.receives(event)
            (failure,) = scenario.dispatch.handler(event, Context())["batchItemFailures"]
            assert failure == {"itemIdentifier": event["Records"][0]["messageId"]}
    assert counts == ["1", "2", "3"]
    assert {call.kwargs["seconds"] for call in hand_back.call_args_list} == {1}


def test_paused_dispatch_returns_all_messages_soon_and_starts_nothing(scenario: BatchScenario) -> None:
    scenario.split.handler(scenario.upload("incoming/a.csv", HEADER + b"p1,1,USD\np2,1,USD\n"), Context())
    switch = DynamoBreakerStore(boto3.client("dynamodb"), CONTROLS.name)
    started: list[str] = []
    with (
        patch(
            "payments.adapters.step_functions.StepFunctionsWorkflow.start",
            lambda self, payment_id: started.append(payment_id),
        ),
        patch.object(scenario.dispatch, "HANDED_BACK_SECONDS", 0),
    ):
        switch.pause(PausedBy.GATEWAY, "key_refused: no", utc_now())
        event = scenario.delivered()
        paused = scenario.dispatch.handler(event, Context())
        none_yet = list(started)
        switch.resume(utc_now())
        again = scenario.delivered()  # within the queue's own visibility timeout there would be none
        resumed = scenario.dispatch.handler(again, Context())

    assert paused == {"batchItemFailures": [{"itemIdentifier": one["messageId"]} for one in event["Records"]]}
    assert none_yet == []
    assert {one["messageId"] for one in again["Records"]} == {one["messageId"] for one in event["Records"]}
    assert resumed == {"batchItemFailures": []}
    assert sorted(started) == ["p1", "p2"]


@pytest.mark.fault(66)
def test_dispatch_hands_messages_back_without_counting_a_delivery(scenario: BatchScenario) -> None:
    scenario.split.handler(scenario.upload("incoming/a.csv", HEADER + b"p1,1,USD\np2,1,USD\n"), Context())
    slots = DynamoSlotStore(boto3.client("dynamodb"), CONTROLS.name, SLOT)
    far = int(time.time() / SLOT.total_seconds()) + 1
    slots.take_slot(far, far + 10**6, int(600 / SLOT.total_seconds()))  # by REST payments
    started: list[str] = []
    with (
        patch(
            "payments.adapters.step_functions.StepFunctionsWorkflow.start",
            lambda self, payment_id: started.append(payment_id),
        ),
        patch("payments.adapters.sqs.LONGEST_DELAY_SECONDS", 0),
    ):
        for _ in range(6):  # more often than a message may fail
            event = scenario.delivered()
            assert scenario.receives(event) == ["1", "1"]
            assert scenario.dispatch.handler(event, Context(milliseconds=9_000)) == {"batchItemFailures": []}
            scenario.delete(event)
    assert started == []
    assert len(scenario.delivered()["Records"]) == 2


def switch_to(scenario: BatchScenario, state: SwitchState) -> str:
    """Set the switch of the only batch. Returns its id."""
    batch_id: str = boto3.client("dynamodb").scan(TableName=PROCESSING_STATUS.name)["Items"][0]["batch_id"]["S"]
    switch_batch(batch_id, state, by="admin:jo", batches=scenario.report.reporter.batches, clock=utc_now)
    return batch_id


def test_file_of_a_closed_environment_waits_until_recovery_splits_it(scenario: BatchScenario) -> None:
    breaker = DynamoBreakerStore(boto3.client("dynamodb"), CONTROLS.name)
    breaker.close()
    notification = scenario.upload("incoming/a.csv", HEADER + b"p1,1,USD\n")

    scenario.split.handler(notification, Context())

    assert scenario.messages(scenario.queue_url) == []
    ((batch_id, _),) = DynamoBatchStore(boto3.client("dynamodb"), PROCESSING_STATUS.name, PAYMENTS.name).due(
        Kind.BATCH, utc_now()
    )
    breaker.open("operator:test", utc_now())
    scenario.split.handler(notification, Context())  # recovery passes the same file
    (queued,) = scenario.messages(scenario.queue_url)
    assert (queued["payment_id"], queued["batch_id"]) == ("p1", batch_id)


def test_dispatch_of_a_closed_environment_returns_its_messages(scenario: BatchScenario) -> None:
    scenario.split.handler(scenario.upload("incoming/a.csv", HEADER + b"p1,1,USD\n"), Context())
    DynamoBreakerStore(boto3.client("dynamodb"), CONTROLS.name).close()
    event = scenario.delivered()

    answer = scenario.dispatch.handler(event, Context())

    assert answer == {"batchItemFailures": [{"itemIdentifier": one["messageId"]} for one in event["Records"]]}


@pytest.mark.fault(89)
def test_dispatch_drops_messages_of_a_paused_batch_uncounted(scenario: BatchScenario) -> None:
    scenario.split.handler(scenario.upload("incoming/a.csv", HEADER + b"p1,1,USD\np2,1,USD\n"), Context())
    switch_to(scenario, SwitchState.PAUSED)
    assert scenario.dispatch.handler(scenario.delivered(), Context()) == {"batchItemFailures": []}


@pytest.mark.fault(88)
def test_canceled_batch_is_ended_reported_and_published_as_such(
    scenario: BatchScenario, capsys: pytest.CaptureFixture[str]
) -> None:
    content = HEADER + b"p1,1,USD\np2,1,USD\nbad,-1,USD\np3,1,USD\n"
    scenario.split.handler(scenario.upload("incoming/a.csv", content), Context())
    batch_id = switch_to(scenario, SwitchState.CANCELED)
    scenario.succeed("p2")
    capsys.readouterr()
    scenario.report.handler({"batch_id": batch_id}, Context())
    assert metrics_in(capsys.readouterr().out) == {"PaymentsRejected": 2}
    (published,) = scenario.messages(scenario.events_url)
    assert (published["event"], published["status"]) == ("batch.canceled", "canceled")
    assert published["by_status"] == {"rejected": 2, "succeeded": 1}
    results = scenario.result(f"results/a.csv/{batch_id}/results.csv").splitlines()[1:]
    assert [line.split(",")[1:6] for line in results] == [
        ["p1", "1.00", "USD", "rejected", "batch_canceled"],
        ["p2", "1.00", "USD", "succeeded", ""],
        ["p3", "1.00", "USD", "rejected", "batch_canceled"],
    ]
    errors = scenario.result(f"results/a.csv/{batch_id}/errors.csv")
    assert "to pay it after all" in errors
    audited = boto3.client("dynamodb").scan(TableName=AUDIT_LOG.name)["Items"]
    assert sorted((item["payment_id"]["S"], item["status"]["S"]) for item in audited) == [
        ("p1", "pending"),
        ("p1", "rejected"),
        ("p3", "pending"),
        ("p3", "rejected"),
    ]
