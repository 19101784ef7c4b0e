"""Customers over REST: permissions, stored data, and concurrent changes."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from fakes.access_log import MemoryAccessLog
from fakes.customers import MemoryCustomerStore
from fakes.email_hasher import MemoryEmailHasher
from fakes.erasure_ledger import MemoryErasureLedger
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.limits import MemoryLimitStore
from fakes.listing import MemoryPaymentListing
from fakes.payments import MemoryPaymentStore
from fakes.users import MemoryUsers
from payments.application.id_rules import IdRules
from payments.domain.clock import iso
from payments.domain.customer import Customer, changed, erased
from payments.domain.identity import STAFF, Caller, Role
from payments.domain.listing import Cursor
from payments.domain.merchants import Merchants, own_customer_id
from payments.domain.ownership import owns
from payments.domain.sealed_text import Context, is_sealed
from payments.ports.erasure_ledger import LedgerUnavailable
from payments.ports.field_encryptor import EncryptionUnavailable
from payments.rest import customers as operations
from payments.rest.http import Problem, problem_answer
from payments.rest.rate_limits import Kind, Limiter
from payments.rest.request import Request
from tests.unit.builders import NOON, payment

ADMIN = Caller("sub_admin", frozenset({Role.ADMIN}))
OPERATOR = Caller("sub_operator", frozenset({Role.OPERATOR}))
SHOP = Caller("sub_shop", frozenset({Role.MERCHANT}))
OTHER_SHOP = Caller("sub_other_shop", frozenset({Role.MERCHANT}))
JO = Caller("sub_jo", frozenset({Role.CUSTOMER}))
SAM = Caller("sub_sam", frozenset({Role.CUSTOMER}))

NEW = {"customer_id": "cus_1", "email": "jo@example.com", "name": "Jo", "default_payment_method": "pm_card_visa"}


@dataclass
class Tokens:
    """Records whose tokens were revoked, and the state of the customer then."""

    customers: MemoryCustomerStore
    revoked: list[tuple[str, datetime, bool]] = field(default_factory=list)
    fails: int = 0

    def revoke_all_of(self, customer_id: str, at: datetime) -> None:
        if self.fails:
            self.fails -= 1
            raise ConnectionError
        self.revoked.append((customer_id, at, bool(self.customers.rows[customer_id].erased_at)))


class MeddledStore(MemoryCustomerStore):
    """A customers table on which another caller writes just before our saves, once for each of `meddlers`."""

    def __init__(self) -> None:
        super().__init__()
        self.meddlers: list[Callable[[Customer], Customer]] = []

    def save(self, customer: Customer) -> None:
        if self.meddlers:
            super().save(self.meddlers.pop()(self.rows[customer.customer_id]))
        super().save(customer)


def is_tombstone(customer: Customer) -> bool:
    """Whether nothing personal is left of cus_1."""
    left = Customer("cus_1", created_at=iso(NOON), version=2, erased_at=iso(NOON))
    return replace(customer, erased_for="") == left


@dataclass
class CustomerScenario:
    """The ports of the operations."""

    customers: MeddledStore = field(default_factory=MeddledStore)
    encryptor: MemoryFieldEncryptor = field(default_factory=MemoryFieldEncryptor)
    email_hasher: MemoryEmailHasher = field(default_factory=MemoryEmailHasher)
    access_log: MemoryAccessLog = field(default_factory=MemoryAccessLog)
    payments: MemoryPaymentStore = field(default_factory=MemoryPaymentStore)
    erasures: MemoryErasureLedger = field(default_factory=MemoryErasureLedger)

    def __post_init__(self) -> None:
        self.tokens = Tokens(self.customers)
        self.limiter = Limiter(MemoryLimitStore(), dict.fromkeys(Kind, 1000))
        self.listing = MemoryPaymentListing(self.payments)
        self.ids = IdRules(Merchants(), self.payments, self.customers)
        self.users = MemoryUsers(sub_jo="jo@example.com", sub_sam="sam@example.com")

    @property
    def denied(self) -> list[tuple[str, str, str]]:
        """The denied accesses to other callers' data."""
        return [(entry.subject, entry.kind, entry.resource_id) for entry in self.access_log.entries]

    def call(
        self,
        operation: str,
        caller: Caller,
        customer_id: str = "cus_1",
        body: Any = None,
        query: Mapping[str, str] | None = None,
        at: datetime = NOON,
    ) -> dict[str, Any]:
        """The answer of an operation, or its problem, with parsed JSON."""
        path = {"customer_id": customer_id}
        request = Request(operation, caller, at, "r1", "192.0.2.1", path, query or {}, {"body": json.dumps(body)})
        try:
            answer: dict[str, Any] = getattr(operations, operation)(request, self)
        except Problem as problem:
            answer = problem_answer(problem, "r1")
        return answer | {"body": json.loads(answer["body"]) if answer["body"] else None}

    def create(self, caller: Caller = SHOP, **more: Any) -> dict[str, Any]:
        """POST /customers with NEW and the given fields."""
        return self.call("create_customer", caller, body=NEW | more)

    def get(self, caller: Caller, customer_id: str = "cus_1") -> dict[str, Any]:
        """GET /customers/{customer_id}."""
        return self.call("get_customer", caller, customer_id)

    def patch(self, caller: Caller = SHOP, **changes: Any) -> dict[str, Any]:
        """PATCH /customers/cus_1."""
        return self.call("update_customer", caller, body=changes, at=NOON + timedelta(hours=1))

    def delete(self, caller: Caller = SHOP) -> dict[str, Any]:
        """DELETE /customers/cus_1."""
        return self.call("delete_customer", caller)


