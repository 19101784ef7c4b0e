"""The audit chain: FAULTS 23 and 24."""

from dataclasses import replace
from typing import Any

import pytest

from payments.audit import AuditBroken, AuditEntry, verify
from payments.auditing import audit
from payments.payment import Payment, moved
from payments.statuses import Status
from payments.stores.memory import MemoryAuditStore, MemoryPaymentStore
from payments.stores.port import VersionConflict
from tests.unit.builders import NOON, payment


def charged() -> Payment:
    at_gateway = moved(payment(), Status.PROCESSING, at=NOON, actor="charge")
    return moved(at_gateway, Status.SUCCEEDED, at=NOON, actor="workflow", gateway_reference="pi_1")


def audited() -> tuple[Payment, list[AuditEntry]]:
    store, log, row = MemoryPaymentStore(), MemoryAuditStore(), charged()
    store.rows[row.payment_id] = row
    audit(row, log=log, store=store)
    return store.rows[row.payment_id], log.entries(row.payment_id)


def test_audit_covers_every_version_and_the_row_says_so() -> None:
    row, entries = audited()
    assert [entry.status for entry in entries] == ["pending", "processing", "succeeded"]
    assert (row.audited_version, row.audit_hash) == (3, entries[-1].hash)
    verify(row, entries)


def test_audit_when_run_twice_then_nothing_is_added() -> None:
    store, log, row = MemoryPaymentStore(), MemoryAuditStore(), charged()
    store.rows[row.payment_id] = row
    audit(row, log=log, store=store)
    audit(row, log=log, store=store)
    assert len(log.entries(row.payment_id)) == 3


@pytest.mark.parametrize("dies_at", [1, 2, 3])
def test_fault_23_audit_when_a_write_fails_then_a_repeat_completes_it(dies_at: int) -> None:
    class Failing(MemoryAuditStore):
        def append(self, entry: AuditEntry) -> None:
            if entry.sequence == dies_at and not getattr(self, "died", False):
                self.died = True
                raise ConnectionError("throttled")
            super().append(entry)

    store, log, row = MemoryPaymentStore(), Failing(), charged()
    store.rows[row.payment_id] = row
    with pytest.raises(ConnectionError):
        audit(row, log=log, store=store)
    audit(row, log=log, store=store)
    verify(store.rows[row.payment_id], log.entries(row.payment_id))


def test_audit_when_another_writes_the_same_entry_first_then_both_end_well() -> None:
    class Raced(MemoryAuditStore):
        def last(self, payment_id: str) -> AuditEntry | None:
            seen = super().last(payment_id)
            if not getattr(self, "raced", False):
                self.raced = True
                audit(row, log=log, store=store)
            return seen

    store, log, row = MemoryPaymentStore(), Raced(), charged()
    store.rows[row.payment_id] = row
    audit(row, log=log, store=store)
    verify(store.rows[row.payment_id], log.entries(row.payment_id))


@pytest.mark.parametrize("field", ["status", "minor_units", "actor", "at", "gateway_reference", "message"])
def test_fault_24_verify_when_an_entry_is_edited_then_it_is_named(field: str) -> None:
    row, entries = audited()
    forged: dict[str, Any] = {field: 1 if field == "minor_units" else "forged"}
    entries[1] = replace(entries[1], **forged)
    with pytest.raises(AuditBroken, match="payment pay_1, entry 2 was changed"):
        verify(row, entries)


def test_fault_24_verify_when_an_edited_entry_is_sealed_again_then_the_next_betrays_it() -> None:
    row, entries = audited()
    entries[1] = replace(entries[1], message="forged").sealed()
    with pytest.raises(AuditBroken, match="payment pay_1, entry 3 was changed"):
        verify(row, entries)


def test_fault_24_verify_when_an_entry_is_removed_then_it_is_named() -> None:
    row, entries = audited()
    with pytest.raises(AuditBroken, match="payment pay_1, entry 2 is missing"):
        verify(row, [entries[0], entries[2]])


def test_fault_24_verify_when_the_tail_is_cut_then_it_is_named() -> None:
    row, entries = audited()
    with pytest.raises(AuditBroken, match="payment pay_1, entry 3 is missing: the tail was cut off"):
        verify(row, entries[:2])


def test_fault_24_verify_when_the_last_entry_is_replaced_then_the_row_betrays_it() -> None:
    row, entries = audited()
    entries[2] = replace(entries[2], message="forged").sealed()
    with pytest.raises(AuditBroken, match="entry 3 is not the one its row names"):
        verify(row, entries)


def test_append_when_the_sequence_is_taken_then_refused() -> None:
    _, entries = audited()
    log = MemoryAuditStore()
    log.append(entries[0])
    with pytest.raises(VersionConflict):
        log.append(entries[0])
