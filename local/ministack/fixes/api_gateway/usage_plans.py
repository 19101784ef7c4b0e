"""A usage plan without a quota does not return a quota.

MiniStack returns an empty quota, which Terraform reports as a difference in every plan.

Probe: `usage_plans` in tests/local/ministack/test_upstream.py.
"""

from typing import Any

from ministack.services import apigateway_v1

from local.ministack.fixes.patching import wrap


def apply() -> None:
    wrap(apigateway_v1, "_v1_response", _without_empty_quota)


def _without_empty_quota(respond: Any, body: Any, *more: Any) -> Any:
    if isinstance(body, dict) and body.get("quota") == {}:
        body = {name: value for name, value in body.items() if name != "quota"}
    return respond(body, *more)
