"""The validate function on moto: a minimum that is certain is checked before anything is sent."""

import pytest

from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.tables import CUSTOMERS, TOKENS
from tests.integration.functions import Context, load
from tests.moto_tables import create_table
from tests.unit.builders import payment


@pytest.mark.fault(59)
@pytest.mark.parametrize(("settlement_currencies", "rejected"), [("EUR,USD", True), ("EUR", False), ("", False)])
def test_validate_rejects_below_the_minimum_of_a_settlement_currency(
    payments: DynamoPaymentStore, settlement_currencies: str, rejected: bool
) -> None:
    create_table(CUSTOMERS)
    payments.create(payment(amount=49))
    function = load(
        "validate",
        PAYMENTS_TABLE="payments",
        CUSTOMERS_TABLE=CUSTOMERS.name,
        TOKENS_TABLE=TOKENS.name,
        SETTLEMENT_CURRENCIES=settlement_currencies,
    )

    state = function.handler({"payment_id": "pay_1"}, Context())

    assert ("outcome" in state) == rejected
    if rejected:
        assert (state["outcome"]["status"], state["outcome"]["code"]) == ("rejected", "amount_not_chargeable")
        assert "at least 0.50 USD" in state["outcome"]["message"]
