"""A schedule or a rule fires on time.

MiniStack checks them only every ten seconds.

Probe: `schedule_times` in tests/local/ministack/test_upstream.py.
"""

from typing import Final

from ministack.services import eventbridge, scheduler

TICK_SECONDS: Final = 0.25


def apply() -> None:
    eventbridge._SCHEDULER_TICK_INTERVAL = TICK_SECONDS
    scheduler._SCHEDULE_TICK_INTERVAL = TICK_SECONDS