@pytest.fixture
def scenario() -> CustomerScenario:
    return CustomerScenario()


UNKNOWN = "no customer has this customer_id; check it, or create it with POST /customers"


def not_there(answer: dict[str, Any]) -> bool:
    """True if the answer equals that for an unknown id, word for word."""
    return answer == CustomerScenario().get(ADMIN) and (answer["statusCode"], answer["body"]["detail"]) == (
        404,
        UNKNOWN,
    )


# Create ------------------------------------------------------------------------------------------------------------


def test_create_when_new_then_201_with_its_place_and_the_method_masked(scenario: CustomerScenario) -> None:
    answer = scenario.create()
    assert answer["statusCode"] == 201
    assert answer["headers"]["Location"] == "/customers/cus_1"
    assert "Idempotent-Replayed" not in answer["headers"]
    assert answer["body"] == {
        "customer_id": "cus_1",
        "email": "jo@example.com",
        "name": "Jo",
        "default_payment_method": "****visa",
        "created_at": iso(NOON),
        "updated_at": iso(NOON),
        "links": {"self": "/customers/cus_1", "payments": "/customers/cus_1/payments"},
    }
    assert scenario.get(SHOP)["body"] == answer["body"]


@pytest.mark.parametrize(("method", "shown"), [("abc", "****"), ("abcde", "****e"), ("pm_1234567", "****4567")])
def test_create_when_the_method_is_short_then_it_is_never_shown_whole(
    scenario: CustomerScenario, method: str, shown: str
) -> None:
    assert scenario.create(default_payment_method=method)["body"]["default_payment_method"] == shown


def test_create_seals_private_fields_in_the_customers_context(scenario: CustomerScenario) -> None:
    scenario.create()
    row = scenario.customers.rows["cus_1"]
    assert all(is_sealed(value) for value in row.private.values())
    assert scenario.encryptor.open({"customer_id": "cus_1"}, row.private)["email"] == "jo@example.com"
    assert row.email_hash == MemoryEmailHasher().hash_of("jo@example.com")
    assert not any(private in repr(row) for private in ("jo@", "Jo'", "pm_card"))


@pytest.mark.parametrize(
    ("caller", "given", "subject"),
    [
        (SHOP, "", ""),
        (SHOP, "sub_jo", "sub_jo"),
        (ADMIN, "sub_jo", "sub_jo"),
    ],
)
def test_create_when_stored_then_it_is_known_whose_it_is_and_by_whom(
    scenario: CustomerScenario, caller: Caller, given: str, subject: str
) -> None:
    assert scenario.create(caller, **({"subject": given} if given else {}))["statusCode"] == 201
    row = scenario.customers.rows["cus_1"]
    assert (row.subject, row.created_by) == (subject, caller.subject)


def test_create_refuses_a_customer_who_names_another_subject(scenario: CustomerScenario) -> None:
    answer = scenario.call("create_customer", JO, body={"subject": "sub_sam"})
    assert (answer["statusCode"], answer["body"]["errors"][0]["field"]) == (400, "subject")
    assert scenario.customers.rows == {}


