"""The length of one slot of the gateway's request rate."""

from datetime import timedelta
from fractions import Fraction


def slot_length(rate_per_second: int, reserve_percent: int) -> timedelta:
    """The slot length at which all slots of a second stay within the gateway's rate, less the reserve."""
    microseconds = Fraction(100_000_000, rate_per_second * (100 - reserve_percent))
    return timedelta(microseconds=-(-microseconds.numerator // microseconds.denominator))
