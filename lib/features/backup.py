"""Backups of all tables: once a day, by the only function that reads whole tables, into a bucket of their own."""

from lib import package
from lib.bindings import (
    Construct,
    IamRole,
    IamRolePolicy,
    LambdaFunctionRecursionConfig,
    SchedulerSchedule,
)
from lib.foundation.foundation import Foundation
from lib.foundation.functions import Function
from lib.iam import allow, assumed_by, document, waive
from lib.settings import Settings
from payments.domain.backup import BACKUPS


class Backup:
    """The backup function and its schedule."""

    def __init__(self, foundation: Foundation) -> None:
        settings, tables = foundation.settings, foundation.tables
        self.bucket = bucket = foundation.backups
        backed_up = (
            tables.processing_status,
            tables.gateway_events,
            tables.refunds,
            tables.payments,
            tables.audit_log,
            tables.customers,
            tables.tokens,
            tables.denied_attempts,
            tables.controls,
        )
        self.backup = backup = foundation.function(
            "backup",
            900,
            BACKUP_BUCKET=bucket.name,
            BACKUP_REGION=settings.aws_region,
            BACKUP_READ_UNITS_PER_SECOND=str(settings.effective.backup_read_units_per_second),
            CODE_VERSION=package.code_archive().stem,
            EMAIL_HASH_KEY_ARN=foundation.encryption.lookup_key.arn,
            **{name: value for table in backed_up for name, value in table.environment.items()},
            **foundation.encryption.environment,
            **foundation.environment,
            **foundation.suffix,
        )
        for table in backed_up:
            table.grant(backup, "Scan")
        bucket.grant(backup, BACKUPS, "PutObject", "GetObject")
        bucket.grant_list(backup)
        # backup.arn would be a cycle: the function depends on its own policy
        backup.allow(["lambda:InvokeFunction"], [foundation.function_arn("backup")])
        # Lambda stops a function that invokes itself 16 times as a loop; this one reads on every time
        LambdaFunctionRecursionConfig(
            foundation.scope,
            "backup_may_continue",
            function_name=backup.function.function_name,
            recursive_loop="Allow",
        )
        _Schedule(foundation.scope, settings, backup)


class _Schedule(Construct):
    """Invokes the backup function every so many hours, with a role that may invoke it and nothing else."""

    def __init__(self, scope: Construct, settings: Settings, function: Function) -> None:
        super().__init__(scope, "backup_schedule")
        name = settings.name("payment-backup-schedule")
        role = IamRole(self, "role", name=name, assume_role_policy=assumed_by("scheduler.amazonaws.com"))
        policy = IamRolePolicy(
            self,
            "policy",
            name="permissions",
            role=role.name,
            policy=document(allow(["lambda:InvokeFunction"], [function.arn])),
        )
        hours = settings.effective.backup_every_hours
        schedule = SchedulerSchedule(
            self,
            "schedule",
            name=name,
            schedule_expression="rate(1 hour)" if hours == 1 else f"rate({hours} hours)",
            flexible_time_window={"mode": "OFF"},
            target={
                "arn": function.arn,
                "role_arn": role.arn,
                "input": "{}",
                "retry_policy": {"maximum_retry_attempts": 3, "maximum_event_age_in_seconds": 3600},
            },
            depends_on=[policy],
        )
        waive(schedule, CKV_AWS_297="it carries no data: the function reads the tables")
