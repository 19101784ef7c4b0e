"""A retried asynchronous invocation keeps the request id of the first attempt. Functions detect their own work by it.

MiniStack gives each attempt a new request id.

Probe: `async_retries` in tests/local/ministack/test_upstream.py.
"""

from typing import Any

from ministack.services import lambda_svc

from local.ministack.fixes.patching import wrap


class AsyncEvent(dict[str, Any]):
    """The event of an asynchronous invocation. It keeps the request id of the first attempt."""

    request_id = ""


def apply() -> None:
    wrap(lambda_svc, "invoke_async_with_retry", _mark)
    wrap(lambda_svc, "_execute_function_warm", _keep_the_id)


def _mark(invoke: Any, function: Any, event: Any) -> None:
    invoke(function, AsyncEvent(event) if isinstance(event, dict) else event)


def _keep_the_id(execute: Any, function: Any, event: Any, request_id: str) -> Any:
    if isinstance(event, AsyncEvent):
        event.request_id = event.request_id or request_id
        request_id = event.request_id
    return execute(function, event, request_id)
