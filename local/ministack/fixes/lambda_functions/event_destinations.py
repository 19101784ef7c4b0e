"""A permanently failed event goes to the function's queue only if the function's role may send to the queue.

MiniStack does not check the role.

Probe: `event_destinations` in tests/local/ministack/test_upstream.py.
"""

from typing import Any

from ministack.services import lambda_svc

from local.ministack.fixes.patching import wrap
from local.ministack.permissions import service_may


def apply() -> None:
    wrap(lambda_svc, "_route_async_failure", _keep_if_allowed)


def _keep_if_allowed(keep: Any, target: str, function: str, event: Any, result: Any) -> None:
    _, config, _ = lambda_svc._get_func_record_for_ref(function)
    sends_there = target.startswith("arn:aws:sqs:")
    if not sends_there or (config and service_may("lambda", config["Role"], "sqs:SendMessage", target)):
        keep(target, function, event, result)
