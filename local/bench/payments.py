"""Benchmark of the running stack: one warm REST payment, and a CSV file of 200 payments."""

import json
import statistics
import sys
import time
import uuid

import requests

from local.stack import LocalStack, NotRunning
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.domain.batch.state import Source
from payments.domain.clock import parse_iso, utc_now

PAYMENTS = 20
ROWS = 200
OPEN = ("pending", "processing")


def main() -> int:
    """Print the table. Without a running stack, print how to start one."""
    stack = LocalStack()
    try:
        outputs = stack.outputs
    except NotRunning as missing:
        print(f"payments: {missing}, then run this again")  # noqa: T201
        return 0
    session = requests.Session()
    session.trust_env = False
    session.verify = outputs["ca_bundle"]
    session.headers["Authorization"] = f"Bearer {stack.token('merchant')}"
    _pay(session, outputs["api_url"])  # warm up: the functions' cold start
    times = [_pay(session, outputs["api_url"]) for _ in range(PAYMENTS)]
    accepted, final = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"one warm payment, median of {PAYMENTS}: accepted in {accepted:.3f} s, final in {final:.3f} s")  # noqa: T201
    times = [_batch(stack, outputs) for _ in range(3)]
    final, reported = (ROWS / statistics.median(column) for column in zip(*times, strict=True))
    print(f"{ROWS} payments in one CSV: {final:.0f} per second until final, {reported:.0f} with result files")  # noqa: T201
    return 0


def _pay(session: requests.Session, api_url: str) -> tuple[float, float]:
    """Seconds until accepted, and until the status is final."""
    payment_id = f"bench_{uuid.uuid4().hex}"
    body = {"payment_id": payment_id, "amount": 5, "currency": "USD"}
    start = time.monotonic()
    session.post(f"{api_url}/payments", data=json.dumps(body), timeout=30).raise_for_status()
    accepted = time.monotonic() - start
    while session.get(f"{api_url}/payments/{payment_id}", timeout=30).json()["status"] in OPEN:
        time.sleep(0.01)
    return accepted, time.monotonic() - start


def _batch(stack: LocalStack, outputs: dict[str, str]) -> tuple[float, float]:
    """Seconds from the upload until the last payment is final, and until the result files exist."""
    s3, bucket, key = stack.aws.client("s3"), outputs["batch_bucket"], f"incoming/{uuid.uuid4().hex}.csv"
    rows = [f"bench_{uuid.uuid4().hex},{number}.50,USD" for number in range(1, ROWS + 1)]
    start = utc_now()
    version = s3.put_object(Bucket=bucket, Key=key, Body="\n".join(["payment_id,amount,currency", *rows]))["VersionId"]
    source = Source(bucket, key, version, "", 0)
    while not s3.list_objects_v2(Bucket=bucket, Prefix=source.result_key("results.csv")).get("KeyCount"):
        time.sleep(0.05)
    reported = utc_now()
    payments = DynamoPaymentStore(stack.aws.client("dynamodb"), outputs["payments_table"]).of_batch(source.batch_id)
    final = max(parse_iso(payment.updated_at) for payment in payments)
    return (final - start).total_seconds(), (reported - start).total_seconds()


if __name__ == "__main__":
    sys.exit(main())
