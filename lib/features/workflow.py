"""The workflow's state machine and its role. What the machine does stands in `state_machine`."""

import json
from typing import Any

from lib.bindings import Construct, IamRole, IamRolePolicy, SfnStateMachine, SnsTopic
from lib.features.state_machine import Step, definition
from lib.foundation.encryption import Encryption
from lib.foundation.functions import Function
from lib.foundation.logs import log_group
from lib.iam import allow, assumed_by, document, waive
from lib.settings import Settings


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
            definition=json.dumps(definition(_step(validate), _step(charge), _step(record), _step(audit), topic.arn)),
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


def _step(function: Function) -> Step:
    return Step(function.arn, function.timeout_seconds)