def test_create_with_invalid_fields_names_them_all_and_stores_nothing(scenario: CustomerScenario) -> None:
    answer = scenario.create(email="jo", name=7, created_by="sub_sam")
    assert answer["statusCode"] == 400
    assert {error["field"] for error in answer["body"]["errors"]} == {"email", "name", "created_by"}
    assert scenario.customers.rows == {}


def test_create_when_the_same_comes_again_then_200_replayed_and_one_row(scenario: CustomerScenario) -> None:
    first = scenario.create()
    again = scenario.call("create_customer", SHOP, body=NEW, at=NOON + timedelta(days=1))
    assert (again["statusCode"], again["headers"]["Idempotent-Replayed"]) == (200, "true")
    assert again["headers"]["Location"] == first["headers"]["Location"]
    assert again["body"] == first["body"]
    assert scenario.customers.rows["cus_1"].version == 1


@pytest.mark.parametrize("other", [{"email": "jo2@example.com"}, {"name": "Jon"}, {"subject": "sub_sam"}])
def test_create_repeated_with_other_content_gives_409_and_keeps_the_first(
    scenario: CustomerScenario, other: dict[str, Any]
) -> None:
    scenario.create()
    answer = scenario.create(**other)
    assert (answer["statusCode"], answer["body"]["type"]) == (409, "urn:problem:payment-api:conflict")
    assert "PATCH" in answer["body"]["detail"]
    assert scenario.get(SHOP)["body"]["email"] == "jo@example.com"


def test_create_with_another_owners_id_gives_audited_409_without_details(scenario: CustomerScenario) -> None:
    scenario.create()
    same, other = scenario.create(OTHER_SHOP), scenario.create(OTHER_SHOP, email="else@example.com")
    assert same == other
    assert (same["statusCode"], same["body"]["detail"]) == (
        409,
        "nothing was stored: this customer_id is taken; use another one",
    )
    assert scenario.denied == [(OTHER_SHOP.subject, "customer", "cus_1")] * 2


@pytest.mark.parametrize(
    ("caller", "more", "status"),
    [
        (SHOP, {"subject": "sub_jo"}, 409),
        (SHOP, {}, 201),
        (ADMIN, {"subject": "sub_jo"}, 201),
    ],
    ids=["a merchant for a person", "a merchant for itself", "an admin for a person"],
)
def test_create_for_an_id_with_payments_needs_an_admin_to_set_a_subject(
    scenario: CustomerScenario, caller: Caller, more: dict[str, Any], status: int
) -> None:
    scenario.payments.create(payment(customer_id="cus_1"))
    answer = scenario.create(caller, **more)
    assert answer["statusCode"] == status
    assert ("cus_1" in scenario.customers.rows) is (status == 201)
    assert scenario.denied == ([] if status == 201 else [(caller.subject, "customer", "cus_1")])


def test_create_repeated_after_the_first_payment_is_still_replayed(scenario: CustomerScenario) -> None:
    scenario.create(SHOP, subject="sub_jo")
    scenario.payments.create(payment(customer_id="cus_1"))
    assert scenario.create(SHOP, subject="sub_jo")["statusCode"] == 200


def test_create_race_stores_one_row_and_gives_the_loser_409(scenario: CustomerScenario) -> None:
    seal = scenario.encryptor.seal

    def seal_while_the_other_creates(context: Context, values: Mapping[str, str]) -> dict[str, str]:
        scenario.encryptor.seal = seal  # type: ignore[method-assign]
        assert scenario.create(OTHER_SHOP)["statusCode"] == 201
        return seal(context, values)

    scenario.encryptor.seal = seal_while_the_other_creates  # type: ignore[method-assign]
    assert scenario.create()["statusCode"] == 409
    assert [(row.version, row.created_by) for row in scenario.customers.rows.values()] == [(1, "sub_other_shop")]


@pytest.mark.fault(45)
def test_create_when_the_key_cannot_be_used_then_nothing_is_stored(scenario: CustomerScenario) -> None:
    scenario.encryptor.available = False
    with pytest.raises(EncryptionUnavailable):
        scenario.create()
    assert scenario.customers.rows == {}


# Registration ----------------------------------------------------------------------------------------------------

ISSUER = "https://issuer.example"
ANN = Caller("sub_jo", frozenset({Role.CUSTOMER}), issuer=ISSUER)
OWN_ID = own_customer_id(ISSUER, "sub_jo")


