"""The REST API: the operations of api/openapi.yaml, for callers whose role may call them."""

import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

from payments.adapters import aws_clients as aws
from payments.adapters.cognito import CognitoUsers
from payments.adapters.dynamodb.access_log import DynamoAccessLog
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.customers import DynamoCustomerStore
from payments.adapters.dynamodb.instrumented_payments import InstrumentedPaymentStore
from payments.adapters.dynamodb.limits import DynamoLimitStore
from payments.adapters.dynamodb.listing import DynamoPaymentListing
from payments.adapters.dynamodb.refunds import DynamoRefundStore
from payments.adapters.dynamodb.slots import DynamoSlotStore
from payments.adapters.dynamodb.tokens import DynamoTokenStore
from payments.adapters.kms import KmsEmailHasher, KmsFieldEncryptor, KmsTextHasher
from payments.adapters.s3_erasures import S3ErasureLedger
from payments.adapters.secrets_manager import GatewayKey
from payments.adapters.step_functions import StepFunctionsRefunds, StepFunctionsWorkflow, refund_machine_of
from payments.adapters.stripe.gateway import StripeGateway
from payments.adapters.stripe.next_actions import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, StripeNextActions
from payments.adapters.stripe.saved_methods import StripeSavedMethods
from payments.application.backlog import BacklogLimit
from payments.application.batch.switches import Switches
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.application.hold import Hold
from payments.application.id_rules import IdRules
from payments.application.open_mark import OpenMark
from payments.application.outage_limit import OutageLimit
from payments.application.rate_limited_charge_finder import RateLimitedChargeFinder
from payments.application.rate_limited_next_actions import RateLimitedNextActions
from payments.application.rate_limited_reference_lookup import RateLimitedReferenceLookup
from payments.application.rate_limited_saved_methods import RateLimitedSavedMethods
from payments.application.request_refund import RefundRequests
from payments.application.searchable_metadata import SearchableMetadata
from payments.application.velocity import Addresses, MerchantTable, Velocity
from payments.config import setting
from payments.domain.card_data import card_data_in
from payments.domain.clock import utc_now
from payments.domain.identity import EVERYBODY, Caller, NotAuthenticated, caller_of
from payments.domain.merchants import Merchants
from payments.domain.payment import NO_CARD_DATA
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.refund_approval import ApprovalLimits
from payments.domain.token import random_token
from payments.observability.logs import invocation, logger
from payments.observability.metrics import PAYMENTS_ACCEPTED, count, count_canceled
from payments.ports.erasure_ledger import LedgerUnavailable
from payments.ports.field_encryptor import EncryptionUnavailable
from payments.ports.limit_store import LimitsUnavailable
from payments.rest import (
    audit,
    batches,
    customers,
    legacy,
    listing,
    payments,
    refunds,
    retries,
    saved_methods,
    tokens,
)
from payments.rest.access import require_role
from payments.rest.denied_access import record_denied
from payments.rest.http import Problem, answer, header, problem_answer
from payments.rest.rate_limits import Kind, Limiter
from payments.rest.request import Request
from payments.rest.services import Services

OPERATIONS: dict[str, Callable[[Request, Services], dict[str, Any]]] = {
    "POST /payments": payments.create_payment,
    "GET /payments": listing.list_payments,
    "GET /payments/{payment_id}": payments.get_payment,
    "GET /payments/{payment_id}/audit": audit.list_audit_entries,
    "POST /payments/{payment_id}/cancel": payments.cancel_payment,
    "POST /payments/{payment_id}/retry": retries.retry_payment,
    "POST /payments/{payment_id}/refunds": refunds.create_refund,
    "GET /payments/{payment_id}/refunds": refunds.list_payment_refunds,
    "GET /refunds": refunds.list_refunds,
    "GET /refunds/{refund_id}": refunds.get_refund,
    "POST /refunds/{refund_id}/approve": refunds.approve_refund,
    "POST /refunds/{refund_id}/reject": refunds.reject_refund,
    "POST /batches/{batch_id}/pause": batches.pause_batch,
    "POST /batches/{batch_id}/resume": batches.resume_batch,
    "POST /batches/{batch_id}/cancel": batches.cancel_batch,
    "POST /customers": customers.create_customer,
    "GET /customers": customers.find_customers,
    "GET /customers/{customer_id}": customers.get_customer,
    "PATCH /customers/{customer_id}": customers.update_customer,
    "DELETE /customers/{customer_id}": customers.delete_customer,
    "GET /customers/{customer_id}/payments": listing.list_customer_payments,
    "POST /customers/{customer_id}/setup": saved_methods.create_setup,
    "GET /customers/{customer_id}/payment-methods": saved_methods.list_payment_methods,
    "DELETE /customers/{customer_id}/payment-methods/{method_id}": saved_methods.delete_payment_method,
    "POST /tokens": tokens.create_token,
    "GET /tokens/{token_id}": tokens.get_token,
    "DELETE /tokens/{token_id}": tokens.revoke_token,
    "POST /v1/api/customer": legacy.create_customer_v1,
    "GET /v1/api/customer/{customer_id}": legacy.get_customer_v1,
    "POST /v1/api/payment": legacy.create_payment_v1,
    "GET /v1/api/payment/{customer_id}": legacy.list_customer_payments_v1,
}
HEALTH = "GET /health"
ELSEWHERE = ("POST /webhooks/stripe",)
"""Routes of other functions."""
UNAVAILABLE_SECONDS = 5
CLOSED_SECONDS = 300
MAX_OUTSIDE = 2_048
"""The most characters of a call's parameters and Idempotency-Key together; the longest one, an address, has 254."""

