"""The REST API: the function behind most routes, the authorizer that checks tokens, and API Gateway before both."""

from collections.abc import Iterator

from lib.features.api_gateway import PaymentApi
from lib.features.refunds import Refunds
from lib.features.webhooks import Webhooks
from lib.features.workflow import Workflow
from lib.foundation.foundation import Foundation
from lib.foundation.functions import Function
from lib.foundation.identity import Identity
from payments.adapters.dynamodb.payment_writes import Write
from payments.adapters.dynamodb.tables import (
    BY_BATCH,
    BY_CUSTOMER,
    BY_DAY,
    BY_EMAIL,
    BY_METADATA,
    BY_PAYMENT,
    BY_STATUS_DAY,
)
from payments.domain.erasure import ERASURES


class RestApi:
    """The api and authorize functions, and the API that invokes them. Without an identity it checks no tokens."""

    def __init__(
        self,
        foundation: Foundation,
        workflow: Workflow,
        refunds: Refunds,
        webhooks: Webhooks,
        identity: Identity | None,
    ) -> None:
        self.authorize = foundation.function("authorize", 10, **identity.environment) if identity else None
        self.api = _api_function(foundation, workflow, refunds, identity)
        functions = {"api": self.api, "webhook": webhooks.webhook}
        self._gateway = PaymentApi(foundation.scope, foundation.settings, functions, self.authorize)
        self.stage = self._gateway.stage
        self.rest_api = self._gateway.rest_api


def _merchant_cards(foundation: Foundation, identity: Identity | None) -> Iterator[tuple[str, str]]:
    """The subject of each merchant with limits of its own: the id of its app client, or as the setting says."""
    clients = identity.merchant_clients if identity else {}
    for name, limits in foundation.settings.merchant_cards.items():
        yield clients[name].id if name in clients else name, limits


def _api_function(foundation: Foundation, workflow: Workflow, refunds: Refunds, identity: Identity | None) -> Function:
    tables, encryption, effective = foundation.tables, foundation.encryption, foundation.settings.effective
    api = foundation.function(
        "api",
        20,  # a first setup asks the gateway twice, each at most 4 s
        AUTH_MODE=effective.auth_mode,
        EMAIL_HASH_KEY_ARN=encryption.lookup_key.arn,
        SEARCHABLE_METADATA=effective.searchable_metadata,
        CARDS_PER_MERCHANT=foundation.settings.cards_per_merchant,
        MERCHANT_CARDS=",".join(f"{subject}={limits}" for subject, limits in _merchant_cards(foundation, identity)),
        RATE_PER_IP_PER_MINUTE=str(effective.rate_per_ip_per_minute),
        RATE_PER_CUSTOMER_PER_MINUTE=str(effective.rate_per_customer_per_minute),
        READS_PER_CUSTOMER_PER_MINUTE=str(effective.reads_per_customer_per_minute),
        **workflow.environment,
        **tables.refunds.environment,
        **tables.customers.environment,
        **tables.tokens.environment,
        **tables.limits.environment,
        **tables.denied_attempts.environment,
        **tables.audit_log.environment,
        BACKUP_BUCKET=foundation.backups.name,
        DENIED_RETENTION_DAYS=str(effective.denied_retention_days),
        **tables.payments.environment,
        **tables.processing_status.environment,
        **encryption.environment,
        GATEWAY_BACKLOG_LIMIT_SECONDS=str(foundation.settings.backlog_limit_seconds),
        **foundation.gateway,
        **foundation.gateway_rate,
        **foundation.environment,
        **foundation.recovery_timeouts,
        **foundation.gateway_deadline,
        GATEWAY_OUTAGE_LIMIT=str(effective.gateway_outage_limit),
        **foundation.settings.refund_approval,
        **foundation.suffix,
        **({**identity.merchants, **identity.users} if identity else {}),
    )
    tables.payments.grant(api, "GetItem", "BatchGetItem")
    # SAVE: a cancellation; FORGET_BUYER: the erasure of a customer
    tables.payments.grant_writes(api, Write.CREATE, Write.SAVE, Write.BOOK, Write.MARK_RETRIED, Write.FORGET_BUYER)
    tables.refunds.grant(api, "GetItem", "PutItem", "UpdateItem")  # UpdateItem: an approval
    for index in (BY_PAYMENT, BY_STATUS_DAY):
        tables.refunds.grant_index(api, index)
    # a payment's batch may hold it; admins pause, resume and cancel batches
    tables.processing_status.grant(api, "GetItem", "Query", "UpdateItem")
    indexes = [BY_BATCH, BY_CUSTOMER, BY_DAY, BY_STATUS_DAY]
    for index in [*indexes, BY_METADATA] if effective.searchable_metadata else indexes:
        tables.payments.grant_index(api, index)
    tables.customers.grant(api, "GetItem", "PutItem")
    tables.customers.grant_index(api, BY_EMAIL)
    foundation.backups.grant(api, ERASURES, "PutObject")
    tables.tokens.grant(api, "GetItem", "PutItem", "UpdateItem")
    tables.tokens.grant_index(api, BY_CUSTOMER)
    tables.limits.grant(api, "UpdateItem")
    tables.controls.grant(api, "GetItem")  # the backlog, and the breaker
    tables.denied_attempts.grant(api, "PutItem")
    tables.audit_log.grant(api, "Query")  # it shows the entries of one payment, and writes none
    encryption.grant_fields(api, "payment_id", "GenerateDataKey", "Decrypt")
    encryption.grant_fields(api, "customer_id", "GenerateDataKey", "Decrypt")
    encryption.grant_lookup(api)
    foundation.secrets.gateway.grant_read(api)  # for the next action of a payment that its customer must authenticate
    workflow.grant_start(api)
    refunds.grant_start(api)
    if identity:
        identity.grant_users(api)  # the verified address of a person who registers
    return api
