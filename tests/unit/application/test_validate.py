"""The validate step, and which payment method a payment is charged on."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from fakes.customers import MemoryCustomerStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.gateway import MemoryGateway
from fakes.payments import MemoryPaymentStore
from fakes.tokens import MemoryTokenStore
from payments.adapters.stripe.amounts import refusal
from payments.application.charge import Charging
from payments.application.validate import Method, PaymentMethods, validate
from payments.domain.clock import iso
from payments.domain.customer import Customer, erased
from payments.domain.errors import InvalidPayment
from payments.domain.outcome import answered
from payments.domain.payment import SENDER, Payment, moved
from payments.domain.statuses import Status
from payments.domain.token import Token
from payments.ports.field_encryptor import DecryptionFailed, EncryptionUnavailable
from tests.unit.builders import NOON, payment

NO_DEFAULT = PaymentMethods(
    MemoryCustomerStore(Customer("c1", default_payment_method="pm_c1")), "", MemoryTokenStore(), lambda: NOON
)
TOKEN_ID = "a" * 64


class ValidationScenario:
    """A customer with an encrypted default and a token, queried at noon by default."""

    def __init__(self, default: str = "pm_environment") -> None:
        self.encryptor = MemoryFieldEncryptor()
        context = {"customer_id": "c1"}
        sealed = self.encryptor.seal(
            context, {"payment_method": "pm_card_mastercard", "default_payment_method": "pm_c1"}
        )
        self.tokens = MemoryTokenStore()
        self.tokens.create(
            Token(TOKEN_ID, "c1", sealed["payment_method"], {}, iso(NOON), iso(NOON + timedelta(days=1)), "sub_shop")
        )
        self.now = NOON
        customers = MemoryCustomerStore(Customer("c1", default_payment_method=sealed["default_payment_method"]))
        self.methods = PaymentMethods(customers, default, self.tokens, lambda: self.now, self.encryptor)
        self.checks = PaymentMethods(customers, default, self.tokens, lambda: self.now)


def by_token(token_id: str = TOKEN_ID, customer_id: str = "c1") -> Payment:
    return replace(payment(method="", customer_id=customer_id), token_id=token_id)


def revoke(scenario: ValidationScenario) -> None:
    scenario.tokens.revoke(TOKEN_ID, NOON)


def expire(scenario: ValidationScenario) -> None:
    scenario.now = NOON + timedelta(days=1)


def test_validate_when_all_is_well_then_silent() -> None:
    validate(payment(), methods=NO_DEFAULT, refusal=refusal)
    validate(payment(method="", customer_id="c1"), methods=NO_DEFAULT, refusal=refusal)


@pytest.mark.parametrize("customer", ["", "c2"])
def test_validate_without_a_payment_method_rejects_with_that_reason(customer: str) -> None:
    nameless = payment(method="", customer_id=customer)
    with pytest.raises(InvalidPayment, match="no default one"):
        validate(nameless, methods=NO_DEFAULT, refusal=refusal)
    outcome = answered(lambda: validate(nameless, methods=NO_DEFAULT, refusal=refusal))
    assert outcome
    assert (outcome.status, outcome.code) == (Status.REJECTED, "no_payment_method")


def test_validate_when_the_gateway_cannot_charge_the_amount_then_rejected() -> None:
    with pytest.raises(InvalidPayment, match="amount_not_chargeable"):
        validate(payment(amount=1234, currency="KWD"), methods=NO_DEFAULT, refusal=refusal)


@pytest.mark.parametrize(
    ("row", "method"),
    [
        (payment(method="pm_own", customer_id="c1"), "pm_own"),
        (by_token(), "pm_card_mastercard"),
        (payment(method="", customer_id="c1"), "pm_c1"),
        (payment(method="", customer_id="c2"), "pm_environment"),
        (payment(method=""), "pm_environment"),
        (replace(by_token(), payment_method="pm_own"), "pm_own"),
    ],
    ids=[
        "its own",
        "its token's",
        "its customer's",
        "of an unknown customer",
        "of no customer",
        "sent before by token",
    ],
)
def test_of_when_there_are_several_then_the_nearest_in_plain_text(row: Payment, method: str) -> None:
    scenario = ValidationScenario()
    scenario.checks.check(row)
    assert scenario.methods.of(row).payment_method == method


@pytest.mark.parametrize(
    ("row", "before", "code"),
    [
        (by_token("b" * 64), None, "token_unknown"),
        (by_token(customer_id="c2"), None, "token_of_another_customer"),
        (by_token(), revoke, "token_revoked"),
        (by_token(), expire, "token_expired"),
    ],
)
def test_of_refuses_a_bad_token_with_advice_and_takes_no_other_method(
    row: Payment, before: Callable[[ValidationScenario], None] | None, code: str
) -> None:
    scenario = ValidationScenario()
    if before:
        before(scenario)
    for ask in (scenario.methods.of, scenario.checks.check):
        with pytest.raises(InvalidPayment) as refused:
            ask(row)
        assert refused.value.code == code
        assert "POST /tokens" in refused.value.message
        assert row.token_id not in refused.value.message


def test_of_uses_the_row_when_the_token_is_revoked_after_sending() -> None:
    scenario = ValidationScenario()
    revoke(scenario)
    sent = replace(by_token(), payment_method="pm_card_mastercard", status=Status.PROCESSING)
    assert scenario.methods.of(sent).payment_method == "pm_card_mastercard"


def test_charge_rejects_a_token_revoked_after_validation_and_sends_nothing() -> None:
    scenario, store = ValidationScenario(), MemoryPaymentStore()
    gateway = MemoryGateway(lambda: NOON)
    row = by_token()
    store.create(row)
    validate(row, methods=scenario.checks, refusal=refusal)
    revoke(scenario)
    outcome = answered(lambda: Charging(gateway, scenario.methods, store, lambda: NOON).charge(row))
    assert outcome
    assert (outcome.status, outcome.code) == (Status.REJECTED, "token_revoked")
    assert store.rows == {"pay_1": row}
    assert gateway.find("pay_1", "") is None


def test_of_refuses_a_token_revoked_while_the_payment_waits_again() -> None:
    scenario = ValidationScenario()
    # an attempt charged nothing, and its payment method stayed in the row
    waits = replace(by_token(), payment_method="pm_card_mastercard", attempts=1)
    revoke(scenario)
    for ask in (scenario.methods.of, scenario.checks.check):
        with pytest.raises(InvalidPayment, match="token_revoked"):
            ask(waits)


@pytest.mark.fault(86)
def test_of_takes_a_token_that_expired_while_the_gateway_was_out_of_reach() -> None:
    scenario = ValidationScenario()
    sent = moved(by_token(), Status.PROCESSING, at=NOON, actor=SENDER)
    refused = moved(sent, Status.PENDING, at=NOON, actor=SENDER, code="gateway_unreachable")
    held = moved(by_token(), Status.PENDING, at=NOON, actor="workflow", code="gateway_unreachable")
    review = moved(by_token(), Status.IN_REVIEW, at=NOON, actor="workflow")
    approved = moved(review, Status.PENDING, at=NOON, actor="operator:jane")
    expire(scenario)
    for row in (refused, held):
        assert scenario.methods.of(row).payment_method == "pm_card_mastercard"
    with pytest.raises(InvalidPayment, match="token_expired"):
        scenario.methods.of(approved)
    revoke(scenario)
    with pytest.raises(InvalidPayment, match="token_revoked"):
        scenario.methods.of(held)


CREATED = Customer("c1", default_payment_method="pm_c1", created_by="sub_shop", created_at=iso(NOON))
"""A customer's default, and when and by whom the customer was created."""


