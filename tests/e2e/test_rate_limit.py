"""The gateway rate limiter on the applied stack: a batch and REST share a limited gateway, which rejects no request.

`make bench` measures the speed: a test of times would fail on a busy machine.
"""

import pytest

from local.bench.rate_limit import BATCH, LIMIT, REST, described, measure
from local.stack import LocalStack


def test_batch_and_rest_share_the_slots_without_429_and_charge_once(
    local_stack: LocalStack, capsys: pytest.CaptureFixture[str]
) -> None:
    # A machine that stalls sends the requests of two seconds in one: the gateway has room for them.
    measured = measure(local_stack, refused_above=3 * LIMIT)
    with capsys.disabled():
        print(f"\n{described(measured)}")  # noqa: T201
    assert (measured.refused, measured.charged_not_once) == (0, 0)
    assert BATCH + REST <= measured.requests <= measured.slots, "each request has a slot of its own"
