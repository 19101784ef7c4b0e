"""Bearer tokens: their caller, and every kind of invalid token."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from payments.adapters.oidc.bearer_tokens import BadToken, Bearer, OtherIssuer, UserPool, verified
from payments.adapters.oidc.signing_keys import (
    REMEMBER_SECONDS,
    REREAD_SECONDS,
    KeysUnavailable,
    SigningKeys,
    discovered,
    https_reader,
)
from payments.domain.identity import Caller, NotAuthenticated, Role, authorizer_context, caller_of, usage_key
from tests.local.fake_stripe.test_webhooks import self_signed
from tests.unit.builders import NOON
from tests.unit.issuers import (
    AUDIENCE,
    OPERATIONS,
    OTHER,
    OTHER_KEYS,
    PEOPLE,
    POOL,
    POOL_KEYS,
    PREFIX,
    SHOP,
    SUBJECT,
    Web,
    ec_key,
    elsewhere,
    jwk,
    machine,
    rsa_key,
    signed,
    unsigned,
    user,
    usual_web,
    with_public_key_as_secret,
)

SCOPE = "payment-api-test/"
"""The prefix of our API's scopes."""


def check(token: str, web: Web | None = None, after: timedelta = timedelta()) -> Bearer:
    """Verify a token at noon, or some time after, with both issuers trusted."""
    read = (web or usual_web()).read
    pool = UserPool(POOL, SigningKeys(read, lambda: POOL_KEYS), frozenset({PEOPLE, SHOP, OPERATIONS}), SCOPE)
    other = OtherIssuer(OTHER, SigningKeys(read, lambda: discovered(OTHER, read)), AUDIENCE, "groups", PREFIX)
    return verified(token, [pool, other], clock=lambda: NOON + after)


def seconds(after: timedelta) -> int:
    return int((NOON + after).timestamp())


# The caller ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "roles"),
    [
        ((), {Role.CUSTOMER}),
        (("merchant",), {Role.MERCHANT}),
        (("operator", "admin"), {Role.OPERATOR, Role.ADMIN}),
        (("staff",), {Role.CUSTOMER}),
        (("staff", "operator"), {Role.OPERATOR}),
    ],
)
def test_user_gets_the_roles_of_its_groups_or_else_customer(groups: tuple[str, ...], roles: set[Role]) -> None:
    bearer = check(signed(user(*groups)))
    assert bearer.caller == Caller(SUBJECT, frozenset(roles))
    assert bearer.expires_at == NOON + timedelta(hours=1)


@pytest.mark.parametrize(
    ("scopes", "roles"),
    [
        ((f"{SCOPE}merchant",), {Role.MERCHANT}),
        ((f"{SCOPE}operator", f"{SCOPE}admin"), {Role.OPERATOR, Role.ADMIN}),
        ((), set()),
        (("merchant",), set()),
        (("payment-api-prod/admin",), set()),
    ],
)
def test_machine_gets_roles_from_scopes_of_our_api_only(scopes: tuple[str, ...], roles: set[Role]) -> None:
    assert check(signed(machine(SHOP, *scopes))).caller == Caller(SHOP, frozenset(roles))


def test_user_gets_no_extra_role_from_a_machine_scope() -> None:
    assert check(signed(user(scope=f"{SCOPE}admin"))).caller.roles == {Role.CUSTOMER}


def test_machine_when_its_token_has_groups_then_they_give_no_role() -> None:
    assert check(signed(machine(SHOP, **{"cognito:groups": ["admin"]}))).caller.roles == frozenset()


@pytest.mark.parametrize(
    ("roles", "audience", "expected"),
    [
        (["pay-operator"], AUDIENCE, {Role.OPERATOR}),
        ("pay-admin", ["elsewhere", AUDIENCE], {Role.ADMIN}),
        ([], AUDIENCE, {Role.CUSTOMER}),
        (["admin", "operator", "pay-", "pay-pay-admin", " pay-admin", "xpay-admin"], AUDIENCE, {Role.CUSTOMER}),
        (["Admin", "pay-Admin", 7, None], AUDIENCE, {Role.CUSTOMER}),
        ({"pay-admin": True}, AUDIENCE, {Role.CUSTOMER}),
        ("pay-admins and pay-admin", AUDIENCE, {Role.CUSTOMER}),
    ],
)
def test_another_issuers_token_when_for_us_then_its_roles_claim_counts(
    roles: Any, audience: Any, expected: set[Role]
) -> None:
    claims = elsewhere(groups=roles, aud=audience)
    assert check(signed(claims, rsa_key("other"), kid="other-1")).caller.roles == expected


