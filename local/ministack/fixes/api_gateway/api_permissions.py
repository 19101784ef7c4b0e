"""A method calls its function only if the function's resource policy allows the API to do so.

MiniStack does not check the policy. Without the permission, AWS answers 500, as it does if the function does not exist.
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-permissions.html

Probe: `api_permissions` in tests/local/ministack/test_upstream.py.
"""

from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import apigateway_v1, lambda_svc

from local.ministack.fixes.patching import wrap
from local.ministack.permissions import policy_lets_service


def apply() -> None:
    wrap(apigateway_v1, "_invoke_lambda_proxy_v1", _call_if_allowed)


async def _call_if_allowed(
    call: Any,
    integration: dict[str, Any],
    api: str,
    stage_name: str,
    stage: Any,
    resource: dict[str, Any],
    path: str,
    method: str,
    *request: Any,
    **more: Any,
) -> Any:
    function = apigateway_v1._extract_lambda_ref_from_integration_uri(integration.get("uri", ""))
    caller = f"arn:aws:execute-api:{get_region()}:{get_account_id()}:{api}/{stage_name}/{method}{resource['path']}"
    if not integration.get("credentials") and not _lets_the_api(function, caller):
        return apigateway_v1._gw_error("API_CONFIGURATION_ERROR", "Internal server error")
    return await call(integration, api, stage_name, stage, resource, path, method, *request, **more)


def _lets_the_api(function: str, caller: str) -> bool:
    record, _, _ = lambda_svc._get_func_record_for_ref(function)
    arn = function if function.startswith("arn:") else lambda_svc._func_arn(function)
    policy = (record or {}).get("policy")
    return policy_lets_service(policy, "apigateway.amazonaws.com", "lambda:InvokeFunction", arn, caller)
