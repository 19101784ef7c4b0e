"""The API's own ACCESS_DENIED gateway response answers a signed caller without permission.

MiniStack returns the generic error of a service and ignores the gateway responses of the API.

Probe: `access_denied` in tests/local/ministack/test_upstream.py.
"""

import json
from typing import Any

from ministack import app
from ministack.core.iam_evaluator import AuthError
from ministack.services import apigateway_v1

from local.ministack.fixes.patching import wrap

DENIED = "AccessDeniedException"


def apply() -> None:
    apigateway_v1._AUTHENTICATION_GATEWAY_ERRORS[DENIED] = ("ACCESS_DENIED", DENIED)
    wrap(app, "_enforce_execute_api", _answer_as_the_api)


def _answer_as_the_api(
    enforce: Any,
    api_id: str,
    stage: str,
    method: str,
    path: str,
    headers: dict[str, str],
    query: dict[str, Any],
    **action: str,
) -> Any:
    refusal = enforce(api_id, stage, method, path, headers, query, **action)
    if refusal is None or refusal[1].get("x-amzn-errortype") != DENIED:
        return refusal
    error = AuthError(DENIED, json.loads(refusal[2])["message"])
    return apigateway_v1.authentication_error_response(api_id, stage, error, headers, query) or refusal
