"""Cancel a payment; pause, resume and cancel a batch, on the applied stack."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from payctl import batch_files
from payctl.failures import Exit
from payctl.stack import Stack
from payments.domain.batch.state import Batch
from tests.e2e.conftest import Api, BatchFiles, Events, Gateway, Payctl, json_of
from tests.e2e.test_batch_breaker import recoveries
from tests.waiting import eventually

NewId = Callable[[], str]
Client = Callable[[str], Any]
HEADER = "payment_id,amount,currency"
ROWS = 400
SOME = 20
"""So many rows are charged before the batch is stopped."""


@pytest.fixture
def stack(outputs: dict[str, str], local_stack: Any) -> Stack:
    """The stack as payctl sees it."""
    return Stack(outputs, local_stack.outputs_path)


def file_of(prefix: str, rows: int) -> str:
    """A file whose payment ids begin with `prefix`."""
    return "\n".join([HEADER, *(f"{prefix}_{number},5,USD" for number in range(rows))])


def charged(gateway: Gateway, prefix: str) -> list[str]:
    """The payments that the gateway charged."""
    return [one["payment_id"] for one in gateway.all_charges() if one["payment_id"].startswith(prefix)]


def two_recoveries(client: Client) -> None:
    """Wait for two runs of recovery."""
    before = recoveries(client)
    eventually("two recovery runs", lambda: recoveries(client), lambda now: now >= before + 2)


def running(client: Client, outputs: dict[str, str], prefix: str) -> list[str]:
    """The running executions of a batch's payments."""
    pages = client("stepfunctions").get_paginator("list_executions")
    found = pages.paginate(stateMachineArn=outputs["state_machine_arn"], statusFilter="RUNNING")
    names = [execution["name"] for page in found for execution in page["executions"]]
    return [name for name in names if name.startswith(prefix)]


class Stopped:
    """A batch that was switched after SOME of its rows were charged, and before all were."""

    def __init__(
        self, stack: Stack, files: BatchFiles, gateway: Gateway, new_id: NewId, switch: Any, rows: int = ROWS
    ) -> None:
        for _ in range(3):  # a machine that is too slow to stop it in time gets another file
            self.prefix, self.rows = new_id(), rows
            self.name = files.upload(file_of(self.prefix, rows))
            self.batch_id = files.batch_id(self.name)
            eventually("the file to be read", lambda: files.line(self.name), lambda line: line > rows)
            eventually("some charges", lambda: len(charged(gateway, self.prefix)), lambda number: number >= SOME)
            batch = batch_files.get(stack, self.batch_id)
            in_time = batch and batch.rows_closed < rows - SOME and switch(self.batch_id)
            if in_time and len(charged(gateway, self.prefix)) < rows - SOME:
                return
        raise AssertionError("three files were charged before they could be stopped")


@pytest.mark.fault(88)
def test_canceled_batch_is_charged_or_canceled_and_the_other_file_goes_on(
    api: Api, batch_file: BatchFiles, gateway: Gateway, events: Events, client: Client, stack: Stack, new_id: NewId
) -> None:
    other = new_id()
    other_name = ""

    def cancel(batch_id: str) -> bool:
        nonlocal other_name
        other_name = batch_file.upload(file_of(other, SOME))
        return api.call("POST", f"/batches/{batch_id}/cancel").status_code == 200

    wrong = Stopped(stack, batch_file, gateway, new_id, cancel)
    done = eventually(
        f"the end of {wrong.batch_id}",
        lambda: api.call("POST", f"/batches/{wrong.batch_id}/cancel").json(),
        lambda view: view["status"] == "canceled",
    )
    then = charged(gateway, wrong.prefix)
    assert done["by_status"] == {"succeeded": len(then), "rejected": ROWS - len(then)}
    assert len(then) == len(set(then))
    assert SOME <= len(then) < ROWS

    results = [line.split(",") for line in batch_file.result(wrong.name, "results").splitlines()[1:]]
    assert Counter(row[4:6] == ["rejected", "batch_canceled"] for row in results) == Counter(
        {True: ROWS - len(then), False: len(then)}
    )
    assert {row[1] for row in results if row[4] == "succeeded"} == set(then)
    [event] = events.of(event_type="batch", batch_id=wrong.batch_id)
    assert (event["event"], event["by_status"]) == ("batch.canceled", done["by_status"])
    canceled = {row[1] for row in results} - set(then)
    published = eventually(
        "an event of each canceled payment",
        lambda: {event["payment_id"] for event in events.of(code="batch_canceled")} & canceled,
        lambda found: found == canceled,
        progress=lambda found: len(found or ()),
    )
    one = api.get(f"/payments/{min(published)}").json()
    assert (one["status"], one["reason"]["code"], one["history"][-1]["actor"]) == (
        "rejected",
        "batch_canceled",
        "admin",
    )

    others = [line.split(",")[4] for line in batch_file.result(other_name, "results").splitlines()[1:]]
    assert others == ["succeeded"] * SOME
    two_recoveries(client)
    assert charged(gateway, wrong.prefix) == then