def test_subject_of_another_issuer_differs_from_the_same_pool_subject() -> None:
    caller = check(signed(elsewhere("customer", sub=SUBJECT), rsa_key("other"), kid="other-1")).caller
    assert caller.subject == f"oidc|{SUBJECT}"


def test_machine_scopes_from_another_issuer_give_no_extra_role() -> None:
    claims = elsewhere(scope=f"{SCOPE}admin", username=None)
    assert check(signed(claims, rsa_key("other"), kid="other-1")).caller.roles == {Role.CUSTOMER}


@pytest.mark.parametrize(("alg", "kid"), [("RS256", "other-1"), ("PS256", "other-1"), ("ES256", "other-ec")])
def test_signature_when_of_a_kind_that_fits_the_key_then_it_is_taken(alg: str, kid: str) -> None:
    key = ec_key() if alg == "ES256" else rsa_key("other")
    assert check(signed(elsewhere("merchant"), key, kid=kid, alg=alg)).caller.has(Role.MERCHANT)


# Attacks -------------------------------------------------------------------------------------------------------------

ADMIN = user("admin")
FORGED: dict[str, tuple[Callable[[], str], str]] = {
    "alg none": (lambda: unsigned(ADMIN), "not signed with"),
    "alg None": (lambda: unsigned(ADMIN, alg="None"), "not signed with"),
    "alg RS256 and no signature": (lambda: unsigned(ADMIN, alg="RS256"), "signature does not match"),
    "HS256 with the public key": (lambda: with_public_key_as_secret(ADMIN), "not signed with"),
    "PS256 with a key for RS256": (lambda: signed(ADMIN, alg="PS256"), "key does not fit the algorithm"),
    "ES256 with the id of an RSA key": (lambda: signed(ADMIN, ec_key(), alg="ES256"), "key does not fit the algorithm"),
    "RS512": (lambda: signed(ADMIN, alg="RS512"), "not signed with"),
    "another key": (lambda: signed(ADMIN, rsa_key("mine")), "signature does not match"),
    "another key, brought along": (
        lambda: signed(ADMIN, rsa_key("mine"), jwk=jwk(rsa_key("mine"), "pool-1"), jku="https://evil.example/jwks"),
        "signature does not match",
    ),
    "unknown kid": (lambda: signed(ADMIN, kid="pool-9"), "no such key"),
    "a kid that is a path": (lambda: signed(ADMIN, kid="../../dev/null"), "no such key"),
    "no kid": (lambda: signed(ADMIN, kid=None), "and a named key"),
    "a critical header that we do not know": (lambda: signed(ADMIN, crit=["exp"]), "not a JWT"),
    "wrong issuer": (lambda: signed(user("admin", iss=f"{POOL}2")), "issuer is not trusted"),
    "issuer with a slash": (lambda: signed(user("admin", iss=f"{POOL}/")), "issuer is not trusted"),
    "issuer as a list": (lambda: unsigned(user("admin", iss=[POOL])), "issuer is not trusted"),
    "no issuer": (lambda: signed(user("admin", iss=None)), "issuer is not trusted"),
    "the other issuer's key": (lambda: signed(ADMIN, rsa_key("other"), kid="other-1"), "no such key"),
    "the pool's key in the other issuer's name": (lambda: signed(elsewhere("admin")), "no such key"),
    "an ID token": (lambda: signed(user("admin", token_use="id", aud=PEOPLE, client_id=None)), "not an access token"),
    "a refresh token": (lambda: signed(user("admin", token_use="refresh")), "not an access token"),
    "an unknown client": (lambda: signed(user("admin", client_id="somebody")), "an unknown app client"),
    "no client": (lambda: signed(user("admin", client_id=None)), "an unknown app client"),
    "wrong audience": (
        lambda: signed(elsewhere("admin", aud="elsewhere"), rsa_key("other"), kid="other-1"),
        "another audience",
    ),
    "no audience": (lambda: signed(elsewhere("admin", aud=None), rsa_key("other"), kid="other-1"), "another audience"),
    "expired": (lambda: signed(user("admin", exp=seconds(timedelta()))), "has expired"),
    "no end": (lambda: signed(user("admin", exp=None)), "no expiry time"),
    "an end that is a text": (lambda: signed(user("admin", exp=str(seconds(timedelta(1))))), "not a time"),
    "an end that is true": (lambda: signed(user("admin", exp=True)), "not a time"),
    "an end beyond all time": (lambda: signed(user("admin", exp=10**30)), "not a time"),
    "not yet valid": (lambda: signed(user("admin", nbf=seconds(timedelta(seconds=31)))), "not valid yet"),
    "made in the future": (lambda: signed(user("admin", iat=seconds(timedelta(seconds=31)))), "not valid yet"),
    "no subject": (lambda: signed(user("admin", sub=None)), "no valid subject"),
    "an empty subject": (lambda: signed(user("admin", sub="")), "no valid subject"),
    "a subject with a line break": (lambda: signed(user("admin", sub="anna\nadmin")), "no valid subject"),
    "a subject without end": (lambda: signed(user("admin", sub="a" * 256)), "no valid subject"),
    "a subject that is a number": (lambda: unsigned(user("admin", sub=1), alg="RS256"), "signature does not match"),
    "no token": (lambda: "", "not a JWT"),
    "any text": (lambda: "let-me-in", "not a JWT"),
    "three empty parts": (lambda: "..", "not a JWT"),
    "claims that are a list": (lambda: "eyJhbGciOiJSUzI1NiIsImtpZCI6InBvb2wtMSJ9.W10.", "not a JWT"),
    "one bit changed": (lambda: _with_other_claims(signed(user("customer")), user("admin")), "does not match"),
}


