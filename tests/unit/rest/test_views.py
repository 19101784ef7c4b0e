"""What the API shows of a payment."""

from decimal import Decimal

import pytest

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
