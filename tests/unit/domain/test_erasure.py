"""What remains of an erased customer in the rows of a backup."""

import pytest

from payments.domain.backup import Row
from payments.domain.customer import erased_for
from payments.domain.erasure import without_erased

AT = "2026-12-01T12:00:00.000Z"
ERASED = {"cus_1": AT}


def row(**texts: str) -> Row:
    return {name: {"S": text} for name, text in texts.items()}


CUSTOMER = row(customer_id="cus_1", created_at="2026-11-01", version="3", email="sealed", email_hash="h", subject="s")


@pytest.mark.fault(76)
def test_restored_row_of_an_erased_customer_keeps_what_its_erasure_keeps() -> None:
    owned = row(customer_id="cus_1", subject="s", created_by="m")
    left = without_erased("customers", owned, ERASED)
    assert left["erased_for"]["S"] == erased_for("cus_1", "s", "m")
    assert without_erased("customers", left, ERASED) == left


@pytest.mark.fault(76)
def test_customer_becomes_the_mark_that_its_id_is_used() -> None:
    owners = erased_for("cus_1", "s", "")
    left = row(customer_id="cus_1", created_at="2026-11-01", version="3", erased_at=AT, erased_for=owners)
    assert without_erased("customers", CUSTOMER, ERASED) == left
    assert without_erased("customers", left | row(erased_at="2026-11-30"), ERASED) == left | row(erased_at="2026-11-30")


@pytest.mark.fault(76)
def test_payment_loses_the_address_and_a_token_all_but_its_id() -> None:
    payment = row(payment_id="pay_1", customer_id="cus_1", status="succeeded")
    assert without_erased("payments", payment | row(client_ip="sealed", card_counters="c"), ERASED) == payment
    token = row(token_id="t", customer_id="cus_1", expires_at="2027")
    revoked = without_erased("payment-tokens", token | row(payment_method="sealed", metadata="m"), ERASED)
    assert revoked == token | row(revoked_at=AT)
    assert without_erased("payment-tokens", revoked, {"cus_1": "2027-01-01"}) == revoked


@pytest.mark.parametrize("table", ["customers", "payments", "payment-tokens", "payment-audit-log"])
def test_rows_of_others_stay_as_they_are(table: str) -> None:
    other = CUSTOMER | row(customer_id="cus_2", client_ip="sealed", payment_method="sealed")
    assert without_erased(table, other, ERASED) == other
    assert without_erased(table, row(payment_id="pay_1"), ERASED) == row(payment_id="pay_1")


def test_audit_entries_stay_as_they_are() -> None:
    entry = row(payment_id="pay_1", sequence="1", customer_id="cus_1")
    assert without_erased("payment-audit-log", entry, ERASED) == entry
