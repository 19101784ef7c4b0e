"""What remains in a backup's rows of a customer who was erased since."""

from collections.abc import Mapping

from payments.domain.backup import Row
from payments.domain.customer import erased_for

ERASURES = "erasures/"
"""Erased customers stand below this key, beside the backups."""
_KEPT_OF_A_CUSTOMER = ("customer_id", "created_at", "version", "erased_for")
_ERASED_OF_A_PAYMENT = ("client_ip", "card_counters")
_ERASED_OF_A_TOKEN = ("payment_method", "metadata")


def key_of(customer_id: str) -> str:
    """The key under which an erasure is noted: `erasures/cus_1`."""
    return f"{ERASURES}{customer_id}"


def without_erased(table: str, row: Row, erased: Mapping[str, str]) -> Row:
    """The row as erasing its customer leaves it, if that customer is erased; else the row.

    `erased` is customer id → when, in ISO. A customer becomes the mark that its id is used, a token is revoked, a
    payment loses the address of its buyer.
    """
    customer_id = row.get("customer_id", {}).get("S", "")
    if customer_id not in erased:
        return row
    at: Row = {"S": erased[customer_id]}
    match table:
        case "customers":
            subject, created_by = (row.get(name, {}).get("S", "") for name in ("subject", "created_by"))
            owners = erased_for(customer_id, subject, created_by)
            return {
                "erased_at": row.get("erased_at") or at,
                **({"erased_for": {"S": owners}} if owners else {}),
                **{name: row[name] for name in _KEPT_OF_A_CUSTOMER if name in row},
            }
        case "payments":
            return {name: value for name, value in row.items() if name not in _ERASED_OF_A_PAYMENT}
        case "payment-tokens":
            kept = {name: value for name, value in row.items() if name not in _ERASED_OF_A_TOKEN}
            return {"revoked_at": at} | kept
    return row
