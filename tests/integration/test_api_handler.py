"""The API function on moto: authorization, what answers and log lines never contain, and the behaviour under faults."""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from io import StringIO
from random import Random
from types import ModuleType
from typing import Any

import boto3
import pytest
import requests
import yaml
from botocore.exceptions import ClientError

from lib.package import ROOT
from local.fake_stripe.server import in_process
from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.tables import (
    AUDIT_LOG,
    CONTROLS,
    CUSTOMERS,
    DENIED_ATTEMPTS,
    LIMITS,
    PAYMENTS,
    PROCESSING_STATUS,
    REFUNDS,
    TOKENS,
)
from payments.adapters.stripe.gateway import StripeGateway
from payments.domain.errors import RequiresAction
from payments.domain.identity import Caller, Role, authorizer_context
from payments.domain.money import Money
from payments.domain.statuses import Status
from payments.observability.metrics import PAYMENTS_ACCEPTED
from payments.ports.payment_gateway import ChargeRequest
from payments.ports.payment_store import require
from payments.rest.access import ALLOWED
from tests.integration.executions import Executions
from tests.integration.functions import Context, load, metrics_in
from tests.moto_tables import create_table
from tests.unit.builders import NOON, after
from tests.unit.red_team.nasty import obj
from tests.unit.rest.scenario import ADMIN, IP, JO, OPERATOR, OTHER_SHOP, REQUEST_ID, SHOP

CONTRACT: dict[str, Any] = yaml.safe_load((ROOT / "api" / "openapi.yaml").read_text())
ROUTES: dict[str, str] = {
    operation["operationId"]: f"{verb.upper()} {path}"
    for path, operations in CONTRACT["paths"].items()
    for verb, operation in operations.items()
}
"""Operation → its route in the contract."""
CARD = "4242424242424242"
PAY: dict[str, Any] = {"payment_id": "pay_1", "amount": "99.99", "currency": "USD"}
CUSTOMER = {"customer_id": "cus_1", "email": "ada@example.org", "default_payment_method": "pm_card_visa"}
LATE = NOON + timedelta(hours=1)


@dataclass
class Api:
    """The deployed function, as far as moto supports it. `now` is its clock."""

    function: ModuleType
    log: StringIO

    def ask(
        self,
        route: str,
        caller: Caller | None = SHOP,
        body: Any = None,
        *,
        path: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        context: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The answer to a request that the authorizer let in as `caller`; `body` parsed."""
        text = None if body is None else json.dumps(body)
        event = self.event(route, caller, text, path=path, query=query, headers=headers, context=context)
        answer: dict[str, Any] = json.loads(json.dumps(self.function.handler(event, Context())))
        return answer | {"body": json.loads(answer["body"]) if answer["body"] else None}

    def event(
        self,
        route: str,
        caller: Caller | None = SHOP,
        body: str | None = None,
        *,
        path: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        context: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """API Gateway's event of a request that the authorizer let in as `caller`."""
        verb, _, resource = route.partition(" ")
        authorizer = {} if caller is None else {"authorizer": authorizer_context(caller, LATE)}
        return {
            "httpMethod": verb,
            "resource": resource,
            "path": resource.format(**path or {}),
            "pathParameters": path,
            "queryStringParameters": query,
            "headers": headers,
            "body": body,
            "isBase64Encoded": False,
            "requestContext": {"requestId": REQUEST_ID, "identity": {"sourceIp": IP}} | authorizer | (context or {}),
        }

    def submit(self, caller: Caller | None = SHOP, **more: Any) -> dict[str, Any]:
        """POST /payments, PAY but for what is given."""
        return self.ask("POST /payments", caller, PAY | more)

    def lines(self) -> list[dict[str, Any]]:
        """What was logged."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


def items(table: str) -> list[dict[str, Any]]:
    """All items of a table, in plain types."""
    found = boto3.client("dynamodb").scan(TableName=table)["Items"]
    return [{name: next(iter(value.values())) for name, value in item.items()} for item in found]


def loaded(executions: Executions, patch: pytest.MonkeyPatch, **settings: str) -> Api:
    """The function with the settings of lib/features/rest_api.py. Its clock is fixed at noon."""
    kms = boto3.client("kms")
    lookup_key = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["Arn"]
    patch.setattr("payments.domain.clock.utc_now", lambda: NOON)
    function = load(
        "api",
        **{
            "AUTH_MODE": "jwt",
            "PATIENCE_SECONDS": "300",
            "GATEWAY_DEADLINE_SECONDS": "86400",
            "CARDS_PER_MERCHANT": "120/24",
            "GATEWAY_OUTAGE_LIMIT": "10000",
            "STATE_MACHINE_ARN": executions.arn,
            "PAYMENTS_TABLE": PAYMENTS.name,
            "REFUNDS_TABLE": REFUNDS.name,
            "PROCESSING_STATUS_TABLE": PROCESSING_STATUS.name,
            "CUSTOMERS_TABLE": CUSTOMERS.name,
            "TOKENS_TABLE": TOKENS.name,
            "LIMITS_TABLE": LIMITS.name,
            "AUDIT_TABLE": AUDIT_LOG.name,
            "DENIED_TABLE": DENIED_ATTEMPTS.name,
            "BACKUP_BUCKET": "backups",
            "DENIED_RETENTION_DAYS": "400",
            "VAULT_KEY_ARN": kms.create_key()["KeyMetadata"]["Arn"],
            "EMAIL_HASH_KEY_ARN": lookup_key,
            "GATEWAY_SECRET_ARN": "payment-gateway-stripe",
            "STRIPE_API_BASE": "http://127.0.0.1:9",
            "GATEWAY_MODE": "test",
            "ENVIRONMENT_ID": "0123456789abcdef",
            "RATE_PER_IP_PER_MINUTE": "1000",
            "RATE_PER_CUSTOMER_PER_MINUTE": "1000",
            "READS_PER_CUSTOMER_PER_MINUTE": "1000",
            "CONTROLS_TABLE": CONTROLS.name,
            "SLOT_MICROSECONDS": "43479",
            "GATEWAY_BACKLOG_LIMIT_SECONDS": "300",
            "ENVIRONMENT_SUFFIX": "test",
            **settings,
        },
    )
    log = StringIO()
    patch.setattr(function.log.registered_handler, "stream", log)
    return Api(function, log)


@pytest.fixture
def tables(payments: DynamoPaymentStore) -> None:
    for table in (CONTROLS, CUSTOMERS, TOKENS, LIMITS, DENIED_ATTEMPTS, AUDIT_LOG, REFUNDS):
        create_table(table)
    boto3.client("s3").create_bucket(Bucket="backups")


@pytest.fixture
def api(tables: None, executions: Executions, monkeypatch: pytest.MonkeyPatch) -> Api:
    return loaded(executions, monkeypatch)


@pytest.fixture
def no_key(api: Api) -> Iterator[None]:
    """The keys are disabled; moto's keys work in that state too."""

    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "DisabledException", "Message": "arn:aws:kms:key is disabled."}}, "-")

    events = api.function.kms.meta.events
    events.register("before-call.kms", refuse)
    yield
    events.unregister("before-call.kms", refuse)