dynamodb, kms = aws.dynamodb(), aws.kms()
encryptor = KmsFieldEncryptor(kms, setting("VAULT_KEY_ARN"))
limits = DynamoLimitStore(dynamodb, setting("LIMITS_TABLE"))
slot = timedelta(microseconds=int(setting("SLOT_MICROSECONDS")))
# the backlog is minutes long where it matters: an answer of a second ago is as good
slots = DynamoSlotStore(dynamodb, setting("CONTROLS_TABLE"), slot, remember_seconds=1)
timeouts = RecoveryTimeouts(
    timedelta(seconds=int(setting("PATIENCE_SECONDS"))), timedelta(seconds=int(setting("GATEWAY_DEADLINE_SECONDS")))
)
batch_store = DynamoBatchStore(dynamodb, setting("PROCESSING_STATUS_TABLE"), setting("PAYMENTS_TABLE"))
breaker = DynamoBreakerStore(dynamodb, setting("CONTROLS_TABLE"))
hold = Hold(breaker, utc_now, timeouts, Switches(batch_store, utc_now).of)
mark = OpenMark(breaker, utc_now)
gateway_key = GatewayKey(aws.secrets_manager(), setting("GATEWAY_SECRET_ARN"), mode=setting("GATEWAY_MODE"))
gateway = StripeGateway(
    gateway_key.read,
    base_url=setting("STRIPE_API_BASE"),
    connect_timeout_seconds=CONNECT_TIMEOUT_SECONDS,
    read_timeout_seconds=READ_TIMEOUT_SECONDS,
)
store = InstrumentedPaymentStore(
    dynamodb,
    setting("PAYMENTS_TABLE"),
    encryptor,
    timeouts=timeouts,
    created=lambda _: count(PAYMENTS_ACCEPTED, step="api"),
    saved=lambda _: count_canceled(),  # it changes no payment otherwise
)
stored_customers = DynamoCustomerStore(dynamodb, setting("CUSTOMERS_TABLE"))
services = Services(
    payments=store,
    listing=DynamoPaymentListing(dynamodb, setting("PAYMENTS_TABLE")),
    refunds=RefundRequests(
        store,
        DynamoRefundStore(dynamodb, setting("REFUNDS_TABLE"), setting("PAYMENTS_TABLE"), timeouts),
        StepFunctionsRefunds(aws.step_functions(), refund_machine_of(setting("STATE_MACHINE_ARN"))),
        encryptor,
        ApprovalLimits.parse(setting("REFUND_APPROVAL_ABOVE", "")).needs_approval,
    ),
    batches=batch_store,
    customers=stored_customers,
    erasures=S3ErasureLedger(cache(aws.s3), setting("BACKUP_BUCKET")),
    tokens=DynamoTokenStore(dynamodb, setting("TOKENS_TABLE")),
    workflow=StepFunctionsWorkflow(aws.step_functions(), setting("STATE_MACHINE_ARN")),
    encryptor=encryptor,
    email_hasher=KmsEmailHasher(kms, setting("EMAIL_HASH_KEY_ARN")),
    limiter=Limiter(
        limits,
        {
            Kind.IP: int(setting("RATE_PER_IP_PER_MINUTE")),
            Kind.CUSTOMER: int(setting("RATE_PER_CUSTOMER_PER_MINUTE")),
            Kind.READER: int(setting("READS_PER_CUSTOMER_PER_MINUTE")),
        },
    ),
    backlog=BacklogLimit(
        GatewayRateLimiter(slots, slot, utc_now, time.sleep), int(setting("GATEWAY_BACKLOG_LIMIT_SECONDS"))
    ),
    hold=hold,
    outage=OutageLimit(hold, limits, int(setting("GATEWAY_OUTAGE_LIMIT"))),
    velocity=Velocity(
        limits,
        Addresses(KmsTextHasher(kms, setting("EMAIL_HASH_KEY_ARN"))),
        MerchantTable.parse(setting("CARDS_PER_MERCHANT"), setting("MERCHANT_CARDS", "")),
    ),
    access_log=DynamoAccessLog(
        dynamodb, setting("DENIED_TABLE"), timedelta(days=int(setting("DENIED_RETENTION_DAYS")))
    ),
    audit_log=DynamoAuditStore(dynamodb, setting("AUDIT_TABLE"), setting("PAYMENTS_TABLE")),
    ids=IdRules(Merchants.parse(setting("MERCHANTS", "")), store, stored_customers, batch_store.former_of),
    users=CognitoUsers(aws.cognito(), setting("USER_POOL_ID", "")),
    next_actions=RateLimitedNextActions(
        StripeNextActions(gateway_key.read, refused=gateway_key.forget, base_url=setting("STRIPE_API_BASE")),
        limits,
        utc_now,
    ),
    saved_methods=RateLimitedSavedMethods(
        StripeSavedMethods(
            gateway_key.read,
            setting("ENVIRONMENT_ID"),
            refused=gateway_key.forget,
            base_url=setting("STRIPE_API_BASE"),
        ),
        limits,
        utc_now,
    ),
    references=RateLimitedReferenceLookup(gateway, limits, utc_now),
    charges=RateLimitedChargeFinder(gateway, limits, utc_now, time.sleep),
    searchable=SearchableMetadata(
        setting("SEARCHABLE_METADATA", ""), KmsTextHasher(kms, setting("EMAIL_HASH_KEY_ARN"))
    ),
    environment_id=setting("ENVIRONMENT_ID"),
    new_id=lambda: uuid.uuid4().hex,
    new_token=random_token,
)
auth_mode = setting("AUTH_MODE")
log = logger()


