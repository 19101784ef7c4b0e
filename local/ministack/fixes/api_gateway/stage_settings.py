"""A stage without access logs does not return accessLogSettings.

MiniStack returns empty settings, which Terraform reports as a difference in every plan.

Probe: `stage_settings` in tests/local/ministack/test_upstream.py.
"""

from typing import Any

from ministack.services import apigateway_v1

from local.ministack.fixes.patching import wrap


def apply() -> None:
    wrap(apigateway_v1, "_v1_response", _without_empty_log_settings)


def _without_empty_log_settings(respond: Any, body: Any, *more: Any) -> Any:
    if isinstance(body, dict) and body.get("accessLogSettings") == {}:
        body = {name: value for name, value in body.items() if name != "accessLogSettings"}
    return respond(body, *more)