def _with_other_claims(token: str, claims: dict[str, Any]) -> str:
    header, _, signature = token.split(".")
    return ".".join((header, unsigned(claims).split(".")[1], signature))


@pytest.mark.fault(42)
@pytest.mark.parametrize("attack", FORGED)
def test_token_when_forged_or_not_for_us_then_refused_with_the_reason(attack: str) -> None:
    make, reason = FORGED[attack]
    token = make()
    with pytest.raises(BadToken, match=reason) as refused:
        check(token)
    # the reason goes to the log
    assert SUBJECT not in str(refused.value)
    assert not token or token not in str(refused.value)


@pytest.mark.fault(42)
def test_cognito_groups_from_another_issuer_give_no_extra_role() -> None:
    claims = elsewhere(**{"cognito:groups": ["admin"], "username": "anna"})
    assert check(signed(claims, rsa_key("other"), kid="other-1")).caller.roles == {Role.CUSTOMER}


@pytest.mark.fault(42)
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "pool-1"},
        {"kid": "pool-1"},
        {"kty": "RSA", "kid": "pool-1", "n": "AQAB"},
        jwk(rsa_key(), "pool-1", use="enc"),
        jwk(rsa_key("short", 1024), "pool-1"),
        jwk(rsa_key(), "pool-1", alg="HS256"),
    ],
    ids=["shared secret", "no kind", "half a key", "for encryption", "1024 bits", "for HS256"],
)
def test_tokens_of_an_unsuitable_published_key_are_refused(
    key: dict[str, Any],
) -> None:
    web = usual_web()
    web.pages[POOL_KEYS] = {"keys": [key]}
    token = signed(ADMIN, rsa_key("short", 1024) if key.get("n") == jwk(rsa_key("short", 1024), "")["n"] else None)
    with pytest.raises(BadToken):
        check(token, web)


@pytest.mark.fault(42)
def test_key_when_on_another_curve_then_its_tokens_are_refused() -> None:
    key = ec.generate_private_key(ec.SECP256K1())
    web = usual_web()
    web.pages[OTHER_KEYS] = {"keys": [jwk(key, "odd")]}
    with pytest.raises(BadToken, match="not for accepted signature algorithms"):
        check(signed(elsewhere("admin"), ec_key(), kid="odd", alg="ES256"), web)


# Time ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_token_when_another_clock_is_half_a_minute_ahead_then_it_is_good(claim: str) -> None:
    assert check(signed(user(**{claim: seconds(timedelta(seconds=30))}))).caller.subject == SUBJECT


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.999999])
def test_token_with_fractional_times_is_good(fraction: float) -> None:
    start, end = seconds(timedelta()) - 1 + fraction, seconds(timedelta(hours=1)) - 1 + fraction
    bearer = check(signed(user(iat=start, nbf=start, exp=end)))
    assert bearer.expires_at == NOON + timedelta(hours=1, seconds=fraction - 1)
    with pytest.raises(BadToken, match="has expired"):
        check(signed(user(exp=seconds(timedelta()) - 1 + fraction)))


