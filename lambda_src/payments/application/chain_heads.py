"""Sign the heads of audit chains, and verify them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from payments.domain.audit_chain import AuditBroken, AuditEntry, Fault, Tampering, signed_text
from payments.domain.payment import Payment
from payments.ports.chain_signer import ChainSigner


@dataclass(frozen=True)
class ChainHeads:
    """`entry` reads one entry of the log. `was_listed` says whether the first anchor lists this head: heads from before
    signatures existed have none, and count only if it does."""

    signer: ChainSigner
    entry: Callable[[str, int], AuditEntry | None]
    was_listed: Callable[[AuditEntry], bool] = lambda _: False

    def sign(self, entry: AuditEntry) -> AuditEntry:
        """The entry with its signature as the head of its chain. Raises EncryptionUnavailable."""
        return replace(entry, mac=self.signer.sign(signed_text(entry)))

    def check(self, payment: Payment) -> None:
        """Check the head that the row names, before it is extended. A chain without entries has none.

        Raises AuditBroken, and EncryptionUnavailable.
        """
        payment_id, sequence = payment.payment_id, payment.audited_version
        if not sequence:
            return
        head = self.entry(payment_id, sequence)
        where = f"payment {payment_id}, entry {sequence}"
        fault = None
        if head is None:
            fault = Fault(payment_id, sequence, Tampering.CUT_OFF, f"{where} is missing: the log is truncated")
        elif not head.is_intact:
            fault = Fault(payment_id, sequence, Tampering.EDITED, f"{where} was changed")
        elif head.hash != payment.audit_hash:
            fault = Fault(payment_id, sequence, Tampering.ROW_DIFFERS, f"{where} is not the one its row names")
        else:
            fault = self.fault_of(head)
        if fault:
            raise AuditBroken(fault)

    def fault_of(self, head: AuditEntry) -> Fault | None:
        """What is wrong with the signature of a head. Raises EncryptionUnavailable."""
        where = f"payment {head.payment_id}, entry {head.sequence}"
        if head.mac:
            if self.signer.verifies(signed_text(head), head.mac):
                return None
            text = f"{where} is the head, and its signature is not valid: the chain was rewritten"
            return Fault(head.payment_id, head.sequence, Tampering.REWRITTEN, text)
        if self.was_listed(head):
            return None
        text = f"{where} is the head, and is neither signed nor in the first anchor: the chain was rewritten or cut"
        return Fault(head.payment_id, head.sequence, Tampering.REWRITTEN, text)
