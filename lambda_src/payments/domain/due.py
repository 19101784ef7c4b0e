"""When recovery must look at a row: the kinds of waiting work, and the key of the sparse index `by-due`."""

from dataclasses import dataclass
from enum import StrEnum

SHARES = 4
"""The partitions of each kind of payments: with a single one all their writes would go to the same partition."""
NEVER = "9999-12-31T00:00:00.000Z"
"""The due time of a row that is only counted."""
AT_ONCE = "1970-01-01T00:00:00.000Z"
"""The due time of a row that waits for the next recovery run."""


class Kind(StrEnum):
    """The kinds of waiting work. Each one gets its share of every recovery run."""

    PENDING = "pending"
    """Payments that were not sent yet, or whose attempts provably charged nothing."""
    PENDING_BATCH = "pending-batch"
    """The same of a batch. A paused batch breaker holds them back."""
    OPEN = "open"
    """Payments whose outcome the gateway knows, or that are not audited. Rows from before the index existed enter
    here."""
    CUSTOMER = "customer"
    """Payments that wait for their customer to authenticate (3-D Secure)."""
    LATE = "late"
    """Payments that are open for so long that an operator must look."""
    REVIEW = "review"
    """Payments that an operator holds."""
    EVENT = "event"
    """Parked events of the gateway."""
    REFUND = "refund"
    """Parked events that name no payment: the gateway must be asked for it."""
    REFUND_OPEN = "refund-open"
    """Refunds that the gateway has not carried out yet, or does not answer for."""
    REFUND_APPROVAL = "refund-approval"
    """Refunds that a second person must approve, due when that takes too long."""
    REFUND_ATTENTION = "refund-attention"
    """Refunds that an operator must look at: they failed late, or have had no answer or approval for too long."""
    BATCH = "batch"
    """Batches without a report."""


OF_PAYMENTS = (Kind.OPEN, Kind.PENDING, Kind.PENDING_BATCH, Kind.CUSTOMER, Kind.LATE, Kind.REVIEW)


@dataclass(frozen=True, slots=True)
class Due:
    """What a row waits for, and the time (ISO 8601) from which on recovery looks at it.

    It is a hint: the row itself decides what is done. A time that is too early costs one look.
    """

    kind: Kind
    at: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """The due rows of a kind: how many, how many of them recovery should have looked at before, and since when the
    oldest one waits ("" for none)."""

    due: int = 0
    overdue: int = 0
    oldest: str = ""