def is_problem(answer: dict[str, Any], status: int, kind: str) -> bool:
    """True if it is a complete problem of this status and kind."""
    body = answer["body"]
    return (
        answer["statusCode"] == body["status"] == status
        and body["type"] == f"urn:problem:payment-api:{kind}"
        and all(body[part] for part in ("title", "detail"))
        and body["instance"] == REQUEST_ID
        and answer["headers"]["Content-Type"] == "application/problem+json"
    )


@pytest.mark.fault(75)
def test_closed_environment_answers_503_to_every_call_and_stores_nothing(api: Api) -> None:
    breaker = DynamoBreakerStore(boto3.client("dynamodb"), CONTROLS.name)
    breaker.close()
    closed = api.submit()
    assert is_problem(closed, 503, "environment-closed")
    assert closed["headers"]["Retry-After"] == "300"
    assert is_problem(api.ask("GET /payments/{payment_id}", path={"payment_id": "pay_1"}), 503, "environment-closed")
    assert items(PAYMENTS.name) == []
    breaker.open("operator:test", LATE)
    assert api.submit()["statusCode"] == 202


# Authorization --------------------------------------------------------------------------------------------------

BODIES: dict[str, Any] = {
    "create_payment": PAY,
    "create_refund": {"refund_id": "ref_1"},
    "create_customer": CUSTOMER,
    "update_customer": {"name": "Jo"},
    "create_token": {"customer_id": "cus_1", "payment_method": "pm_card_visa"},
    "create_customer_v1": CUSTOMER,
    "create_payment_v1": {"customer_id": "cus_1", "email": "ada@example.org", "amount": "1", "currency": "EUR"},
}
PATH = {
    "payment_id": "pay_1",
    "customer_id": "cus_1",
    "token_id": "a" * 64,
    "method_id": "pm_1",
    "batch_id": "b" * 32,
} | {"refund_id": "ref_1"}


