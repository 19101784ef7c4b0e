"""Chaos while a batch and REST payments run: killed processes, throttled tables, failed starts, repeated messages."""

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import requests

from local.stack import LocalStack
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.domain.audit_chain import verify
from payments.domain.batch.state import BatchStatus
from payments.domain.statuses import SETTLED, Status
from payments.ports.payment_store import require
from tests.e2e.conftest import Api, BatchFiles, Events, Gateway
from tests.waiting import eventually, smallest_so_far

BATCH, REST = 400, 100
METHODS = ["pm_card_visa"] * 8 + ["pm_card_chargeDeclined", "pm_card_visa_chargeDeclinedInsufficientFunds"]
DISTURBED = {
    "states:StartExecution": 0.15,
    "dynamodb:PutItem": 0.05,
    "dynamodb:GetItem": 0.03,
    "dynamodb:UpdateItem": 0.08,
    "dynamodb:TransactWriteItems": 0.1,
    "lambda:InvokeFunction": 0.05,
}
"""Shares of the roles' requests that fail, by action."""
AT_THE_GATEWAY = ("answer_lost", "server_error", "rate_limited", "latency")
PATIENCE_SECONDS = 240


def test_chaos_ends_500_payments_and_charges_each_success_once(
    api: Api, gateway: Gateway, batch_file: BatchFiles, events: Events, local_stack: LocalStack,
    client: Callable[[str], Any], outputs: dict[str, str], new_id: Callable[[], str],
) -> None:  # fmt: skip
    rng = random.Random(20261121)
    run = new_id()
    batch_ids = [f"{run}_{number}" for number in range(BATCH)]
    rest_ids = [f"{run}_rest_{number}" for number in range(REST)]
    methods = {payment_id: rng.choice(METHODS) for payment_id in (*batch_ids, *rest_ids)}
    for payment_id in rng.sample(sorted(methods), 60):
        gateway.fault(kind=rng.choice(AT_THE_GATEWAY), payment_id=payment_id, method="POST", seconds=2)
    lines = [f"{payment_id},5.00,USD,{methods[payment_id]}\n" for payment_id in batch_ids]

    with chaos(local_stack, client("sqs"), outputs["payment_queue_url"], batch_ids, rng) as killed:
        name = batch_file.upload("payment_id,amount,currency,payment_method\n" + "".join(lines))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda payment_id: submit_until_accepted(api, payment_id, methods[payment_id]), rest_ids))
        payments = DynamoPaymentStore(client("dynamodb"), outputs["payments_table"])
        eventually(
            "fewer than 100 open payments",
            lambda: open_ones(payments, methods),
            lambda left: len(left) < 100,
            PATIENCE_SECONDS,
            every=1,
            progress=smallest_so_far(how_many),
        )
    eventually(
        "no open payment",
        lambda: open_ones(payments, methods),
        lambda left: not left,
        PATIENCE_SECONDS,
        every=1,
        progress=smallest_so_far(how_many),
    )

    assert sum(killed.values()) >= 20
    assert sum(local_stack.aws.disturbed()["states:StartExecution"].values()) >= 20
    rows = {payment_id: require(payments, payment_id) for payment_id in methods}
    charges = Counter(charge["payment_id"] for charge in gateway.all_charges() if charge["payment_id"] in methods)
    assert charges == Counter(name for name, row in rows.items() if row.status is Status.SUCCEEDED)
    assert set(charges.values()) == {1}
    assert {row.status for row in rows.values()} == {Status.SUCCEEDED, Status.DECLINED}
    assert {name for name, row in rows.items() if row.status is Status.DECLINED} == {
        name for name, method in methods.items() if method != "pm_card_visa"
    }
    log = DynamoAuditStore(client("dynamodb"), outputs["audit_table"], outputs["payments_table"])
    for payment_id in methods:
        row = eventually(
            f"the audit of {payment_id}",
            partial(require, payments, payment_id),
            lambda row: row.audited_version == row.version,
        )
        verify(row, log.entries(payment_id))

    results = batch_file.result(name, "results", PATIENCE_SECONDS)
    assert sorted(line.split(",")[1] for line in results.splitlines()[1:]) == sorted(batch_ids)
    [batch_id] = {
        event["batch_id"] for event in eventually("the batch's event", lambda: events.of(event_type="batch", file=name))
    }
    batches = DynamoBatchStore(client("dynamodb"), outputs["processing_status_table"], outputs["payments_table"])
    batch = eventually(  # the report sends its event before its last write
        f"batch {batch_id} to be completed",
        lambda: batches.get(batch_id),
        lambda batch: batch.status is BatchStatus.COMPLETED,
    )
    assert (batch.progress.rows_accepted, batch.rows_closed) == (BATCH, BATCH)


@contextmanager
def chaos(
    stack: LocalStack, sqs: Any, queue_url: str, batch_ids: list[str], rng: random.Random
) -> Iterator[Counter[str]]:
    """Disturb the stack until the end. Counts the killed processes."""
    killed: Counter[str] = Counter()
    over = threading.Event()

    def kill_and_repeat() -> None:
        while not over.wait(rng.uniform(0.2, 1.2)):
            if stack.aws.kill_worker(rng):
                killed["workers"] += 1
            doubled = {"payment_id": rng.choice(batch_ids), "batch_id": "", "line": 0}
            sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps(doubled))

    stack.aws.disturb(DISTURBED, seed=rng.randrange(1000), lose_answers=["states:StartExecution"])
    thread = threading.Thread(target=kill_and_repeat)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()
        stack.aws.disturb({})


def submit_until_accepted(api: Api, payment_id: str, method: str) -> None:
    """What a careful client does: the same request again until it is accepted."""
    body = {"payment_id": payment_id, "amount": 12, "currency": "USD", "payment_method": method}

    def answer() -> int | None:
        with suppress(requests.RequestException):
            return api.post(body).status_code
        return None

    eventually(f"{payment_id} to be accepted", answer, lambda status: status == 202, every=0.2, progress=lambda _: None)


def how_many(payment_ids: list[str] | None) -> int:
    """The number of payments."""
    return len(payment_ids or ())


def open_ones(payments: DynamoPaymentStore, payment_ids: dict[str, str]) -> list[str]:
    """The payments that are still open."""
    found = ((payment_id, payments.get(payment_id)) for payment_id in payment_ids)
    return [payment_id for payment_id, row in found if row is None or row.status not in SETTLED]
