"""A request body is checked by the model of its content type or of `$default`. Without such a model it is not checked.

MiniStack checks every content type by the model of application/json.
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-request-validation.html

Probe: `request_models` in tests/local/ministack/test_upstream.py.
"""

from typing import Any

from ministack.services import apigateway_v1

from local.ministack.fixes.patching import wrap

JSON = "application/json"


def apply() -> None:
    wrap(apigateway_v1, "_check_request_validation", _check_by_content_type)


def model_for(method: dict[str, Any], headers: dict[str, str]) -> str | None:
    """The name of the model that a request with these headers must match."""
    models: dict[str, str] = method.get("requestModels") or {}
    content_type = apigateway_v1._header_ci(headers, "content-type").split(";")[0].strip() or JSON
    return models.get(content_type, models.get("$default"))


def _check_by_content_type(
    check: Any, method: dict[str, Any], api_id: str, request: Any, headers: dict[str, str], *more: Any
) -> Any:
    model = model_for(method, headers)
    only_this = {JSON: model} if model else {}  # MiniStack falls back to the model of JSON
    return check({**method, "requestModels": only_this}, api_id, request, headers, *more)
