"""Audit: one chained entry for every version of a payment's row, and the row's word that they are there."""

from payments.audit import missing_entries
from payments.payment import Payment
from payments.stores.port import AuditStore, PaymentStore, VersionConflict

_TRIES = 5


def audit(payment: Payment, *, log: AuditStore, store: PaymentStore) -> None:
    """Append the entries the payment's history still lacks, then mark the row as audited.

    Running twice, or two at a time, adds nothing twice. Raises VersionConflict after some lost races.
    """
    for _ in range(_TRIES):
        last = log.last(payment.payment_id)
        try:
            for entry in missing_entries(payment, last):
                log.append(entry)
                last = entry
        except VersionConflict:
            continue
        if last:
            store.mark_audited(payment.payment_id, last.sequence, last.hash)
        return
    raise VersionConflict(f"the audit log of payment {payment.payment_id} changed {_TRIES} times meanwhile")
