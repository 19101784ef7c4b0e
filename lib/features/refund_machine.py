"""The state machine of refunds in Amazon States Language, made from the domain's error table.

This module does not import cdktf: the simulation runs the same definition.
"""

from typing import Any

from lib.features.state_machine import GRACE_SECONDS, State, Step, publish, retrier
from payments.domain.errors import POLICIES, UNEXPECTED


def refund_definition(refund: Step, audit: Step, topic_arn: str) -> dict[str, Any]:
    """The state machine. Its data is {"refund_id", "payment_id"} with "event": ids and statuses, no personal data.

    The refund function writes every outcome itself. An execution whose retries are used up leaves the refund to
    recovery, with what happened until then in the audit log.
    """
    own_errors = [retrier([error.__name__], policy) for error, policy in POLICIES.items() if not policy.is_answer]
    unexpected = retrier(["States.ALL"], UNEXPECTED)

    def task(step: Step, comment: str, retries: list[dict[str, Any]], **more: Any) -> State:
        return {
            "Type": "Task",
            "Comment": comment,
            "Resource": step.arn,
            "TimeoutSeconds": step.timeout_seconds + GRACE_SECONDS,
            "Retry": retries,
            **more,
        }

    return {
        "Comment": "One refund, from accepted to audited, or the comparison of a payment's refunds with the gateway.",
        "StartAt": "Refund",
        "States": {
            "Refund": task(
                refund,
                "Send it at most once, or ask the gateway",
                [*own_errors, unexpected],
                Catch=[{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Audit"}],
                Next="MustItWait",
            ),
            "MustItWait": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.wait_seconds", "IsPresent": True, "Next": "Wait"}],
                "Default": "Audit",
            },
            "Wait": {
                "Type": "Wait",
                "Comment": "As long as the gateway requested, or until a slot",
                "SecondsPath": "$.wait_seconds",
                "Next": "Refund",
            },
            "Audit": task(audit, "Append the missing audit entries", [unexpected], ResultPath=None, Next="IsItNews"),
            "IsItNews": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.event", "IsPresent": True, "Next": "Publish"}],
                "Default": "Done",
            },
            "Publish": publish(topic_arn, unexpected),
            "Done": {"Type": "Succeed"},
        },
    }
