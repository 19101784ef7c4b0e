"""Benchmark of the gateway rate limiter: 25 requests per second, a batch of 500 and 50 REST payments.

It measures how much of the limit is used, the number of requests that the gateway rejects (429), and the time from
accepted to final of a REST payment while the batch runs.
"""

import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import requests

from lib.dispatch_rate import dispatch_rate
from lib.settings import Environment
from local.stack import LocalStack, NotRunning
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.slots import DynamoSlotStore
from payments.domain.batch.state import BatchStatus, Source
from payments.domain.clock import parse_iso, utc_now
from payments.domain.gateway_slots import slot_length
from payments.domain.statuses import OPEN
from payments.ports.payment_store import require

LIMIT = 25
BATCH, REST, WARM_UP = 500, 50, 150
REST_FOR = 0.8
"""The REST payments are distributed evenly over this share of the batch's duration."""
STALL_SECONDS = 180
"""A wait ends after this time without a further charge request."""


@dataclass(frozen=True)
class Measured:
    """The results. `used` is the used share of the limit while payments wait: from the end of reading the file until
    the queue is empty."""

    used: float
    rest_p99_seconds: float
    requests: int
    slots: int
    """The slots from the first request to the last slot taken, used or not."""
    refused: int
    charged_not_once: int


def measure(stack: LocalStack, *, refused_above: int = LIMIT) -> Measured:
    """Run the benchmark on a running stack. The gateway rejects more than `refused_above` requests per second, while
    the functions keep to `LIMIT`: a higher value tolerates that the machine holds requests up and sends them at once.
    """
    return _Run(stack, refused_above).measure()


