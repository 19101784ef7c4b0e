"""The part of Stripe's search query language that finds payments (docs.stripe.com/search)."""

import re
from typing import Any

from local.fake_stripe.errors import invalid

_CLAUSE = re.compile(
    r"""(?P<field>[a-z_]+)(?:\[(?P<q>["'])(?P<key>[^"']+)(?P=q)\])?:(?P<p>["'])(?P<value>[^"']*)(?P=p)"""
)
_FIELDS = ("status", "currency", "metadata")


Clause = tuple[str, str, str]
"""Field, metadata key, value."""


def parse(query: str) -> list[Clause]:
    """The clauses of `metadata["k"]:"v" AND status:"s"`. Raises ApiError."""
    clauses = []
    for text in re.split(r"\s+AND\s+", query.strip(), flags=re.IGNORECASE):
        match = _CLAUSE.fullmatch(text)
        if not match or match["field"] not in _FIELDS or (match["field"] == "metadata") != bool(match["key"]):
            raise invalid("We were unable to parse your search query.", param="query")
        clauses.append((match["field"], match["key"] or "", match["value"]))
    return clauses


def payment_id_in(clauses: list[Clause]) -> str | None:
    """The payment id in the clauses. None if there is none."""
    return next((value for field, key, value in clauses if (field, key) == ("metadata", "payment_id")), None)


def matches(intent: dict[str, Any], clauses: list[Clause]) -> bool:
    """True if the payment intent matches every clause. `:` ignores case (docs.stripe.com/search, "Query fields")."""
    return all(_value(intent, field, key).casefold() == value.casefold() for field, key, value in clauses)


def _value(intent: dict[str, Any], field: str, key: str) -> str:
    return str(intent[field].get(key, "") if key else intent[field])
