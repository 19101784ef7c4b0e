"""The table of times that a drill prints."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.e2e.oncall.incidents import Incident


class Times(NamedTuple):
    """The times of one incident in seconds."""

    incident: Incident
    alarm_after: float
    commands: float
    over_after: float
    """From the last command: the repair, and until the alarm is OK again."""


TIMES = pytest.StashKey[list[Times]]()
NOTE = (
    "Shortened: the periods of each alarm are a tenth, a threshold that is a time as well; recovery runs every 3 "
    "seconds, and a minute of waiting is 6 seconds."
)


def table(times: list[Times]) -> Iterator[str]:
    """The lines of the table."""
    yield f"{'alarm':24}{'incident':36}{'alarm after':>13}{'commands':>11}{'over after':>13}"
    for one in times:
        yield (
            f"{one.incident.alarm:24}{one.incident.what:36}{one.alarm_after:>11.0f} s{one.commands:>9.0f} s"
            f"{one.over_after:>11.0f} s"
        )
    yield NOTE
