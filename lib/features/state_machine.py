"""The state machine in Amazon States Language, made from the domain's error table.

This module does not import cdktf: the simulation runs the same definition.
"""

from typing import Any, NamedTuple

from payments.domain.errors import POLICIES, UNEXPECTED, Policy

State = dict[str, Any]

# more than the function's own time-out, so that no invocation is still running when its retry starts
GRACE_SECONDS = 5


class Step(NamedTuple):
    """The function of a step, and its time-out."""

    arn: str
    timeout_seconds: int


def retrier(errors: list[str], policy: Policy) -> dict[str, Any]:
    """One Retry entry of the Amazon States Language from one line of the error table."""
    if policy.waits_as_requested:
        # the charge step passes these to the Wait state; one that is still raised has reached its limit of waits
        return {"ErrorEquals": errors, "MaxAttempts": 0}
    return {
        "ErrorEquals": errors,
        "IntervalSeconds": policy.interval_seconds,
        "MaxAttempts": policy.max_attempts,
        "BackoffRate": policy.backoff_rate,
        "MaxDelaySeconds": policy.max_delay_seconds,
        "JitterStrategy": "FULL",
    }


def definition(validate: Step, charge: Step, record: Step, audit: Step, topic_arn: str) -> dict[str, Any]:
    """The state machine. Its data is {"payment_id"} with "outcome" or "error": ids and outcomes, no personal data."""
    own_errors = [retrier([error.__name__], policy) for error, policy in POLICIES.items() if not policy.is_answer]
    unexpected = retrier(["States.ALL"], UNEXPECTED)
    # every error of a step is recorded too: the record step looks it up in the same table
    caught = {"Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Record"}]}

    def task(step: Step, comment: str, retries: list[dict[str, Any]], **more: Any) -> State:
        return {
            "Type": "Task",
            "Comment": comment,
            "Resource": step.arn,
            "TimeoutSeconds": step.timeout_seconds + GRACE_SECONDS,
            "Retry": retries,
            **more,
        }

    def choice(variable: str, then: str, otherwise: str) -> State:
        present = {"Variable": variable, "IsPresent": True, "Next": then}
        return {"Type": "Choice", "Choices": [present], "Default": otherwise}

    return {
        "Comment": "One payment, from accepted to audited. Every path ends in Record and Audit.",
        "StartAt": "Validate",
        "States": {
            "Validate": task(
                validate, "Find the payment method; reject payments that can never be charged", [unexpected], **caught
            )
            | {"Next": "IsItRefused"},
            "IsItRefused": choice("$.outcome", "Record", "Charge"),
            "Charge": task(charge, "Charge at the gateway, at most once", [*own_errors, unexpected], **caught)
            | {"Next": "MustItWait"},
            "MustItWait": {
                "Type": "Choice",
                "Choices": [
                    {"Variable": "$.wait_seconds", "IsPresent": True, "Next": "Wait"},
                    {"Variable": "$.left", "IsPresent": True, "Next": "LeaveToRecovery"},
                ],
                "Default": "Record",
            },
            "LeaveToRecovery": {
                "Type": "Succeed",
                "Comment": "An Express execution cannot wait that long; the row holds the time",
            },
            "Wait": {
                "Type": "Wait",
                "Comment": "As long as the gateway requested, or until the ticket",
                "SecondsPath": "$.wait_seconds",
                "Next": "Charge",
            },
            "Record": task(record, "Write the outcome to the row", [unexpected], Next="Audit"),
            "Audit": task(audit, "Append the missing audit entries", [unexpected], Next="Publish"),
            "Publish": publish(topic_arn, unexpected),
        },
    }


def publish(topic_arn: str, unexpected: dict[str, Any]) -> State:
    """The last state of a machine: it publishes `$.event`. `unexpected` is the retrier of errors that are not ours."""
    return {
        "Type": "Task",
        "Comment": "Notify the subscribers, who filter on the status",
        "Resource": "arn:aws:states:::sns:publish",
        "TimeoutSeconds": 10,
        "Parameters": {
            "TopicArn": topic_arn,
            "Message.$": "States.JsonToString($.event)",
            "MessageAttributes": {
                "event_type": {"DataType": "String", "StringValue.$": "$.event.event_type"},
                "status": {"DataType": "String", "StringValue.$": "$.event.status"},
            },
        },
        "ResultPath": None,
        "Retry": [unexpected],
        "End": True,
    }
