"""The payment workflow: validate → charge → record → audit → publish. Its definition is in `state_machine`."""

import json
from typing import Any

from lib.bindings import Construct, IamRole, IamRolePolicy, SfnStateMachine, SnsTopic
from lib.features.state_machine import Step, definition
from lib.foundation.encryption import Encryption
from lib.foundation.foundation import Foundation
from lib.foundation.functions import Function
from lib.foundation.logs import log_group
from lib.iam import Grantee, allow, assumed_by, document, waive
from lib.settings import EXPRESS_WAIT_SECONDS, Settings
from payments.adapters.dynamodb.payment_writes import Write
from payments.domain.anchor import FIRST


class Workflow:
    """The functions of the steps, and the state machine that runs them."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation
        self.validate = self._validate()
        self.charge = self._charge()
        self.record = self._record()
        self.audit = self._audit()
        self._machine = StateMachine(
            foundation.scope,
            foundation.settings,
            foundation.encryption,
            validate=self.validate,
            charge=self.charge,
            record=self.record,
            audit=self.audit,
            topic=foundation.notifications.payment_events,
        )

    @property
    def arn(self) -> str:
        """The state machine's ARN."""
        return self._machine.state_machine.arn

    @property
    def environment(self) -> dict[str, str]:
        """The variable with the ARN of the workflow, for functions that start it."""
        return {"STATE_MACHINE_ARN": self.arn}

    def grant_start(self, function: Grantee) -> None:
        """Let a function start executions."""
        function.allow(["states:StartExecution"], [self.arn])

    def _validate(self) -> Function:
        base, tables = self._foundation, self._foundation.tables
        validate = base.function(
            "validate",
            15,
            SETTLEMENT_CURRENCIES=",".join(base.settings.settlement_currencies),
            **base.payment_methods,
            **tables.payments.environment,
            **base.suffix,
        )
        tables.payments.grant(validate, "GetItem")
        tables.customers.grant(validate, "GetItem")
        tables.tokens.grant(validate, "GetItem")
        return validate

    def _charge(self) -> Function:
        base, tables = self._foundation, self._foundation.tables
        charge = base.function(
            "charge",
            80,  # charge, cancel and charge again take at most three gateway time-outs (69 s); the slot takes 3 s
            **base.gateway,
            **base.environment,
            **base.payment_methods,
            **tables.payments.environment,
            **tables.processing_status.environment,
            **base.encryption.environment,
            **base.gateway_rate,
            **base.recovery_timeouts,
            **base.gateway_deadline,
            **tables.limits.environment,
            LONGEST_WAIT_SECONDS=str(EXPRESS_WAIT_SECONDS if _is_express(base.settings) else 0),  # 0 is no limit
            **base.suffix,
        )
        tables.payments.grant(charge, "GetItem")
        # MARK_RETRIED: the link from a failed payment to the retry that a file submits
        tables.payments.grant_writes(charge, Write.SAVE, Write.POSTPONE, Write.KEEP_REFERENCE, Write.MARK_RETRIED)
        tables.customers.grant(charge, "GetItem")
        tables.tokens.grant(charge, "GetItem")
        tables.controls.grant(charge, "GetItem", "UpdateItem")
        tables.limits.grant(charge, "UpdateItem")  # declined cards, for the fraud rule
        tables.processing_status.grant(charge, "GetItem")  # the switch of its batch, for a payment that waited
        base.secrets.gateway.grant_read(charge)
        base.encryption.grant_fields(charge, "payment_id", "GenerateDataKey", "Decrypt")
        base.encryption.grant_fields(charge, "customer_id", "Decrypt")
        return charge

    def _record(self) -> Function:
        base, tables = self._foundation, self._foundation.tables
        record = base.function(
            "record",
            15,
            **tables.payments.environment,
            **tables.gateway_events.environment,
            **base.recovery_timeouts,
            **base.suffix,
        )
        tables.payments.grant(record, "GetItem")
        tables.payments.grant_writes(record, Write.SAVE)
        tables.gateway_events.grant(record, "UpdateItem")
        return record

    def _audit(self) -> Function:
        base, tables = self._foundation, self._foundation.tables
        audit = base.function(
            "audit",
            15,
            **tables.audit_log.environment,
            **tables.payments.environment,
            **tables.processing_status.environment,
            **base.report_function,
            **base.audit_signatures,
            **base.suffix,
        )
        tables.payments.grant(audit, "GetItem")
        tables.payments.grant_writes(audit, Write.MARK_AUDITED, Write.CLOSE_ROW)
        tables.audit_log.grant(audit, "GetItem", "PutItem")
        audit.allow(["kms:GenerateMac", "kms:VerifyMac"], [base.encryption.audit_key.arn])
        # a head from before signatures existed counts only if the first anchor lists it
        audit.allow(["kms:VerifyMac"], [base.encryption.anchor_key.arn])
        base.anchors.grant(audit, FIRST, "GetObject")
        tables.processing_status.grant(audit, "Query", "UpdateItem")
        return audit


class StateMachine(Construct):
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
            # X-Ray actions accept no resource but *
            allow(["xray:PutTraceSegments", "xray:PutTelemetryRecords"], ["*"]),
        ]
        express = _is_express(settings)
        logging: dict[str, Any] = {"level": "OFF"}
        if express:
            # Express executions keep no history: the log is the only trace
            logs = log_group(self, f"/aws/vendedlogs/states/{name}", settings, encryption)
            logging = {"level": "ERROR", "include_execution_data": False, "log_destination": f"{logs.arn}:*"}
            # log delivery actions accept no resource but * (Step Functions Developer Guide, "Logging")
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
            CKV_AWS_285="errors are logged; the data of an execution stays out of logs"
            if express
            else "Standard keeps every execution's history for 90 days; a log would cost more and repeat it",
        )


def _is_express(settings: Settings) -> bool:
    return settings.effective.workflow_type == "EXPRESS"


def _step(function: Function) -> Step:
    return Step(function.arn, function.timeout_seconds)