@pytest.mark.parametrize("time", [float("nan"), float("inf"), float("-inf"), 1e300])
@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
def test_token_with_a_fraction_that_is_no_time_is_bad(claim: str, time: float) -> None:
    with pytest.raises(BadToken, match="not a time"):
        check(signed(user(**{claim: time})))


@pytest.mark.parametrize(("after", "good"), [(3599, True), (3600, False), (3629, False)])
def test_token_expires_after_its_hour_by_the_given_clock(after: int, good: bool) -> None:
    token = signed(user())
    if good:
        check(token, after=timedelta(seconds=after))
    else:
        with pytest.raises(BadToken, match="has expired"):
            check(token, after=timedelta(seconds=after))


# Keys ----------------------------------------------------------------------------------------------------------------


class Keys:
    """The pool's keys in one process, with an adjustable clock."""

    def __init__(self) -> None:
        self.web = usual_web()
        self.now = 1000.0
        self.keys = SigningKeys(self.web.read, lambda: POOL_KEYS, lambda: self.now)

    @property
    def reads(self) -> int:
        return len(self.web.reads)

    def publish(self, *kids: str) -> None:
        self.web.pages[POOL_KEYS] = {"keys": [jwk(rsa_key(), kid) for kid in kids]}


def test_keys_when_known_then_read_once() -> None:
    pool = Keys()
    for _ in range(3):
        assert pool.keys.find("pool-1")
    assert pool.reads == 1


def test_unknown_key_ids_reload_the_keys_at_most_once_a_minute() -> None:
    pool = Keys()
    assert [pool.keys.find(f"stranger-{number}") for number in range(50)] == [None] * 50
    assert pool.reads == 1
    pool.now += REREAD_SECONDS + 1
    assert [pool.keys.find(f"stranger-{number}") for number in range(50)] == [None] * 50
    assert pool.reads == 2


def test_keys_when_the_issuer_adds_one_then_it_is_known_within_a_minute() -> None:
    pool = Keys()
    pool.keys.find("pool-1")
    pool.publish("pool-1", "pool-2")
    assert pool.keys.find("pool-2") is None
    pool.now += REREAD_SECONDS + 1
    assert pool.keys.find("pool-2")


def test_withdrawn_key_is_accepted_for_at_most_an_hour() -> None:
    pool = Keys()
    assert pool.keys.find("pool-1")
    pool.publish("pool-2")
    pool.now += REMEMBER_SECONDS + 1
    assert pool.keys.find("pool-1") is None


def test_keys_when_out_of_reach_then_said_and_asked_again_the_next_time() -> None:
    pool = Keys()
    answer = pool.web.pages.pop(POOL_KEYS)
    for _ in range(2):
        with pytest.raises(KeysUnavailable):
            pool.keys.find("pool-1")
    pool.web.pages[POOL_KEYS] = answer
    assert pool.keys.find("pool-1")


def test_stale_keys_are_not_used_when_the_issuer_is_unreachable() -> None:
    pool = Keys()
    pool.keys.find("pool-1")
    del pool.web.pages[POOL_KEYS]
    pool.now += REMEMBER_SECONDS + 1
    for _ in range(2):
        with pytest.raises(KeysUnavailable):
            pool.keys.find("pool-1")


@pytest.mark.parametrize("answer", [[], {}, {"keys": []}, {"keys": [{"kty": "RSA"}]}, {"keys": ["pool-1"]}])
def test_keys_when_the_answer_holds_none_then_it_is_no_answer(answer: Any) -> None:
    pool = Keys()
    pool.web.pages[POOL_KEYS] = answer
    with pytest.raises(KeysUnavailable):
        pool.keys.find("pool-1")


@pytest.mark.fault(42)
def test_configuration_naming_another_issuer_yields_no_keys() -> None:
    web = usual_web()
    web.pages[f"{OTHER}.well-known/openid-configuration"] = {"issuer": "https://evil.example", "jwks_uri": OTHER_KEYS}
    with pytest.raises(KeysUnavailable, match="names another issuer"):
        check(signed(elsewhere("admin"), rsa_key("other"), kid="other-1"), web)


