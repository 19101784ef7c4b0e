"""No token and no body makes an error of ours: 20,000 of them, made at random from fixed seeds."""

import base64
import csv
import io
import time
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from jwt.algorithms import ECAlgorithm

from local.fake_stripe.events import signature
from payments.adapters.oidc.bearer_tokens import BadToken, OtherIssuer, TrustedIssuer, UserPool, verified
from payments.adapters.oidc.signing_keys import SigningKeys
from payments.adapters.stripe.webhook import BadSignature, EventOfOtherMode, UnreadableEvent, verified_event
from payments.application.batch.file import BatchFile
from payments.domain.payment import FIELDS
from payments.rest.http import Problem
from payments.rest.request import Request
from tests.unit.builders import NOON
from tests.unit.issuers import AUDIENCE, OTHER, PEOPLE, POOL, PREFIX, ec_key, elsewhere, jwk, machine, user
from tests.unit.red_team.nasty import NUMBERS, TEXTS, obj, value
from tests.unit.rest.scenario import ADMIN, IP, JO, REQUEST_ID, SHOP, RestScenario, operation_called

KEYS = SigningKeys(lambda _: {"keys": [jwk(ec_key(), "pool-ec")]}, lambda: "keys")
ISSUERS: list[TrustedIssuer] = [
    UserPool(POOL, KEYS, frozenset({PEOPLE}), "payment-api-test/"),
    OtherIssuer(OTHER, KEYS, AUDIENCE, "groups", PREFIX),
]
HEADER: dict[str, Any] = {"alg": "ES256", "kid": "pool-ec", "typ": "JWT"}
SIGNER = ECAlgorithm(ECAlgorithm.SHA256)
BODIES: dict[str, dict[str, Any]] = {
    "create_payment": {
        "payment_id": "pay_1",
        "amount": "1.00",
        "currency": "EUR",
        "customer_id": "cus_1",
        "payment_method": "pm_1",
        "description": "shoes",
        "metadata": {"order": "A-17"},
        "off_session": False,
        "return_url": "https://shop.example/",
    },
    "create_customer": {"customer_id": "cus_2", "email": "jo@example.com", "name": "Jo", "subject": "sub_jo"},
    "update_customer": {"email": "jo@example.com", "name": None, "default_payment_method": "pm_1"},
    "create_token": {"customer_id": "cus_1", "payment_method": "pm_1", "metadata": {}, "expires_in_seconds": 60},
    "create_payment_v1": {"customer_id": "cus_1", "email": "jo@example.com", "amount": 1, "currency": "EUR"},
}
QUERIES: dict[str, tuple[str, ...]] = {
    "list_payments": ("limit", "cursor", "status", "from", "to"),
    "find_customers": ("email",),
    "list_customer_payments": ("limit", "cursor", "from"),
}


def _base64(text: str) -> bytes:
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).rstrip(b"=")


def _token(header: str, claims: str, *, signed: bool) -> str:
    body = _base64(header) + b"." + _base64(claims)
    signature = base64.urlsafe_b64encode(SIGNER.sign(body, ec_key())).rstrip(b"=") if signed else b"YQ"
    return f"{body.decode()}.{signature.decode()}"


def _verify(token: str) -> None:
    try:
        verified(token, ISSUERS, clock=lambda: NOON)
    except BadToken as refused:
        assert str(refused)  # noqa: PT017 - most are refused, and all others are as good


@pytest.mark.fault(71)
@pytest.mark.parametrize("seed", range(4))
def test_verified_refuses_any_header_as_a_bad_token(seed: int) -> None:
    random = Random(seed)
    claims = [user("admin"), elsewhere("admin")]
    for _ in range(1_500):
        header = obj(random, HEADER) if random.randrange(8) else value(random)
        _verify(_token(header, obj(random, random.choice(claims)), signed=False))


@pytest.mark.fault(71)
@pytest.mark.parametrize("seed", range(4))
def test_verified_refuses_any_signed_claims_as_a_bad_token(seed: int) -> None:
    random = Random(seed)
    header = '{"alg":"ES256","kid":"pool-ec"}'
    people = [user("admin"), machine(PEOPLE, "payment-api-test/merchant"), elsewhere("admin")]
    for _ in range(1_000):
        claims = obj(random, random.choice(people)) if random.randrange(10) else value(random)
        _verify(_token(header, claims, signed=True))


