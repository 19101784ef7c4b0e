"""Which tables a backup contains, in the order in which it reads and a restore writes them.

The order makes one consistent state possible although payments continue meanwhile (docs/architecture.md#backups):

- Batches, events and refunds first. One that is behind its payments is a state that a crash leaves too, and is
  repeated; what a payment reserves for refunds is counted again from their rows.
- Then the payments. What they refer to follows: each audit entry and customer that a row names is therefore there.
"""

import hashlib

from payments.adapters.dynamodb.tables import (
    AUDIT_LOG,
    CONTROLS,
    CUSTOMERS,
    DENIED_ATTEMPTS,
    GATEWAY_EVENTS,
    LIMITS,
    PAYMENTS,
    PROCESSING_STATUS,
    REFUNDS,
    TOKENS,
    Table,
)

BACKED_UP: tuple[Table, ...] = (
    PROCESSING_STATUS,
    GATEWAY_EVENTS,
    REFUNDS,
    PAYMENTS,
    AUDIT_LOG,
    CUSTOMERS,
    TOKENS,
    DENIED_ATTEMPTS,
    CONTROLS,
)
LEFT_OUT = {
    LIMITS.name: "counters of the last minutes and hours, which expire: empty ones refuse nothing that is allowed",
}
"""The other tables, each with the reason. A test fails for a new table that is in neither."""
MAY_SHRINK = frozenset(table.name for table in BACKED_UP if table.expires)
"""The tables whose rows expire. All others only grow."""


def schema_version() -> str:
    """16 digits that change with the keys and indexes of the tables."""
    return hashlib.sha256(repr(BACKED_UP).encode()).hexdigest()[:16]
