"""The authorize function as Lambda loads it: the answer for a token, and the log."""

import json
from types import ModuleType
from typing import Any

import pytest

from payments.adapters.oidc.signing_keys import KeysUnavailable
from payments.domain.identity import Role, caller_of
from tests.integration.functions import load
from tests.unit.builders import NOON
from tests.unit.issuers import (
    AUDIENCE,
    OPERATIONS,
    OTHER,
    PEOPLE,
    POOL,
    POOL_KEYS,
    PREFIX,
    SHOP,
    SUBJECT,
    Web,
    elsewhere,
    machine,
    rsa_key,
    signed,
    unsigned,
    user,
    usual_web,
    with_public_key_as_secret,
)

METHOD = "arn:aws:execute-api:us-east-1:123456789012:a1b2c3/test/GET/payments/pay_1"
SETTINGS = {
    "ENVIRONMENT_SUFFIX": "test",
    "USER_POOL_ISSUER": POOL,
    "USER_POOL_JWKS_URI": POOL_KEYS,
    "CLIENT_IDS": f"{PEOPLE},{OPERATIONS}",
    "MERCHANT_CLIENT_IDS": f"{SHOP},another",
    "OIDC_ISSUER": OTHER,
    "OIDC_AUDIENCE": AUDIENCE,
    "OIDC_ROLES_CLAIM": "groups",
    "OIDC_ROLES_PREFIX": PREFIX,
    "REQUIRE_SECOND_FACTOR": "false",
}


@pytest.fixture
def web() -> Web:
    return usual_web()


@pytest.fixture
def authorize(aws: None, web: Web, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The function with both issuers, at noon."""
    return loaded(web, monkeypatch)


def loaded(web: Web, patch: pytest.MonkeyPatch, **settings: str) -> ModuleType:
    patch.setattr("payments.adapters.oidc.signing_keys.https_reader", lambda _: web.read)
    patch.setattr("payments.domain.clock.utc_now", lambda: NOON)
    return load("authorize", **SETTINGS | settings)


def asked(function: ModuleType, token: str, scheme: str = "Bearer ") -> dict[str, Any]:
    """The authorizer's answer for a token."""
    event = {"type": "TOKEN", "authorizationToken": scheme + token, "methodArn": METHOD}
    answer: dict[str, Any] = json.loads(json.dumps(function.handler(event, None)))
    return answer


def test_valid_user_token_opens_the_whole_stage_and_passes_the_caller_on(authorize: ModuleType) -> None:
    answer = asked(authorize, signed(user("operator")))
    assert answer["principalId"] == SUBJECT
    assert answer["policyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "execute-api:Invoke",
            "Resource": "arn:aws:execute-api:us-east-1:123456789012:a1b2c3/test/*",
        }
    ]
    assert answer["context"] == {
        "subject": SUBJECT,
        "roles": "operator",
        "expires_at": str(int(NOON.timestamp()) + 3600),
        "issuer": POOL,
        "username": SUBJECT,
    }
    assert caller_of(answer["context"], NOON).roles == {Role.OPERATOR}


@pytest.mark.parametrize(
    ("claims", "key"),
    [
        (machine(SHOP, "payment-api-test/merchant"), f"payment-api-test-merchant-{SHOP}"),
        (machine(OPERATIONS, "payment-api-test/operator"), "payment-api-test-staff"),
        (user("merchant"), "payment-api-test-other-merchants"),
        (user("merchant", "auditor"), "payment-api-test-staff"),
        (user("customer"), "payment-api-test-people-and-others"),
        (user(), "payment-api-test-people-and-others"),
    ],
)
def test_requests_are_counted_per_merchant_machine_and_else_by_group(
    claims: dict[str, Any], key: str, authorize: ModuleType
) -> None:
    assert asked(authorize, signed(claims))["usageIdentifierKey"] == key


def test_other_issuers_merchant_with_our_client_id_is_not_counted_as_it(authorize: ModuleType) -> None:
    answer = asked(authorize, signed(elsewhere("merchant", sub=SHOP), rsa_key("other"), kid="other-1"))
    assert answer["usageIdentifierKey"] == "payment-api-test-other-merchants"


