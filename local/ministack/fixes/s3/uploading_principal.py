"""A notification names the principal that made the request, such as `AWS:AROA…:session` for the session of a role.

MiniStack always names `EXAMPLE`.

Probe: `uploading_principal` in tests/local/ministack/test_upstream.py.
"""

from contextvars import ContextVar
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id
from ministack.services import s3

from local.ministack.fixes.patching import wrap

_access_key: ContextVar[str] = ContextVar("access_key_of_the_s3_request", default="")


def apply() -> None:
    wrap(iam_evaluator, "enforce", _remember)
    wrap(s3, "_deliver_event_to_lambda", _name)


def _remember(enforce: Any, access_key: str, action: str, service: str, *rest: Any, **context: Any) -> Any:
    if service == "s3":
        _access_key.set(access_key)
    return enforce(access_key, action, service, *rest, **context)


def _name(deliver: Any, arn: str, event: Any, *rest: Any, **more: Any) -> Any:
    found = iam_evaluator.resolve_credential(_access_key.get(), get_account_id()) if _access_key.get() else None
    if isinstance(found, iam_evaluator.ResolvedCredential):
        identity = {"userIdentity": {"principalId": f"AWS:{found.principal_id}"}}
        event = event | {"Records": [record | identity for record in event["Records"]]}
    return deliver(arn, event, *rest, **more)
