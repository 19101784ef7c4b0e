"""SQS and SNS batch calls need the permission of the single call: IAM has no action `sqs:SendMessageBatch`.

MiniStack requires a permission with the name of the batch call.

Probe: `batch_permissions` in tests/local/ministack/test_upstream.py.
"""

from typing import Any

from ministack.core import iam_actions

from local.ministack.fixes.patching import wrap

PERMISSION = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "sns:PublishBatch": "sns:Publish",
}


def apply() -> None:
    wrap(iam_actions, "extract_iam_action", _permission)


def _permission(extract: Any, *request: Any) -> str | None:
    action: str | None = extract(*request)
    return PERMISSION.get(action or "", action)
