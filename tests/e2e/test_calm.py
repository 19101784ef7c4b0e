"""After a failed test, the stack is as usable as before, or the run ends and says why."""

import json
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from local.stack import LocalStack
from payctl.failures import Exit
from payments.domain.clock import utc_now
from payments.domain.statuses import SETTLED
from tests.e2e.calm import calm, calm_or_stop
from tests.e2e.conftest import Api, BatchFiles, Gateway, Payctl
from tests.waiting import eventually

NewId = Callable[[], str]
Client = Callable[[str], Any]


def test_stack_left_broken_by_a_failed_test_works_for_the_next_one(
    api: Api, batch_file: BatchFiles, gateway: Gateway, local_stack: LocalStack, client: Client,
    outputs: dict[str, str], payctl: Payctl, new_id: NewId,
) -> None:  # fmt: skip
    earlier = new_id()
    api.post(
        {"payment_id": earlier, "amount": 5, "currency": "USD", "payment_method": "pm_card_authenticationRequired"}
    )
    assert api.settled(earlier)["status"] == "requires_action"
    began_at = utc_now()
    gateway.fault(kind="rate_limited", times=100_000)
    local_stack.aws.disturb({"dynamodb:UpdateItem": 0.5})
    sqs = client("sqs")
    for queue in ("dead_letter_queue_url", "payment_queue_url"):
        sqs.send_message(QueueUrl=outputs[queue], MessageBody=json.dumps({"payment_id": "poison"}))
    assert payctl("breaker", "pause", "--reason", "a test", "--yes").returncode == Exit.DONE
    held = new_id()
    batch_file.upload(f"payment_id,amount,currency\n{held},5,USD\n")
    left = [new_id() for _ in range(3)]
    for payment_id in left:
        eventually(
            f"{payment_id} to be accepted",
            partial(status_of, api, payment_id),
            lambda status: status == 202,
        )
    eventually("a running execution", lambda: running(client, outputs))

    calm(local_stack, began_at)

    eventually(  # recovery may have claimed a payment before it was removed: its execution finds none
        "no running execution of the test",
        lambda: [name for name in running(client, outputs) if name.partition(".")[0] in {held, *left}],
        lambda names: not names,
    )
    for queue in ("dead_letter_queue_url", "payment_queue_url"):  # those of the second environment may be going away
        assert "Messages" not in sqs.receive_message(QueueUrl=outputs[queue], VisibilityTimeout=0)
    for payment_id in left:  # one may have ended before it was deleted
        answer = api.get(f"/payments/{payment_id}")
        assert answer.status_code == 404 or answer.json()["status"] in SETTLED
    assert api.get(f"/payments/{earlier}").json()["status"] == "requires_action"
    name = batch_file.upload(f"payment_id,amount,currency\n{held}_again,5,USD\n")
    assert f"{held}_again,5.00,USD,succeeded" in batch_file.result(name, "results")
    over_rest = new_id()
    api.post({"payment_id": over_rest, "amount": 5, "currency": "USD"})
    assert api.settled(over_rest)["status"] == "succeeded"
    assert len(gateway.charges(over_rest)) == 1


def status_of(api: Api, payment_id: str) -> int:
    """The HTTP status of a payment's request."""
    return api.post({"payment_id": payment_id, "amount": 5, "currency": "USD"}).status_code


def running(client: Client, outputs: dict[str, str]) -> list[str]:
    """The names of all running executions."""
    answer = client("stepfunctions").list_executions(
        stateMachineArn=outputs["state_machine_arn"], statusFilter="RUNNING"
    )
    return [execution["name"] for execution in answer["executions"]]


def test_stack_that_cannot_be_calmed_ends_the_run_with_the_reason() -> None:
    gone = cast(LocalStack, SimpleNamespace(gateway_url="http://127.0.0.1:9"))
    session = cast(pytest.Session, SimpleNamespace(shouldstop=False))
    with pytest.raises(OSError, match="Connection refused"):
        calm_or_stop(gone, session, utc_now())
    assert "cannot be calmed after a failed test" in str(session.shouldstop)
