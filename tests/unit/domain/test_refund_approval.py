"""Which refunds need an approval, and the text of the setting."""

import pytest

from payments.domain.money import Money
from payments.domain.refund_approval import ApprovalLimits
from payments.domain.statuses import Status
from tests.unit.domain.test_refund import captured

LIMITS = ApprovalLimits.parse("EUR=500, USD=50,JPY=0")


@pytest.mark.parametrize(
    ("minor_units", "refunded", "reserved", "needs"),
    [
        (5000, 0, 0, False),
        (5001, 0, 0, True),
        (2000, 3000, 0, False),
        (2000, 3001, 0, True),
        (2000, 1000, 2001, True),
    ],
)
def test_all_refunds_of_a_payment_count(minor_units: int, refunded: int, reserved: int, needs: bool) -> None:
    status = Status.PARTIALLY_REFUNDED if refunded else Status.SUCCEEDED
    row = captured(refunded_minor_units=refunded, reserved_minor_units=reserved, status=status)

    assert LIMITS.needs_approval(row, Money(minor_units, "USD")) is needs


def test_currency_that_is_not_listed_needs_an_approval_once_one_is() -> None:
    assert LIMITS.needs_approval(captured(), Money(1, "GBP"))
    assert LIMITS.needs_approval(captured(), Money(1, "JPY"))
    assert not ApprovalLimits.parse("").needs_approval(captured(), Money(9999, "GBP"))


def test_limits_as_text_are_parsed_back() -> None:
    assert str(LIMITS) == "EUR=500.00,USD=50.00,JPY=0"
    assert ApprovalLimits.parse(str(LIMITS)) == LIMITS
    assert ApprovalLimits.parse(str(ApprovalLimits.parse("EUR=0"))).above == {"EUR": 0}


@pytest.mark.parametrize("text", ["EUR", "=5", "EUR=", "EUR=5,EUR=6", "EUR=5,", ",", "EUR=0.001", "eur=0", "EUR=1e3"])
def test_wrong_text_is_an_error_and_never_no_limit(text: str) -> None:
    with pytest.raises(ValueError, match="EUR=500,USD=500"):
        ApprovalLimits.parse(text)
