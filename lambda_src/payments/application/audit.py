"""Write the audit log: one chained entry for every version of a payment's row."""

from payments.domain.audit_chain import missing_entries
from payments.domain.payment import Payment
from payments.ports.audit_store import AuditStore


def audit(payment: Payment, *, log: AuditStore) -> None:
    """Append the entries of the payment's history that the log does not have yet, and mark the row as audited.

    A second run adds nothing. Of two runs at the same time, one raises VersionConflict. Its retry reads the row again
    and finds nothing to do.
    """
    entries = missing_entries(payment)
    if entries:
        log.append(entries)