class _Run:
    def __init__(self, stack: LocalStack, refused_above: int) -> None:
        self._stack = stack
        self._refused_above = refused_above
        environment = Environment(gateway_rate_per_second=LIMIT)
        self._rate = dispatch_rate(environment)
        self._slot = slot_length(LIMIT, environment.gateway_reserve_percent)
        self._outputs = stack.outputs
        self._gateway = requests.Session()
        self._gateway.trust_env = False
        self._api = requests.Session()
        self._api.trust_env = False
        self._api.verify = self._outputs["ca_bundle"]
        self._api.headers["Authorization"] = f"Bearer {stack.token('merchant')}"
        dynamodb, payments = stack.aws.client("dynamodb"), self._outputs["payments_table"]
        self._payments = DynamoPaymentStore(dynamodb, payments)
        self._batches = DynamoBatchStore(dynamodb, self._outputs["processing_status_table"], payments)
        self._slots = DynamoSlotStore(dynamodb, self._outputs["controls_table"], self._slot)
        self._sqs = stack.aws.client("sqs")
        self._batch_ids: dict[str, str] = {}

    def measure(self) -> Measured:
        run = uuid.uuid4().hex[:12]
        with self._rate_limited(), self._without_webhooks():
            self._upload(f"{run}_warm_up", WARM_UP)  # starts as many function processes as the load needs
            self._until(lambda: self._settled(f"{run}_warm_up", WARM_UP), every=1)
            before = self._charge_requests()
            self._configure("settings", requests_per_second=self._refused_above)
            first_slot = int(utc_now().timestamp() / self._slot.total_seconds())
            try:
                batch = self._upload(run, BATCH)
                self._until(lambda: self._is_read(run), every=0.1)
                both_since = utc_now()
                over_rest = self._submit_evenly(run)
                self._until(self._queue_is_empty, every=0.5)
                empty_at = utc_now()
                self._until(lambda: self._charge_requests() >= before + BATCH + REST, every=0.5)
            finally:
                self._configure("settings", requests_per_second=0)
            seconds = sorted(self._seconds_until_final(payment_id) for payment_id in over_rest)
        sent = [one for one in self._read("requests") if one["payment_id"] in {*batch, *over_rest}]
        times = [datetime.fromisoformat(one["at"]) for one in sent]
        charged = Counter(charge["payment_id"] for charge in self._read("charges"))
        return Measured(
            used=sum(both_since <= at < empty_at for at in times) / (empty_at - both_since).total_seconds() / LIMIT,
            rest_p99_seconds=seconds[ceil(0.99 * len(seconds)) - 1],
            requests=len(sent),
            slots=self._slots.next_slot() - first_slot,
            refused=sum(one["status"] == 429 for one in sent),
            charged_not_once=sum(charged[payment_id] != 1 for payment_id in (*batch, *over_rest)),
        )

    @contextmanager
    def _rate_limited(self) -> Iterator[None]:
        """Configure the functions like a deployment with this GATEWAY_RATE_PER_SECOND. Restore them at the end."""
        changes = {
            "SLOT_MICROSECONDS": str(self._slot // timedelta(microseconds=1)),
            "DISPATCH_PACE_SECONDS": self._rate.seconds,
        }
        functions, mapping = self._stack.aws.client("lambda"), self._outputs["dispatch_mapping_id"]
        names = [f"payment-{name}-{self._outputs['environment_suffix']}" for name in ("charge", "dispatch")]
        usual = {name: functions.get_function_configuration(FunctionName=name)["Environment"] for name in names}
        concurrency = functions.get_event_source_mapping(UUID=mapping)["ScalingConfig"]

        def scale(to: dict[str, int]) -> None:
            # a mapping that is being enabled or changed refuses a change
            self._until(
                lambda: functions.get_event_source_mapping(UUID=mapping)["State"] in ("Enabled", "Disabled"), every=0.2
            )
            functions.update_event_source_mapping(UUID=mapping, ScalingConfig=to)

        for name, settings in usual.items():
            own = {key: value for key, value in changes.items() if key in settings["Variables"]}
            variables = settings["Variables"] | own
            functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
        scale({"MaximumConcurrency": self._rate.concurrency})
        try:
            yield
        finally:
            for name, settings in usual.items():
                functions.update_function_configuration(FunctionName=name, Environment=settings)
            scale(concurrency)

    @contextmanager
    def _without_webhooks(self) -> Iterator[None]:
        """Disable webhooks: they add load to this machine and are not measured here."""
        self._gateway.delete(f"{self._outputs['gateway_url']}/_stand_in/webhooks", timeout=10).raise_for_status()
        try:
            yield
        finally:
            self._stack.send_webhooks(self._outputs["webhook_url"])

    def _upload(self, run: str, count: int) -> list[str]:
        """Upload a batch file. Returns its payment ids."""
        ids = [f"{run}_{number}" for number in range(count)]
        text = "payment_id,amount,currency\n" + "".join(f"{payment_id},5.00,USD\n" for payment_id in ids)
        bucket, key = self._outputs["batch_bucket"], f"incoming/{run}.csv"
        put = self._stack.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=text.encode())
        self._batch_ids[run] = Source(bucket, key, put["VersionId"], "", 0).batch_id
        return ids

    def _queue_is_empty(self) -> bool:
        waiting = "ApproximateNumberOfMessages"
        url = self._outputs["payment_queue_url"]
        answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[waiting])
        return bool(answer["Attributes"][waiting] == "0")

    def _is_read(self, run: str) -> bool:
        """Whether the whole file is read and its last payment is queued."""
        batch = self._batches.get(self._batch_ids[run])
        return batch is not None and batch.status is not BatchStatus.SPLITTING

    def _submit_evenly(self, run: str) -> list[str]:
        ids = [f"{run}_rest_{number}" for number in range(REST)]
        with ThreadPoolExecutor(4) as pool:
            for payment_id in ids:
                pool.submit(self._submit, payment_id)
                time.sleep(BATCH / LIMIT * REST_FOR / REST)
        return ids

    def _submit(self, payment_id: str) -> None:
        body = json.dumps({"payment_id": payment_id, "amount": 5, "currency": "USD"})
        self._api.post(f"{self._outputs['api_url']}/payments", data=body, timeout=30).raise_for_status()

    def _seconds_until_final(self, payment_id: str) -> float:
        """The time from accepted to the outcome, from the history of the row."""
        self._until(lambda: require(self._payments, payment_id).status not in OPEN, every=0.1)
        history = require(self._payments, payment_id).history
        return (parse_iso(history[-1].at) - parse_iso(history[0].at)).total_seconds()

    def _settled(self, run: str, count: int) -> bool:
        rows = (self._payments.get(f"{run}_{number}") for number in range(count))
        return all(row and row.status not in OPEN for row in rows)

    def _charge_requests(self) -> int:
        """The number of charge requests at the gateway so far."""
        rates = self._gateway.get(f"{self._outputs['gateway_url']}/_stand_in/rates", timeout=10).json()
        return int(rates["total"])

    def _read(self, what: str) -> list[dict[str, Any]]:
        url = f"{self._outputs['gateway_url']}/_stand_in/{what}"
        data: list[dict[str, Any]] = self._gateway.get(url, timeout=60).json()["data"]
        return data

    def _configure(self, what: str, **body: Any) -> None:
        url = f"{self._outputs['gateway_url']}/_stand_in/{what}"
        self._gateway.post(url, json=body, timeout=10).raise_for_status()

    def _until(self, done: Callable[[], bool], *, every: float) -> None:
        requests_before, deadline = -1, 0.0
        while not done():
            if time.monotonic() > deadline:
                if (requests_now := self._charge_requests()) == requests_before:
                    raise TimeoutError(f"no charge request for {STALL_SECONDS} seconds after {requests_now} requests")
                requests_before, deadline = requests_now, time.monotonic() + STALL_SECONDS
            time.sleep(every)


def described(measured: Measured) -> str:
    """The results as a sentence."""
    return (
        f"{BATCH} batch and {REST} REST payments at a gateway limit of {LIMIT} per second: {measured.used:.0%} of it "
        f"used, {measured.refused} rejected, REST final after {measured.rest_p99_seconds:.2f} s (p99)"
    )


def main() -> int:
    """Print the results. Returns 1 if the gateway rejected a request or a payment was not charged exactly once."""
    try:
        measured = measure(LocalStack())
    except NotRunning as missing:
        print(f"rate limit: {missing}, then run this again")  # noqa: T201
        return 0
    print(described(measured))  # noqa: T201
    return int(bool(measured.refused or measured.charged_not_once))


if __name__ == "__main__":
    sys.exit(main())