def register(scenario: CustomerScenario, caller: Caller = ANN, **body: Any) -> dict[str, Any]:
    """POST /customers by a person."""
    return scenario.call("create_customer", caller, body=body)


def test_registration_makes_the_id_and_takes_the_verified_address(scenario: CustomerScenario) -> None:
    answer = register(scenario, name="Jo", default_payment_method="pm_card_visa")
    assert (answer["statusCode"], answer["body"]["customer_id"]) == (201, OWN_ID)
    assert answer["headers"]["Location"] == f"/customers/{OWN_ID}"
    assert (answer["body"]["email"], answer["body"]["default_payment_method"]) == ("jo@example.com", "****visa")
    row = scenario.customers.rows[OWN_ID]
    assert (row.subject, row.created_by) == ("sub_jo", "sub_jo")
    assert row.email_hash == MemoryEmailHasher().hash_of("jo@example.com")
    assert scenario.get(ANN, OWN_ID)["body"] == answer["body"]


@pytest.mark.parametrize("field", ["customer_id", "email"])
def test_registration_refuses_an_id_and_an_address_in_the_body(scenario: CustomerScenario, field: str) -> None:
    own = {"customer_id": OWN_ID, "email": "jo@example.com"}
    for value in (own[field], "another@example.com", 7, None):
        answer = scenario.call("create_customer", ANN, body={"name": "Jo", field: value})
        assert (answer["statusCode"], [error["field"] for error in answer["body"]["errors"]]) == (400, [field])
        assert "leave it out" in answer["body"]["errors"][0]["message"]
    assert scenario.customers.rows == {}


def test_registration_repeated_finds_the_customer_as_it_is_now(scenario: CustomerScenario) -> None:
    first = register(scenario, name="Jo")
    again, without = register(scenario, name="Jo"), register(scenario)
    assert [answer["statusCode"] for answer in (again, without)] == [200, 200]
    assert again["body"] == without["body"] == first["body"]
    assert again["headers"]["Idempotent-Replayed"] == "true"
    other = register(scenario, name="Jon")
    assert (other["statusCode"], OWN_ID in other["body"]["detail"]) == (409, True)
    assert len(scenario.customers.rows) == 1


def test_registration_repeated_takes_over_a_changed_address(scenario: CustomerScenario) -> None:
    register(scenario, name="Jo")
    scenario.users.verified["sub_jo"] = "new@example.com"
    answer = register(scenario)
    assert (answer["statusCode"], answer["body"]["email"], answer["body"]["name"]) == (200, "new@example.com", "Jo")
    found = scenario.call("find_customers", OPERATOR, query={"email": "new@example.com"})["body"]["customers"]
    assert [customer["customer_id"] for customer in found] == [OWN_ID]


@pytest.mark.parametrize("email", ["", "no address", "jo@localhost"])
def test_registration_without_a_verified_address_gives_403(scenario: CustomerScenario, email: str) -> None:
    scenario.users.verified["sub_jo"] = email
    answer = register(scenario)
    assert (answer["statusCode"], answer["body"]["type"]) == (403, "urn:problem:payment-api:forbidden")
    assert "verified e-mail" in answer["body"]["detail"]
    assert scenario.customers.rows == {}


def test_registration_while_logins_cannot_be_read_gives_503(scenario: CustomerScenario) -> None:
    scenario.users.available = False
    answer = register(scenario)
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "5")
    assert scenario.customers.rows == {}


def test_registration_of_one_subject_at_two_issuers_makes_two_customers(scenario: CustomerScenario) -> None:
    other = Caller("sub_jo", frozenset({Role.CUSTOMER}), issuer="https://other.example", email="jo@other.example")
    ids = {register(scenario, caller)["body"]["customer_id"] for caller in (ANN, other)}
    assert len(ids) == len(scenario.customers.rows) == 2


def test_registration_after_an_erasure_makes_another_id(scenario: CustomerScenario) -> None:
    for returns in range(operations.MOST_RETURNS):
        answer = register(scenario)
        assert answer["statusCode"] == 201
        assert answer["body"]["customer_id"] == own_customer_id(ISSUER, "sub_jo", returns)
        scenario.call("delete_customer", ANN, answer["body"]["customer_id"])
    assert register(scenario)["statusCode"] == 409


