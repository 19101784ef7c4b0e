"""The port to the counters that all function instances share. Adapters: `limits_dynamodb.py`, `limits_memory.py`."""

from datetime import datetime
from typing import Protocol


class LimitsUnavailable(Exception):
    """The counters cannot be reached. Whoever counts decides what that means."""


class LimitStore(Protocol):
    """The limits table. A counter is gone some time after `ends`, when nobody asks for it any more.

    Both calls are one write each, and raise LimitsUnavailable.
    """

    def count(self, counter: str, ends: datetime) -> int:
        """Count one more; gives how many there are now."""

    def add(self, counter: str, member: str, *, most: int, ends: datetime) -> int:
        """Put `member` into a set; gives how many different ones it has now.

        A set with more than `most` takes no more members and stays as it is: the answer is `most` + 1 then.
        """
