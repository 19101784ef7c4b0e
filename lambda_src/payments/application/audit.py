"""Write the audit log: one chained entry for every version of a payment's row."""

from itertools import batched

from payments.domain.audit_chain import missing_entries
from payments.domain.payment import Payment
from payments.ports.audit_store import AuditStore


def audit(payment: Payment, *, log: AuditStore) -> None:
    """Append the entries of the payment's history that the log does not have yet, and mark the row as audited.

    Each append is one transaction and leaves a chain that verifies. After a crash between two of them, the next run
    continues at the row's mark. A run that finds nothing missing adds nothing. Of two runs at the same time, one
    raises VersionConflict. Its retry reads the row again and continues.
    """
    for entries in batched(missing_entries(payment), log.most_entries):
        log.append(entries, row_version=payment.version)
