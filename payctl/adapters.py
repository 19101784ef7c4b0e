"""Adapters for a deployed stack, with the operator's own permissions. Each function imports its SDK when called."""

import os
import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from payctl.stack import Stack
from payments.domain.clock import iso, parse_iso, utc_now
from payments.domain.due import NEVER, OF_PAYMENTS, Kind
from payments.domain.gateway_account import GatewayAccount
from payments.domain.recovery_timeouts import RecoveryTimeouts

if TYPE_CHECKING:
    from payments.adapters.dynamodb.audit import DynamoAuditStore
    from payments.adapters.dynamodb.backed_up_chains import BackedUpChains
    from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
    from payments.adapters.dynamodb.batches import DynamoBatchStore
    from payments.adapters.dynamodb.events import DynamoEventStore
    from payments.adapters.dynamodb.listing import DynamoPaymentListing
    from payments.adapters.dynamodb.payments import DynamoPaymentStore
    from payments.adapters.dynamodb.refunds import DynamoRefundStore
    from payments.adapters.dynamodb.restored_rows import DynamoRestoreTarget
    from payments.adapters.dynamodb.whole_log import DynamoWholeLog
    from payments.adapters.event_source_mapping import MappingDelivery
    from payments.adapters.kms import KmsFieldEncryptor
    from payments.adapters.lambda_functions import FunctionStarter
    from payments.adapters.s3_backups import S3BackupStore
    from payments.adapters.s3_erasures import S3ErasureLedger
    from payments.adapters.step_functions import StepFunctionsWorkflow
    from payments.adapters.stripe.gateway import StripeGateway
    from payments.application.anchored_heads import AnchoredHeads
    from payments.application.gateway_rate_limiter import GatewayRateLimiter
    from payments.application.verify_audit import AuditVerification
    from payments.ports.restore_target import RestoreProgress


BACKED_UP_OUTPUTS = {
    "payment-processing-status": "processing_status_table",
    "payment-gateway-events": "gateway_events_table",
    "payment-refunds": "refunds_table",
    "payments": "payments_table",
    "payment-audit-log": "audit_table",
    "customers": "customers_table",
    "payment-tokens": "tokens_table",
    "payment-denied-attempts": "denied_table",
    "payment-controls": "controls_table",
}
"""Table of a backup → the stack's output with its deployed name."""


def operator(stack: Stack) -> str:
    """The operator: the last part of their AWS ARN. Only the name of an e-mail address, because customers read it."""
    arn = stack.client("sts").get_caller_identity()["Arn"]
    return f"operator:{re.split('[:/]', arn)[-1].partition('@')[0]}"


def payments(stack: Stack, *, encrypts: bool = False) -> "DynamoPaymentStore":
    """The payments table. To create a payment, the store encrypts its private fields."""
    from payments.adapters.dynamodb.payments import DynamoPaymentStore

    key = encryptor(stack) if encrypts else None
    return DynamoPaymentStore(stack.client("dynamodb"), stack["payments_table"], key, timeouts(stack))


def refunds(stack: Stack) -> "DynamoRefundStore":
    """The refunds table."""
    from payments.adapters.dynamodb.refunds import DynamoRefundStore

    client = stack.client("dynamodb")
    return DynamoRefundStore(client, stack["refunds_table"], stack["payments_table"], timeouts(stack))


def listing(stack: Stack) -> "DynamoPaymentListing":
    """The lists of payments."""
    from payments.adapters.dynamodb.listing import DynamoPaymentListing

    return DynamoPaymentListing(stack.client("dynamodb"), stack["payments_table"])


def batches(stack: Stack) -> "DynamoBatchStore":
    """The store of batches."""
    from payments.adapters.dynamodb.batches import DynamoBatchStore

    return DynamoBatchStore(stack.client("dynamodb"), stack["processing_status_table"], stack["payments_table"])


def audit_log(stack: Stack) -> "DynamoAuditStore":
    """The audit log."""
    from payments.adapters.dynamodb.audit import DynamoAuditStore

    return DynamoAuditStore(stack.client("dynamodb"), stack["audit_table"], stack["payments_table"])


def anchored_heads(stack: Stack) -> "AnchoredHeads":
    """The anchors of the audit log, verified with their key."""
    from payments.adapters.kms import KmsChainSigner
    from payments.adapters.s3_anchors import S3AnchorStore
    from payments.application.anchored_heads import AnchoredHeads

    store = S3AnchorStore(stack.client("s3"), stack["anchor_bucket"])
    signer = KmsChainSigner(stack.client("kms"), stack["anchor_key_arn"])
    return AnchoredHeads(store, signer, utc_now, timedelta(days=int(stack["audit_keep_days"])))