@pytest.mark.fault(71)
def test_verified_refuses_any_text_as_a_bad_token() -> None:
    random = Random(1)
    for _ in range(1_000):
        _verify(".".join(random.choice((*TEXTS, *NUMBERS)) for _ in range(random.randrange(5))))


def _call(scenario: RestScenario, operation: str, random: Random, event: dict[str, Any], query: dict[str, str]) -> int:
    path = {"customer_id": "cus_1", "payment_id": "pay_1"}
    request = Request(
        operation, random.choice((ADMIN, SHOP, JO)), NOON, REQUEST_ID, IP, path, query, {"headers": {}, **event}
    )
    try:
        return int(operation_called(operation)(request, scenario.services)["statusCode"])
    except Problem as problem:
        return problem.status


@pytest.mark.fault(71)
@pytest.mark.parametrize("operation", BODIES)
def test_operation_answers_any_body_without_a_500(operation: str) -> None:
    random, scenario = Random(operation), RestScenario(per_customer=100_000)
    scenario.add_customer("cus_1", subject=JO.subject)
    statuses = set()
    for _ in range(1_500):
        body = obj(random, BODIES[operation]) if random.randrange(10) else value(random)
        statuses.add(_call(scenario, operation, random, {"body": body}, {}))
    assert statuses <= {200, 201, 202, 400, 403, 404, 409, 413, 429}
    assert 400 in statuses
    assert statuses & {200, 201, 202}


@pytest.mark.fault(71)
@pytest.mark.parametrize("operation", QUERIES)
def test_operation_answers_any_query_without_a_500(operation: str) -> None:
    random, scenario = Random(operation), RestScenario()
    scenario.add_customer("cus_1", subject=JO.subject)
    usual = ("", "1", "2026-11-21", "2026-11-21T12:00:00+14:00", "9999-12-31", "0001-01-01T00:00:00+14:00", "pending")
    given = (*usual, *TEXTS, *NUMBERS, "MjAyNi0xMS0yMQ", "OTk5OS0xMi0zMQ", "0000-00-00")
    for _ in range(500):
        query = {name: random.choice(given) for name in QUERIES[operation] if random.randrange(3)}
        assert _call(scenario, operation, random, {}, query) < 500


@pytest.mark.fault(71)
def test_signed_event_of_any_content_is_read_or_unreadable() -> None:
    random = Random(1)
    about: dict[str, Any] = {
        "object": "charge",
        "id": "ch_1",
        "payment_intent": "pi_1",
        "customer": "cus_1",
        "metadata": {},
    }
    now = int(time.time())  # the SDK measures the signature's age with its own clock
    for kind in ("setup_intent.succeeded", "charge.refunded"):
        event: dict[str, Any] = {
            "id": "evt_1",
            "type": kind,
            "created": 1_795_262_400,
            "livemode": False,
            "data": {"object": about},
        }
        for _ in range(1_000):
            inside = random.choice((about, event["data"], event))
            text = obj(random, inside)
            if inside is about:
                text = f'{{"id":"evt_1","type":"{kind}","created":1795262400,"data":{{"object":{text}}}}}'
            body = text.encode("utf-8", "surrogatepass")
            with suppress(UnreadableEvent, EventOfOtherMode, BadSignature):
                verified_event(body, signature(body, ("whsec_x",), now), ["whsec_x"], clock=lambda: NOON, mode="test")


@pytest.mark.fault(71)
def test_row_of_any_cells_is_read_or_rejected() -> None:
    random, text = Random(1), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIELDS)
    usual = BODIES["create_payment"]
    for _ in range(2_000):
        cells = [usual.get(name, "") if random.randrange(4) else random.choice((*TEXTS, *NUMBERS)) for name in FIELDS]
        cells[FIELDS.index("metadata")] = obj(random, {"order": "A-17"}) if random.randrange(4) else value(random)
        writer.writerow(cells)
    rows = list(BatchFile([text.getvalue().encode("utf-8", "surrogatepass")]).rows())
    assert len(rows) >= 1_000