@pytest.mark.fault(42)
@pytest.mark.parametrize("role", Role)
def test_routes_allow_a_role_what_the_contract_says_and_else_answer_403(api: Api, role: Role) -> None:
    caller = Caller("somebody", frozenset({role}))
    statuses = {
        operation: api.ask(
            ROUTES[operation], caller, BODIES.get(operation), path=PATH, query={"email": "ada@example.org"}
        )
        for operation in ALLOWED
    }
    let_in = {operation for operation, answer in statuses.items() if answer["statusCode"] != 403}

    assert let_in == {
        operation["operationId"]
        for operations in CONTRACT["paths"].values()
        for operation in operations.values()
        if role in operation.get("x-roles", [])
    }
    at_stripe = statuses.pop("create_setup")  # there is none here
    assert at_stripe["statusCode"] in (403, 404, 503)
    assert not [answer for answer in statuses.values() if answer["statusCode"] == 401 or answer["statusCode"] >= 500]
    assert all(is_problem(answer, 403, "forbidden") for op, answer in statuses.items() if op not in let_in)
    recorded = [entry["operation"] for entry in items(DENIED_ATTEMPTS.name) if entry["kind"] == "operation"]
    assert sorted(recorded) == sorted(ALLOWED.keys() - let_in)


@pytest.mark.fault(42)
def test_role_when_claimed_in_body_query_or_header_then_ignored(api: Api) -> None:
    claims = {"role": "admin", "roles": "admin", "X-Roles": "admin", "Role": "admin", "cognito:groups": "admin"}
    context = {"authorizer": authorizer_context(JO, LATE) | {"claims": {"cognito:groups": "admin"}}}

    assert api.ask("POST /payments", JO, PAY | claims, headers=claims, query=claims)["statusCode"] == 403
    assert api.ask("GET /payments", JO, claims, headers=claims, query=claims, context=context)["statusCode"] == 403
    assert api.ask("GET /payments", SHOP, headers=claims)["statusCode"] == 403
    assert items(PAYMENTS.name) == []


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    "context",
    [
        {},
        {"authorizer": None},
        {"authorizer": {}},
        {"authorizer": {"subject": "sub_shop", "roles": "merchant"}},
        {"authorizer": {"subject": "sub_shop", "roles": "emperor", "expires_at": "9999999999"}},
        {"authorizer": {"principalId": "sub_shop", "claims": {"sub": "sub_shop"}}},
    ],
    ids=["none", "null", "empty", "no end", "an unknown role", "another authorizer's"],
)
def test_request_when_the_authorizer_did_not_speak_then_401(api: Api, context: dict[str, Any]) -> None:
    headers = {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJzdWJfc2hvcCJ9."}
    answer = api.ask("POST /payments", None, PAY, headers=headers, context=context)

    assert is_problem(answer, 401, "unauthorized")
    assert answer["headers"]["WWW-Authenticate"] == "Bearer"
    assert items(PAYMENTS.name) == []


@pytest.mark.fault(42)
def test_token_that_expired_under_a_cached_authorizer_answer_gets_401(api: Api) -> None:
    context = {"authorizer": authorizer_context(SHOP, NOON)}
    answer = api.ask("POST /payments", None, PAY, context=context)
    assert is_problem(answer, 401, "unauthorized")
    assert "expired" in answer["body"]["detail"]
    assert api.ask("POST /payments", SHOP, PAY)["statusCode"] == 202


def test_auth_mode_when_none_then_everybody_is_let_in(
    tables: None, executions: Executions, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = loaded(executions, monkeypatch, AUTH_MODE="none")
    assert api.submit(None)["statusCode"] == 202
    assert api.ask("GET /payments", None)["body"]["payments"][0]["payment_id"] == "pay_1"
    assert items(PAYMENTS.name)[0]["submitted_by"] == "everybody"


def test_health_without_a_caller_is_ok(api: Api) -> None:
    answer = api.ask("GET /health", None)
    assert (answer["statusCode"], answer["body"]) == (200, {"status": "ok"})


# Routes ------------------------------------------------------------------------------------------------------------


def test_operations_and_routes_are_those_of_the_contract(api: Api) -> None:
    handled = {operation.__name__: route for route, operation in api.function.OPERATIONS.items()}
    assert handled | {"get_health": api.function.HEALTH, "receive_stripe_event": "POST /webhooks/stripe"} == ROUTES
    assert handled.keys() == ALLOWED.keys()


@pytest.mark.parametrize(
    ("route", "allowed"),
    [
        ("PUT /payments", "POST, GET"),
        ("HEAD /payments/{payment_id}", "GET"),
        ("PUT /customers/{customer_id}", "GET, PATCH, DELETE"),
        ("POST /health", "GET"),
        ("GET /webhooks/stripe", "POST"),
        ("GET /v1/api/payment", "POST"),
    ],
)
def test_route_when_the_verb_is_wrong_then_405_says_which_are_right(api: Api, route: str, allowed: str) -> None:
    answer = api.ask(route, SHOP, PAY, path=PATH)
    assert is_problem(answer, 405, "wrong-method")
    assert answer["headers"]["Allow"] == allowed
    assert items(PAYMENTS.name) == []


def test_body_when_it_is_no_json_object_then_400(api: Api) -> None:
    bodies: list[Any] = [None, [], "text", 7]
    for body in bodies:
        assert is_problem(api.ask("POST /payments", SHOP, body), 400, "invalid-request")


# Operations ------------------------------------------------------------------------------------------------------


def test_payment_is_sealed_started_counted_and_shown_to_its_submitter(
    api: Api, executions: Executions, capsys: pytest.CaptureFixture[str]
) -> None:
    assert api.submit(payment_method="pm_card_visa", metadata={"order": "A-17"})["statusCode"] == 202
    assert api.submit(payment_method="pm_card_visa", metadata={"order": "A-17"})["statusCode"] == 202

    assert metrics_in(capsys.readouterr().out) == {PAYMENTS_ACCEPTED: 1}
    [row] = items(PAYMENTS.name)
    assert row["submitted_by"] == SHOP.subject
    assert not any(text in json.dumps(row) for text in ("pm_card_visa", "A-17"))
    assert executions.started() == {"pay_1": {"payment_id": "pay_1"}}
    shown = api.ask("GET /payments/{payment_id}", SHOP, path={"payment_id": "pay_1"})["body"]
    assert (shown["metadata"], shown["references"]["correlation_id"]) == ({"order": "A-17"}, REQUEST_ID)


def requires_action(url: str, payments: DynamoPaymentStore) -> str:
    """Let pay_1 wait for its customer at the fake Stripe, as the charge step does. Returns the charge's reference."""
    asked = ChargeRequest("pay_1", Money(9999, "USD"), "pm_card_authenticationRequired")
    with pytest.raises(RequiresAction) as caught:
        StripeGateway(lambda: "sk_test_api", base_url=url).charge(asked)
    row = after(require(payments, "pay_1"), Status.PROCESSING)
    payments.save(row)
    reference = caught.value.gateway_reference
    payments.save(after(row, Status.REQUIRES_ACTION, gateway="stripe", gateway_reference=reference))
    return reference


CARDS = "/customers/{customer_id}/payment-methods"


def confirm(url: str, setup: dict[str, str]) -> None:
    """Confirm a setup with a Visa card, as Stripe.js does."""
    form = {"client_secret": setup["client_secret"], "payment_method": "pm_card_visa"}
    path = f"{url}/v1/setup_intents/{setup['setup_id']}/confirm"
    assert requests.post(path, form, auth=("sk_test_browser", ""), timeout=10).status_code == 200


def test_saved_card_is_set_up_listed_removed_and_erased_at_stripe(
    tables: None, executions: Executions, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = {"customer_id": "cus_1"}
    with in_process() as (url, fake_stripe):
        api = loaded(executions, monkeypatch, STRIPE_API_BASE=url)
        monkeypatch.setattr("payments.application.client_requests.REQUESTS_PER_SECOND", 100)  # the clock stands still
        boto3.client("secretsmanager").create_secret(Name="payment-gateway-stripe", SecretString="sk_test_api")
        assert api.ask("POST /customers", SHOP, CUSTOMER)["statusCode"] == 201
        setups = [api.ask("POST /customers/{customer_id}/setup", SHOP, path=path) for _ in range(2)]
        [there] = fake_stripe.customers.list({})["data"]
        [row] = items(CUSTOMERS.name)
        for setup in setups:
            confirm(url, setup["body"])
        cards = api.ask(f"GET {CARDS}", SHOP, path=path)["body"]["payment_methods"]
        removed = api.ask(f"DELETE {CARDS}/{{method_id}}", SHOP, path=path | {"method_id": cards[0]["id"]})
        left = api.ask(f"GET {CARDS}", SHOP, path=path)["body"]["payment_methods"]
        erased = api.ask("DELETE /customers/{customer_id}", SHOP, path=path)
        gone = fake_stripe.customers.list({})["data"]

    assert [setup["statusCode"] for setup in setups] == [201, 201]
    assert row["gateway_customer"] == there["id"]
    assert there["metadata"] == {"customer_id": "cus_1", "payment_environment": "0123456789abcdef"}
    assert [(card["brand"], card["last4"], card["default"]) for card in cards] == [("visa", "4242", False)] * 2
    assert (removed["statusCode"], left) == (204, cards[1:])
    assert (erased["statusCode"], gone) == (204, [])
    assert "gateway_customer" not in items(CUSTOMERS.name)[0]
    [noted] = boto3.client("s3").list_objects_v2(Bucket="backups")["Contents"]
    assert noted["Key"] == "erasures/cus_1"
    kept = api.log.getvalue() + json.dumps(
        [items(table) for table in (CUSTOMERS.name, LIMITS.name, DENIED_ATTEMPTS.name)]
    )
    assert not any(secret in kept for secret in ("_secret_", cards[0]["id"], "sk_test_api"))


@pytest.mark.fault(76)
def test_erasure_that_cannot_be_noted_changes_nothing(
    tables: None, executions: Executions, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, path = loaded(executions, monkeypatch, BACKUP_BUCKET="missing"), {"customer_id": "cus_1"}
    api.ask("POST /customers", SHOP, CUSTOMER)
    refused = api.ask("DELETE /customers/{customer_id}", SHOP, path=path)

    assert is_problem(refused, 503, "unavailable")
    assert api.ask("GET /customers/{customer_id}", SHOP, path=path)["statusCode"] == 200


@pytest.mark.fault(17)
def test_next_action_is_read_with_the_stored_key_once_it_is_set(
    tables: None, payments: DynamoPaymentStore, executions: Executions, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, route = {"payment_id": "pay_1"}, "GET /payments/{payment_id}"
    with in_process() as (url, _):
        api = loaded(executions, monkeypatch, STRIPE_API_BASE=url, VAULT_KEY_ARN=os.environ["VAULT_KEY_ARN"])
        assert api.submit()["statusCode"] == 202
        reference = requires_action(url, payments)

        without_a_key = api.ask(route, SHOP, path=path)
        assert (without_a_key["statusCode"], without_a_key["headers"]["Retry-After"]) == (200, "5")
        assert "next_action" not in without_a_key["body"]

        boto3.client("secretsmanager").create_secret(Name="payment-gateway-stripe", SecretString="sk_test_api")
        answer = api.ask(route, SHOP, path=path)
        assert answer["headers"]["Cache-Control"] == "no-store"
        assert answer["body"]["next_action"]["client_secret"].startswith(f"{reference}_secret_")
        assert "_secret_" not in json.dumps([items(PAYMENTS.name), items(LIMITS.name), items(DENIED_ATTEMPTS.name)])
        assert "_secret_" not in api.log.getvalue()
        assert "Retry-After" in api.ask(route, SHOP, path=path)["headers"]  # the two slots of this second are taken


def test_customer_and_token_when_made_then_both_are_found_again(api: Api) -> None:
    assert api.ask("POST /customers", SHOP, CUSTOMER)["statusCode"] == 201
    found = api.ask("GET /customers", OPERATOR, query={"email": "ADA@Example.ORG"})["body"]
    assert [customer["customer_id"] for customer in found["customers"]] == ["cus_1"]

    made = api.ask("POST /tokens", SHOP, {"customer_id": "cus_1", "payment_method": "pm_card_visa"})
    assert made["statusCode"] == 201
    accepted = api.submit(customer_id="cus_1", token=made["body"]["token"])
    assert accepted["statusCode"] == 202
    path = {"token_id": made["body"]["token_id"]}
    assert api.ask("GET /tokens/{token_id}", SHOP, path=path)["body"]["status"] == "active"
    assert api.ask("DELETE /tokens/{token_id}", SHOP, path=path)["statusCode"] == 204
    assert "was revoked" in api.ask("GET /tokens/{token_id}", SHOP, path=path)["body"]["detail"]


def test_older_contract_lists_a_new_customers_payment_as_disbursement(api: Api) -> None:
    made = api.ask("POST /v1/api/payment", SHOP, BODIES["create_payment_v1"], headers={"idempotency-key": "k1"})
    assert made["statusCode"] == 202
    listed = api.ask("GET /v1/api/payment/{customer_id}", SHOP, path={"customer_id": "cus_1"})
    [disbursement] = listed["body"]["disbursements"]
    assert (disbursement["payment_id"], disbursement["email"]) == (made["body"]["payment_id"], "ada@example.org")


@pytest.mark.fault(41)
@pytest.mark.parametrize("kind", ["payment", "customer", "token"])
def test_id_of_another_owner_gets_404_like_unknown_and_one_audit_entry(api: Api, kind: str) -> None:
    api.ask("POST /customers", SHOP, CUSTOMER)
    token = api.ask("POST /tokens", SHOP, {"customer_id": "cus_1", "payment_method": "pm_card_visa"})["body"]
    api.submit(customer_id="cus_1")
    ids = {"payment": "pay_1", "customer": "cus_1", "token": token["token_id"]}
    unknown = {"payment": "pay_9", "customer": "cus_9", "token": "f" * 64}
    route = f"GET /{kind}s/{{{kind}_id}}"

    anothers = api.ask(route, OTHER_SHOP, path={f"{kind}_id": ids[kind]})

    assert is_problem(anothers, 404, "not-found")
    assert anothers == api.ask(route, OTHER_SHOP, path={f"{kind}_id": unknown[kind]})
    [entry] = items(DENIED_ATTEMPTS.name)
    assert entry.pop("sequence")
    assert int(entry.pop("purge_at")) == int((NOON + timedelta(days=400)).timestamp())
    assert entry == {
        "resource": f"{kind}:{ids[kind]}",
        "kind": kind,
        "resource_id": ids[kind],
        "at": "2026-11-21T12:00:00.000Z",
        "subject": OTHER_SHOP.subject,
        "roles": "merchant",
        "operation": f"get_{kind}",
        "ip": IP,
        "correlation_id": REQUEST_ID,
    }
    assert api.ask(route, SHOP, path={f"{kind}_id": ids[kind]})["statusCode"] == 200


@pytest.mark.fault(42)
@pytest.mark.parametrize("reader", [Role.AUDITOR, Role.OPERATOR])
@pytest.mark.parametrize("own", [Role.CUSTOMER, Role.MERCHANT])
def test_reader_of_all_data_changes_only_its_own(api: Api, own: Role, reader: Role) -> None:
    api.ask("POST /customers", SHOP, CUSTOMER)
    both = Caller("sub_reader", frozenset({own, reader}))
    path, route = {"customer_id": "cus_1"}, "/customers/{customer_id}"

    assert api.ask(f"GET {route}", both, path=path)["statusCode"] == 200
    assert api.ask(f"PATCH {route}", both, {"name": "mine"}, path=path)["statusCode"] == 404
    assert api.ask(f"DELETE {route}", both, path=path)["statusCode"] == 404
    card = {"customer_id": "cus_1", "payment_method": "pm_card_visa"}
    assert api.ask("POST /tokens", both, card)["statusCode"] == 404
    if own is Role.MERCHANT:  # nor may it be charged on the other's card
        paid = api.ask(
            "POST /payments", both, {"payment_id": "p", "amount": 5, "currency": "USD", "customer_id": "cus_1"}
        )
        assert paid["statusCode"] == 404


# Limits ------------------------------------------------------------------------------------------------------------


def test_address_over_its_rate_gets_429_with_retry_after_but_may_read(
    tables: None, executions: Executions, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = loaded(executions, monkeypatch, RATE_PER_IP_PER_MINUTE="2")
    answers = [api.submit(payment_id=f"pay_{n}") for n in range(3)]

    assert [answer["statusCode"] for answer in answers] == [202, 202, 429]
    assert is_problem(answers[-1], 429, "throttled")
    assert answers[-1]["headers"]["Retry-After"] == "60"
    assert len(items(PAYMENTS.name)) == 2
    claimed = api.ask("POST /payments", SHOP, PAY, headers={"X-Forwarded-For": "198.51.100.1"})
    assert claimed["statusCode"] == 429
    assert api.ask("GET /payments/{payment_id}", SHOP, path={"payment_id": "pay_0"})["statusCode"] == 200


def test_customer_over_its_read_rate_gets_429_but_a_merchant_does_not(
    tables: None, executions: Executions, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = loaded(executions, monkeypatch, READS_PER_CUSTOMER_PER_MINUTE="2")
    for caller, statuses in ((JO, [404, 404, 429]), (SHOP, [404, 404, 404])):
        answers = [api.ask("GET /payments/{payment_id}", caller, path={"payment_id": f"pay_{n}"}) for n in range(3)]
        assert [answer["statusCode"] for answer in answers] == statuses


@pytest.mark.fault(69)
def test_denied_calls_count_before_any_work_for_them(
    tables: None, executions: Executions, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = loaded(executions, monkeypatch, RATE_PER_CUSTOMER_PER_MINUTE="2", READS_PER_CUSTOMER_PER_MINUTE="2")
    submitted = [api.submit(JO)["statusCode"] for _ in range(3)]
    card = {"payment_id": "4242424242424242"}
    listed = [api.ask("GET /payments", JO, query=card)["statusCode"] for _ in range(3)]

    assert submitted == listed == [403, 403, 429]


@pytest.mark.fault(69)
@pytest.mark.parametrize(
    "sent",
    [
        {"query": {"email": "4000000000000 " + "-" * 2_048}},
        {"query": {"4000000000000 " + "-" * 2_048: "x"}},
        {"path": {"payment_id": "1" * 2_049}},
        {"headers": {"idempotency-key": "1" * 2_049}},
    ],
)
def test_parameters_that_are_too_long_get_400_before_any_pattern(api: Api, sent: dict[str, Any]) -> None:
    route = "GET /payments/{payment_id}" if "path" in sent else "GET /customers"
    answer = api.ask(route, OPERATOR, **sent)

    assert is_problem(answer, 400, "invalid-request")
    assert "more than 2048 characters together" in answer["body"]["detail"]


def test_customer_over_its_payment_rate_gets_429_from_any_submitter(
    tables: None, executions: Executions, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = loaded(executions, monkeypatch, RATE_PER_CUSTOMER_PER_MINUTE="1")
    assert api.submit(customer_id="cus_1")["statusCode"] == 202
    assert api.submit(OTHER_SHOP, payment_id="pay_2", customer_id="cus_1")["statusCode"] == 429
    assert api.submit(payment_id="pay_3", customer_id="cus_2")["statusCode"] == 202


@pytest.mark.fault(71)
@pytest.mark.parametrize("number", ["1e9999999999999999999", "1e-9999999999999999999", "-1e99999999999999", "1e-7"])
@pytest.mark.parametrize("route", ["POST /payments", "POST /tokens", "POST /customers", "POST /v1/api/payment"])
def test_number_that_no_type_holds_gets_400_on_every_route(api: Api, route: str, number: str) -> None:
    body = f'{{"amount": {number}, "expires_in_seconds": {number}, "name": {number}}}'
    assert api.function.handler(api.event(route, body=body), Context())["statusCode"] == 400


@pytest.mark.fault(71)
def test_any_body_gets_an_answer_that_is_no_500(api: Api) -> None:
    random, statuses = Random(1), set()
    for _ in range(200):
        operation = random.choice(list(BODIES))
        event = api.event(ROUTES[operation], body=obj(random, BODIES[operation]), path=PATH)
        statuses.add(api.function.handler(event, Context())["statusCode"])
    assert statuses <= {200, 201, 202, 400, 404, 409}


# Faults ------------------------------------------------------------------------------------------------------------


@pytest.mark.fault(45)
@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("POST /payments", PAY | {"payment_method": "pm_card_visa"}),
        ("POST /customers", CUSTOMER),
        ("POST /v1/api/customer", CUSTOMER),
        ("POST /v1/api/payment", BODIES["create_payment_v1"]),
    ],
)
def test_request_when_the_key_is_disabled_then_503_and_nothing_is_stored(
    api: Api, no_key: None, executions: Executions, route: str, body: Any
) -> None:
    answer = api.ask(route, SHOP, body)

    assert is_problem(answer, 503, "unavailable")
    assert int(answer["headers"]["Retry-After"]) > 0
    assert "nothing was stored" in answer["body"]["detail"]
    assert "kms" not in json.dumps(answer)
    assert (items(PAYMENTS.name), items(CUSTOMERS.name), executions.started()) == ([], [], {})


@pytest.mark.fault(43)
def test_payment_gets_503_and_is_not_stored_if_cards_cannot_be_counted(api: Api, executions: Executions) -> None:
    boto3.client("dynamodb").delete_table(TableName=LIMITS.name)
    answer = api.submit(amount="1", payment_method="pm_card_visa")
    assert is_problem(answer, 503, "unavailable")
    assert (items(PAYMENTS.name), executions.started()) == ([], {})
    assert api.submit()["statusCode"] == 202  # no card on trial: the environment's own card


def test_request_when_something_fails_then_500_without_its_text(api: Api) -> None:
    boto3.client("dynamodb").delete_table(TableName=PAYMENTS.name)
    answer = api.submit()
    assert is_problem(answer, 500, "internal-error")
    assert not any(text in json.dumps(answer) for text in ("Resource", "Exception", "Table"))
    assert any(line["message"] == "request failed" and "exception" in line for line in api.lines())


@pytest.mark.fault(44)
@pytest.mark.parametrize(
    "sent",
    [
        {"headers": {"Idempotency-Key": CARD}},
        {"headers": {"idempotency-key": f"order-{CARD}"}},
        {"query": {"note": "4242 4242 4242 4242"}},
        {"path": {"customer_id": CARD}},
    ],
    ids=["header", "header with more", "query", "path"],
)
def test_card_number_outside_the_body_is_refused_not_echoed_or_logged(
    api: Api, executions: Executions, sent: dict[str, Any]
) -> None:
    answer = api.ask("POST /v1/api/payment", SHOP, BODIES["create_payment_v1"], **sent)

    assert is_problem(answer, 400, "invalid-request")
    assert "a card number" in answer["body"]["detail"]
    assert not re.search(r"4242.?4242", json.dumps(answer) + api.log.getvalue())
    assert (items(PAYMENTS.name), items(CUSTOMERS.name), executions.started()) == ([], [], {})


def test_answers_and_logs_of_failures_show_nothing_private(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.ask("POST /customers", SHOP, CUSTOMER)
    token = api.ask("POST /tokens", SHOP, {"customer_id": "cus_1", "payment_method": "pm_card_visa"})["body"]["token"]
    private: dict[str, Any] = {
        "customer_id": "cus_1",
        "payment_method": "pm_card_visa",
        "metadata": {"to": "ada@example.org"},
    }
    api.submit(**private)
    headers = {"Authorization": "Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"}
    of_customer = {"customer_id": "cus_1"}
    refused: list[Callable[[], dict[str, Any]]] = [
        lambda: api.ask("POST /payments", SHOP, PAY | private | {"amount": "1"}, headers=headers),
        lambda: api.ask("POST /payments", OTHER_SHOP, PAY | private),
        lambda: api.ask("POST /payments", SHOP, PAY | private | {"description": f"card {CARD}"}),
        lambda: api.ask("POST /payments", SHOP, PAY | {"customer_id": "cus_1", "token": f"{token}x"}),
        lambda: api.ask("POST /payments", SHOP, PAY | {"description": token}),
        lambda: api.ask("POST /customers", OTHER_SHOP, CUSTOMER),
        lambda: api.ask("POST /customers", SHOP, CUSTOMER | {"email": "other-ada@example.org"}),
        lambda: api.ask("PATCH /customers/{customer_id}", SHOP, {"email": "ada@"}, path=of_customer),
        lambda: api.ask("GET /customers", OPERATOR, query={"email": "ada@example.org", "x": "ada@example.org"}),
        lambda: api.ask("POST /tokens", SHOP, {"customer_id": "cus_1", "payment_method": "pm-card@visa"}),
        lambda: api.ask("POST /v1/api/payment", SHOP, BODIES["create_payment_v1"] | {"email": "kim@example.com"}),
        lambda: api.ask("GET /payments/{payment_id}", JO, path={"payment_id": "pay_1"}, headers=headers),
    ]
    answers = [ask() for ask in refused]
    # also if the data is in the error's own text
    sealed = next(item["payment_method"] for item in items(PAYMENTS.name))

    def fail(_: object) -> None:
        raise RuntimeError(f"ada@example.org {token} pm_card_visa {sealed}")

    monkeypatch.setattr(api.function.services.payments, "get", fail)
    answers.append(api.ask("GET /payments/{payment_id}", ADMIN, path={"payment_id": "pay_1"}))

    assert {answer["statusCode"] for answer in answers} == {400, 404, 409, 500}
    assert all({"type", "title", "status", "detail", "instance"} <= answer["body"].keys() for answer in answers)
    for said in (*map(json.dumps, answers), *api.log.getvalue().splitlines()):
        for unsaid in ("ada@", "kim@", "@visa", token[:20], "pm_card_visa", "sealed.v1.", "eyJ", CARD):
            assert unsaid not in said


def test_log_lines_of_a_request_show_route_status_caller_and_request_id(api: Api) -> None:
    api.submit()
    api.ask("GET /payments", SHOP)
    answered, refused = (line for line in api.lines() if line["message"] in ("answered", "rejected"))
    assert (answered["route"], answered["status"], answered["subject"]) == ("POST /payments", 202, SHOP.subject)
    assert (refused["route"], refused["status"], refused["kind"]) == ("GET /payments", 403, "forbidden")
    assert answered["request_id"] == refused["request_id"] == REQUEST_ID


def test_settings_when_one_is_missing_then_the_function_says_which(
    tables: None, executions: Executions, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(executions, monkeypatch)
    for name in ("AUTH_MODE", "VAULT_KEY_ARN", "DENIED_TABLE"):
        value = os.environ.pop(name)
        with pytest.raises(RuntimeError, match=name):
            load("api")
        os.environ[name] = value


# Cancel ------------------------------------------------------------------------------------------------------------


def test_cancel_ends_the_payment_counts_it_and_starts_its_audit(
    api: Api, executions: Executions, capsys: pytest.CaptureFixture[str]
) -> None:
    api.submit(metadata={"order": "A-17"})
    capsys.readouterr()
    answer = api.ask("POST /payments/{payment_id}/cancel", SHOP, path={"payment_id": "pay_1"})
    assert (answer["statusCode"], answer["body"]["status"]) == (200, "rejected")
    assert answer["body"]["metadata"] == {"order": "A-17"}
    assert metrics_in(capsys.readouterr().out) == {"PaymentsRejected": 1}
    assert set(executions.started()) == {"pay_1", "pay_1.c2"}


# Approval of refunds -----------------------------------------------------------------------------------------------


def test_refund_above_the_limit_waits_until_another_admin_approves(
    tables: None, executions: Executions, payments: DynamoPaymentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = loaded(executions, monkeypatch, REFUND_APPROVAL_ABOVE="USD=30.00,EUR=0")
    api.submit(currency="USD", amount="99.99")
    for status in (Status.PROCESSING, Status.SUCCEEDED):
        payments.save(after(require(payments, "pay_1"), status, at=NOON))
    path, one = {"payment_id": "pay_1"}, {"refund_id": "ref_1"}

    asked = api.ask("POST /payments/{payment_id}/refunds", ADMIN, one | {"amount": "40"}, path=path)
    own = api.ask("POST /refunds/{refund_id}/approve", ADMIN, path=one)
    approved = api.ask("POST /refunds/{refund_id}/approve", replace(ADMIN, subject="sub_other"), path=one)

    assert (asked["statusCode"], asked["body"]["status"]) == (202, "pending_approval")
    assert is_problem(own, 403, "forbidden")
    assert (approved["statusCode"], approved["body"]["status"]) == (200, "pending")
    assert [entry["resource_id"] for entry in items(DENIED_ATTEMPTS.name)] == ["ref_1"]
    assert [change.actor for change in require(payments, "pay_1").history[-2:]] == [
        "admin:sub_admin",
        "admin:sub_other",
    ]
    assert set(executions.started()) == {"pay_1", "ref_1", "ref_1.v2"}
