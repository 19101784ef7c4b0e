"""Backups of all tables: once a day, by the only function that reads whole tables, into a bucket of their own."""

from lib import package
from lib.bindings import LambdaFunctionRecursionConfig
from lib.foundation.foundation import Foundation
from lib.foundation.schedules import FunctionSchedule
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
        FunctionSchedule(foundation.scope, settings, backup, settings.effective.backup_every_hours)
