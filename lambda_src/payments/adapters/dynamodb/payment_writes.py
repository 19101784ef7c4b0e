"""What each write of a payment's row names: IAM lets a function name these attributes of a row, and no others.

IAM cannot require a condition of a write, but it can limit a request to attributes. No write replaces a whole row
(PutItem) or deletes one: what a function may not name, it cannot change. `tests/contract/test_payment_writes.py` holds
this table against the requests that the adapters make.
"""

from enum import StrEnum

SAVED = (
    "status",
    "version",
    "updated_at",
    "status_day",
    "due_kind",
    "due_at",
    "unsettled",
    "payment_method",
    "attempts",
    "attempted_at",
    "gateway",
    "gateway_reference",
    "reference_digest",
    "code",
    "message",
    "history",
    "environment_id",
    "gateway_customer",
    "off_session",
    "refunded_minor_units",
)
"""The attributes that `save` writes: those that a status change can change, and no marks that other code writes."""

BOOKED = (
    "status",
    "version",
    "updated_at",
    "status_day",
    "due_kind",
    "due_at",
    "unsettled",
    "history",
    "refunded_minor_units",
    "reserved_minor_units",
    "disputed_minor_units",
)
"""The attributes of a payment that change together with one of its refunds."""


class Write(StrEnum):
    """A write of a payment's row, by the name of its method."""

    CREATE = "create"
    SAVE = "save"
    BOOK = "book"
    POSTPONE = "postpone"
    KEEP_REFERENCE = "keep_reference"
    PROVE_ABSENT = "prove_absent"
    MARK_RETRIED = "mark_retried"
    LOOK_AGAIN = "look_again"
    CLAIM_RESTART = "claim_restart"
    ADOPT = "adopt"
    MARK_AUDITED = "append"
    CLOSE_ROW = "close_row"
    FORGET_BUYER = "forget_buyer"


NAMED: dict[Write, frozenset[str]] = {
    write: frozenset({"payment_id", *names})
    for write, names in {
        Write.CREATE: (
            "status",
            "version",
            "created_at",
            "updated_at",
            "created_day",
            "status_day",
            "due_kind",
            "due_at",
            "fingerprint",
            "source",
            "minor_units",
            "currency",
            "customer_id",
            "payment_method",
            "description",
            "metadata",
            "metadata_hash",
            "correlation_id",
            "batch_id",
            "batch_line",
            "attempts",
            "history",
            "submitted_by",
            "token_id",
            "hold",
            "off_session",
            "return_url",
            "retry_of",
            "client_ip",
            "card_counters",
        ),
        Write.SAVE: SAVED,
        Write.BOOK: BOOKED,
        Write.POSTPONE: ("version", "not_before"),
        Write.KEEP_REFERENCE: ("version", "gateway_reference", "reference_digest"),
        Write.PROVE_ABSENT: ("version", "gateway_reference", "absent_version"),
        Write.MARK_RETRIED: ("version", "status", "retried_as"),
        Write.LOOK_AGAIN: ("version", "audited_version", "restarts", "due_kind", "due_at"),
        Write.CLAIM_RESTART: ("version", "restarts", "restarted_at", "due_kind", "due_at"),
        Write.ADOPT: ("unsettled", "due_kind", "due_at"),
        Write.MARK_AUDITED: ("version", "audited_version", "audit_hash", "unsettled", "due_kind", "due_at"),
        Write.CLOSE_ROW: ("batch_row_closed",),
        Write.FORGET_BUYER: ("version", "client_ip", "card_counters"),
    }.items()
}
"""Write → the attributes that its request names, in the key, the update or the condition."""
