"""Every ALARM_PERIOD_SECONDS, measures metrics that have no event, then evaluates all alarms.

It runs in the process of the local AWS and calls its functions directly, without AUTH and TLS.
"""

import logging
import os
import threading
from collections.abc import Callable
from typing import Final

from ministack.core.responses import request_scope
from ministack.services import cloudwatch

log = logging.getLogger("local_aws.clock")

_period_seconds = float(os.environ.get("ALARM_PERIOD_SECONDS", "3"))
_measurements: Final[list[Callable[[], None]]] = []


def every_tick(measurement: Callable[[], None]) -> None:
    """Call the measurement at every tick, before the alarms are evaluated. An error in it is logged."""
    _measurements.append(measurement)


def start() -> None:
    """Start the thread that ticks. It ends with the process."""
    threading.Thread(target=_run, daemon=True, name="local-aws-clock").start()


def _run() -> None:
    pause = threading.Event()
    while not pause.wait(_period_seconds):
        for task in (*_measurements, evaluate_alarms):
            try:
                task()
            except Exception:
                log.exception("%s failed", task.__name__)


def evaluate_alarms() -> None:
    """Evaluate all alarms of every account and region that has any."""
    for account, region in {key[:2] for key, _ in cloudwatch._alarms.all_items()}:
        with request_scope(account, region):
            cloudwatch._evaluate_all_alarms()
