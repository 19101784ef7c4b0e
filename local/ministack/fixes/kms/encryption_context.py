"""Policy conditions can use a request's encryption context.

MiniStack does not pass the encryption context to IAM.
https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-encryption-context

Probe: `encryption_context` in tests/local/ministack/test_upstream.py.
"""

import json
from typing import Any

from ministack.core import iam_actions

from local.ministack.fixes.patching import wrap


def apply() -> None:
    wrap(iam_actions, "request_tag_context", _with_encryption_context)


def _with_encryption_context(
    tags: Any, service: str, iam_action: str, body: bytes, params: dict[str, Any]
) -> dict[str, Any]:
    conditions: dict[str, Any] = tags(service, iam_action, body, params)
    if service != "kms":
        return conditions
    try:
        context = json.loads(body or b"{}").get("EncryptionContext") or {}
    except (ValueError, AttributeError):
        return conditions  # KMS rejects the request with its own error
    conditions = conditions | {f"kms:EncryptionContext:{key}": str(value) for key, value in context.items()}
    return conditions | ({"kms:EncryptionContextKeys": list(context)} if context else {})