@invocation
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Proxy event in, proxy response out. Every error becomes a problem that says what to do."""
    route = f"{event['httpMethod']} {event['resource']}"
    try:
        return answer(200, {"status": "ok"}) if route == HEALTH else _answer(route, event)
    except Problem as problem:
        log.info("rejected", route=route, status=problem.status, kind=problem.kind)
        return problem_answer(problem, _request_id(event))
    except (EncryptionUnavailable, LedgerUnavailable, LimitsUnavailable):
        log.exception("dependency unavailable", route=route)
        return problem_answer(_unavailable(), _request_id(event))
    except Exception:  # any other error: the client gets an answer, and the log the stack trace
        log.exception("request failed", route=route)
        failed = Problem(500, "internal-error", "the request may or may not be stored; send the same request again")
        return problem_answer(failed, _request_id(event))


def _answer(route: str, event: dict[str, Any]) -> dict[str, Any]:
    if route not in OPERATIONS:
        return _other_verb(event)
    operation = OPERATIONS[route]
    request = _request(operation.__name__, event)
    services.limiter.check(request)  # before any work: a denied call counts too
    request = _admitted(request)
    _check_outside_the_body(request)
    if not mark.is_open():
        raise Problem(
            503,
            "environment-closed",
            "this environment is closed, and nothing was stored; send the same request again later",
            retry_after_seconds=CLOSED_SECONDS,
        )
    answered = operation(request, services)
    log.info("answered", route=route, status=answered["statusCode"], subject=request.caller.subject)
    return answered


def _admitted(request: Request) -> Request:
    """The request with its caller as it counts for the operation. Raises Problem 403, and records the attempt."""
    try:
        return replace(request, caller=require_role(request.caller, request.operation))
    except Problem:
        record_denied(services.access_log, request, "operation", request.operation)
        raise


def _check_outside_the_body(request: Request) -> None:
    """Refuse long values and card data outside the body; the operations check their bodies. Raises Problem 400."""
    sent = [*request.path.values(), *request.query.values(), header(request.event, "Idempotency-Key")]
    if sum(map(len, (*request.query, *sent))) > MAX_OUTSIDE:
        raise Problem(
            400,
            "invalid-request",
            f"the parameters have more than {MAX_OUTSIDE} characters together; nothing was stored",
        )
    if looks := card_data_in(sent):
        raise Problem(400, "invalid-request", f"the request contains {looks}: {NO_CARD_DATA}; nothing was stored")


def _other_verb(event: dict[str, Any]) -> dict[str, Any]:
    routes = (*OPERATIONS, HEALTH, *ELSEWHERE)
    allowed = ", ".join(
        verb for verb, _, path in (route.partition(" ") for route in routes) if path == event["resource"]
    )
    wrong = Problem(405, "wrong-method", f"this route allows {allowed}; see api/openapi.yaml")
    refused = problem_answer(wrong, _request_id(event))
    return refused | {"headers": refused["headers"] | {"Allow": allowed}}


def _request(operation: str, event: dict[str, Any]) -> Request:
    at = utc_now()
    context = event["requestContext"]
    return Request(
        operation=operation,
        caller=_caller(context.get("authorizer") or {}, at),
        at=at,
        request_id=_request_id(event),
        ip=context.get("identity", {}).get("sourceIp", ""),
        path=event.get("pathParameters") or {},
        query=event.get("queryStringParameters") or {},
        event=event,
    )


def _caller(authorizer: dict[str, Any], at: Any) -> Caller:
    if auth_mode == "none":
        return EVERYBODY
    try:
        return caller_of(authorizer, at)
    except NotAuthenticated as rejected:
        raise Problem(401, "unauthorized", str(rejected)) from None


def _unavailable() -> Problem:
    return Problem(
        503,
        "unavailable",
        "a required service cannot be reached now, and nothing was stored; send the same request again later",
        retry_after_seconds=UNAVAILABLE_SECONDS,
    )


def _request_id(event: dict[str, Any]) -> str:
    return str(event["requestContext"].get("requestId", ""))
