"""Tokens over REST: permissions, stored data, and data that is never shown."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from fakes.customers import MemoryCustomerStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.limits import MemoryLimitStore
from fakes.tokens import MemoryTokenStore
from payments.domain.clock import iso
from payments.domain.customer import Customer, erased
from payments.domain.identity import Caller, Role
from payments.domain.sealed_text import is_sealed
from payments.domain.token import Token, token_id_of
from payments.ports.access_log import Denied
from payments.ports.field_encryptor import EncryptionUnavailable
from payments.rest import tokens as operations
from payments.rest.http import Problem
from payments.rest.rate_limits import Kind, Limiter
from payments.rest.request import Request
from tests.unit.builders import NOON

ADMIN = Caller("sub_admin", frozenset({Role.ADMIN}))
OPERATOR = Caller("sub_operator", frozenset({Role.OPERATOR}))
SHOP = Caller("sub_shop", frozenset({Role.MERCHANT}))
OTHER_SHOP = Caller("sub_other_shop", frozenset({Role.MERCHANT}))
JO = Caller("sub_jo", frozenset({Role.CUSTOMER}))
SAM = Caller("sub_sam", frozenset({Role.CUSTOMER}))

TOKEN = "ptok_" + "x" * 43
TOKEN_ID = token_id_of(TOKEN)
NEW = {"customer_id": "cus_1", "payment_method": "pm_card_visa", "metadata": {"till": "7"}}


class AccessLog:
    """Records the denied accesses."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, str]] = []

    def denied(self, entry: Denied, at: datetime) -> None:
        self.entries.append((entry.subject, entry.kind, entry.resource_id))


class MeddledStore(MemoryTokenStore):
    """A tokens table with a change just before a token is stored."""

    meddle: Callable[[], None] = staticmethod(lambda: None)

    def create(self, token: Token) -> None:
        self.meddle()
        super().create(token)


