"""The audit chain: appending to it and checking it."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fakes.audit import MemoryAuditStore
from fakes.payments import MemoryPaymentStore
from payments.application.audit import audit
from payments.domain.audit_chain import AuditBroken, AuditEntry, missing_entries, verify
from payments.domain.payment import Payment, moved
from payments.domain.statuses import Status
from payments.ports.payment_store import VersionConflict
from tests.unit.builders import NOON, payment, versions
from tests.unit.chain_heads import heads_of
from tests.unit.interruptions import Interrupted


def charged() -> Payment:
    at_gateway = moved(payment(), Status.PROCESSING, at=NOON, actor="charge")
    return moved(at_gateway, Status.SUCCEEDED, at=NOON, actor="workflow", gateway_reference="pi_1")


class AuditScenario:
    """A payment with its row and its audit log."""

    def __init__(self, row: Payment | None = None, most_entries: int = 99) -> None:
        self.store = MemoryPaymentStore()
        self.log = MemoryAuditStore(self.store, most_entries)
        self.store.rows["pay_1"] = row or charged()

    @property
    def row(self) -> Payment:
        return self.store.rows["pay_1"]

    def audit(self) -> None:
        audit(self.row, log=self.log, heads=heads_of(self.log))

    def verify(self) -> None:
        verify(self.row, self.log.entries("pay_1"))


def audited() -> tuple[Payment, list[AuditEntry]]:
    scenario = AuditScenario()
    scenario.audit()
    return scenario.row, scenario.log.entries("pay_1")


def test_audit_covers_every_version_and_the_row_says_so() -> None:
    row, entries = audited()
    assert [entry.status for entry in entries] == ["pending", "processing", "succeeded"]
    assert (row.audited_version, row.audit_hash) == (3, entries[-1].hash)
    verify(row, entries)


def test_audit_when_run_twice_then_nothing_is_added() -> None:
    scenario = AuditScenario()
    scenario.audit()
    scenario.audit()
    assert len(scenario.log.entries("pay_1")) == 3


def test_audit_when_the_payment_moves_on_then_the_chain_goes_on() -> None:
    scenario = AuditScenario()
    scenario.audit()
    scenario.store.save(moved(scenario.row, Status.REFUNDED, at=NOON, actor="operator"))
    scenario.audit()
    assert [entry.sequence for entry in scenario.log.entries("pay_1")] == [1, 2, 3, 4]
    scenario.verify()


@pytest.mark.fault(23)
def test_audit_when_the_write_fails_then_a_repeat_completes_it() -> None:
    scenario = AuditScenario()
    with pytest.raises(ConnectionError):
        audit(scenario.row, log=Interrupted(scenario.log, 0), heads=heads_of(scenario.log))
    assert scenario.row.audited_version == 0
    scenario.audit()
    scenario.verify()


def test_audit_run_twice_at_once_raises_a_conflict_and_the_chain_holds() -> None:
    scenario = AuditScenario()
    seen_by_both = scenario.row
    scenario.audit()
    with pytest.raises(VersionConflict):
        audit(seen_by_both, log=scenario.log, heads=heads_of(scenario.log))
    scenario.audit()
    scenario.verify()


@given(
    number=some.integers(3, 12),
    most_entries=some.integers(1, 5),
    crashes=some.lists(some.integers(0, 3), max_size=4),
)
def test_audit_in_any_parts_with_any_crashes_gives_the_same_chain(
    number: int, most_entries: int, crashes: list[int]
) -> None:
    whole, scenario = AuditScenario(versions(number)), AuditScenario(versions(number), most_entries)
    whole.audit()
    for appends in crashes:
        with suppress(ConnectionError):
            audit(scenario.row, log=Interrupted(scenario.log, appends), heads=heads_of(scenario.log))
        scenario.verify()
    scenario.audit()
    assert scenario.row == whole.row
    # where an append ended, an entry is signed
    assert [replace(entry, mac="") for entry in scenario.log.entries("pay_1")] == [
        replace(entry, mac="") for entry in whole.log.entries("pay_1")
    ]


@pytest.mark.fault(24)
@pytest.mark.parametrize("field", ["status", "minor_units", "actor", "at", "gateway_reference", "message"])
def test_verify_when_an_entry_is_edited_then_it_is_named(field: str) -> None:
    row, entries = audited()
    forged: dict[str, Any] = {field: 1 if field == "minor_units" else "forged"}
    entries[1] = replace(entries[1], **forged)
    with pytest.raises(AuditBroken, match="payment pay_1, entry 2 was changed"):
        verify(row, entries)


@pytest.mark.fault(24)
def test_verify_detects_a_resealed_edit_by_the_next_entry() -> None:
    row, entries = audited()
    entries[1] = replace(entries[1], message="forged").sealed()
    with pytest.raises(AuditBroken, match="payment pay_1, entry 3 was changed"):
        verify(row, entries)


@pytest.mark.fault(24)
def test_verify_when_an_entry_is_removed_then_it_is_named() -> None:
    row, entries = audited()
    with pytest.raises(AuditBroken, match="payment pay_1, entry 2 is missing"):
        verify(row, [entries[0], entries[2]])


@pytest.mark.fault(24)
def test_verify_when_the_tail_is_cut_then_it_is_named() -> None:
    row, entries = audited()
    with pytest.raises(AuditBroken, match="payment pay_1, entry 3 is missing: the log is truncated"):
        verify(row, entries[:2])


@pytest.mark.fault(24)
def test_verify_when_the_last_entry_is_replaced_then_the_row_betrays_it() -> None:
    row, entries = audited()
    entries[2] = replace(entries[2], message="forged").sealed()
    with pytest.raises(AuditBroken, match="entry 3 is not the one its row names"):
        verify(row, entries)


OLD_HASH = "3b5bb097812676f88d7c41f27f1abfc4ef704be328d06ff99c7b19d1ca387918"


@pytest.mark.parametrize(
    ("actor", "who"),
    [
        ("rest:merchant", ("sub_shop", "merchant", "rest", "")),
        ("rest", ("sub_shop", "", "rest", "")),
        ("batch:AROA1:uploader", ("sub_shop", "", "batch", "AROA1:uploader")),
        ("batch", ("sub_shop", "", "batch", "")),
        ("customer:sub_jo", ("sub_jo", "customer", "rest", "")),
        ("admin:sub_boss", ("sub_boss", "admin", "rest", "")),
        ("operator:anna", ("anna", "operator", "payctl", "")),
        ("charge", ("", "", "workflow", "")),
        ("workflow", ("", "", "workflow", "")),
    ],
)
def test_entry_says_subject_role_channel_and_uploader(actor: str, who: tuple[str, ...]) -> None:
    row = replace(payment(), submitted_by="sub_shop", customer_id="cus_1")
    row = replace(row, history=(replace(row.history[0], actor=actor),))
    (entry,) = missing_entries(row)
    assert (entry.subject, entry.role, entry.channel, entry.uploader) == who
    assert (entry.actor, entry.customer_id) == (actor, "cus_1")


@pytest.mark.parametrize("field", ["subject", "role", "channel", "customer_id", "uploader"])
def test_verify_detects_who_was_edited_also_where_it_was_empty(field: str) -> None:
    row, entries = audited()
    changes: dict[str, Any] = {field: "somebody"}
    entries[0] = replace(entries[0], **changes)
    with pytest.raises(AuditBroken, match="entry 1 was changed"):
        verify(row, entries)


def test_entries_from_before_these_fields_keep_their_hashes() -> None:
    """The hash of an entry that code of November 2026 wrote."""
    old = AuditEntry(
        payment_id="pay_1",
        sequence=1,
        at="2026-11-21T12:00:00.000Z",
        actor="rest",
        status="pending",
        code="",
        message="",
        minor_units=9999,
        currency="USD",
        gateway_reference="",
        correlation_id="request-1",
        previous_hash="0" * 64,
    ).sealed()
    assert old.hash == OLD_HASH
    scenario = AuditScenario(replace(charged(), audited_version=1, audit_hash=old.hash))
    scenario.log.log["pay_1"] = [old]
    heads = replace(heads_of(scenario.log), was_listed=lambda head: head == old)
    audit(scenario.row, log=scenario.log, heads=heads)
    scenario.verify()
    assert [entry.channel for entry in scenario.log.entries("pay_1")] == ["", "workflow", "workflow"]
