"""The domain's ports on a deployed stack, with the operator's own rights. SDKs are imported when they are asked for."""

import os
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from payctl.stack import Stack
from payments.domain.recovery_timeouts import RecoveryTimeouts

if TYPE_CHECKING:
    from payments.adapters.dynamodb.audit import DynamoAuditStore
    from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
    from payments.adapters.dynamodb.batches import DynamoBatchStore
    from payments.adapters.dynamodb.events import DynamoEventStore
    from payments.adapters.dynamodb.payments import DynamoPaymentStore
    from payments.adapters.event_source_mapping import MappingDelivery
    from payments.adapters.kms import KmsFieldEncryptor
    from payments.adapters.lambda_functions import FunctionStarter
    from payments.adapters.step_functions import StepFunctionsWorkflow
    from payments.adapters.stripe.gateway import StripeGateway


def payments(stack: Stack) -> "DynamoPaymentStore":
    """The payments table."""
    from payments.adapters.dynamodb.payments import DynamoPaymentStore

    return DynamoPaymentStore(stack.client("dynamodb"), stack["payments_table"])


def batches(stack: Stack) -> "DynamoBatchStore":
    """The batches."""
    from payments.adapters.dynamodb.batches import DynamoBatchStore

    return DynamoBatchStore(stack.client("dynamodb"), stack["processing_status_table"], stack["payments_table"])


def audit_log(stack: Stack) -> "DynamoAuditStore":
    """The audit log."""
    from payments.adapters.dynamodb.audit import DynamoAuditStore

    return DynamoAuditStore(stack.client("dynamodb"), stack["audit_table"], stack["payments_table"])


def encryptor(stack: Stack) -> "KmsFieldEncryptor":
    """What opens sealed fields, for an operator who may use the key."""
    from payments.adapters.kms import KmsFieldEncryptor

    return KmsFieldEncryptor(stack.client("kms"), stack["vault_key_arn"])


def events(stack: Stack) -> "DynamoEventStore":
    """The gateway's events."""
    from payments.adapters.dynamodb.events import DynamoEventStore

    return DynamoEventStore(stack.client("dynamodb"), stack["gateway_events_table"])


def lane(stack: Stack) -> "DynamoBreakerStore":
    """The batch lane's switch."""
    from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore

    return DynamoBreakerStore(stack.client("dynamodb"), stack["controls_table"])


def delivery(stack: Stack) -> "MappingDelivery":
    """The delivery of the queue's messages."""
    from payments.adapters.event_source_mapping import MappingDelivery

    return MappingDelivery(stack.client("lambda"), stack["dispatch_mapping_id"])


def workflow(stack: Stack) -> "StepFunctionsWorkflow":
    """The state machine."""
    from payments.adapters.step_functions import StepFunctionsWorkflow

    return StepFunctionsWorkflow(stack.client("stepfunctions"), stack["state_machine_arn"])


def gateway(stack: Stack) -> "StripeGateway":
    """The gateway, with the stack's key, which is read now.

    Raises Misconfigured while none is set, and ClientError for an operator who may not read it.
    """
    from payments.adapters.secrets_manager import GatewayKey
    from payments.adapters.stripe.gateway import StripeGateway

    key = GatewayKey(stack.client("secretsmanager"), stack["gateway_secret_arn"])
    key.read()
    base_url = stack.outputs.get("gateway_url") or stack.outputs.get("stripe_api_base")
    if not base_url:
        return StripeGateway(key.read)
    if stack.is_local:
        # a proxy of the operator's shell would not know the way to this machine's loopback
        os.environ["NO_PROXY"] = urlsplit(base_url).hostname or ""
    return StripeGateway(key.read, base_url=base_url)


def timeouts(stack: Stack) -> RecoveryTimeouts:
    """The stack's waits."""
    seconds = stack.outputs.get("patience_seconds")
    return RecoveryTimeouts(timedelta(seconds=int(seconds))) if seconds else RecoveryTimeouts()


def split(stack: Stack) -> "FunctionStarter":
    """The function that takes uploaded files in."""
    from payments.adapters.lambda_functions import FunctionStarter

    return FunctionStarter(stack.client("lambda"), f"payment-split-{stack.name}")


def execution_arn(stack: Stack, name: str) -> str:
    """The ARN of the state machine's execution of a name."""
    return f"{stack['state_machine_arn'].replace(':stateMachine:', ':execution:', 1)}:{name}"