@dataclass
class TokenScenario:
    """The ports of the operations, with the customer cus_1 of Jo, created by the shop."""

    customers: MemoryCustomerStore = field(default_factory=MemoryCustomerStore)
    tokens: MeddledStore = field(default_factory=MeddledStore)
    encryptor: MemoryFieldEncryptor = field(default_factory=MemoryFieldEncryptor)
    access_log: AccessLog = field(default_factory=AccessLog)
    new_token: Callable[[], str] = lambda: TOKEN

    def __post_init__(self) -> None:
        self.customers.create(Customer("cus_1", subject="sub_jo", created_by="sub_shop", version=1))
        self.limiter = Limiter(MemoryLimitStore(), dict.fromkeys(Kind, 1000))

    def call(
        self, operation: str, caller: Caller = SHOP, body: Any = None, token_id: str = TOKEN_ID, at: datetime = NOON
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, body and headers of an answer."""
        request = Request(
            operation, caller, at, "req-1", "192.0.2.1", {"token_id": token_id}, {}, {"body": json.dumps(body)}
        )
        answer = getattr(operations, operation)(request, self)
        return answer["statusCode"], json.loads(answer["body"] or "{}"), answer["headers"]

    def create(self, caller: Caller = SHOP, **change: Any) -> dict[str, Any]:
        """Create a token. Returns the answer's body."""
        status, body, _ = self.call("create_token", caller, NEW | change)
        assert status == 201
        return body

    def refused(self, operation: str, caller: Caller = SHOP, **more: Any) -> Problem:
        with pytest.raises(Problem) as problem:
            self.call(operation, caller, **more)
        return problem.value

    def erase(self) -> None:
        """The customer, as DELETE /customers/{customer_id} does it."""
        self.customers.save(erased(self.customers.rows["cus_1"], at=NOON))
        self.tokens.revoke_all_of("cus_1", NOON)


# Making ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", [SHOP, JO, ADMIN])
def test_create_token_returns_the_token_with_no_store(caller: Caller) -> None:
    status, body, headers = TokenScenario().call("create_token", caller, NEW)
    assert (status, headers["Location"], headers["Cache-Control"]) == (201, f"/tokens/{TOKEN_ID}", "no-store")
    assert body == {
        "token": TOKEN,
        "token_id": TOKEN_ID,
        "customer_id": "cus_1",
        "expires_at": iso(NOON + timedelta(days=1)),
        "links": {"self": f"/tokens/{TOKEN_ID}"},
    }


def test_create_token_stores_no_plain_token_and_seals_the_rest() -> None:
    scenario = TokenScenario()
    scenario.create()
    stored = scenario.tokens.rows[TOKEN_ID]
    assert TOKEN not in repr(stored)
    assert (stored.customer_id, stored.created_by, stored.revoked_at) == ("cus_1", "sub_shop", "")
    assert is_sealed(stored.payment_method)
    sealed = {"payment_method": stored.payment_method, "metadata.till": stored.metadata["till"]}
    plain = {"payment_method": "pm_card_visa", "metadata.till": "7"}
    assert scenario.encryptor.open({"customer_id": "cus_1"}, sealed) == plain


@pytest.mark.parametrize("seconds", [60, 31_536_000, 3600.0])
def test_create_token_when_a_lifetime_is_given_then_it_ends_then(seconds: float) -> None:
    body = TokenScenario().create(expires_in_seconds=seconds)
    assert body["expires_at"] == iso(NOON + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"customer_id": None}, "customer_id"),
        ({"customer_id": "no blanks"}, "customer_id"),
        ({"customer_id": 7}, "customer_id"),
        ({"payment_method": ""}, "payment_method"),
        ({"payment_method": "pm-secret"}, "payment_method"),
        ({"payment_method": TOKEN}, "payment_method"),
        ({"metadata": None}, "metadata"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {"a": "sealed.v1.secret"}}, "metadata"),
        ({"metadata": {"a": f"see {TOKEN}"}}, "metadata"),
        ({"expires_in_seconds": 59}, "expires_in_seconds"),
        ({"expires_in_seconds": 31_536_001}, "expires_in_seconds"),
        ({"expires_in_seconds": 60.5}, "expires_in_seconds"),
        ({"expires_in_seconds": 1e300}, "expires_in_seconds"),
        ({"expires_in_seconds": True}, "expires_in_seconds"),
        ({"expires_in_seconds": "60"}, "expires_in_seconds"),
        ({"expires_in_seconds": None}, "expires_in_seconds"),
        ({"colour": "secret"}, "colour"),
    ],
)
def test_create_token_names_an_invalid_field_without_repeating_it(change: Any, name: str) -> None:
    scenario = TokenScenario()
    problem = scenario.refused("create_token", body=NEW | change)
    assert (problem.status, [error.field for error in problem.errors]) == (400, [name])
    assert "secret" not in str([problem.detail, problem.errors])
    assert scenario.tokens.rows == {}


def test_create_token_names_both_missing_required_fields() -> None:
    problem = TokenScenario().refused("create_token", body={})
    assert [error.field for error in problem.errors] == ["customer_id", "payment_method"]


@pytest.mark.fault(44)
@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"customer_id": "4242424242424242"}, "customer_id"),
        ({"payment_method": "4242424242424242"}, "payment_method"),
        ({"metadata": {"a": "4242 4242 4242 4242"}}, "metadata"),
        ({"metadata": {"42424242": "42424242"}}, "metadata"),
        ({"metadata": {"CVV": "123"}}, "metadata"),
        ({"metadata": {"a": {"deep": [4242424242424242]}}}, "metadata"),
        ({"expires_in_seconds": 4242424242424242}, "expires_in_seconds"),
        ({"4242424242424242": 1}, "field"),
        ({"cvc": "123"}, "cvc"),
    ],
)
def test_create_token_refuses_card_data_anywhere_without_repeating_it(change: Any, name: str) -> None:
    scenario = TokenScenario()
    problem = scenario.refused("create_token", body=NEW | change)
    assert [error.field for error in problem.errors] == [name]
    assert not any(digits in str([problem.detail, problem.errors]) for digits in ("4242", "123"))
    assert scenario.tokens.rows == {}


@pytest.mark.fault(41)
@pytest.mark.parametrize(("caller", "audited"), [(OTHER_SHOP, True), (SAM, True), (SHOP, False)])
def test_create_token_gives_404_and_audits_another_owners_customer(caller: Caller, audited: bool) -> None:
    scenario = TokenScenario()
    customer_id = "cus_1" if audited else "cus_2"
    problem = scenario.refused("create_token", caller, body=NEW | {"customer_id": customer_id})
    assert problem.status == 404
    assert bool(scenario.access_log.entries) == audited
    assert scenario.tokens.rows == {}