@pytest.mark.parametrize(
    ("submitted_by", "accepted_after", "method"),
    [
        ("sub_stranger", timedelta(minutes=-1), "pm_environment"),
        ("sub_stranger", timedelta(0), "pm_environment"),
        ("sub_stranger", timedelta(seconds=29), "pm_environment"),
        ("sub_stranger", timedelta(seconds=30), "pm_c1"),
        ("sub_shop", timedelta(minutes=-1), "pm_c1"),
        ("", timedelta(minutes=-1), "pm_c1"),
    ],
    ids=["before", "with", "while it may have been", "long after", "their own submits", "from a file"],
)
def test_of_uses_the_method_of_a_newer_customer_only_for_its_owner(
    submitted_by: str, accepted_after: timedelta, method: str
) -> None:
    methods = PaymentMethods(MemoryCustomerStore(CREATED), "pm_environment", MemoryTokenStore(), lambda: NOON)
    row = payment(method="", customer_id="c1")
    row = replace(row, submitted_by=submitted_by, created_at=iso(NOON + accepted_after))
    assert methods.of(row).payment_method == method


def test_charge_by_token_uses_its_method_and_stores_it_in_the_row() -> None:
    scenario, store = ValidationScenario(), MemoryPaymentStore()
    gateway = MemoryGateway(lambda: NOON)
    store.create(by_token())
    outcome = Charging(gateway, scenario.methods, store, lambda: NOON).charge(by_token())
    assert outcome.status is Status.SUCCEEDED
    assert (store.rows["pay_1"].payment_method, store.rows["pay_1"].token_id) == ("pm_card_mastercard", TOKEN_ID)


