"""Load on the applied stack: REST payments hold all slots of the next seconds, and a file that has no end."""

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from local.stack import LocalStack
from payctl import adapters
from payctl.stack import Stack
from payments.application.batch.records import MAX_LINES
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from tests.e2e.conftest import Api, BatchFiles, Gateway, Payctl, json_of
from tests.waiting import eventually

NewId = Callable[[], str]
Client = Callable[[str], Any]
Backlog = Callable[[float], None]
HEADER = "payment_id,amount,currency"


@pytest.fixture
def limiter(local_stack: LocalStack) -> GatewayRateLimiter:
    """The rate limiter that all functions share."""
    return adapters.rate_limiter(Stack(local_stack.outputs, local_stack.outputs_path))


@pytest.fixture
def backlog(limiter: GatewayRateLimiter, client: Client, outputs: dict[str, str]) -> Iterator[Backlog]:
    """Takes all slots of the next seconds, as tickets of REST payments do. They are free again after the test."""

    def take(seconds: float) -> None:
        first = int(
            limiter.clock().timestamp() / limiter.slot.total_seconds() + timedelta(seconds=seconds) / limiter.slot
        )
        limiter.slots.take_slot(first, first)

    yield take
    key = {"control": {"S": f"pace#{limiter.slot // timedelta(microseconds=1)}"}}
    client("dynamodb").delete_item(TableName=outputs["controls_table"], Key=key)


@pytest.mark.fault(65)
def test_new_payment_beyond_the_backlog_limit_gets_429_a_known_one_not(
    api: Api, payctl: Payctl, backlog: Backlog, gateway: Gateway, new_id: NewId, outputs: dict[str, str]
) -> None:
    known: dict[str, Any] = {"payment_id": new_id(), "amount": 5, "currency": "USD"}
    api.post(known)
    api.settled(known["payment_id"])
    limit = int(outputs["gateway_backlog_limit_seconds"])
    backlog(limit + 100)
    status = json_of(payctl("gateway", "status", "--json"))
    assert status["backlog_seconds"] > limit
    new = known | {"payment_id": new_id()}
    refused = api.post(new)
    assert refused.status_code == 429
    assert 30 <= int(refused.headers["Retry-After"]) <= 100
    assert api.get(f"/payments/{new['payment_id']}").status_code == 404
    assert api.post(known).status_code == 202
    assert [len(gateway.charges(body["payment_id"])) for body in (known, new)] == [1, 0]


@pytest.mark.fault(65)
def test_payment_behind_a_backlog_keeps_one_ticket_until_its_slot(
    api: Api, backlog: Backlog, client: Client, gateway: Gateway, new_id: NewId, outputs: dict[str, str]
) -> None:
    payment_id = new_id()
    backlog(15)
    eventually(  # the API remembers the backlog of the test before for a second
        "a payment to be accepted",
        lambda: api.post({"payment_id": payment_id, "amount": 5, "currency": "USD"}).status_code,
        lambda status: status == 202,
    )
    assert api.settled(payment_id)["status"] == "succeeded"
    execution = f"{outputs['state_machine_arn'].replace(':stateMachine:', ':execution:')}:{payment_id}"
    history = client("stepfunctions").get_execution_history(executionArn=execution, maxResults=1000)["events"]
    waits = [e["stateEnteredEventDetails"]["input"] for e in history if e["type"] == "WaitStateEntered"]
    # the local stack shortens the waits: the payment returns before its slot, and finds that it must wait
    assert len({json.dumps(_ticket_in(json.loads(state)), sort_keys=True) for state in waits}) == 1
    assert len(gateway.charges(payment_id)) == 1


def _ticket_in(state: Any) -> Any:
    """The ticket in a state's input, at any depth."""
    if not isinstance(state, dict):
        return None
    return state.get("ticket") or next(filter(None, map(_ticket_in, state.values())), None)


