"""The part of Stripe's search language that finds payments (docs.stripe.com/search)."""

import re
from typing import Any

from local.gateway.errors import invalid

_CLAUSE = re.compile(
    r"""(?P<field>[a-z_]+)(?:\[(?P<q>["'])(?P<key>[^"']+)(?P=q)\])?:(?P<p>["'])(?P<value>[^"']*)(?P=p)"""
)
_FIELDS = ("status", "currency", "metadata")


def parse(query: str) -> list[tuple[str, str, str]]:
    """The clauses of `metadata["k"]:"v" AND status:"s"` as (field, metadata key, value). Raises ApiError."""
    clauses = []
    for text in re.split(r"\s+AND\s+", query.strip(), flags=re.IGNORECASE):
        match = _CLAUSE.fullmatch(text)
        if not match or match["field"] not in _FIELDS or (match["field"] == "metadata") != bool(match["key"]):
            raise invalid("We were unable to parse your search query.", param="query")
        clauses.append((match["field"], match["key"] or "", match["value"]))
    return clauses


def matches(intent: dict[str, Any], clauses: list[tuple[str, str, str]]) -> bool:
    """True if the payment intent fulfils every clause."""
    return all((intent[field].get(key) if key else intent[field]) == value for field, key, value in clauses)
