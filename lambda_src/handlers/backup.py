"""Backup: write every table to the bucket of backups, then verify what was written."""

import time
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from payments.adapters import aws_clients as aws
from payments.adapters.dynamodb.backed_up import BACKED_UP, LEFT_OUT, MAY_SHRINK, schema_version
from payments.adapters.dynamodb.backed_up_chains import BackedUpChains
from payments.adapters.dynamodb.table_scan import DynamoTableScan
from payments.adapters.dynamodb.tables import (
    AUDIT_LOG,
    CONTROLS,
    CUSTOMERS,
    DENIED_ATTEMPTS,
    GATEWAY_EVENTS,
    PAYMENTS,
    PROCESSING_STATUS,
    REFUNDS,
    TOKENS,
)
from payments.adapters.lambda_functions import FunctionStarter
from payments.adapters.s3_backups import S3BackupStore
from payments.application.backup import BackupRun, manifest_at, short_of_rows
from payments.application.read_rate import ReadRate
from payments.application.verify_backup import VerifyRun
from payments.config import setting
from payments.domain.backup import Origin
from payments.domain.clock import utc_now
from payments.observability.logs import invocation, logger
from payments.observability.metrics import BACKUPS_SHORT, BACKUPS_UNVERIFIABLE, BACKUPS_VERIFIED, count

DEPLOYED = {
    PROCESSING_STATUS.name: setting("PROCESSING_STATUS_TABLE"),
    GATEWAY_EVENTS.name: setting("GATEWAY_EVENTS_TABLE"),
    REFUNDS.name: setting("REFUNDS_TABLE"),
    PAYMENTS.name: setting("PAYMENTS_TABLE"),
    AUDIT_LOG.name: setting("AUDIT_TABLE"),
    CUSTOMERS.name: setting("CUSTOMERS_TABLE"),
    TOKENS.name: setting("TOKENS_TABLE"),
    DENIED_ATTEMPTS.name: setting("DENIED_TABLE"),
    CONTROLS.name: setting("CONTROLS_TABLE"),
}
"""Table of the schema → its deployed name."""

tables = [table.name for table in BACKED_UP]
store = S3BackupStore(aws.s3(), setting("BACKUP_BUCKET"))
itself = FunctionStarter(aws.functions(), setting("AWS_LAMBDA_FUNCTION_NAME"))
backup = BackupRun(
    source=DynamoTableScan(aws.dynamodb(), DEPLOYED),
    store=store,
    origin=Origin(
        environment_id=setting("ENVIRONMENT_ID"),
        environment_suffix=setting("ENVIRONMENT_SUFFIX"),
        region=setting("BACKUP_REGION"),
        code_version=setting("CODE_VERSION"),
        schema_version=schema_version(),
        keys={"fields": setting("VAULT_KEY_ARN"), "lookup": setting("EMAIL_HASH_KEY_ARN")},
    ),
    tables=tables,
    left_out=LEFT_OUT,
    clock=utc_now,
    rate=ReadRate(float(setting("BACKUP_READ_UNITS_PER_SECOND")), time.monotonic, time.sleep),
    continue_later=lambda timestamp: itself({"timestamp": timestamp}),
)
log = logger()


@invocation
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Event in: {} or {"timestamp"} to begin or continue a backup, {"verify", "start", "problems"} to verify one."""

    def seconds_left() -> float:
        return context.get_remaining_time_in_millis() / 1000

    if "verify" in event:
        _verify(event, seconds_left)
        return
    manifest = backup.run(event.get("timestamp", ""), context.aws_request_id, seconds_left)
    if manifest is None:
        log.info("the backup continues in another run")
        return
    log.info("backed up", extra={"backup": manifest.timestamp, "rows": manifest.rows, "bytes": manifest.size_bytes})
    itself({"verify": manifest.timestamp})


def _verify(event: dict[str, Any], seconds_left: Any) -> None:
    timestamp = str(event["verify"])
    verify = VerifyRun(
        store,
        tables,
        BackedUpChains().faults,
        utc_now,
        lambda start, problems: itself({"verify": timestamp, "start": start, "problems": problems}),
    )
    problems = verify.run(timestamp, seconds_left, int(event.get("start", 0)), event.get("problems", ()))
    if problems is None:
        return
    for problem in problems:
        log.error("backup unverifiable", extra={"backup": timestamp, "reason": problem})
    count(BACKUPS_UNVERIFIABLE if problems else BACKUPS_VERIFIED)
    short = short_of_rows(store, manifest_at(store, timestamp), MAY_SHRINK)
    for table, (before, now) in short.items():
        log.error("backup short", extra={"backup": timestamp, "table": table, "rows_before": before, "rows": now})
    if short:
        count(BACKUPS_SHORT)