@pytest.mark.fault(42)
@pytest.mark.parametrize("amr", [None, [], ["pwd"], "mfa", ["pwd", "mfa"]])
def test_other_issuers_staff_count_only_with_mfa_where_it_is_required(
    amr: Any, aws: None, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    authorize = loaded(web, monkeypatch, REQUIRE_SECOND_FACTOR="true")
    claims = elsewhere("admin", "auditor", "merchant", "operator", amr=amr)
    answer = asked(authorize, signed(claims, rsa_key("other"), kid="other-1"))
    everything = amr == ["pwd", "mfa"]
    assert answer["context"]["roles"] == ("admin,auditor,merchant,operator" if everything else "merchant")


ADMIN = user("admin")


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    "token",
    [
        unsigned(ADMIN),
        with_public_key_as_secret(ADMIN),
        signed(ADMIN, rsa_key("mine")),
        signed(ADMIN, kid="pool-9"),
        signed(user("admin", iss="https://evil.example")),
        signed(user("admin", client_id="somebody")),
        signed(user("admin", token_use="id")),
        signed(user("admin", exp=int(NOON.timestamp()))),
        signed(user("admin", nbf=int(NOON.timestamp()) + 60)),
        signed(elsewhere("admin", aud="elsewhere"), rsa_key("other"), kid="other-1"),
        "",
    ],
    ids=[
        "alg none",
        "HS256 with the public key",
        "another key",
        "unknown kid",
        "wrong issuer",
        "unknown client",
        "ID token",
        "expired",
        "not yet valid",
        "wrong audience",
        "nothing",
    ],
)
def test_bad_token_gets_401_and_the_log_has_the_reason_not_the_token(
    token: str, authorize: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        asked(authorize, token)
    (record,) = caplog.records
    assert record.getMessage() == "token rejected"
    logged = str(vars(record))
    assert "'reason': 'it" in logged
    assert not token or token not in logged
    assert SUBJECT not in logged


@pytest.mark.fault(71)
@pytest.mark.parametrize("header", [{"alg": ["RS256"]}, {"alg": {}}, {"kid": ["pool-1"]}, {"crit": 1}, {"b64": 0}])
def test_token_with_a_header_of_wrong_types_gets_401(header: dict[str, Any], authorize: ModuleType) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        asked(authorize, unsigned(ADMIN, **header))


@pytest.mark.fault(71)
def test_unforeseen_error_about_a_token_is_a_401_and_is_logged(
    authorize: ModuleType, web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    web.pages[POOL_KEYS] = {"keys": [{"kid": "pool-1", "kty": ["RSA"]}]}
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        asked(authorize, signed(ADMIN))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("ERROR", "token not verified")]


@pytest.mark.fault(42)
@pytest.mark.parametrize("scheme", ["", "Basic ", "Bearer"])
def test_header_when_it_is_not_a_bearer_token_then_401(scheme: str, authorize: ModuleType) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        asked(authorize, signed(ADMIN), scheme)


@pytest.mark.fault(42)
def test_unreachable_signing_keys_reject_requests_and_are_logged(
    authorize: ModuleType, web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    web.pages.clear()
    token = signed(ADMIN)
    with pytest.raises(KeysUnavailable):  # 500
        asked(authorize, token)
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "signing keys unavailable, all requests are rejected")
    assert token not in str(vars(record))


@pytest.mark.fault(42)
def test_another_issuer_when_none_is_set_then_its_tokens_are_refused(
    aws: None, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    authorize = loaded(web, monkeypatch, OIDC_ISSUER="", OIDC_AUDIENCE="", MERCHANT_CLIENT_IDS="")
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        asked(authorize, signed(elsewhere("admin"), rsa_key("other"), kid="other-1"))
    assert asked(authorize, signed(ADMIN))["context"]["roles"] == "admin"
    assert web.reads == [POOL_KEYS]


@pytest.mark.fault(42)
def test_client_when_empty_then_it_is_not_taken_for_an_empty_setting(
    aws: None, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    authorize = loaded(web, monkeypatch, MERCHANT_CLIENT_IDS="")
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        asked(authorize, signed(machine("", "payment-api-test/merchant")))
