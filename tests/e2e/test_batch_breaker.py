"""The batch breaker and the operator's tools on the applied stack, and payctl's output."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from operator import lt
from typing import Any

import pytest

from local.stack import LocalStack
from payctl.failures import Exit
from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.kms import KmsFieldEncryptor
from payments.adapters.stripe.gateway import StripeGateway
from payments.application.batch.split import ROWS_A_WINDOW
from payments.domain.batch.state import Batch, BatchStatus
from payments.domain.clock import iso, utc_now
from payments.domain.money import Money
from payments.domain.payment import accepted, moved
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest
from tests.e2e.conftest import Api, BatchFiles, Events, Gateway, Payctl, json_of
from tests.unit.builders import request
from tests.waiting import eventually

NewId = Callable[[], str]
Client = Callable[[str], Any]
HEADER = "payment_id,amount,currency"
ALARM = {"AlarmName": "payment-gateway-misconfigured-local", "NewStateValue": "ALARM"}


@pytest.fixture
def breaker(client: Client, outputs: dict[str, str]) -> DynamoBreakerStore:
    """The stored state of the batch breaker."""
    return DynamoBreakerStore(client("dynamodb"), outputs["controls_table"])


@pytest.fixture
def mended(gateway: Gateway, breaker: DynamoBreakerStore) -> Iterator[None]:
    """After each test the gateway accepts our key, and the breaker is not paused."""
    yield
    gateway.behave()
    eventually("a breaker that is not paused", breaker.state, lambda state: not state.paused, every=0.5)


@pytest.mark.fault(19)
def test_batches_pause_with_one_alarm_on_a_refused_key_and_resume(
    batch_file: BatchFiles, gateway: Gateway, events: Events, breaker: DynamoBreakerStore, client: Client,
    outputs: dict[str, str], payctl: Payctl, new_id: NewId, mended: None,
) -> None:  # fmt: skip
    run, later, rows = new_id(), new_id(), 100
    fired = len(events.of(**ALARM))
    alarms = client("cloudwatch")
    gateway.fault(kind="unauthorized", times=100_000)
    name = batch_file.upload("\n".join([HEADER, *(f"{run}_{number},5,USD" for number in range(rows))]))
    paused = eventually("a paused breaker", breaker.state, lambda state: state.paused)
    assert paused.paused_by == "gateway"
    eventually("the delivery to be disabled", lambda: delivery(client, outputs), lambda state: state == "Disabled")
    # how many of the first file were started before the pause depends on the machine; of the second file none is
    name_later = batch_file.upload("\n".join([HEADER, *(f"{later}_{number},5,USD" for number in range(rows))]))
    eventually("the second file to be read", lambda: batch_file.line(name_later), lambda line: line > rows)
    eventually("no running payment of the first", lambda: running(client, outputs, run), lambda names: not names)
    before = recoveries(client)
    eventually("two recovery runs", lambda: recoveries(client), lambda now: now >= before + 2)
    refused = {one["payment_id"] for one in gateway.all_requests() if one["payment_id"].startswith(later)}
    assert len(refused) <= 1  # a probe may be of any file
    eventually(
        "the alarm",
        lambda: alarms.describe_alarms(AlarmNames=[ALARM["AlarmName"]])["MetricAlarms"][0]["StateValue"],
        lambda state: state == "ALARM",
    )
    status = json_of(payctl("breaker", "status", "--json"))
    assert (status["paused_by"], status["delivery"]) == ("gateway", "Disabled")

    gateway.behave()
    for file, prefix in ((name, run), (name_later, later)):
        results = batch_file.result(file, "results", 180)
        assert [line.split(",")[4] for line in results.splitlines()[1:]] == ["succeeded"] * rows
        charged = [charge["payment_id"] for charge in gateway.all_charges() if charge["payment_id"].startswith(prefix)]
        assert len(charged) == len(set(charged)) == rows
    assert not breaker.state().paused
    assert len(events.of(**ALARM)) <= fired + 1


@pytest.mark.fault(86)
def test_outage_holds_rest_and_batches_and_all_are_charged_once_after_it(
    api: Api, batch_file: BatchFiles, gateway: Gateway, breaker: DynamoBreakerStore, local_stack: LocalStack,
    client: Client, payctl: Payctl, new_id: NewId, mended: None,
) -> None:  # fmt: skip
    run, rows, alarm = new_id(), 20, "payment-gateway-unreachable-local"
    over_rest, late = [new_id() for _ in range(6)], new_id()

    def waiting(payment_id: str) -> tuple[str, str]:
        view = api.get(f"/payments/{payment_id}").json()
        return view["status"], view.get("waiting", {}).get("code", "")

    gateway.control("refuse_connections", {"seconds": 600})
    try:
        for payment_id in over_rest:
            api.post({"payment_id": payment_id, "amount": 5, "currency": "USD"})
        name = batch_file.upload("\n".join([HEADER, *(f"{run}_{number},5,USD" for number in range(rows))]))
        paused = eventually("a paused breaker", breaker.state, lambda state: state.paused)
        assert paused.paused_by == "outage"
        api.post({"payment_id": late, "amount": 5, "currency": "USD"})
        for payment_id in (*over_rest, late):
            eventually(
                f"{payment_id} to wait",
                partial(waiting, payment_id),
                lambda seen: seen == ("pending", "gateway_unreachable"),
            )
        eventually(
            "the alarm",
            lambda: client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"][0]["StateValue"],
            lambda state: state == "ALARM",
        )
        status = json_of(payctl("breaker", "status", "--json"))
        assert status["paused_by"] == "outage"
    finally:
        local_stack.accept_connections()
    results = batch_file.result(name, "results", 300)
    assert [line.split(",")[4] for line in results.splitlines()[1:]] == ["succeeded"] * rows
    for payment_id in (*over_rest, late):
        eventually(
            f"{payment_id} to succeed", partial(waiting, payment_id), lambda seen: seen == ("succeeded", ""), 300
        )
    ours = {*over_rest, late, *(f"{run}_{number}" for number in range(rows))}
    charged = [charge["payment_id"] for charge in gateway.all_charges() if charge["payment_id"] in ours]
    assert sorted(charged) == sorted(ours)


def running(client: Client, outputs: dict[str, str], run: str) -> list[str]:
    """The running executions of a batch's payments."""
    pages = (
        client("stepfunctions")
        .get_paginator("list_executions")
        .paginate(stateMachineArn=outputs["state_machine_arn"], statusFilter="RUNNING")
    )
    names = [execution["name"] for page in pages for execution in page["executions"]]
    return [name for name in names if name.startswith(run)]


