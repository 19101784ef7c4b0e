"""The pace on the applied stack: the gateway's limit is used and never met, and REST does not wait behind a batch."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import pytest

from lib.batch import dispatch_pace
from lib.settings import Environment
from local.stack import LocalStack
from payments.clock import utc_now
from payments.pace import slot_length
from payments.statuses import OPEN, Status
from tests.e2e.conftest import Api, BatchFiles, Gateway, eventually

LIMIT = 25
BATCH, REST = 500, 50
REST_P99_SECONDS = 3.0
Client = Callable[[str], Any]


@contextmanager
def paced_for(limit: int, client: Client, outputs: dict[str, str]) -> Iterator[None]:
    """The functions as a deployment with this GATEWAY_RATE_PER_SECOND sets them; as they were, afterwards."""
    environment = Environment(gateway_rate_per_second=limit)
    pace = dispatch_pace(environment)
    slot = slot_length(limit, environment.gateway_reserve_percent)
    changes = {
        "SLOT_MICROSECONDS": str(slot // timedelta(microseconds=1)),
        "DISPATCH_PACE_SECONDS": pace.seconds,
    }
    functions, mapping = client("lambda"), outputs["dispatch_mapping_id"]
    names = [f"payment-{name}-{outputs['environment_suffix']}" for name in ("charge", "dispatch")]
    usual = {name: functions.get_function_configuration(FunctionName=name)["Environment"] for name in names}
    concurrency = functions.get_event_source_mapping(UUID=mapping)["ScalingConfig"]
    for name, settings in usual.items():
        variables = settings["Variables"]
        own = {key: value for key, value in changes.items() if key in variables}
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables | own})
    functions.update_event_source_mapping(UUID=mapping, ScalingConfig={"MaximumConcurrency": pace.concurrency})
    try:
        yield
    finally:
        for name, settings in usual.items():
            functions.update_function_configuration(FunctionName=name, Environment=settings)
        functions.update_event_source_mapping(UUID=mapping, ScalingConfig=concurrency)


@pytest.fixture
def no_webhooks(local_stack: LocalStack, gateway: Gateway, outputs: dict[str, str]) -> Iterator[None]:
    """What the gateway tells later is work of its own for this machine, and beside the point here."""
    gateway.forget("webhooks")
    yield
    local_stack.send_webhooks(outputs["webhook_url"])


def test_pace_when_a_batch_and_rest_share_the_gateway_then_no_429_and_rest_does_not_wait(
    api: Api, gateway: Gateway, batch_file: BatchFiles, client: Client, outputs: dict[str, str],
    no_webhooks: None, new_id: Callable[[], str],
) -> None:  # fmt: skip
    with paced_for(LIMIT, client, outputs):
        # the processes of the functions start, as many as the load needs
        warm_up = batch_file.upload(rows_of(f"{new_id()}_warm_up", 150))
        batch_file.result(warm_up, "results", 120)
        gateway.tell("settings", {"requests_per_second": LIMIT})
        before = gateway.charges_asked_for()
        run = new_id()
        batch_ids = [f"{run}_{number}" for number in range(BATCH)]
        batch_file.upload(rows_of(run, BATCH))
        eventually(lambda: gateway.charges_asked_for() - before, lambda count: count >= LIMIT)
        began_at = utc_now().timestamp()
        rest_ids = [f"{run}_rest_{number}" for number in range(REST)]
        with ThreadPoolExecutor(4) as pool:
            for payment_id in rest_ids:  # evenly over most of the batch's time
                pool.submit(submitted, api, payment_id)
                time.sleep(BATCH / LIMIT * 0.8 / REST)
        eventually(gateway.charges_asked_for, lambda count: count - before >= BATCH + REST, 120, every=0.5)
        gateway.tell("settings", {"requests_per_second": 0})
        asked = gateway.charge_requests()[before:]
        waited = sorted(seconds_until_final(api, payment_id) for payment_id in rest_ids)

    assert {one["status"] for one in asked} == {200}
    times = [datetime.fromisoformat(one["at"]).timestamp() for one in asked]
    both = [at for at in times if at >= began_at]  # from the first payments on until the last
    used = len(both) / (max(both) - began_at) / LIMIT
    p99 = waited[ceil(0.99 * len(waited)) - 1]
    print(f"{used:.0%} of the gateway's limit used; REST final after {p99:.2f} s (p99)")  # noqa: T201 - with -s
    assert used >= 0.9
    assert p99 < REST_P99_SECONDS
    charged = [one["payment_id"] for one in gateway.all_charges()]
    assert all(charged.count(payment_id) == 1 for payment_id in (*batch_ids, *rest_ids))


def rows_of(run: str, count: int) -> str:
    """A batch file."""
    return "payment_id,amount,currency\n" + "".join(f"{run}_{number},5.00,USD\n" for number in range(count))


def submitted(api: Api, payment_id: str) -> str:
    """Submit a payment; gives its id."""
    assert api.post({"payment_id": payment_id, "amount": 5, "currency": "USD"}).status_code == 202
    return payment_id


def seconds_until_final(api: Api, payment_id: str) -> float:
    """How long it took from accepted to its outcome, by the row's own history."""
    view = eventually(
        lambda: api.get(f"/payments/{payment_id}").json(), lambda seen: Status(seen["status"]) not in OPEN
    )
    first, last = (datetime.fromisoformat(view["history"][place]["at"]) for place in (0, -1))
    return (last - first).total_seconds()