def audit_verification(stack: Stack) -> "AuditVerification":
    """The verification of the audit log. The operator needs permission to verify with both keys."""
    from payments.adapters.kms import KmsChainSigner
    from payments.application.chain_heads import ChainHeads
    from payments.application.verify_audit import AuditVerification

    log, anchored = audit_log(stack), anchored_heads(stack)
    signer = KmsChainSigner(stack.client("kms"), stack["audit_key_arn"])
    return AuditVerification(payments(stack), log, ChainHeads(signer, log.entry, anchored.was_first), anchored)


def backed_up_chains(stack: Stack) -> "BackedUpChains":
    """The check of the audit chains of a backup, with the signatures of their heads."""
    from payments.adapters.dynamodb.backed_up_chains import BackedUpChains
    from payments.adapters.kms import KmsChainSigner
    from payments.application.chain_heads import ChainHeads

    if "audit_key_arn" not in stack.outputs:
        return BackedUpChains()  # a stack of before
    signer = KmsChainSigner(stack.client("kms"), stack["audit_key_arn"])
    return BackedUpChains(ChainHeads(signer, audit_log(stack).entry).fault_of)


def whole_audit_log(stack: Stack) -> "DynamoWholeLog":
    """The audit log and the payments as a whole."""
    from payments.adapters.dynamodb.whole_log import DynamoWholeLog

    return DynamoWholeLog(stack.client("dynamodb"), stack["audit_table"], stack["payments_table"])


def anchor(stack: Stack) -> "FunctionStarter":
    """The function that writes anchors."""
    from payments.adapters.lambda_functions import FunctionStarter

    return FunctionStarter(stack.client("lambda"), f"payment-anchor-{stack.name}")


def next_anchor(stack: Stack) -> int:
    """The number of the anchor that is written next: it has no file yet."""
    return anchored_heads(stack).next_number()


def encryptor(stack: Stack) -> "KmsFieldEncryptor":
    """Decrypts sealed fields. The operator needs permission to use the key."""
    from payments.adapters.kms import KmsFieldEncryptor

    return KmsFieldEncryptor(stack.client("kms"), stack["vault_key_arn"])


def events(stack: Stack) -> "DynamoEventStore":
    """The gateway's events."""
    from payments.adapters.dynamodb.events import DynamoEventStore

    return DynamoEventStore(stack.client("dynamodb"), stack["gateway_events_table"])


def breaker(stack: Stack) -> "DynamoBreakerStore":
    """The state of the batch breaker."""
    from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore

    return DynamoBreakerStore(stack.client("dynamodb"), stack["controls_table"])


def delivery(stack: Stack) -> "MappingDelivery":
    """The event source mapping that delivers the queue's messages."""
    from payments.adapters.event_source_mapping import MappingDelivery

    return MappingDelivery(stack.client("lambda"), stack["dispatch_mapping_id"])


def rate_limiter(stack: Stack) -> "GatewayRateLimiter":
    """The gateway rate limiter, to read its backlog."""
    from payments.adapters.dynamodb.slots import DynamoSlotStore
    from payments.application.gateway_rate_limiter import GatewayRateLimiter

    slot = timedelta(microseconds=int(stack["gateway_slot_microseconds"]))
    slots = DynamoSlotStore(stack.client("dynamodb"), stack["controls_table"], slot)
    return GatewayRateLimiter(slots, slot, utc_now, time.sleep)


def workflow(stack: Stack) -> "StepFunctionsWorkflow":
    """The state machine."""
    from payments.adapters.step_functions import StepFunctionsWorkflow

    return StepFunctionsWorkflow(stack.client("stepfunctions"), stack["state_machine_arn"])


def gateway(stack: Stack) -> "StripeGateway":
    """The gateway with the stack's key. This call reads the key.

    Raises Misconfigured if no key is set, and ClientError if the operator may not read it.
    """
    from payments.adapters.secrets_manager import GatewayKey
    from payments.adapters.stripe.gateway import StripeGateway

    mode = stack.outputs.get("gateway_mode", "")
    key = GatewayKey(stack.client("secretsmanager"), stack["gateway_secret_arn"], mode=mode)
    key.read()
    base_url = _base_url(stack)
    return StripeGateway(key.read, base_url=base_url) if base_url else StripeGateway(key.read)


