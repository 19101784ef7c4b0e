"""The gateway rate limiter on the applied stack: a batch and REST share a limited gateway, which rejects no request.

`make bench` measures the speed: a test of times would fail on a busy machine.
"""

import pytest

from local.bench.rate_limit import described, measure
from local.stack import LocalStack


def test_rate_limiter_avoids_429_and_charges_batch_and_rest_payments_once(
    local_stack: LocalStack, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = measure(local_stack)
    with capsys.disabled():
        print(f"\n{described(measured)}")  # noqa: T201
    assert (measured.refused, measured.charged_not_once) == (0, 0)