def test_update_by_a_person_leaves_the_address_to_their_login(scenario: CustomerScenario) -> None:
    register(scenario)
    scenario.create(SHOP, subject="sub_jo")
    for customer_id in (OWN_ID, "cus_1"):
        answer = scenario.call("update_customer", ANN, customer_id, {"email": "sam@example.com"})
        assert (answer["statusCode"], answer["body"]["errors"][0]["field"]) == (400, "email")
        assert scenario.call("update_customer", ANN, customer_id, {"name": "Ann"})["statusCode"] == 200
    assert scenario.patch(SHOP, email="new@example.com")["statusCode"] == 200


# Ownership -------------------------------------------------------------------------------------------------------


@pytest.mark.fault(41)
@pytest.mark.parametrize(
    ("caller", "theirs"),
    [(ADMIN, True), (OPERATOR, True), (SHOP, True), (OTHER_SHOP, False), (JO, True), (SAM, False)],
    ids=["admin", "operator", "its merchant", "another merchant", "the person", "another person"],
)
@pytest.mark.parametrize("operation", ["get_customer", "update_customer", "delete_customer"])
def test_customer_of_another_owner_gives_an_audited_404_as_if_missing(
    scenario: CustomerScenario, operation: str, caller: Caller, theirs: bool
) -> None:
    scenario.create(SHOP, subject="sub_jo")
    before = dict(scenario.customers.rows)
    answer = scenario.call(operation, caller, body={"name": "Mallory"})
    if theirs:
        assert answer["statusCode"] in (200, 204)
        assert scenario.denied == []
        return
    assert not_there(answer)
    assert scenario.customers.rows == before
    assert scenario.tokens.revoked == []
    assert scenario.denied == [(caller.subject, "customer", "cus_1")]


@pytest.mark.parametrize("operation", ["get_customer", "update_customer", "delete_customer"])
@pytest.mark.parametrize("customer_id", ["cus_1", "../health", "x" * 3000, ""])
def test_unknown_customer_gives_404_without_an_audit_entry(
    scenario: CustomerScenario, operation: str, customer_id: str
) -> None:
    assert not_there(scenario.call(operation, SHOP, customer_id, {"name": "Jo"}))
    assert scenario.denied == []


@pytest.mark.parametrize("role", list(Role))
def test_owns_when_neither_has_a_subject_then_only_staff(role: Role) -> None:
    assert owns(Caller("", frozenset({role})), Customer("cus_old")) is (role in STAFF)


def test_owns_is_false_for_the_right_subject_with_another_role() -> None:
    row = Customer("cus_1", subject="sub_jo", created_by="sub_shop")
    assert not owns(Caller("sub_jo", frozenset({Role.MERCHANT})), row)
    assert not owns(Caller("sub_shop", frozenset({Role.CUSTOMER})), row)
    assert not owns(Caller("sub_jo", frozenset()), row)


def test_get_of_a_row_without_an_owner_is_for_staff_only(
    scenario: CustomerScenario,
) -> None:
    scenario.customers.rows["cus_1"] = Customer("cus_1", default_payment_method="pm_card_visa")
    links = {"self": "/customers/cus_1", "payments": "/customers/cus_1/payments"}
    assert scenario.get(ADMIN)["body"] == {
        "customer_id": "cus_1",
        "default_payment_method": "****visa",
        "links": links,
    }
    assert not_there(scenario.get(SHOP))


# Change ------------------------------------------------------------------------------------------------------------


def test_update_when_some_is_changed_then_the_rest_stays_and_it_is_sealed(scenario: CustomerScenario) -> None:
    scenario.create()
    answer = scenario.patch(email="new@example.com", default_payment_method="pm_card_mastercard")
    assert answer["statusCode"] == 200
    assert answer["body"] == scenario.get(SHOP)["body"]
    assert (answer["body"]["email"], answer["body"]["name"]) == ("new@example.com", "Jo")
    assert answer["body"]["default_payment_method"] == "****card"
    assert (answer["body"]["created_at"], answer["body"]["updated_at"]) == (iso(NOON), iso(NOON + timedelta(hours=1)))
    row = scenario.customers.rows["cus_1"]
    assert (row.version, row.email_hash) == (2, MemoryEmailHasher().hash_of("new@example.com"))
    assert all(is_sealed(value) for value in row.private.values())


def test_update_when_null_then_removed(scenario: CustomerScenario) -> None:
    scenario.create()
    body = scenario.patch(name=None, default_payment_method=None)["body"]
    assert not {"name", "default_payment_method"} & body.keys()
    stored = scenario.customers.get("cus_1")
    assert stored
    assert stored.default_payment_method == ""