@pytest.fixture
def short_waits(client: Client, outputs: dict[str, str]) -> Iterator[None]:
    """Executions that may wait for two seconds in all, as Express ones may for a few minutes."""
    functions, name = client("lambda"), f"payment-charge-{outputs['environment_suffix']}"
    usual = functions.get_function_configuration(FunctionName=name)["Environment"]
    shorter = {"Variables": usual["Variables"] | {"LONGEST_WAIT_SECONDS": "2"}}
    functions.update_function_configuration(FunctionName=name, Environment=shorter)
    yield
    functions.update_function_configuration(FunctionName=name, Environment=usual)


@pytest.mark.fault(67)
@pytest.mark.usefixtures("short_waits")
def test_execution_that_may_wait_no_longer_leaves_its_payment_to_recovery(
    api: Api, backlog: Backlog, client: Client, gateway: Gateway, new_id: NewId, outputs: dict[str, str]
) -> None:
    payment_id, workflow = new_id(), client("stepfunctions")
    backlog(12)
    api.post({"payment_id": payment_id, "amount": 5, "currency": "USD"})
    execution = f"{outputs['state_machine_arn'].replace(':stateMachine:', ':execution:')}:{payment_id}"
    eventually(
        "the first execution to end",
        lambda: workflow.describe_execution(executionArn=execution)["status"],
        lambda status: status == "SUCCEEDED",
    )
    history = workflow.get_execution_history(executionArn=execution, maxResults=1000)["events"]
    states = [e["stateEnteredEventDetails"]["name"] for e in history if e["type"].endswith("StateEntered")]
    assert states == ["Validate", "IsItRefused", "Charge", "MustItWait", "LeaveToRecovery"]
    assert gateway.charges(payment_id) == []
    assert api.settled(payment_id)["status"] == "succeeded"
    assert len(gateway.charges(payment_id)) == 1


@pytest.fixture
def short_dispatchers(client: Client, outputs: dict[str, str]) -> Iterator[str]:
    """A dispatch function that has two seconds more than its reserve. Gives its name."""
    functions, name = client("lambda"), f"payment-dispatch-{outputs['environment_suffix']}"
    seconds = functions.get_function_configuration(FunctionName=name)["Timeout"]
    functions.update_function_configuration(FunctionName=name, Timeout=12)
    yield name
    functions.update_function_configuration(FunctionName=name, Timeout=seconds)


@pytest.mark.fault(66)
def test_dispatchers_out_of_time_hand_back_until_the_backlog_ends(
    short_dispatchers: str,
    backlog: Backlog,
    batch_file: BatchFiles,
    client: Client,
    gateway: Gateway,
    new_id: NewId,
    outputs: dict[str, str],
) -> None:
    sqs, logs, ids = client("sqs"), client("logs"), [new_id() for _ in range(3)]

    def dead_letters() -> int:
        kind = "ApproximateNumberOfMessages"
        found = sqs.get_queue_attributes(QueueUrl=outputs["dead_letter_queue_url"], AttributeNames=[kind])
        return int(found["Attributes"][kind])

    before = dead_letters()
    backlog(30)  # a counted delivery every two seconds would make each message a dead letter
    name = batch_file.upload("\n".join([HEADER, *(f"{payment_id},5,USD" for payment_id in ids)]))
    assert batch_file.result(name, "results").count("succeeded") == 3
    found = logs.filter_log_events(logGroupName=f"/aws/lambda/{short_dispatchers}", limit=10_000)["events"]
    assert sum("handed back" in event["message"] for event in found) > 5
    assert [len(gateway.charges(payment_id)) for payment_id in ids] == [1, 1, 1]
    assert dead_letters() == before


@pytest.mark.fault(64)
def test_gzip_that_unpacks_to_endless_lines_does_not_wedge_its_file(
    batch_file: BatchFiles, gateway: Gateway, new_id: NewId
) -> None:
    first, last = new_id(), new_id()
    content = f"{HEADER}\n{first},5,USD\n".encode() + b"\n" * MAX_LINES + f"{last},5,USD\n".encode()
    packed = gzip.compress(content, mtime=0)
    assert len(packed) < 20_000
    name = batch_file.upload(packed, f"{first}.csv.gz")
    errors = batch_file.result(name, "errors", 240)
    assert f"the file has more than {MAX_LINES} lines" in errors
    assert [len(gateway.charges(payment_id)) for payment_id in (first, last)] == [1, 0]
