"""A retried asynchronous invocation keeps the request id of the first attempt. Functions detect their own work by it.

MiniStack gives each attempt a new request id. It also takes a throttle for a failed attempt: an event is lost after
three. On AWS a throttled event returns to the queue for up to six hours, from one second to five minutes between two
attempts, and only errors of the function use up its two retries. The shortest and longest waits here are MiniStack's.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html

Probe: `async_retries` in tests/local/ministack/test_upstream.py.
"""

import time
from typing import Any, Final

from ministack.services import lambda_svc

from local.ministack.fixes.patching import wrap

LONGEST_EVENT_AGE_SECONDS: Final = 6 * 3600
"""The default of MaximumEventAgeInSeconds."""


class AsyncEvent(dict[str, Any]):
    """The event of an asynchronous invocation. It keeps the request id of the first attempt."""

    request_id = ""


def apply() -> None:
    wrap(lambda_svc, "invoke_async_with_retry", _mark)
    wrap(lambda_svc, "_execute_function_warm", _keep_the_id)
    wrap(lambda_svc, "_execute_function", _again_while_throttled)


def _mark(invoke: Any, function: Any, event: Any) -> None:
    invoke(function, AsyncEvent(event) if isinstance(event, dict) else event)


def _keep_the_id(execute: Any, function: Any, event: Any, request_id: str) -> Any:
    if isinstance(event, AsyncEvent):
        event.request_id = event.request_id or request_id
        request_id = event.request_id
    return execute(function, event, request_id)


def _again_while_throttled(execute: Any, function: Any, event: Any) -> Any:
    result = execute(function, event)
    if not isinstance(event, AsyncEvent) or not _may_have_a_place(function):
        return result
    settings = function.get("event_invoke_config") or {}
    ends_at = time.monotonic() + int(settings.get("MaximumEventAgeInSeconds") or LONGEST_EVENT_AGE_SECONDS)
    pause = lambda_svc._LAMBDA_ASYNC_RETRY_BASE_SECONDS
    while result.get("throttle") and time.monotonic() + pause < ends_at:
        time.sleep(pause)
        pause = min(2 * pause, lambda_svc._LAMBDA_ASYNC_RETRY_MAX_SECONDS)
        result = execute(function, event)
    return result


def _may_have_a_place(function: Any) -> bool:
    """Not if the function is switched off by a reserved concurrency of zero: then its events fail."""
    return bool(lambda_svc._reserved_concurrency(function, function.get("config") or function) != 0)