@pytest.mark.parametrize("name", ["subject", "created_by", "customer_id", "erased_at"])
def test_update_when_it_would_change_whose_it_is_then_refused(scenario: CustomerScenario, name: str) -> None:
    scenario.create(SHOP, subject="sub_jo")
    answer = scenario.patch(JO, **{name: "sub_sam", "name": "Jon"})
    assert (answer["statusCode"], answer["body"]["errors"][0]["field"]) == (400, name)
    assert scenario.get(JO)["body"]["name"] == "Jo"


def test_update_keeps_a_concurrent_change(
    scenario: CustomerScenario,
) -> None:
    scenario.create()
    sealed = scenario.encryptor.seal({"customer_id": "cus_1"}, {"name": "Joan"})
    scenario.customers.meddlers = [lambda row: changed(row, sealed, at=NOON)] * 2
    answer = scenario.patch(email="new@example.com")
    assert (answer["statusCode"], answer["body"]["email"], answer["body"]["name"]) == (200, "new@example.com", "Joan")
    assert scenario.customers.rows["cus_1"].version == 4


def test_update_gives_409_with_retry_advice_after_endless_conflicts(scenario: CustomerScenario) -> None:
    scenario.create()
    scenario.customers.meddlers = [lambda row: changed(row, {}, at=NOON)] * 9
    answer = scenario.patch(name="Jon")
    assert (answer["statusCode"], answer["body"]["type"]) == (409, "urn:problem:payment-api:conflict")
    assert "send the request again" in answer["body"]["detail"]
    assert scenario.get(SHOP)["body"]["name"] == "Jo"


def test_update_during_an_erasure_gives_404_and_it_stays_erased(scenario: CustomerScenario) -> None:
    scenario.create()
    scenario.customers.meddlers = [lambda row: erased(row, at=NOON)]
    assert not_there(scenario.patch(email="new@example.com"))
    assert is_tombstone(scenario.customers.rows["cus_1"])


