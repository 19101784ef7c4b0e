"""What the API shows of a payment."""

from decimal import Decimal

import pytest

from payments.domain.errors import HIDDEN_DECLINE_CODES
from payments.domain.statuses import Status
from payments.rest.views import payment_view
from tests.unit.builders import after, payment

CAPTURED = (Status.PROCESSING, Status.SUCCEEDED)


@pytest.mark.parametrize(
    ("currency", "minor_units", "shown"), [("USD", 1050, "10.50"), ("JPY", 500, "500"), ("KWD", 1230, "1.230")]
)
def test_payment_view_shows_the_refunded_amount_in_its_currency(currency: str, minor_units: int, shown: str) -> None:
    row = after(payment(currency=currency), *CAPTURED, Status.PARTIALLY_REFUNDED, refunded_minor_units=minor_units)
    assert str(payment_view(row)["amount_refunded"]) == shown


def test_payment_view_of_a_refunded_payment_of_older_code_shows_all_of_it() -> None:
    assert payment_view(after(payment(), *CAPTURED, Status.REFUNDED))["amount_refunded"] == Decimal("99.99")


def test_payment_view_omits_what_is_not_refunded_or_not_known() -> None:
    for row in (payment(), after(payment(), *CAPTURED), after(payment(), *CAPTURED, Status.PARTIALLY_REFUNDED)):
        assert "amount_refunded" not in payment_view(row)


@pytest.mark.parametrize("code", sorted(HIDDEN_DECLINE_CODES))
def test_payment_view_hides_from_a_payer_that_a_card_is_stolen(code: str) -> None:
    row = after(payment(), Status.PROCESSING, Status.DECLINED, code=code, message=f"the card is a {code}")
    to_payer = payment_view(row, to_payer=True)

    assert code not in str(to_payer)
    assert to_payer["reason"] == to_payer["history"][-1]["reason"]
    assert to_payer["reason"]["code"] == "generic_decline"
    assert payment_view(row)["reason"] == {"code": code, "message": f"the card is a {code}"}


def test_payment_view_shows_a_payer_other_declines() -> None:
    row = after(payment(), Status.PROCESSING, Status.DECLINED, code="insufficient_funds", message="no money")
    assert payment_view(row, to_payer=True) == payment_view(row)