def test_check_with_the_key_off_answers_without_opening_anything() -> None:
    scenario = ValidationScenario()
    scenario.encryptor.available = False
    calls = scenario.encryptor.calls
    scenario.methods.check(by_token())
    scenario.methods.check(payment(method="", customer_id="c1"))
    assert scenario.encryptor.calls == calls


@pytest.mark.fault(45)
def test_of_when_the_key_is_off_then_it_fails_closed() -> None:
    scenario = ValidationScenario()
    scenario.encryptor.available = False
    for row in (by_token(), payment(method="", customer_id="c1")):
        with pytest.raises(EncryptionUnavailable):
            scenario.methods.of(row)


def test_of_without_an_encryptor_gives_nothing_sealed() -> None:
    scenario = ValidationScenario()
    with pytest.raises(EncryptionUnavailable):
        scenario.checks.of(by_token())
    assert scenario.checks.of(payment(method="")) == Method("pm_environment")


def test_of_does_not_open_a_token_with_the_text_of_another_customer() -> None:
    scenario = ValidationScenario()
    of_another = scenario.encryptor.seal({"customer_id": "c2"}, {"payment_method": "pm_c2"})["payment_method"]
    scenario.tokens.rows[TOKEN_ID] = replace(scenario.tokens.rows[TOKEN_ID], payment_method=of_another)
    with pytest.raises(DecryptionFailed):
        scenario.methods.of(by_token())


# The gateway's customer ----------------------------------------------------------------------------------------------

SAVER = replace(CREATED, gateway_customer="cus_stripe")
LATER = iso(NOON + timedelta(hours=1))


def methods_of(customer: Customer, encryptor: MemoryFieldEncryptor | None = None) -> PaymentMethods:
    """The payment methods of one customer, who has a token for pm_token, and of the environment."""
    tokens = MemoryTokenStore()
    tokens.create(Token(TOKEN_ID, "c1", "pm_token", {}, iso(NOON), iso(NOON + timedelta(days=1)), "sub_shop"))
    return PaymentMethods(MemoryCustomerStore(customer), "pm_environment", tokens, lambda: NOON, encryptor)


@pytest.mark.fault(52)
@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (payment(method="pm_own", customer_id="c1"), Method("pm_own", "cus_stripe")),
        (payment(method="", customer_id="c1"), Method("pm_c1", "cus_stripe")),
        (by_token(), Method("pm_token", "cus_stripe")),
        (payment(method="pm_own"), Method("pm_own")),
        (payment(method="pm_own", customer_id="c2"), Method("pm_own")),
        (payment(method=""), Method("pm_environment")),
    ],
    ids=["its own", "its customer's", "its token's", "of no customer", "of an unknown customer", "the environment's"],
)
def test_of_names_the_customer_that_a_method_may_be_attached_to(row: Payment, expected: Method) -> None:
    assert methods_of(SAVER).of(replace(row, created_at=LATER)) == expected


def test_of_names_no_customer_with_the_environments_method() -> None:
    without = replace(SAVER, default_payment_method="")
    assert methods_of(without).of(payment(method="", customer_id="c1")) == Method("pm_environment")


@pytest.mark.parametrize("row", [CREATED, erased(SAVER, at=NOON)], ids=["saved no card", "erased"])
def test_of_names_no_customer_that_the_gateway_does_not_have(row: Customer) -> None:
    assert methods_of(row).of(payment(method="pm_own", customer_id="c1")) == Method("pm_own")


@pytest.mark.fault(41)
def test_of_names_no_customer_of_another_caller_created_later() -> None:
    """A stranger may name an id before its customer is created. A token is a right of its own."""
    of_a_stranger = partial(replace, submitted_by="sub_stranger", created_at=iso(NOON))
    own = payment(method="pm_own", customer_id="c1")
    assert methods_of(SAVER).of(of_a_stranger(own)) == Method("pm_own")
    assert methods_of(SAVER).of(of_a_stranger(by_token())) == Method("pm_token", "cus_stripe")
