"""Benchmark of a cold invocation: a process forked from one that has loaded the code, beside MiniStack's new process.

Both run the same function in the same run, alternately. It needs no running stack.
"""

import io
import logging
import os
import statistics
import sys
import tempfile
import time
import uuid
import zipfile
from typing import Any
from unittest.mock import patch

ROUNDS = 7
CODE = """
import boto3

boto3.client("dynamodb")

def handle(event, context):
    return event
"""
"""What each of our functions does at least when its process starts."""


def main() -> int:
    """Print the medians and their ratio."""
    with tempfile.TemporaryDirectory() as directory, patch.dict(os.environ, {"GATEWAY_PORT": "1"}):
        tempfile.tempdir = directory  # for the code and the workers' directories
        try:
            forked, started = _measure()
        finally:
            tempfile.tempdir = None
    ratio = forked / started
    print(  # noqa: T201
        f"a cold invocation, median of {ROUNDS}: {forked * 1000:.0f} ms forked, "
        f"{started * 1000:.0f} ms in a new process: {ratio:.2f}"
    )
    return 0


def _measure() -> tuple[float, float]:
    """The median seconds of a cold invocation in a forked process, and in a new process."""
    from ministack.core import lambda_runtime  # reads the environment when it is imported

    from local.ministack.fixes.lambda_functions.forked_workers import ForkedWorker

    logging.getLogger("lambda_runtime").setLevel(logging.WARNING)
    config = {
        "FunctionName": "cold",
        "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:cold",
        "Handler": "code.handle",
        "Runtime": "python3.12",
        "Timeout": 60,
    }
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("code.py", CODE)
    kinds = (ForkedWorker, lambda_runtime.Worker)
    for kind in kinds:
        _cold(kind, config, package.getvalue())  # the stack loads a function when it is created
    times = [[_cold(kind, config, package.getvalue()) for kind in kinds] for _ in range(ROUNDS)]
    forked, started = (statistics.median(column) for column in zip(*times, strict=True))
    return forked, started


def _cold(kind: Any, config: dict[str, Any], package: bytes) -> float:
    """Seconds from nothing to the answer of the first invocation."""
    worker = kind(config["FunctionName"], config, package)
    began_at = time.perf_counter()
    answer = worker.invoke({"n": 1}, str(uuid.uuid4()))
    seconds = time.perf_counter() - began_at
    worker.kill()
    if answer["result"] != {"n": 1}:
        raise RuntimeError(f"the function answered {answer}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
