"""How long one slot of the gateway's rate lasts."""

from datetime import timedelta
from fractions import Fraction


def slot_length(rate_per_second: int, reserve_percent: int) -> timedelta:
    """How long a slot lasts so that all slots of a second keep to the gateway's rate, less the reserve."""
    microseconds = Fraction(100_000_000, rate_per_second * (100 - reserve_percent))
    return timedelta(microseconds=-(-microseconds.numerator // microseconds.denominator))
