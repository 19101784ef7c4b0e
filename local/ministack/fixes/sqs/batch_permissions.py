"""SQS and SNS batch calls need the permission of the single call: there is no `sqs:SendMessageBatch` in IAM."""

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
