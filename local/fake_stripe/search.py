"""Stripe's search (docs.stripe.com/search): its query language, and the operations that use it. It lags behind."""

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from local.fake_stripe import parameters
from local.fake_stripe.errors import ApiError, invalid
from local.fake_stripe.faults import Faults, Kind
from local.fake_stripe.objects import Json
from local.fake_stripe.settings import Settings
from local.fake_stripe.store import Store

MOST_CLAUSES = 10
_FIELDS: dict[str, dict[str, Literal["numeric", "string", "token"]]] = {
    "payment_intents": {
        "amount": "numeric",
        "created": "numeric",
        "currency": "token",
        "customer": "token",
        "metadata": "token",
        "status": "token",
    },
    "customers": {
        "created": "numeric",
        "email": "string",
        "metadata": "token",
        "name": "string",
        "phone": "string",
    },
}
"""The fields of each resource. A token matches as a whole, a string by a phrase in it, both in any case."""
_CLAUSE = re.compile(
    r"""(?P<negated>-?)(?P<field>[a-z_]+)(?:\[(?P<q>["'])(?P<key>[^"']+)(?P=q)\])?(?P<operator>:|~|<=|>=|<|>)"""
    r"""(?:(?P<p>["'])(?P<text>(?:\\.|(?!(?P=p)).)*)(?P=p)|(?P<number>\d+)|(?P<null>null))"""
)
_BETWEEN = re.compile(r"\s+(?:(?P<word>AND|OR)\s+)?", re.IGNORECASE)
_COMPARISONS = {
    ":": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_SHORTEST_PART = 3
"""Characters that `~` needs."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition. `value` is None for `null`, which means that the field has a value if the clause is negated."""

    field: str
    key: str
    operator: str
    value: str | int | None
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """Conditions, of which all or any must hold."""

    clauses: list[Clause]
    any: bool = False

    @property
    def payment_id(self) -> str:
        """The payment id that every match has. Empty if there is none."""
        ids = (c.value for c in self.clauses if (c.field, c.key, c.operator) == ("metadata", "payment_id", ":"))
        found = [] if self.any or any(clause.negated for clause in self.clauses) else [i for i in ids if i]
        return str(found[0]) if found else ""


def parse(text: str, resource: str = "payment_intents") -> Query:
    """The conditions of `metadata["k"]:"v" AND status:"s"`. Raises ApiError."""
    clauses, words, at = [], set(), 0
    text = text.strip()
    while True:
        match = _CLAUSE.match(text, at)
        if not match or not _fits(match, _FIELDS[resource]):
            raise _unreadable()
        value = int(match["number"]) if match["number"] else None if match["null"] else match["text"]
        if isinstance(value, str):
            value = re.sub(r"\\(.)", r"\1", value)
        clauses.append(Clause(match["field"], match["key"] or "", match["operator"], value, bool(match["negated"])))
        if match.end() == len(text):
            break
        between = _BETWEEN.match(text, match.end())
        if not between:
            raise _unreadable()
        words.add((between["word"] or "AND").upper())
        at = between.end()
    if len(clauses) > MOST_CLAUSES or len(words) > 1:
        raise _unreadable()
    return Query(clauses, any=words == {"OR"})


def _fits(match: re.Match[str], fields: dict[str, Literal["numeric", "string", "token"]]) -> bool:
    kind = fields.get(match["field"])
    if kind is None or (match["field"] == "metadata") != bool(match["key"]):
        return False
    if kind == "numeric":
        return match["operator"] != "~" and match["text"] is None
    if match["operator"] == "~":
        return kind == "string" and len(match["text"] or "") >= _SHORTEST_PART
    return match["operator"] == ":" and match["number"] is None


def _unreadable() -> ApiError:
    return invalid(
        'We were unable to parse your search query. Please try using the format `metadata["key"]:"value"` to query '
        'for metadata or key:"value" to query for other fields.',
        param="query",
    )


def matches(found: Json, query: Query, *, resource: str = "payment_intents", phrases: bool = False) -> bool:
    """True if an object matches. With `phrases`, metadata matches like a string."""
    kinds = _FIELDS[resource]
    results = (
        _holds(found, clause, phrase=kinds[clause.field] == "string" or (phrases and clause.field == "metadata"))
        != clause.negated
        for clause in query.clauses
    )
    return any(results) if query.any else all(results)


def _holds(found: Json, clause: Clause, *, phrase: bool) -> bool:
    value: Any = found[clause.field]
    if clause.key:
        value = value.get(clause.key)
    if clause.value is None or value is None:
        return value is clause.value
    if isinstance(clause.value, int):
        return bool(_COMPARISONS[clause.operator](value, clause.value))
    value, wanted = str(value).casefold(), clause.value.casefold()
    if clause.operator == "~":
        return wanted in value
    if not phrase:
        return bool(value == wanted)
    words, part = re.findall(r"\w+", value), re.findall(r"\w+", wanted)
    return any(words[at : at + len(part)] == part for at in range(len(words) - len(part) + 1))


class Search:
    """The search operations of the API. They raise ApiError."""

    def __init__(self, store: Store, faults: Faults, settings: Settings) -> None:
        self._store = store
        self._faults = faults
        self._settings = settings

    def intents(self, params: Json, _: str = "") -> Json:
        """GET /v1/payment_intents/search."""
        return self._page("payment_intents", params, self._intents)

    def customers(self, params: Json, _: str = "") -> Json:
        """GET /v1/customers/search."""
        return self._page("customers", params, self._customers)

    def _intents(self, query: Query) -> Iterator[Json]:
        indexed = "" if self._settings.metadata_phrases else query.payment_id
        return self._store.newest_first(indexed or None)

    def _customers(self, _: Query) -> Iterable[Json]:
        return (found for found in reversed(self._store.customers.values()) if not found.get("deleted"))

    def _page(self, resource: str, params: Json, candidates: Callable[[Query], Iterable[Json]]) -> Json:
        parameters.check_names(params, parameters.SEARCH)
        query = parse(params.get("query", ""), resource)
        if self._faults.take(Kind.SEARCH_REFUSED, query.payment_id):
            raise invalid("The search feature is temporarily unavailable in your region.")
        start, limit = parameters.page(params), parameters.limit(params)
        with self._store.lock:
            found = [
                dict(item)
                for item in candidates(query)
                if matches(item, query, resource=resource, phrases=bool(self._settings.metadata_phrases))
                and self._indexed(item)
            ]
        more = len(found) > start + limit
        return {
            "object": "search_result",
            "url": f"/v1/{resource}/search",
            "has_more": more,
            "next_page": str(start + limit) if more else None,
            "data": found[start : start + limit],
        }

    def _indexed(self, found: Json) -> bool:
        """True if search already shows the object."""
        fault = self._faults.take(Kind.SEARCH_LAG, found["metadata"].get("payment_id", ""))
        lag_seconds = max(self._settings.search_lag_seconds, fault.seconds if fault else 0)
        return self._store.age_seconds(found["id"]) >= lag_seconds