@pytest.mark.fault(45)
def test_update_still_succeeds_when_the_key_fails_after_the_save(
    scenario: CustomerScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario.create()

    def save_and_switch_off(customer: Customer) -> None:
        MemoryCustomerStore.save(scenario.customers, customer)
        scenario.encryptor.available = False

    monkeypatch.setattr(scenario.customers, "save", save_and_switch_off)
    answer = scenario.patch(name="Jon")
    assert (answer["statusCode"], answer["body"]["name"], answer["body"]["email"]) == (200, "Jon", "jo@example.com")


# Erase -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", [SHOP, JO, ADMIN])
def test_delete_by_owner_or_admin_leaves_a_tombstone_and_revokes_tokens(
    scenario: CustomerScenario, caller: Caller
) -> None:
    scenario.create(subject="sub_jo")
    answer = scenario.delete(caller)
    assert (answer["statusCode"], answer["body"]) == (204, None)
    assert is_tombstone(scenario.customers.rows["cus_1"])
    assert scenario.tokens.revoked == [("cus_1", NOON, True)]


def test_erasure_is_noted_outside_of_the_tables_before_anything_else(scenario: CustomerScenario) -> None:
    scenario.create()
    scenario.erasures.is_down = True
    with pytest.raises(LedgerUnavailable):
        scenario.delete(SHOP)
    assert scenario.get(SHOP)["statusCode"] == 200
    scenario.erasures.is_down = False
    assert scenario.delete(OTHER_SHOP)["statusCode"] == 404
    assert scenario.erasures.erased == {}
    assert scenario.delete(SHOP)["statusCode"] == 204
    assert scenario.erasures.erased == {"cus_1": iso(NOON)}


def test_delete_when_repeated_then_204_and_the_tombstone_stays(scenario: CustomerScenario) -> None:
    scenario.create()
    scenario.delete()
    tombstone = scenario.customers.rows["cus_1"]
    assert scenario.delete()["statusCode"] == 204
    assert scenario.customers.rows["cus_1"] == tombstone


def test_delete_retried_after_a_failed_token_revocation_revokes_them(scenario: CustomerScenario) -> None:
    scenario.create()
    scenario.tokens.fails = 1
    with pytest.raises(ConnectionError):
        scenario.delete()
    assert scenario.delete()["statusCode"] == 204
    assert scenario.tokens.revoked == [("cus_1", NOON, True)]


def test_delete_when_it_is_changed_at_the_same_time_then_erased(scenario: CustomerScenario) -> None:
    scenario.create()
    scenario.customers.meddlers = [lambda row: changed(row, {"name": "sealed.v1.x"}, at=NOON)]
    assert scenario.delete()["statusCode"] == 204
    assert scenario.customers.rows["cus_1"].private == {"email": "", "name": "", "default_payment_method": ""}


def test_delete_gives_409_and_revokes_no_token_after_endless_conflicts(scenario: CustomerScenario) -> None:
    scenario.create()
    scenario.customers.meddlers = [lambda row: changed(row, {}, at=NOON)] * 9
    assert scenario.delete()["statusCode"] == 409
    assert scenario.tokens.revoked == []


@pytest.mark.parametrize("caller", [SHOP, ADMIN])
def test_erased_customer_is_gone_for_all_and_its_id_is_not_reused(scenario: CustomerScenario, caller: Caller) -> None:
    scenario.create(subject="sub_jo")
    scenario.delete()
    assert not_there(scenario.get(caller))
    assert not_there(scenario.patch(caller, name="Jo"))
    assert not_there(scenario.get(JO))
    answer = scenario.create(caller)
    assert answer["statusCode"] == 409
    assert "erased" in answer["body"]["detail"]
    assert scenario.denied == []


@pytest.mark.parametrize("caller", [OTHER_SHOP, SAM], ids=["another merchant", "another person"])
def test_erased_customer_of_others_answers_as_one_that_is_unknown_or_taken(
    scenario: CustomerScenario, caller: Caller
) -> None:
    scenario.create(subject="sub_jo")
    taken = scenario.create(OTHER_SHOP)
    scenario.delete()
    revoked, noted = list(scenario.tokens.revoked), dict(scenario.erasures.erased)

    assert scenario.delete(caller) == scenario.call("delete_customer", caller, "unknown")
    assert (caller.subject, "customer", "cus_1") in scenario.denied
    assert (scenario.tokens.revoked, scenario.erasures.erased) == (revoked, noted)
    assert scenario.create(OTHER_SHOP)["body"]["detail"] == taken["body"]["detail"]
    assert scenario.delete(JO)["statusCode"] == 204  # its owner may complete a call that failed midway


# Find --------------------------------------------------------------------------------------------------------------


def test_find_returns_exactly_the_customers_with_the_address(scenario: CustomerScenario) -> None:
    for customer_id, email in (("cus_1", "jo@example.com"), ("cus_2", "sam@example.com"), ("cus_3", "JO@example.com")):
        scenario.create(customer_id=customer_id, email=email)
    answer = scenario.call("find_customers", OPERATOR, query={"email": " Jo@example.com "})
    assert answer["statusCode"] == 200
    assert answer["body"] == {
        "customers": [scenario.get(SHOP, "cus_1")["body"], scenario.get(SHOP, "cus_3")["body"]],
        "complete": True,
    }


def test_find_when_there_is_none_then_an_empty_list(scenario: CustomerScenario) -> None:
    answer = scenario.call("find_customers", OPERATOR, query={"email": "jo@example.com"})
    assert answer["body"] == {"customers": [], "complete": True}


def test_find_when_there_are_many_then_pages_show_every_one_once(scenario: CustomerScenario) -> None:
    ids = [f"cus_{n:02}" for n in range(2 * operations.MOST_FOUND + 1)]
    for customer_id in ids:
        scenario.create(customer_id=customer_id)
    query, found, sizes = {"email": "jo@example.com"}, [], []
    while True:
        body = scenario.call("find_customers", OPERATOR, query=query)["body"]
        found += [customer["customer_id"] for customer in body["customers"]]
        sizes.append(len(body["customers"]))
        assert body["complete"] is ("next_cursor" not in body)
        if body["complete"]:
            break
        query |= {"cursor": body["next_cursor"]}
    assert (found, sizes) == (ids, [operations.MOST_FOUND, operations.MOST_FOUND, 1])


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"email": "jo"},
        {"email": "jo@example.com", "name": "Jo"},
        {"email": "jo@example.com", "cursor": "x"},
        {"email": "jo@example.com", "cursor": str(Cursor.of_line(3))},
    ],
)
def test_find_when_the_question_is_wrong_then_400(scenario: CustomerScenario, query: dict[str, str]) -> None:
    answer = scenario.call("find_customers", OPERATOR, query=query)
    assert answer["statusCode"] == 400
    assert answer["body"]["errors"]
