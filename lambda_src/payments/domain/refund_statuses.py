"""The statuses of a refund and the allowed changes between them.

The API document, the lists and the tests are generated from this table or checked against it.
"""

from enum import StrEnum


class RefundStatus(StrEnum):
    """The status of a refund, as in the API, the table and the events."""

    PENDING_APPROVAL = "pending_approval"
    """Requested, and its amount is reserved. A second person must approve it before it is sent."""
    PENDING = "pending"
    """Accepted, and its amount is reserved. Everything that was sent for it provably refunded nothing."""
    PROCESSING = "processing"
    """Sent, and its result is not known yet, or the gateway has accepted it and the bank has not carried it out yet."""
    REQUIRES_ACTION = "requires_action"
    """The gateway waits for the payer, for example for the account that the money goes to."""
    SUCCEEDED = "succeeded"
    """The gateway refunded the money. The bank may still return it, up to 30 days later."""
    FAILED = "failed"
    """The payer did not get the money, and it is back on the payment: proven by an answer of the gateway."""
    CANCELED = "canceled"
    """Canceled at the gateway. The money is back on the payment."""
    REJECTED = "rejected"
    """The second person did not approve it. Nothing was sent, and the money is back on the payment."""


_S = RefundStatus
_RESTORED = "The gateway has it already: it was made before our tables were restored from a backup."

REFUND_TRANSITIONS: dict[RefundStatus, dict[RefundStatus, str]] = {
    _S.PENDING_APPROVAL: {
        _S.PENDING: "A second person approved it.",
        _S.REJECTED: "A second person did not approve it.",
    },
    _S.PENDING: {
        _S.PENDING: "Why it waits is recorded: the gateway is out of reach, or refuses our key.",
        _S.PROCESSING: "The intent to send it is recorded.",
        _S.REQUIRES_ACTION: _RESTORED,
        _S.SUCCEEDED: _RESTORED,
        _S.CANCELED: _RESTORED,
        _S.FAILED: "It cannot be sent any more: the payment is disputed, or its money was refunded otherwise.",
    },
    _S.PROCESSING: {
        _S.PENDING: "This attempt, the only one, provably refunded nothing.",
        _S.PROCESSING: "It is sent again under the same key, or the gateway accepted it and carries it out later.",
        _S.REQUIRES_ACTION: "The gateway waits for the payer.",
        _S.SUCCEEDED: "The gateway refunded the money.",
        _S.FAILED: "The gateway refused it, or its list of refunds proves that it does not exist.",
        _S.CANCELED: "It was canceled at the gateway.",
    },
    _S.REQUIRES_ACTION: {
        _S.PROCESSING: "The payer acted, and the bank carries it out.",
        _S.SUCCEEDED: "The gateway refunded the money.",
        _S.FAILED: "The payer did not act in time, or the bank refused.",
        _S.CANCELED: "It was canceled at the gateway.",
    },
    _S.SUCCEEDED: {
        _S.FAILED: "The bank returned the money, up to 30 days later: it is back on the payment.",
        _S.CANCELED: "A user of the gateway canceled it before the bank carried it out.",
    },
    _S.FAILED: {},
    _S.CANCELED: {},
    _S.REJECTED: {},
}
"""Status → the statuses that it may change to, each with the reason."""

ENDED = frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELED, _S.REJECTED})
"""Statuses in which nothing is left to do, but for an operator."""
NOT_REFUNDED = frozenset({_S.FAILED, _S.CANCELED, _S.REJECTED})
"""Statuses in which the money is back on the payment. They never change."""


def may_move_refund(current: RefundStatus, target: RefundStatus) -> bool:
    """True if a refund may change from `current` to `target`."""
    return target in REFUND_TRANSITIONS[current]