def recoveries(client: Client) -> float:
    """The number of recovery runs so far."""
    now = utc_now()
    points = client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Invocations",
        Dimensions=[{"Name": "FunctionName", "Value": "payment-sweep-local"}],
        StartTime=now - timedelta(hours=3),
        EndTime=now + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )["Datapoints"]
    return float(sum(point["Sum"] for point in points))


def delivery(client: Client, outputs: dict[str, str]) -> str:
    """Whether the queue's messages are delivered."""
    mapping = client("lambda").get_event_source_mapping(UUID=outputs["dispatch_mapping_id"])
    return str(mapping["State"])


def test_operator_pause_holds_batches_but_not_rest_until_resume(
    api: Api, batch_file: BatchFiles, gateway: Gateway, breaker: DynamoBreakerStore, client: Client, payctl: Payctl,
    new_id: NewId,
) -> None:  # fmt: skip
    in_batch, over_rest = new_id(), new_id()
    paused = payctl("breaker", "pause", "--reason", "month-end", "--yes")
    assert paused.returncode == Exit.DONE, paused.stderr
    try:
        name = batch_file.upload(f"{HEADER}\n{in_batch},5,USD\n")
        api.post({"payment_id": over_rest, "amount": 5, "currency": "USD"})
        assert api.settled(over_rest)["status"] == "succeeded"
        before = recoveries(client)
        eventually("two recovery runs", lambda: recoveries(client), lambda now: now >= before + 2)
        assert api.get(f"/payments/{in_batch}").json()["status"] == "pending"
        assert breaker.state().paused_by == "operator"
    finally:
        resumed = payctl("breaker", "resume")
    assert resumed.returncode == Exit.DONE, resumed.stderr
    assert f"{in_batch},5.00,USD,succeeded" in batch_file.result(name, "results")
    assert len(gateway.charges(in_batch)) == 1


