"""The running stack's benchmark: one warm payment over REST, and a CSV of 200."""

import json
import statistics
import sys
import time
import uuid
from typing import Any

import requests

from local.stack import LocalStack, NotRunning

PAYMENTS = 20
ROWS = 200
OPEN = ("pending", "processing")


def main() -> int:
    """Print the table; without a running stack, how to start one."""
    stack = LocalStack()
    try:
        outputs = stack.outputs
    except NotRunning as missing:
        print(f"payments: {missing}, then measure again")  # noqa: T201
        return 0
    session = requests.Session()
    session.trust_env = False
    session.verify = outputs["ca_bundle"]
    _pay(session, outputs["api_url"])  # the functions' cold start
    times = [_pay(session, outputs["api_url"]) for _ in range(PAYMENTS)]
    accepted, final = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"one warm payment, median of {PAYMENTS}: accepted in {accepted:.3f} s, final in {final:.3f} s")  # noqa: T201
    rates = [_batch(stack.aws.client("s3"), outputs["batch_bucket"]) for _ in range(3)]
    print(f"{ROWS} payments in one CSV: {statistics.median(rates):.0f} a second, upload to results")  # noqa: T201
    return 0


def _pay(session: requests.Session, api_url: str) -> tuple[float, float]:
    """Seconds until accepted, and until the status is no longer open."""
    payment_id = f"bench_{uuid.uuid4().hex}"
    body = {"payment_id": payment_id, "amount": 5, "currency": "USD"}
    start = time.monotonic()
    session.post(f"{api_url}/payments", data=json.dumps(body), timeout=30).raise_for_status()
    accepted = time.monotonic() - start
    while session.get(f"{api_url}/payments/{payment_id}", timeout=30).json()["status"] in OPEN:
        time.sleep(0.01)
    return accepted, time.monotonic() - start


def _batch(s3: Any, bucket: str) -> float:
    """Payments a second, from the upload to the results."""
    name = uuid.uuid4().hex
    rows = [f"bench_{name}_{number},{number}.50,USD" for number in range(1, ROWS + 1)]
    start = time.monotonic()
    s3.put_object(Bucket=bucket, Key=f"incoming/{name}.csv", Body="\n".join(["payment_id,amount,currency", *rows]))
    while not s3.list_objects_v2(Bucket=bucket, Prefix=f"results/{name}.csv/results").get("KeyCount"):
        time.sleep(0.05)
    return ROWS / (time.monotonic() - start)


if __name__ == "__main__":
    sys.exit(main())
