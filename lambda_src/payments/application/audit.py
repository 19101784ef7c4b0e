"""Audit: one chained entry for every version of a payment's row, and the row's word that they are there."""

from payments.domain.audit_chain import missing_entries
from payments.domain.payment import Payment
from payments.ports.audit_store import AuditStore


def audit(payment: Payment, *, log: AuditStore) -> None:
    """Append the entries that the log still lacks of the payment's history.

    Running it again adds nothing. Of two at a time one raises VersionConflict: it reads the row again and finds
    nothing left to do.
    """
    entries = missing_entries(payment)
    if entries:
        log.append(entries)