def gateway_account(stack: Stack, key: str) -> GatewayAccount:
    """The account of a key, which the stack need not have. Raises the errors of `account_of`."""
    from payments.adapters.stripe.account import account_of

    base_url = _base_url(stack)
    return account_of(key, base_url=base_url) if base_url else account_of(key)


def _base_url(stack: Stack) -> str:
    """The gateway's address if it is not Stripe's own."""
    base_url = stack.outputs.get("gateway_url") or stack.outputs.get("stripe_api_base") or ""
    if base_url and stack.is_local:
        # a proxy from the operator's shell cannot reach the loopback address of this machine
        os.environ["NO_PROXY"] = urlsplit(base_url).hostname or ""
    return base_url


def open_work(stack: Stack) -> str:
    """What is not settled, in words: payments that recovery follows, and batches without a report. "" if nothing is."""
    from payments.adapters.dynamodb.due import DynamoDueIndex
    from payments.adapters.dynamodb.tables import PAYMENTS, PROCESSING_STATUS

    client, until = stack.client("dynamodb"), parse_iso(NEVER)
    of_payments = DynamoDueIndex(client, stack["payments_table"], PAYMENTS)
    of_batches = DynamoDueIndex(client, stack["processing_status_table"], PROCESSING_STATUS)
    found = {
        "payments": sum(of_payments.count(kind, until) for kind in OF_PAYMENTS),
        "batches": of_batches.count(Kind.BATCH, until),
    }
    return " and ".join(f"{count} {what} are" for what, count in found.items() if count).replace(" are and", " and")


def timeouts(stack: Stack) -> RecoveryTimeouts:
    """The recovery timeouts of the stack, by its outputs; those of an older stack lack some."""
    names = {"patience_seconds": "unit", "gateway_deadline_seconds": "deadline"}
    known = {field: timedelta(seconds=int(stack[name])) for name, field in names.items() if name in stack.outputs}
    if "fraud_hold_hours" in stack.outputs:
        known["fraud_hold"] = timedelta(hours=int(stack["fraud_hold_hours"]))
    return RecoveryTimeouts(**known)


def split(stack: Stack) -> "FunctionStarter":
    """The function that reads uploaded files."""
    from payments.adapters.lambda_functions import FunctionStarter

    return FunctionStarter(stack.client("lambda"), f"payment-split-{stack.name}")


def report(stack: Stack) -> "FunctionStarter":
    """The function that ends the payments of canceled batches, and writes result files."""
    from payments.adapters.lambda_functions import FunctionStarter

    return FunctionStarter(stack.client("lambda"), f"payment-report-{stack.name}")


def backup(stack: Stack) -> "FunctionStarter":
    """The function that makes backups."""
    from payments.adapters.lambda_functions import FunctionStarter

    return FunctionStarter(stack.client("lambda"), f"payment-backup-{stack.name}")


def backup_store(stack: Stack) -> "S3BackupStore":
    """The bucket of backups."""
    from payments.adapters.s3_backups import S3BackupStore

    return S3BackupStore(stack.client("s3"), stack["backup_bucket"])


def erasures(stack: Stack) -> "S3ErasureLedger":
    """The customers that are erased."""
    from payments.adapters.s3_erasures import S3ErasureLedger

    return S3ErasureLedger(lambda: stack.client("s3"), stack["backup_bucket"])


def restore_target(stack: Stack, backup_began_at: str) -> "DynamoRestoreTarget":
    """The tables, to restore a backup into."""
    from payments.adapters.dynamodb.restored_rows import DynamoRestoreTarget

    names = {table: stack[output] for table, output in BACKED_UP_OUTPUTS.items()}
    return DynamoRestoreTarget(stack.client("dynamodb"), names, backup_began_at, utc_now, timeouts(stack))


def restore_progress(stack: Stack) -> "RestoreProgress | None":
    """How far the last restore into the tables is; None if there was none."""
    from payments.adapters.dynamodb.restored_rows import DynamoRestoreTarget
    from payments.adapters.dynamodb.tables import CONTROLS

    tables = {CONTROLS.name: stack["controls_table"]}
    target = DynamoRestoreTarget(stack.client("dynamodb"), tables, iso(utc_now()), utc_now, timeouts(stack))
    return target.progress()


def execution_arn(stack: Stack, name: str) -> str:
    """The ARN of the state machine's execution with this name."""
    return f"{stack['state_machine_arn'].replace(':stateMachine:', ':execution:', 1)}:{name}"
