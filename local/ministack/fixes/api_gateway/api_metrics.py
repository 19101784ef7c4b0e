"""Records the AWS/ApiGateway metrics of REST APIs: Count, Latency, 4XXError and 5XXError, by API and by API and stage.

MiniStack does not record them.

Probe: `api_metrics` in tests/local/ministack/test_upstream.py.
"""

import time
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import apigateway_v1, cloudwatch

from local.ministack.fixes.patching import wrap


def apply() -> None:
    wrap(apigateway_v1, "handle_execute", _measure_request)


async def _measure_request(execute: Any, api_id: str, stage: str, *args: Any, **kwargs: Any) -> Any:
    started = time.monotonic()
    response = await execute(api_id, stage, *args, **kwargs)
    scope = apigateway_v1.find_api_scope(api_id)
    if scope is not None:
        with request_scope(*scope):
            _record(api_id, stage, status=response[0], latency_ms=(time.monotonic() - started) * 1000)
    return response


def _record(api_id: str, stage: str, *, status: int, latency_ms: float) -> None:
    name = apigateway_v1._rest_apis[api_id]["name"]
    for dimensions in ({"ApiName": name}, {"ApiName": name, "Stage": stage}):
        for metric, value, unit in (
            ("Count", 1, "Count"),
            ("Latency", latency_ms, "Milliseconds"),
            ("4XXError", int(400 <= status < 500), "Count"),
            ("5XXError", int(status >= 500), "Count"),
        ):
            cloudwatch.record_metric("AWS/ApiGateway", metric, value, unit, dimensions)
