"""The state machine: validate → charge → record → audit → publish, made from the domain's error table."""

import json
from typing import Any

from lib.aws import Construct, IamRole, IamRolePolicy, SfnStateMachine, SnsTopic
from lib.encryption import Encryption
from lib.functions import Function
from lib.logs import log_group
from lib.policies import allow, assumed_by, document, waive
from lib.settings import Settings
from payments.errors import POLICIES, UNEXPECTED, Policy

State = dict[str, Any]

# more than the function's own time-out, so that no invocation is still running when its retry starts
_GRACE_SECONDS = 5


def retrier(errors: list[str], policy: Policy) -> dict[str, Any]:
    """One Retry entry of the Amazon States Language from one line of the error table."""
    return {
        "ErrorEquals": errors,
        "IntervalSeconds": policy.interval_seconds,
        "MaxAttempts": policy.max_attempts,
        "BackoffRate": policy.backoff_rate,
        "MaxDelaySeconds": policy.max_delay_seconds,
        "JitterStrategy": "FULL",
    }


def definition(
    validate: Function, charge: Function, record: Function, audit: Function, topic: SnsTopic
) -> dict[str, Any]:
    """The state machine. Its data is {"payment_id"} with "outcome" or "error": ids and outcomes, nothing personal."""
    own_errors = [retrier([error.__name__], policy) for error, policy in POLICIES.items() if not policy.is_answer]
    unexpected = retrier(["States.ALL"], UNEXPECTED)
    # whatever a step dies of is recorded too: the record step looks the error up in the same table
    caught = {"Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Record"}]}

    def step(function: Function, comment: str, retries: list[dict[str, Any]], **more: Any) -> State:
        return {
            "Type": "Task",
            "Comment": comment,
            "Resource": function.arn,
            "TimeoutSeconds": function.timeout_seconds + _GRACE_SECONDS,
            "Retry": retries,
            **more,
        }

    return {
        "Comment": "One payment, from accepted to audited. Every way out ends in Record and Audit.",
        "StartAt": "Validate",
        "States": {
            "Validate": step(
                validate, "Find what to charge it on; refuse what can never be charged", [unexpected], **caught
            )
            | {"Next": "IsItRefused"},
            "IsItRefused": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.outcome", "IsPresent": True, "Next": "Record"}],
                "Default": "Charge",
            },
            "Charge": step(charge, "Ask the gateway, at most once in effect", [*own_errors, unexpected], **caught)
            | {"Next": "Record"},
            "Record": step(record, "Write the outcome onto the row", [unexpected], Next="Audit"),
            "Audit": step(audit, "Chain it into the audit log", [unexpected], Next="Publish"),
            "Publish": {
                "Type": "Task",
                "Comment": "Tell the subscribers, who filter on the status",
                "Resource": "arn:aws:states:::sns:publish",
                "TimeoutSeconds": 10,
                "Parameters": {
                    "TopicArn": topic.arn,
                    "Message.$": "States.JsonToString($.event)",
                    "MessageAttributes": {
                        "event_type": {"DataType": "String", "StringValue.$": "$.event.event_type"},
                        "status": {"DataType": "String", "StringValue.$": "$.event.status"},
                    },
                },
                "ResultPath": None,
                "Retry": [unexpected],
                "End": True,
            },
        },
    }


class Workflow(Construct):
    """The state machine and its role."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        encryption: Encryption,
        *,
        validate: Function,
        charge: Function,
        record: Function,
        audit: Function,
        topic: SnsTopic,
    ) -> None:
        super().__init__(scope, "workflow")
        name = settings.name("payment-processor")
        role = IamRole(self, "role", name=name, assume_role_policy=assumed_by("states.amazonaws.com"))
        statements = [
            allow(["lambda:InvokeFunction"], [step.arn for step in (validate, charge, record, audit)]),
            allow(["sns:Publish"], [topic.arn]),
            # X-Ray has no resources to name
            allow(["xray:PutTraceSegments", "xray:PutTelemetryRecords"], ["*"]),
        ]
        express = settings.effective.workflow_type == "EXPRESS"
        logging: dict[str, Any] = {"level": "OFF"}
        if express:
            # Express executions leave no history behind: their log is the only trace
            logs = log_group(self, f"/aws/vendedlogs/states/{name}", settings, encryption)
            logging = {"level": "ERROR", "include_execution_data": False, "log_destination": f"{logs.arn}:*"}
            # the delivery of logs has no resources to name (Step Functions Developer Guide, "Logging")
            statements.append(
                allow(
                    [
                        "logs:CreateLogDelivery",
                        "logs:GetLogDelivery",
                        "logs:UpdateLogDelivery",
                        "logs:DeleteLogDelivery",
                        "logs:ListLogDeliveries",
                        "logs:PutResourcePolicy",
                        "logs:DescribeResourcePolicies",
                        "logs:DescribeLogGroups",
                    ],
                    ["*"],
                )
            )
        policy = IamRolePolicy(self, "policy", name="permissions", role=role.name, policy=document(*statements))
        self.state_machine = SfnStateMachine(
            self,
            "state_machine",
            name=name,
            type=settings.effective.workflow_type,
            role_arn=role.arn,
            definition=json.dumps(definition(validate, charge, record, audit, topic)),
            tracing_configuration={"enabled": True},
            logging_configuration=logging,
            depends_on=[policy],
        )
        waive(
            self.state_machine,
            CKV_AWS_285="errors are logged; what a payment carries through the workflow stays out of logs"
            if express
            else "Standard keeps every execution's history for 90 days; a log would repeat it at a price",
        )

    @property
    def arn(self) -> str:
        """The state machine's ARN."""
        return self.state_machine.arn

    def grant_start(self, function: Function) -> None:
        """Let a function start executions."""
        function.allow(["states:StartExecution"], [self.arn])
