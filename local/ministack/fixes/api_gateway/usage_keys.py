"""An API with the API key source AUTHORIZER takes the key from the authorizer's answer.

MiniStack only reads the x-api-key header. The answer names the key as `usageIdentifierKey`, also when it is cached from
an earlier call.
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-key-source.html

Probe: `usage_keys` in tests/local/ministack/test_upstream.py.
"""

import json
from contextvars import ContextVar
from typing import Any

from ministack.services import apigateway_v1

from local.ministack.fixes.patching import wrap

ANSWERED = "usageIdentifierKey"

_key: ContextVar[str | None] = ContextVar(
    "the key in the authorizer's answer, None if callers send their own key", default=None
)


def apply() -> None:
    wrap(apigateway_v1, "_invoke_authorizer_lambda", _keep_with_the_context)
    wrap(apigateway_v1, "_authorize_request_v1", _remember)
    wrap(apigateway_v1, "_api_key_from_request", _from_the_authorizer)


async def _keep_with_the_context(invoke: Any, *request: Any) -> Any:
    """Put the key into the context: MiniStack caches only the context and the policy of an answer."""
    result = await invoke(*request)
    body = (result or {}).get("body")
    try:
        answer = json.loads(body) if isinstance(body, str | bytes) else body
    except ValueError:
        return result
    if not isinstance(answer, dict) or ANSWERED not in answer:
        return result
    context = {**(answer.get("context") or {}), ANSWERED: answer[ANSWERED]}
    return {**result, "body": {**answer, "context": context}}


async def _remember(authorize: Any, api: str, *request: Any) -> Any:
    error, context = await authorize(api, *request)
    from_authorizer = (apigateway_v1._rest_apis.get(api) or {}).get("apiKeySource") == "AUTHORIZER"
    _key.set((context or {}).get(ANSWERED, "") if from_authorizer else None)
    without_key = {name: value for name, value in context.items() if name != ANSWERED} if context else context
    return error, without_key


def _from_the_authorizer(read: Any, headers: dict[str, str]) -> Any:
    key = _key.get()
    return read(headers) if key is None else key