@pytest.mark.fault(89)
def test_paused_batch_waits_while_another_goes_on_and_ends_after_resume(
    api: Api, batch_file: BatchFiles, gateway: Gateway, client: Client, outputs: dict[str, str], stack: Stack,
    payctl: Payctl, new_id: NewId,
) -> None:  # fmt: skip
    def pause(batch_id: str) -> bool:
        return payctl("batch", "pause", batch_id).returncode == Exit.DONE

    held = Stopped(stack, batch_file, gateway, new_id, pause, rows=2 * ROWS)
    eventually(
        "no running payment", lambda: running(client, outputs, held.prefix), lambda names: not names, progress=len_of
    )
    then = charged(gateway, held.prefix)
    other = new_id()
    name = batch_file.upload(file_of(other, SOME))
    assert batch_file.result(name, "results").count("succeeded") == SOME
    two_recoveries(client)
    assert charged(gateway, held.prefix) == then
    shown = json_of(payctl("batch", "show", held.batch_id, "--json"))
    assert shown["held"].startswith("paused by operator:")
    waits = next(f"{held.prefix}_{row}" for row in range(held.rows) if f"{held.prefix}_{row}" not in then)
    assert api.get(f"/payments/{waits}").json()["waiting"]["code"] == "batch_paused"
    assert len(then) < held.rows

    assert payctl("batch", "resume", held.batch_id).returncode == Exit.DONE
    results = [line.split(",") for line in batch_file.result(held.name, "results").splitlines()[1:]]
    assert Counter(row[4] for row in results) == {"succeeded": held.rows}
    assert sorted(charged(gateway, held.prefix)) == sorted(row[1] for row in results)
    finished: Batch | None = batch_files.get(stack, held.batch_id)
    assert finished
    assert finished.status == "completed"


def len_of(names: list[str] | None) -> int:
    """How many names there are."""
    return len(names or ())


@pytest.mark.fault(87)
def test_canceled_payment_is_never_charged_and_its_execution_ends(
    api: Api, gateway: Gateway, events: Events, client: Client, outputs: dict[str, str], new_id: NewId
) -> None:
    payment_id = new_id()
    gateway.fault(kind="rate_limited", payment_id=payment_id, times=1000, retry_after_seconds=60)
    try:
        api.post({"payment_id": payment_id, "amount": 5, "currency": "USD"})
        view = eventually(
            f"a refused attempt of {payment_id}",
            lambda: api.get(f"/payments/{payment_id}").json(),
            lambda view: view["status"] == "pending" and len(view["history"]) >= 3,
        )
        canceled = api.call("POST", f"/payments/{payment_id}/cancel")
        again = api.call("POST", f"/payments/{payment_id}/cancel")
    finally:
        gateway.behave()
    assert (canceled.status_code, again.status_code) == (200, 200), canceled.text
    assert canceled.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert canceled.json()["reason"]["code"] == "canceled"
    assert len(canceled.json()["history"]) > len(view["history"]) - 1
    eventually("its event", lambda: events.of(payment_id=payment_id, code="canceled"))
    execution = f"{outputs['state_machine_arn'].replace(':stateMachine:', ':execution:')}:{payment_id}"
    eventually(
        "the end of its first execution",
        lambda: client("stepfunctions").describe_execution(executionArn=execution)["status"],
        lambda status: status == "SUCCEEDED",
    )
    two_recoveries(client)
    assert api.get(f"/payments/{payment_id}").json() == canceled.json()
    assert gateway.charges(payment_id) == []
    sent = new_id()
    api.post({"payment_id": sent, "amount": 5, "currency": "USD"})
    api.settled(sent)
    refused = api.call("POST", f"/payments/{sent}/cancel")
    assert (refused.status_code, "is succeeded" in refused.json()["detail"]) == (409, True)
