"""Audited payments with their log, its signatures and its anchors, in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fakes.anchors import MemoryAnchorStore
from fakes.audit import MemoryAuditStore
from fakes.chain_signer import MemoryChainSigner
from fakes.listing import MemoryPaymentListing
from fakes.payments import MemoryPaymentStore
from payments.application.anchor import AnchorRun
from payments.application.anchored_heads import AnchoredHeads
from payments.application.audit import audit
from payments.application.chain_heads import ChainHeads
from payments.application.verify_audit import AuditVerification, first_of_each
from payments.domain.anchor import Anchor
from payments.domain.audit_chain import AuditEntry, Fault, Tampering
from payments.domain.payment import Payment, accepted, moved
from payments.domain.statuses import Status
from tests.unit.builders import NOON, request

HOUR = timedelta(hours=1)


@dataclass
class MemoryWholeLog:
    """The whole log of the fakes."""

    store: MemoryPaymentStore
    log: MemoryAuditStore

    def chains(self) -> Iterator[list[AuditEntry]]:
        yield from [list(entries) for entries in self.log.log.values() if entries]

    def rows(self, payment_ids: Sequence[str]) -> dict[str, Payment]:
        return {one: self.store.rows[one] for one in payment_ids if one in self.store.rows}

    def audited_rows(self) -> Iterator[Payment]:
        yield from [row for row in self.store.rows.values() if row.audited_version]

    def entries_of(self, keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], AuditEntry]:
        return {key: entry for key in keys if (entry := self.log.entry(*key))}


@dataclass
class AuditedPayments:
    """Payments that were charged and audited. `now` is the time of the next event."""

    store: MemoryPaymentStore = field(default_factory=MemoryPaymentStore)
    signer: MemoryChainSigner = field(default_factory=MemoryChainSigner)
    anchor_signer: MemoryChainSigner = field(default_factory=lambda: MemoryChainSigner(b"anchors"))
    anchors: MemoryAnchorStore = field(default_factory=MemoryAnchorStore)
    now: datetime = NOON
    continued: int = 0

    def __post_init__(self) -> None:
        self.log = MemoryAuditStore(self.store)
        self.anchored = AnchoredHeads(self.anchors, self.anchor_signer, lambda: self.now, timedelta(days=400))
        self.heads = ChainHeads(self.signer, self.log.entry, self.anchored.was_first)

    def charged(self, *payment_ids: str) -> None:
        """Payments that were accepted, charged and audited now."""
        for payment_id in payment_ids:
            asked = request(payment_id)
            row = accepted(asked, at=self.now, source="rest", correlation_id="request-1", submitted_by="sub_shop")
            row = moved(row, Status.PROCESSING, at=self.now, actor="charge")
            self.store.rows[payment_id] = moved(row, Status.SUCCEEDED, at=self.now, actor="workflow")
            self.audit(payment_id)

    def refunded(self, payment_id: str, *, audited: bool = True) -> None:
        """The payment is refunded now."""
        self.store.rows[payment_id] = moved(self.store.rows[payment_id], Status.REFUNDED, at=self.now, actor="workflow")
        if audited:
            self.audit(payment_id)

    def audit(self, payment_id: str) -> None:
        audit(self.store.rows[payment_id], log=self.log, heads=self.heads)

    def run(self, most_leaves: int = 50_000) -> AnchorRun:
        def again() -> None:
            self.continued += 1

        listing = MemoryPaymentListing(self.store)
        return AnchorRun(listing, self.anchors, self.anchor_signer, "env1", lambda: self.now, again, most_leaves)

    def anchor(self, after: timedelta = HOUR) -> Anchor:
        """The anchor that is written so long after now. It becomes now."""
        self.now += after
        made = self.run().run("run", lambda: 900)
        assert made
        return made

    @property
    def verification(self) -> AuditVerification:
        return AuditVerification(self.store, self.log, self.heads, self.anchored)

    def faults(self, *payment_ids: str) -> list[Fault]:
        """What a verification of these payments finds, and that one of everything finds the same."""
        some = self.verification.some(payment_ids)
        everything = first_of_each(self.verification.all(MemoryWholeLog(self.store, self.log)))
        assert [(fault.payment_id, fault.kind) for fault in some] == [
            (fault.payment_id, fault.kind) for fault in everything
        ]
        return some

    def found(self, payment_id: str) -> tuple[int, Tampering] | None:
        """The entry and the kind of the only fault."""
        faults = self.faults(payment_id)
        if not faults:
            return None
        (fault,) = faults
        return fault.entry, fault.kind
