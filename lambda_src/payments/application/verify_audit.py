"""Verify the audit log: chains, their rows, their signatures, and the anchors."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched

from payments.application.anchored_heads import AnchoredHeads, AnchorTampered
from payments.application.chain_heads import ChainHeads
from payments.domain.audit_chain import (
    AuditEntry,
    Fault,
    Leaf,
    Tampering,
    fault_of_anchored,
    fault_of_chain,
    fault_of_row,
)
from payments.domain.payment import Payment
from payments.ports.audit_store import AuditStore
from payments.ports.payment_store import PaymentStore
from payments.ports.whole_log import WholeLog

LOOKS = 3
"""How often a payment is read before it counts as tampered with: its row and its entries are two reads."""
ROWS_A_READ = 100


@dataclass(frozen=True)
class AuditVerification:
    """Verifies payments. Raises EncryptionUnavailable and NoAnchorYet if it cannot check."""

    payments: PaymentStore
    log: AuditStore
    heads: ChainHeads
    anchored: AnchoredHeads

    def some(self, payment_ids: Sequence[str], on_payment: Callable[[], object] = lambda: None) -> list[Fault]:
        """The faults of these payments, and of the anchors since the first of them began."""
        faults, began = [], []
        for payment_id in payment_ids:
            entries = self.log.entries(payment_id)
            began += [entry.at for entry in entries[:1]]
            faults += self._fault(payment_id, self.payments.get(payment_id), entries)
            on_payment()
        broken = {fault.payment_id for fault in faults}
        try:
            leaves = self.anchored.of(set(payment_ids), min(began, default=""))
        except AnchorTampered as tampered:
            return [*faults, tampered.fault]
        for payment_id in payment_ids:
            if payment_id not in broken:
                faults += _listed(fault_of_anchored(payment_id, self.log.entries(payment_id), leaves[payment_id]))
        return faults

    def all(self, whole: WholeLog, on_payment: Callable[[], object] = lambda: None) -> Iterator[Fault]:
        """The faults of all payments and of all anchors. Memory does not grow with the log."""
        for chains in batched(whole.chains(), ROWS_A_READ):
            rows = whole.rows([entries[0].payment_id for entries in chains])
            for entries in chains:
                payment_id = entries[0].payment_id
                yield from self._fault(payment_id, rows.get(payment_id), entries)
                on_payment()
        for audited in batched(whole.audited_rows(), ROWS_A_READ):
            found = whole.entries_of([(row.payment_id, 1) for row in audited])
            for row in audited:
                if (row.payment_id, 1) not in found and not self.log.entries(row.payment_id):
                    yield from _listed(fault_of_row(row, []))
        try:
            for anchor in self.anchored.anchors():
                for part in anchor.parts:
                    yield from self._not_as_anchored(whole, self.anchored.leaves(anchor, part))
        except AnchorTampered as tampered:
            yield tampered.fault

    def _not_as_anchored(self, whole: WholeLog, leaves: Sequence[Leaf]) -> Iterator[Fault]:
        for some in batched(leaves, ROWS_A_READ):
            found = whole.entries_of([(leaf.payment_id, leaf.sequence) for leaf in some])
            for leaf in some:
                entry = found.get((leaf.payment_id, leaf.sequence))
                yield from _listed(fault_of_anchored(leaf.payment_id, [entry] if entry else [], [leaf]))

    def _fault(self, payment_id: str, row: Payment | None, entries: Sequence[AuditEntry]) -> list[Fault]:
        fault = self._found(payment_id, row, entries)
        for _ in range(LOOKS - 1):
            if fault is None:
                return []
            entries = self.log.entries(payment_id)
            fault = self._found(payment_id, self.payments.get(payment_id), entries)
        return _listed(fault)

    def _found(self, payment_id: str, row: Payment | None, entries: Sequence[AuditEntry]) -> Fault | None:
        if fault := fault_of_chain(payment_id, entries):
            return fault
        if entries and (signature := self.heads.fault_of(entries[-1])):
            # a row that names the head is no second witness: who rewrote one could write the other
            return (row and fault_of_row(row, entries)) or signature
        if row is None:
            if not entries:
                return None
            text = f"payment {payment_id} has {len(entries)} entries, and no row in the payments table"
            return Fault(payment_id, 0, Tampering.ROW_REMOVED, text)
        return fault_of_row(row, entries)


def _listed(fault: Fault | None) -> list[Fault]:
    return [fault] if fault else []


def first_of_each(faults: Iterable[Fault]) -> list[Fault]:
    """One fault for each payment, and each fault of an anchor."""
    kept: dict[tuple[str, str], Fault] = {}
    for fault in faults:
        kept.setdefault((fault.payment_id, fault.text if not fault.payment_id else ""), fault)
    return list(kept.values())
