"""Recovery of unfinished payments and batches: once a minute, through the same workflow, queue and functions."""

from lib.bindings import Construct, IamRole, IamRolePolicy, LambdaFunctionEventInvokeConfig, SchedulerSchedule
from lib.features.batch import Batch
from lib.features.refunds import Refunds
from lib.features.workflow import Workflow
from lib.foundation.foundation import Foundation
from lib.foundation.functions import Function
from lib.iam import allow, assumed_by, document, waive
from lib.settings import Settings
from payments.adapters.dynamodb.payment_writes import Write
from payments.adapters.dynamodb.tables import BY_BATCH, BY_DUE, BY_PARKED, BY_UNFINISHED, BY_UNSETTLED


class Recovery:
    """The sweep function and its schedule."""

    def __init__(self, foundation: Foundation, workflow: Workflow, batch: Batch, refunds: Refunds) -> None:
        tables, queue = foundation.tables, batch.queue
        self.sweep = sweep = foundation.function(
            "sweep",
            316,  # less its reserve of 20 s, a run of work without end is over just before the schedule's next call
            DISPATCH_MAPPING_ID=queue.mapping.id,
            SPLIT_FUNCTION=batch.split.name,
            **foundation.report_function,
            **workflow.environment,
            **queue.environment,
            **foundation.gateway,
            **tables.refunds.environment,
            **tables.payments.environment,
            **tables.processing_status.environment,
            **tables.gateway_events.environment,
            **foundation.gateway_rate,
            **foundation.encryption.environment,
            **foundation.recovery_timeouts,
            **foundation.gateway_deadline,
            FRAUD_HOLD_HOURS=str(foundation.settings.fraud_hold_hours),
            FRAUD_HOLD_OUTCOME=foundation.settings.fraud_hold_outcome,
            **foundation.environment,
            **foundation.suffix,
        )
        tables.payments.grant(sweep, "GetItem")
        marks = (Write.LOOK_AGAIN, Write.CLAIM_RESTART, Write.PROVE_ABSENT, Write.ADOPT)
        # SAVE: the end of a fraud hold
        tables.payments.grant_writes(sweep, *marks, Write.KEEP_REFERENCE, Write.CLOSE_ROW, Write.SAVE)
        for index in (BY_DUE, BY_UNSETTLED, BY_BATCH):
            tables.payments.grant_index(sweep, index)
        tables.processing_status.grant(sweep, "GetItem", "Query", "UpdateItem")
        tables.processing_status.grant_index(sweep, BY_DUE)
        tables.processing_status.grant_index(sweep, BY_UNFINISHED)
        tables.gateway_events.grant(sweep, "GetItem", "UpdateItem")
        tables.gateway_events.grant_index(sweep, BY_DUE)
        tables.gateway_events.grant_index(sweep, BY_PARKED)
        tables.refunds.grant(sweep, "GetItem", "UpdateItem")
        tables.refunds.grant_index(sweep, BY_DUE)
        refunds.grant_start(sweep)
        tables.controls.grant(sweep, "GetItem", "UpdateItem")
        workflow.grant_start(sweep)
        queue.grant_send(sweep)
        queue.grant_look(sweep)
        queue.grant_switch(sweep)
        foundation.secrets.gateway.grant_read(sweep)
        foundation.encryption.grant_fields(sweep, "payment_id", "GenerateDataKey")
        foundation.encryption.grant_fields(sweep, "event_id", "Decrypt")
        batch.split.grant_invoke(sweep)
        batch.report.grant_invoke(sweep)
        LambdaFunctionEventInvokeConfig(
            foundation.scope,
            "sweep_events",
            function_name=sweep.function.function_name,
            maximum_retry_attempts=0,  # the next run starts a minute later
            maximum_event_age_in_seconds=60,
        )
        EveryMinute(foundation.scope, foundation.settings, sweep)


class EveryMinute(Construct):
    """Invokes a function once a minute, with a role that may invoke this function and nothing else."""

    def __init__(self, scope: Construct, settings: Settings, function: Function) -> None:
        super().__init__(scope, f"{function.label}_every_minute")
        name = settings.name(f"payment-{function.label}-schedule")
        role = IamRole(self, "role", name=name, assume_role_policy=assumed_by("scheduler.amazonaws.com"))
        policy = IamRolePolicy(
            self,
            "policy",
            name="permissions",
            role=role.name,
            policy=document(allow(["lambda:InvokeFunction"], [function.arn])),
        )
        schedule = SchedulerSchedule(
            self,
            "schedule",
            name=name,
            schedule_expression="rate(1 minute)",
            flexible_time_window={"mode": "OFF"},
            target={
                "arn": function.arn,
                "role_arn": role.arn,
                "retry_policy": {"maximum_retry_attempts": 0},  # the next run starts a minute later
            },
            depends_on=[policy],
        )
        waive(schedule, CKV_AWS_297="it carries no data: the function finds its work in the tables")