# Reading them --------------------------------------------------------------------------------------------------------


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("Location", "/keys")
        self.end_headers()
        self.wfile.write(b"<html>" if self.path == "/page" else json.dumps({"keys": []}).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def https_server(folder: Path) -> Iterator[tuple[str, str]]:
    """An https server on loopback: its address and its certificate's path."""
    certificate, key = self_signed(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}", certificate
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with https_server(tmp_path_factory.mktemp("https")) as running:
        yield running


def test_reader_when_the_certificate_is_trusted_then_reads(server: tuple[str, str]) -> None:
    url, bundle = server
    assert https_reader(bundle)(f"{url}/keys") == {"keys": []}


@pytest.mark.parametrize("path", ["/moved", "/page"])
def test_reader_takes_no_keys_from_a_redirect_or_non_json_answer(path: str, server: tuple[str, str]) -> None:
    url, bundle = server
    with pytest.raises(KeysUnavailable, match="gave no keys"):
        https_reader(bundle)(url + path)


@pytest.mark.fault(42)
def test_reader_when_the_certificate_is_not_trusted_then_there_are_no_keys(server: tuple[str, str]) -> None:
    url, _ = server
    with pytest.raises(KeysUnavailable, match="gave no keys"):
        https_reader()(f"{url}/keys")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/keys", "file:///etc/passwd", "None"])
def test_reader_when_the_address_is_not_https_then_it_is_not_asked(url: str) -> None:
    with pytest.raises(KeysUnavailable, match="is not an https address"):
        https_reader()(url)


# Behind the authorizer -----------------------------------------------------------------------------------------------

ANNA = Caller("anna", frozenset({Role.OPERATOR, Role.MERCHANT}))


def test_caller_survives_the_authorizer_context_unchanged() -> None:
    handed_on = authorizer_context(ANNA, NOON + timedelta(seconds=1))
    assert all(isinstance(value, str) for value in handed_on.values())
    assert caller_of(handed_on, NOON) == ANNA


def test_caller_without_a_role_when_handed_on_then_has_none() -> None:
    caller = Caller("a-machine", frozenset())
    assert caller_of(authorizer_context(caller, NOON + timedelta(hours=1)), NOON) == caller


@pytest.mark.fault(42)
def test_authorizer_context_that_outlived_its_token_is_refused() -> None:
    with pytest.raises(NotAuthenticated, match="has expired"):
        caller_of(authorizer_context(ANNA, NOON), NOON)


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    "handed_on",
    [{}, {"subject": "anna", "roles": "admin"}, {"subject": "anna", "roles": "king", "expires_at": "9999999999"}],
)
def test_missing_or_invalid_authorizer_context_is_refused(handed_on: dict[str, str]) -> None:
    with pytest.raises(NotAuthenticated, match="bearer token"):
        caller_of(handed_on, NOON)


def test_usage_key_is_a_merchants_own_or_the_shared_one() -> None:
    assert usage_key("dev", SHOP) == "payment-api-dev-merchant-shop-client"
    assert usage_key("dev") == "payment-api-dev-people-and-others"


def test_caller_of_the_pool_has_its_issuer_and_the_name_of_its_record() -> None:
    caller = check(signed(user(username="name-in-the-pool", email="forged@example.com", email_verified=True))).caller
    assert (caller.issuer, caller.username, caller.email) == (POOL, "name-in-the-pool", "")


@pytest.mark.parametrize(
    ("claims", "email"),
    [
        ({"email": "jo@example.com", "email_verified": True}, "jo@example.com"),
        ({"email": "jo@example.com", "email_verified": "true"}, "jo@example.com"),
        ({"email": "jo@example.com", "email_verified": False}, ""),
        ({"email": "jo@example.com", "email_verified": "false"}, ""),
        ({"email": "jo@example.com", "email_verified": 2}, ""),
        ({"email": "jo@example.com", "email_verified": 1}, ""),
        ({"email": "jo@example.com", "email_verified": 1.0}, ""),
        ({"email": "jo@example.com"}, ""),
        ({"email": ["jo@example.com"], "email_verified": True}, ""),
        ({"email": "jo@example.com\n", "email_verified": True}, ""),
        ({"email_verified": True}, ""),
    ],
)
def test_caller_of_another_issuer_has_only_an_address_that_it_verified(claims: dict[str, Any], email: str) -> None:
    caller = check(signed(elsewhere("customer", username="x", **claims), rsa_key("other"), kid="other-1")).caller
    assert (caller.issuer, caller.username, caller.email) == (OTHER, "", email)


def test_context_of_the_authorizer_has_what_the_issuer_knows() -> None:
    caller = Caller("jo", frozenset({Role.CUSTOMER}), issuer=OTHER, username="name", email="jo@example.com")
    found = caller_of(authorizer_context(caller, NOON + timedelta(hours=1)), NOON)
    assert (found.issuer, found.username, found.email) == (OTHER, "name", "jo@example.com")
    assert "jo@example.com" not in repr(found)