@pytest.mark.fault(20)
def test_dead_letter_replayed_after_25_hours_asks_the_gateway_first(
    api: Api, gateway: Gateway, client: Client, outputs: dict[str, str], payctl: Payctl, new_id: NewId
) -> None:
    payment_id, yesterday = new_id(), utc_now() - timedelta(hours=25)
    # it was charged, and our function crashed before it stored the result
    StripeGateway(lambda: "sk_test_x", base_url=gateway.url).charge(
        ChargeRequest(payment_id, Money(9999, "USD"), "pm_card_visa", environment_id=outputs["environment_id"])
    )
    gateway.forget("idempotency_keys")
    first = accepted(request(payment_id), at=yesterday, source="batch", batch_id="yesterdays", batch_line=2)
    stuck = moved(
        first, Status.PROCESSING, at=yesterday, actor="charge", attempts=1, attempted_at=iso(yesterday),
        gateway="stripe", payment_method="pm_card_visa", environment_id=outputs["environment_id"],
    )  # fmt: skip
    message = json.dumps({"payment_id": payment_id, "batch_id": "yesterdays", "line": 2})
    client("sqs").send_message(QueueUrl=outputs["dead_letter_queue_url"], MessageBody=message)

    listed = json_of(payctl("dlq", "list", "--json"))
    [letter] = [one for one in listed if one["payment_id"] == payment_id]
    assert "succeeded" in letter["gateway"]
    # restarted just now: recovery leaves it to the operator for a while
    taken_up = replace(stuck, restarts=1, restarted_at=iso(utc_now()))
    encryptor = KmsFieldEncryptor(client("kms"), outputs["vault_key_arn"])
    DynamoPaymentStore(client("dynamodb"), outputs["payments_table"], encryptor).create(taken_up)
    replayed = payctl("dlq", "replay", "--id", payment_id, "--yes")
    assert replayed.returncode == Exit.DONE, replayed.stderr

    view = eventually(
        f"{payment_id} to succeed",
        lambda: api.get(f"/payments/{payment_id}").json(),
        lambda seen: seen["status"] == "succeeded",
    )
    assert [change["status"] for change in view["history"]] == ["pending", "processing", "succeeded"]
    assert len(gateway.charges(payment_id)) == 1
    asked = gateway.requests(payment_id)[1:]  # after yesterday's
    assert {one["method"] for one in asked} == {"GET"}


def test_explain_shows_a_troubled_payment_in_one_time_line(api: Api, payctl: Payctl, new_id: NewId) -> None:
    payment_id = new_id()
    body = {"payment_id": payment_id, "amount": 5, "currency": "USD"}
    api.post(body | {"metadata": {"stand_in": "rate_limited:2"}})
    api.settled(payment_id)
    eventually(
        f"{payment_id} to succeed",
        lambda: api.get(f"/payments/{payment_id}").json(),
        lambda seen: seen["status"] == "succeeded",
    )
    explained = eventually(  # the audit follows the outcome
        "a time line from all sources",
        lambda: json_of(payctl("payment", "explain", payment_id, "--json")),
        lambda seen: (
            {"payments table", "audit log", "workflow", "gateway"} <= {one["where"] for one in seen["timeline"]}
        ),
        every=1,
    )
    times = [entry["at"] for entry in explained["timeline"]]
    assert times == sorted(times)
    shown = payctl("payment", "explain", payment_id)
    assert shown.returncode == Exit.DONE, shown.stderr
    assert payment_id in shown.stdout


@pytest.mark.fault(30)
def test_splitter_killed_halfway_loses_no_row_and_repeats_none(
    batch_file: BatchFiles, gateway: Gateway, local_stack: LocalStack, new_id: NewId
) -> None:
    rows, good, rng = 40 * ROWS_A_WINDOW, 20, random.Random(30)

    def killed_halfway() -> tuple[str, str] | None:
        """A run and its file, or None if the splitter read the file before this test could kill it."""
        run, killed, line = new_id(), 0, 0
        lines = [f"{run}_{number},{'5' if number % (rows // good) == 0 else 'five'},USD" for number in range(rows)]
        name = batch_file.upload("\n".join([HEADER, *lines]))
        for _ in range(2):  # a third failed attempt would be the last
            line = eventually("the split to advance", lambda: batch_file.line(name), partial(lt, min(line, rows)))
            killed += bool(local_stack.aws.kill_worker(rng, "payment-split-local"))
        return (run, name) if killed else None

    run, name = eventually("a splitter killed halfway", killed_halfway)
    results = batch_file.result(name, "results", 180)
    errors = batch_file.result(name, "errors")
    assert (len(results.splitlines()), len(errors.splitlines())) == (good + 1, rows - good + 1)
    charged = [charge["payment_id"] for charge in gateway.all_charges() if charge["payment_id"].startswith(run)]
    assert len(charged) == len(set(charged)) == good


