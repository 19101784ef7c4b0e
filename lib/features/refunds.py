"""Refunds: the function that sends them, and the state machine that runs it. Its definition is in `refund_machine`."""

import json

from lib.bindings import IamRole, IamRolePolicy, SfnStateMachine
from lib.features.refund_machine import refund_definition
from lib.features.state_machine import Step
from lib.features.workflow import Workflow
from lib.foundation.foundation import Foundation
from lib.foundation.functions import Function
from lib.iam import Grantee, allow, assumed_by, document, waive
from payments.adapters.dynamodb.payment_writes import Write


class Refunds:
    """The refund function and its state machine. Executions are Standard also where those of payments are Express: a
    refund may wait for the gateway longer than five minutes."""

    def __init__(self, foundation: Foundation, workflow: Workflow) -> None:
        self._foundation = foundation
        settings = foundation.settings
        self._name = settings.name("payment-refund-processor")
        # a reference to the state machine would be a cycle: the function starts executions of it
        self.arn = f"arn:aws:states:{settings.aws_region}:{foundation.account_id}:stateMachine:{self._name}"
        self.refund = self._function(workflow)
        self._machine(workflow)

    def grant_start(self, function: Grantee) -> None:
        """Let a function start executions."""
        function.allow(["states:StartExecution"], [self.arn])

    def _function(self, workflow: Workflow) -> Function:
        base, tables = self._foundation, self._foundation.tables
        refund = base.function(
            "refund",
            80,  # list, send and ask again take at most three gateway time-outs (69 s); each slot takes 3 s
            **base.gateway,
            **base.environment,
            **tables.payments.environment,
            **tables.refunds.environment,
            **base.encryption.environment,
            **base.gateway_rate,
            **base.recovery_timeouts,
            **workflow.environment,
            **base.suffix,
        )
        tables.payments.grant(refund, "GetItem")
        tables.payments.grant_writes(refund, Write.BOOK)
        tables.refunds.grant(refund, "GetItem", "PutItem", "UpdateItem")
        tables.controls.grant(refund, "GetItem", "UpdateItem")  # the mark that it is open, and the slots
        base.secrets.gateway.grant_read(refund)
        base.encryption.grant_fields(refund, "payment_id", "Decrypt")
        self.grant_start(refund)
        return refund

    def _machine(self, workflow: Workflow) -> None:
        base = self._foundation
        topic = base.notifications.payment_events
        role = IamRole(
            base.scope, "refunds_role", name=self._name, assume_role_policy=assumed_by("states.amazonaws.com")
        )
        policy = IamRolePolicy(
            base.scope,
            "refunds_policy",
            name="permissions",
            role=role.name,
            policy=document(
                allow(["lambda:InvokeFunction"], [self.refund.arn, workflow.audit.arn]),
                allow(["sns:Publish"], [topic.arn]),
                # X-Ray actions accept no resource but *
                allow(["xray:PutTraceSegments", "xray:PutTelemetryRecords"], ["*"]),
            ),
        )
        machine = SfnStateMachine(
            base.scope,
            "refunds_machine",
            name=self._name,
            type="STANDARD",
            role_arn=role.arn,
            definition=json.dumps(refund_definition(_step(self.refund), _step(workflow.audit), topic.arn)),
            tracing_configuration={"enabled": True},
            logging_configuration={"level": "OFF"},
            depends_on=[policy],
        )
        waive(machine, CKV_AWS_285="Standard keeps every execution's history for 90 days; a log would repeat it")


def _step(function: Function) -> Step:
    return Step(function.arn, function.timeout_seconds)