def test_create_token_when_the_customer_was_erased_then_404() -> None:
    scenario = TokenScenario()
    scenario.erase()
    assert scenario.refused("create_token", ADMIN, body=NEW).status == 404
    assert scenario.tokens.rows == {}


def test_create_token_during_an_erasure_gives_404_and_revokes_the_token() -> None:
    scenario = TokenScenario()
    scenario.tokens.meddle = scenario.erase
    assert scenario.refused("create_token", ADMIN, body=NEW).status == 404
    assert scenario.tokens.rows[TOKEN_ID].revoked_at
    assert not scenario.tokens.rows[TOKEN_ID].payment_method


@pytest.mark.fault(45)
def test_create_token_when_the_key_is_off_then_nothing_is_stored() -> None:
    scenario = TokenScenario()
    scenario.encryptor.available = False
    with pytest.raises(EncryptionUnavailable):
        scenario.create()
    assert scenario.tokens.rows == {}


# Showing and revoking ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", [SHOP, JO, ADMIN, OPERATOR])
def test_get_token_hides_the_token_and_the_payment_method(caller: Caller) -> None:
    scenario = TokenScenario()
    scenario.create()
    status, body, _ = scenario.call("get_token", caller)
    assert status == 200
    assert body == {
        "token_id": TOKEN_ID,
        "customer_id": "cus_1",
        "status": "active",
        "metadata": {"till": "7"},
        "created_at": iso(NOON),
        "expires_at": iso(NOON + timedelta(days=1)),
        "links": {"self": f"/tokens/{TOKEN_ID}"},
    }


def test_get_token_when_time_is_over_then_expired() -> None:
    scenario = TokenScenario()
    scenario.create(expires_in_seconds=60)
    assert scenario.call("get_token", at=NOON + timedelta(seconds=60))[1]["status"] == "expired"


@pytest.mark.fault(41)
@pytest.mark.parametrize("operation", ["get_token", "revoke_token"])
@pytest.mark.parametrize("caller", [OTHER_SHOP, SAM])
def test_token_of_another_customer_gives_an_audited_404_as_if_unknown(operation: str, caller: Caller) -> None:
    scenario = TokenScenario()
    scenario.create()
    problem = scenario.refused(operation, caller)
    assert (problem.status, problem.detail) == (404, scenario.refused(operation, token_id="0" * 64).detail)
    assert scenario.access_log.entries == [(caller.subject, "token", TOKEN_ID)]
    assert not scenario.tokens.rows[TOKEN_ID].revoked_at


@pytest.mark.parametrize("token_id", [TOKEN, "", "A" * 64, "0" * 64])
def test_get_token_with_an_unknown_id_gives_404_without_repeating_it(token_id: str) -> None:
    scenario = TokenScenario()
    scenario.create()
    problem = scenario.refused("get_token", token_id=token_id)
    assert problem.status == 404
    assert not token_id or token_id not in problem.detail


def test_revoke_token_repeated_gives_204_and_keeps_the_first_time() -> None:
    scenario = TokenScenario()
    scenario.create()
    for minutes in (1, 2):
        assert scenario.call("revoke_token", JO, at=NOON + timedelta(minutes=minutes))[:2] == (204, {})
    gone = scenario.refused("get_token")
    assert (gone.status, iso(NOON + timedelta(minutes=1)) in gone.detail) == (404, True)


def test_revoke_token_when_the_key_is_off_then_it_works_all_the_same() -> None:
    scenario = TokenScenario()
    scenario.create()
    scenario.encryptor.available = False
    assert scenario.call("revoke_token")[0] == 204


def test_get_token_when_its_customer_was_erased_then_for_staff_alone() -> None:
    scenario = TokenScenario()
    scenario.create()
    scenario.erase()
    assert scenario.refused("get_token", OPERATOR).status == 404
    assert scenario.refused("get_token", JO).status == 404
    assert scenario.refused("get_token", SHOP).status == 404
