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
    told: dict[str, Any] = tags(service, iam_action, body, params)
    if service != "kms":
        return told
    try:
        context = json.loads(body or b"{}").get("EncryptionContext") or {}
    except (ValueError, AttributeError):
        return told  # KMS itself says what is wrong with it
    told = told | {f"kms:EncryptionContext:{key}": str(value) for key, value in context.items()}
    return told | ({"kms:EncryptionContextKeys": list(context)} if context else {})
