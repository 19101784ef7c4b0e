"""Write the audit log: one chained entry for every version of a payment's row."""

from itertools import batched

from payments.application.chain_heads import ChainHeads
from payments.domain.audit_chain import missing_entries
from payments.domain.payment import Payment
from payments.ports.audit_store import AuditStore


def audit(payment: Payment, *, log: AuditStore, heads: ChainHeads) -> None:
    """Append the entries of the payment's history that the log does not have yet, and mark the row as audited.

    Each append is one transaction and leaves a chain that verifies, with a signed head. After a crash between two of
    them, the next run continues at the row's mark. A run that finds nothing missing adds nothing and asks KMS nothing.
    Of two runs at the same time, one raises VersionConflict. Its retry reads the row again and continues.

    The head is verified before it is extended: raises AuditBroken if the log was tampered with, and
    EncryptionUnavailable.
    """
    missing = missing_entries(payment)
    if missing:
        heads.check(payment)
    for *entries, last in batched(missing, log.most_entries):
        log.append([*entries, heads.sign(last)], row_version=payment.version)
