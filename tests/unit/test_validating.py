"""The validate step."""

import pytest

from payments.errors import InvalidPayment
from payments.gateways.stripe_amounts import refusal
from payments.outcome import answered
from payments.statuses import Status
from payments.stores.memory import MemoryCustomerStore
from payments.validating import PaymentMethods, validate
from tests.unit.builders import payment

NO_DEFAULT = PaymentMethods(MemoryCustomerStore({"c1": "pm_c1"}), "")


def test_validate_when_all_is_well_then_silent() -> None:
    validate(payment(), methods=NO_DEFAULT, refusal=refusal)
    validate(payment(method="", customer_id="c1"), methods=NO_DEFAULT, refusal=refusal)


@pytest.mark.parametrize("customer", ["", "c2"])
def test_validate_when_there_is_no_payment_method_then_rejected_with_that_reason(customer: str) -> None:
    nameless = payment(method="", customer_id=customer)
    with pytest.raises(InvalidPayment, match="no default one"):
        validate(nameless, methods=NO_DEFAULT, refusal=refusal)
    outcome = answered(lambda: validate(nameless, methods=NO_DEFAULT, refusal=refusal))
    assert outcome
    assert (outcome.status, outcome.code) == (Status.REJECTED, "no_payment_method")


def test_validate_when_the_gateway_cannot_charge_the_amount_then_rejected() -> None:
    with pytest.raises(InvalidPayment, match="amount_not_chargeable"):
        validate(payment(amount=1234, currency="KWD"), methods=NO_DEFAULT, refusal=refusal)
