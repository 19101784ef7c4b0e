"""The statuses of a payment and the allowed changes between them.

The record step, the API document, the batch report and the tests are generated from this table or checked against it.
"""

from enum import StrEnum


class Status(StrEnum):
    """The status of a payment, as in the API, the tables and the events."""

    PENDING = "pending"
    """Accepted and stored. Nothing was sent to a gateway yet."""
    PROCESSING = "processing"
    """The charge is running, or settling at the gateway."""
    REQUIRES_ACTION = "requires_action"
    """The customer must authenticate (3-D Secure) before the gateway continues."""
    IN_REVIEW = "in_review"
    """Held for an operator, by a fraud rule or because the gateway's answer contradicts our request."""
    SUCCEEDED = "succeeded"
    """The gateway captured the money."""
    DECLINED = "declined"
    """The issuer or the gateway declined the payment."""
    REJECTED = "rejected"
    """Invalid, or rejected by us or by the gateway. Nothing was charged."""
    UNKNOWN = "unknown"
    """Sent, and the result is not known yet. Only proof from the gateway changes this status."""
    FAILED = "failed"
    """Proven not charged: the gateway was not reachable, or rejected the request before it charged."""
    PARTIALLY_REFUNDED = "partially_refunded"
    """A part of the captured amount was refunded."""
    REFUNDED = "refunded"
    """The whole captured amount was refunded."""
    DISPUTED = "disputed"
    """The cardholder disputes the payment at their bank."""
    DISPUTE_LOST = "dispute_lost"
    """The bank took the money back."""


_S = Status

TRANSITIONS: dict[Status, frozenset[Status]] = {
    _S.PENDING: frozenset(
        {
            _S.PENDING,  # why it waits is recorded: the gateway is out of reach, or an operator paused batches
            _S.PROCESSING,
            _S.REJECTED,
            _S.IN_REVIEW,
            _S.FAILED,
        }
    ),
    _S.PROCESSING: frozenset(
        {
            _S.PENDING,  # this attempt provably charged nothing: the next one starts from the beginning
            _S.PROCESSING,  # the gateway accepted it and settles later: its reference is recorded
            _S.SUCCEEDED,
            _S.DECLINED,
            _S.REQUIRES_ACTION,
            _S.IN_REVIEW,
            _S.UNKNOWN,
            _S.FAILED,
        }
    ),
    _S.REQUIRES_ACTION: frozenset(
        {
            _S.PROCESSING,
            _S.SUCCEEDED,
            _S.DECLINED,
            _S.IN_REVIEW,
            _S.UNKNOWN,  # the gateway reports a status of its charge that we do not know
            _S.FAILED,
        }
    ),
    _S.IN_REVIEW: frozenset({_S.PENDING, _S.SUCCEEDED, _S.REJECTED, _S.DECLINED}),
    _S.UNKNOWN: frozenset({_S.PROCESSING, _S.SUCCEEDED, _S.DECLINED, _S.REQUIRES_ACTION, _S.IN_REVIEW, _S.FAILED}),
    _S.SUCCEEDED: frozenset({_S.PARTIALLY_REFUNDED, _S.REFUNDED, _S.DISPUTED}),
    # a refund can fail up to 30 days after it succeeded: the money is back
    _S.PARTIALLY_REFUNDED: frozenset({_S.SUCCEEDED, _S.PARTIALLY_REFUNDED, _S.REFUNDED, _S.DISPUTED}),
    _S.REFUNDED: frozenset(
        {_S.SUCCEEDED, _S.PARTIALLY_REFUNDED, _S.DISPUTED}  # a cardholder can dispute a refunded charge
    ),
    _S.DISPUTED: frozenset({_S.SUCCEEDED, _S.PARTIALLY_REFUNDED, _S.REFUNDED, _S.DISPUTE_LOST}),
    _S.DISPUTE_LOST: frozenset(),
    _S.DECLINED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.FAILED: frozenset(),
}
"""Status → the statuses that it may change to."""

FINAL = frozenset(status for status, targets in TRANSITIONS.items() if not targets)
"""Statuses that never change again."""

OPEN = frozenset({_S.PENDING, _S.PROCESSING})
"""Statuses in which a workflow still has work to do. Every other status closes the payment's batch row."""

SETTLED = frozenset(TRANSITIONS) - {_S.PENDING, _S.PROCESSING, _S.UNKNOWN, _S.REQUIRES_ACTION, _S.IN_REVIEW}
"""Statuses in which nothing is pending: neither an answer of the gateway nor an operator's decision."""

CAPTURED = frozenset({_S.SUCCEEDED, _S.PARTIALLY_REFUNDED, _S.REFUNDED, _S.DISPUTED, _S.DISPUTE_LOST})
"""Statuses in which the gateway holds a captured charge for the payment."""


def may_move(current: Status, target: Status) -> bool:
    """True if a payment may change from `current` to `target`."""
    return target in TRANSITIONS[current]
