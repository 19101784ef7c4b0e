"""The statuses of a payment and the moves between them: the one table that everything else follows.

The record step, the API document, the batch report and the tests are made from it or checked against it.
"""

from enum import StrEnum


class Status(StrEnum):
    """Where a payment stands. The value is what the API, the tables and the events say."""

    PENDING = "pending"
    """Accepted and stored; nothing was sent to a gateway yet."""
    PROCESSING = "processing"
    """Being charged, or settling at the gateway."""
    REQUIRES_ACTION = "requires_action"
    """The customer must authenticate (3-D Secure) before the gateway goes on."""
    IN_REVIEW = "in_review"
    """Held for a person: a fraud rule, or a gateway answer that contradicts what we asked."""
    SUCCEEDED = "succeeded"
    """The gateway captured the money."""
    DECLINED = "declined"
    """The issuer or the gateway said no."""
    REJECTED = "rejected"
    """Invalid, or refused by us; never sent to a gateway."""
    UNKNOWN = "unknown"
    """Sent, and the outcome is not known yet. Only proof from the gateway ends it."""
    FAILED = "failed"
    """Proven not charged: the gateway could not be reached, or refused before it charged."""
    PARTIALLY_REFUNDED = "partially_refunded"
    """A part of the captured amount went back."""
    REFUNDED = "refunded"
    """The whole captured amount went back."""
    DISPUTED = "disputed"
    """The cardholder disputes the payment at their bank."""
    DISPUTE_LOST = "dispute_lost"
    """The bank took the money back."""


_S = Status

TRANSITIONS: dict[Status, frozenset[Status]] = {
    _S.PENDING: frozenset({_S.PROCESSING, _S.REJECTED, _S.IN_REVIEW, _S.FAILED}),
    _S.PROCESSING: frozenset(
        {
            _S.PENDING,  # this attempt provably charged nothing: the next one starts afresh
            _S.PROCESSING,  # the gateway took it and settles later: its reference is recorded
            _S.SUCCEEDED,
            _S.DECLINED,
            _S.REQUIRES_ACTION,
            _S.IN_REVIEW,
            _S.UNKNOWN,
            _S.FAILED,
        }
    ),
    _S.REQUIRES_ACTION: frozenset({_S.PROCESSING, _S.SUCCEEDED, _S.DECLINED, _S.IN_REVIEW, _S.FAILED}),
    _S.IN_REVIEW: frozenset({_S.PENDING, _S.SUCCEEDED, _S.REJECTED, _S.DECLINED}),
    _S.UNKNOWN: frozenset({_S.PROCESSING, _S.SUCCEEDED, _S.DECLINED, _S.REQUIRES_ACTION, _S.IN_REVIEW, _S.FAILED}),
    _S.SUCCEEDED: frozenset({_S.PARTIALLY_REFUNDED, _S.REFUNDED, _S.DISPUTED}),
    _S.PARTIALLY_REFUNDED: frozenset({_S.PARTIALLY_REFUNDED, _S.REFUNDED, _S.DISPUTED}),
    _S.REFUNDED: frozenset({_S.DISPUTED}),  # a cardholder can dispute what was already refunded
    _S.DISPUTED: frozenset({_S.SUCCEEDED, _S.PARTIALLY_REFUNDED, _S.REFUNDED, _S.DISPUTE_LOST}),
    _S.DISPUTE_LOST: frozenset(),
    _S.DECLINED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.FAILED: frozenset(),
}
"""From each status, those it may move to."""

FINAL = frozenset(status for status, targets in TRANSITIONS.items() if not targets)
"""Statuses that no rule leaves again."""

OPEN = frozenset({_S.PENDING, _S.PROCESSING})
"""Statuses in which a workflow still has work to do; every other one closes the payment's batch row."""

SETTLED = frozenset(TRANSITIONS) - {_S.PENDING, _S.PROCESSING, _S.UNKNOWN, _S.REQUIRES_ACTION, _S.IN_REVIEW}
"""Statuses in which nobody waits for anything: neither the sweeper for the gateway nor a payment for a person."""

CAPTURED = frozenset({_S.SUCCEEDED, _S.PARTIALLY_REFUNDED, _S.REFUNDED, _S.DISPUTED, _S.DISPUTE_LOST})
"""Statuses in which the gateway holds a captured charge for the payment."""


def may_move(current: Status, target: Status) -> bool:
    """Say whether a payment in `current` may move to `target`."""
    return target in TRANSITIONS[current]
