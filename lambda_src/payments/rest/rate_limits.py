"""Limits of calls a minute for an address, a customer and a caller, counted over all function instances."""

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from enum import StrEnum

from payments.domain.identity import Role
from payments.observability.logs import logger
from payments.ports.limit_store import LimitStore, LimitsUnavailable
from payments.rest.http import Problem
from payments.rest.request import Request

WINDOW = timedelta(minutes=1)
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
"""Methods that are counted for an address. The web ACL counts all its calls, and a merchant's plan the merchant's."""


class Kind(StrEnum):
    """What a limit applies to."""

    IP = "ip"
    """The address that API Gateway received the call from, never one from a header."""
    CUSTOMER = "customer"
    """The customer of a payment, and a caller with the customer role."""
    READER = "reader"
    """A caller with the customer role that reads: anyone may register, and each read costs queries and KMS."""


class TooMany(Problem):
    """A counter is over its limit: 429 with Retry-After, the seconds until the next window."""

    def __init__(self, what: str, retry_after_seconds: int) -> None:
        super().__init__(
            429,
            "throttled",
            f"too many requests {what}; wait {retry_after_seconds} seconds, then send the same request again",
            retry_after_seconds=retry_after_seconds,
        )


class Limiter:
    """Counts in fixed windows of one minute: one write for each counter, and no reads.

    If the counters cannot be reached, the call continues and a warning is logged. The counters slow down clients that
    send too much; they do not protect money. Rejecting all payments would turn the outage of one table into an outage
    for every client. The other limits still apply then: the web ACL, the API's throttle and the usage plans. The
    throttle also keeps a counter far below the 1,000 writes per second that DynamoDB accepts for one item.
    """

    def __init__(self, store: LimitStore, per_minute: Mapping[str, int]) -> None:
        """`per_minute` holds the most calls for each `Kind`."""
        self._store = store
        self._per_minute = {Kind(kind): most for kind, most in per_minute.items()}

    def check(self, request: Request, customer_id: str = "") -> None:
        """Count a call before any work for it, also one that will be denied: for its caller if that is a customer, and
        one that changes data for its address and the customer too.

        Raises TooMany.
        """
        changes = request.event["httpMethod"] in CHANGING
        if changes and request.ip:
            self._count(Kind.IP, request.ip, "from your address", request.at)
        if request.caller.has(Role.CUSTOMER):
            kind = Kind.CUSTOMER if changes else Kind.READER
            self._count(kind, f"caller {request.caller.subject}", "from you", request.at)
        if not changes:
            return
        if customer_id:
            self.check_customer(customer_id, request.at)

    def count_missing(self, request: Request) -> None:
        """Count a request for an id that does not exist, and never refuse it.

        The write takes as long as the audit entry for another caller's id: the time of a 404 must not tell them apart.
        """
        with suppress(TooMany):
            self._count(Kind.CUSTOMER, f"missing {request.caller.subject}", "", request.at)

    def check_customer(self, customer_id: str, at: datetime) -> None:
        """Count a change for a customer that only the body names. Raises TooMany."""
        self._count(Kind.CUSTOMER, customer_id, "for this customer", at)

    def _count(self, kind: Kind, who: str, what: str, at: datetime) -> None:
        ends = at.replace(second=0, microsecond=0) + WINDOW
        try:
            counted = self._store.count(f"{kind}#{who}#{ends:%Y-%m-%dT%H:%M}", ends)
        except LimitsUnavailable as unavailable:
            logger().warning("not counted: the limits table cannot be reached", kind=kind, reason=str(unavailable))
            return
        if counted > self._per_minute[kind]:
            raise TooMany(what, math.ceil((ends - at).total_seconds()))