@pytest.mark.fault(30)
def test_split_failure_keeps_the_file_as_a_dead_letter_until_replayed(
    batch_file: BatchFiles, gateway: Gateway, client: Client, outputs: dict[str, str], payctl: Payctl, new_id: NewId
) -> None:
    payment_id, functions = new_id(), client("lambda")
    split = f"payment-split-{outputs['environment_suffix']}"
    usual = functions.get_function_configuration(FunctionName=split)["Environment"]
    without = {name: value for name, value in usual["Variables"].items() if name != "PAYMENT_QUEUE_URL"}
    functions.update_function_configuration(FunctionName=split, Environment={"Variables": without})  # a bad deployment
    try:
        name = batch_file.upload(f"{HEADER}\n{payment_id},5,USD\n")
        [letter] = eventually(
            f"the dead letter of {name}",
            lambda: [one for one in json_of(payctl("dlq", "list", "--json")) if name in one["file"]],
            every=1,
        )
    finally:
        functions.update_function_configuration(FunctionName=split, Environment=usual)
    assert letter["action"] == "split"
    assert "PAYMENT_QUEUE_URL" in letter["reason"]
    replayed = payctl("dlq", "replay", "--reason", letter["reason_class"], "--yes")
    assert replayed.returncode == Exit.DONE, replayed.stderr
    assert f"{payment_id},5.00,USD,succeeded" in batch_file.result(name, "results")
    assert len(gateway.charges(payment_id)) == 1
    assert not [one for one in json_of(payctl("dlq", "list", "--json")) if name in one["file"]]


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    ("status", "lost"),
    [("splitting", ("line", "offset", "rows_read", "rows_accepted")), ("reporting", ())],
    ids=["splitter_before_its_final_write", "report_before_its_end"],
)
def test_batch_whose_function_crashed_is_finished_once_by_recovery(
    batch_file: BatchFiles, gateway: Gateway, events: Events, client: Client, outputs: dict[str, str], new_id: NewId,
    status: str, lost: tuple[str, ...],
) -> None:  # fmt: skip
    run = new_id()
    name = batch_file.upload("\n".join([HEADER, *(f"{run}_{number},5,USD" for number in range(5))]))
    batch_file.result(name, "results")
    batch_id = eventually("the batch's event", lambda: events.of(event_type="batch", file=name))[0]["batch_id"]
    batches = DynamoBatchStore(client("dynamodb"), outputs["processing_status_table"], outputs["payments_table"])

    def completed() -> Batch:
        return eventually(
            f"batch {batch_id} to be completed",
            lambda: batches.get(batch_id),
            lambda now: now.status is BatchStatus.COMPLETED,
        )

    completed()  # the report sends its event before its last write
    now = {"S": iso(utc_now())}
    claim = {"status": {"S": status}, "owner_until": now, "due_at": now, "due_kind": {"S": "batch"}}
    changes: dict[str, Any] = claim | {key: {"N": "0"} for key in lost}
    client("dynamodb").update_item(
        TableName=outputs["processing_status_table"],
        Key={"batch_id": {"S": batch_id}, "item": {"S": "SUMMARY"}},
        UpdateExpression="SET " + ", ".join(f"#{column} = :{column}" for column in changes),
        ExpressionAttributeNames={f"#{column}": column for column in changes},
        ExpressionAttributeValues={f":{column}": value for column, value in changes.items()},
    )
    batch = completed()
    assert (batch.progress.rows_read, batch.progress.rows_accepted, batch.rows_closed) == (5, 5, 5)
    charged = [charge["payment_id"] for charge in gateway.all_charges() if charge["payment_id"].startswith(run)]
    assert len(charged) == len(set(charged)) == 5


def test_lost_batch_message_is_queued_again_by_recovery(
    api: Api, batch_file: BatchFiles, gateway: Gateway, client: Client, outputs: dict[str, str], payctl: Payctl,
    new_id: NewId,
) -> None:  # fmt: skip
    payment_id, sqs = new_id(), client("sqs")
    assert payctl("breaker", "pause", "--reason", "a test", "--yes").returncode == Exit.DONE
    try:
        eventually("the delivery to be disabled", lambda: delivery(client, outputs), lambda state: state == "Disabled")
        name = batch_file.upload(f"{HEADER}\n{payment_id},5,USD\n")
        [message] = eventually(
            "the batch's message",
            lambda: [
                one
                for one in sqs.receive_message(
                    QueueUrl=outputs["payment_queue_url"], MaxNumberOfMessages=10, VisibilityTimeout=5
                ).get("Messages", [])
                if payment_id in one["Body"]
            ],
        )
        sqs.delete_message(QueueUrl=outputs["payment_queue_url"], ReceiptHandle=message["ReceiptHandle"])
    finally:
        assert payctl("breaker", "resume").returncode == Exit.DONE
    assert f"{payment_id},5.00,USD,succeeded" in batch_file.result(name, "results")
    assert len(gateway.charges(payment_id)) == 1
