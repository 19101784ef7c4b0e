"""How fast the dispatch function takes payments from the queue, computed from the gateway's rate."""

from fractions import Fraction
from math import ceil
from typing import NamedTuple

from lib.settings import Environment

LEAST_CONCURRENCY = 2
"""The lowest maximum concurrency that SQS accepts for an event source."""
STARTS_A_SECOND = 10
"""What one dispatcher starts without strain: a read and a start take well under the 0.1 s that this leaves each."""
MESSAGES_A_CALL = 10
"""The most messages that one call of the dispatch function receives."""


class DispatchRate(NamedTuple):
    """How many dispatchers run at a time, and the least time each spends on a message (seconds, a decimal text)."""

    concurrency: int
    seconds: str


def dispatch_rate(environment: Environment) -> DispatchRate:
    """The rate at which all dispatchers together start at most the gateway's whole rate of payments a second.

    This is slightly more than the number of slots (`gateway_rate_limiter.py`). A delayed dispatcher can therefore catch
    up, and no slot stays unused while payments wait. Dispatchers slow down when slots are reserved ahead of time, which
    leaves the rate that REST payments need to those payments (backpressure).
    """
    rate = environment.gateway_rate_per_second
    concurrency = max(LEAST_CONCURRENCY, ceil(Fraction(rate, STARTS_A_SECOND)))
    microseconds = ceil(Fraction(concurrency * 1_000_000, rate))
    return DispatchRate(concurrency, f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06}")
