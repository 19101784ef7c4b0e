"""A schedule or a rule fires when its time has come, where MiniStack looks every ten seconds only."""

from typing import Final

from ministack.services import eventbridge, scheduler

LOOK_SECONDS: Final = 0.25


def apply() -> None:
    eventbridge._SCHEDULER_TICK_INTERVAL = LOOK_SECONDS
    scheduler._SCHEDULE_TICK_INTERVAL = LOOK_SECONDS
