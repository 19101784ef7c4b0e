"""The schema of the tables: their keys and indexes. The infrastructure and the tests create the tables from it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Key:
    """The attributes of a key. `types` holds each one's DynamoDB type: "S" text, "N" number."""

    partition: str
    sort: str = ""
    types: str = "SS"

    @property
    def attributes(self) -> dict[str, str]:
        """Attribute name → type."""
        return dict(zip(filter(None, (self.partition, self.sort)), self.types, strict=False))


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its name before the environment's suffix, its key, and its indexes by name.

    Indexes in `keys_only` contain only keys; their readers then read the row. `expires` names the attribute with the
    time (epoch seconds) after which DynamoDB deletes an item.
    """

    name: str
    key: Key
    indexes: dict[str, Key] = field(default_factory=dict)
    keys_only: frozenset[str] = frozenset()
    expires: str = ""

    @property
    def attributes(self) -> dict[str, str]:
        """All attributes that a key uses, with their types."""
        used = dict(self.key.attributes)
        for key in self.indexes.values():
            used |= key.attributes
        return used


BY_CUSTOMER = "by-customer"
BY_DUE = "by-due"
BY_STATUS_DAY = "by-status-day"
BY_BATCH = "by-batch"
BY_UNSETTLED = "by-unsettled"
BY_UNFINISHED = "by-unfinished"
BY_PARKED = "by-parked"
BY_PAYMENT = "by-payment"
BY_DAY = "by-day"
BY_EMAIL = "by-email"
BY_METADATA = "by-metadata"

PAYMENTS = Table(
    "payments",
    Key("payment_id"),
    {
        BY_CUSTOMER: Key("customer_id", "created_at"),
        # "succeeded#2026-11-21": a status without the day would be a hot partition
        BY_STATUS_DAY: Key("status_day", "updated_at"),
        BY_BATCH: Key("batch_id", "batch_line", "SN"),
        # for recovery: what an unsettled payment waits for ("open#2"), and until when; else absent
        BY_DUE: Key("due_kind", "due_at"),
        # the same before due times existed; rows leave it, none enters
        BY_UNSETTLED: Key("unsettled", "created_at"),
        # "2026-11-21", the day of acceptance: written once for a payment, because its keys never change
        BY_DAY: Key("created_day", "created_at"),
        # a keyed hash of one searchable entry of the metadata: absent in most rows, and written once as well
        BY_METADATA: Key("metadata_hash", "created_at"),
    },
    # a change of a payment writes no index that holds only keys and none of the changed ones
    keys_only=frozenset({BY_CUSTOMER, BY_STATUS_DAY, BY_DUE, BY_UNSETTLED, BY_DAY, BY_METADATA}),
)
REFUNDS = Table(
    "payment-refunds",
    Key("refund_id"),
    {
        BY_PAYMENT: Key("payment_id", "created_at"),
        BY_STATUS_DAY: Key("status_day", "updated_at"),
        # "refund-open", "refund-approval" or "refund-attention", else absent
        BY_DUE: Key("due_kind", "due_at"),
    },
    keys_only=frozenset({BY_PAYMENT, BY_STATUS_DAY, BY_DUE}),
)
PROCESSING_STATUS = Table(
    "payment-processing-status",
    Key("batch_id", "item"),
    {
        # "batch" on the summary of a batch that is not completed, else absent
        BY_DUE: Key("due_kind", "due_at"),
        # the same before due times existed; rows leave it, none enters
        BY_UNFINISHED: Key("unfinished", "created_at"),
    },
    keys_only=frozenset({BY_DUE, BY_UNFINISHED}),
)
AUDIT_LOG = Table("payment-audit-log", Key("payment_id", "sequence", "SN"))
DENIED_ATTEMPTS = Table(
    "payment-denied-attempts",
    # "payment:pay_1", and the time in microseconds
    Key("resource", "sequence", "SN"),
    expires="purge_at",
)
CUSTOMERS = Table(
    "customers",
    Key("customer_id"),
    # a keyed hash: the e-mail address is stored encrypted
    {BY_EMAIL: Key("email_hash", "created_at")},
    keys_only=frozenset({BY_EMAIL}),
)
TOKENS = Table(
    "payment-tokens",
    # the token's hash: the table contains no tokens
    Key("token_id"),
    {BY_CUSTOMER: Key("customer_id", "created_at")},
    expires="purge_at",
)
LIMITS = Table("payment-limits", Key("counter"), expires="purge_at")
GATEWAY_EVENTS = Table(
    "payment-gateway-events",
    Key("event_id"),
    {
        # "event" or "refund" while an event waits to be applied, else absent
        BY_DUE: Key("due_kind", "due_at"),
        # the same before due times existed; rows leave it, none enters
        BY_PARKED: Key("parked", "received_at"),
        BY_PAYMENT: Key("payment_id", "received_at"),
    },
    keys_only=frozenset({BY_DUE}),
    expires="expires_at",
)
CONTROLS = Table("payment-controls", Key("control"))
