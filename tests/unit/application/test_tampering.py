"""The tampering table of docs/guarantees.md: what an administrator without the keys can do to tables and anchors."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from payments.domain.anchor import anchor_of, key_of
from payments.domain.audit_chain import GENESIS, AuditBroken, AuditEntry, Tampering
from payments.domain.payment import moved
from payments.domain.statuses import Status
from tests.unit.application.audit_scenario import HOUR, AuditedPayments
from tests.unit.builders import NOON

ID = "pay_1"
Attack = Callable[[AuditedPayments], None]


def scenario() -> AuditedPayments:
    """Two charged payments that are anchored, beside one that is not yet."""
    made = AuditedPayments()
    made.anchor()
    made.charged(ID, "pay_2")
    made.anchor()
    made.charged("pay_3")
    return made


def entries(tables: AuditedPayments) -> list[AuditEntry]:
    return tables.log.log[ID]


def mark(tables: AuditedPayments) -> None:
    """Let the row name the last entry, as only the audit function should."""
    last = entries(tables)[-1]
    row = tables.store.rows[ID]
    tables.store.rows[ID] = replace(row, audited_version=last.sequence, audit_hash=last.hash)


def resealed(tables: AuditedPayments, number: int = 1) -> None:
    """Compute the hashes anew from an entry on: it takes no key."""
    previous = entries(tables)[number - 2].hash if number > 1 else GENESIS
    for index in range(number - 1, len(entries(tables))):
        entries(tables)[index] = replace(entries(tables)[index], previous_hash=previous).sealed()
        previous = entries(tables)[index].hash


def edit(tables: AuditedPayments) -> None:
    entries(tables)[1] = replace(entries(tables)[1], actor="operator:eve")


def edit_with_its_hash(tables: AuditedPayments) -> None:
    entries(tables)[1] = replace(entries(tables)[1], actor="operator:eve").sealed()


def edit_the_head_and_the_row(tables: AuditedPayments) -> None:
    entries(tables)[2] = replace(entries(tables)[2], outcome="Payment Failed").sealed()
    mark(tables)


def remove(tables: AuditedPayments) -> None:
    del entries(tables)[1]


def remove_and_renumber(tables: AuditedPayments) -> None:
    del entries(tables)[1]
    entries(tables)[1] = replace(entries(tables)[1], sequence=2)
    resealed(tables)
    mark(tables)


def insert_at_the_end(tables: AuditedPayments) -> None:
    last = entries(tables)[-1]
    entries(tables).append(replace(last, sequence=4, previous_hash=last.hash, mac="").sealed())


def insert_between(tables: AuditedPayments) -> None:
    entries(tables).insert(1, replace(entries(tables)[1], actor="operator:eve").sealed())


def reorder(tables: AuditedPayments) -> None:
    second, third = entries(tables)[1:]
    entries(tables)[1:] = [replace(third, sequence=2), replace(second, sequence=3)]


def cut_off(tables: AuditedPayments) -> None:
    del entries(tables)[2]


def cut_off_with_the_row(tables: AuditedPayments) -> None:
    del entries(tables)[2]
    mark(tables)


def remove_the_whole_log(tables: AuditedPayments) -> None:
    del tables.log.log[ID]


def rewrite_everything(tables: AuditedPayments) -> None:
    """Row, history and chain say consistently that the payment failed; the signature is the old one."""
    row = tables.store.rows[ID]
    failed = replace(row.history[-1], status=Status.FAILED)
    tables.store.rows[ID] = replace(row, status=Status.FAILED, history=(*row.history[:-1], failed))
    entries(tables)[2] = replace(entries(tables)[2], status="failed", outcome="Payment Failed")
    resealed(tables)
    mark(tables)


def rewrite_with_anothers_signature(tables: AuditedPayments) -> None:
    rewrite_everything(tables)
    entries(tables)[2] = replace(entries(tables)[2], mac=tables.log.log["pay_2"][2].mac)


def remove_the_signature(tables: AuditedPayments) -> None:
    entries(tables)[2] = replace(entries(tables)[2], mac="")


def copy_anothers_chain(tables: AuditedPayments) -> None:
    entries(tables)[:] = [replace(entry, payment_id=ID) for entry in tables.log.log["pay_2"]]


def change_the_row(**changes: Any) -> Attack:
    def attack(tables: AuditedPayments) -> None:
        tables.store.rows[ID] = replace(tables.store.rows[ID], **changes)

    return attack


def change_the_amount(tables: AuditedPayments) -> None:
    row = tables.store.rows[ID]
    tables.store.rows[ID] = replace(row, money=replace(row.money, minor_units=1))


def change_the_history(tables: AuditedPayments) -> None:
    row = tables.store.rows[ID]
    first = replace(row.history[0], actor="operator:eve")
    tables.store.rows[ID] = replace(row, history=(first, *row.history[1:]))


def remove_the_row(tables: AuditedPayments) -> None:
    del tables.store.rows[ID]


def remove_row_and_log(tables: AuditedPayments) -> None:
    del tables.store.rows[ID], tables.log.log[ID]


def let_the_audit_function_sign_a_lie(tables: AuditedPayments) -> None:
    """Delete the chain, rewrite the row, and start an execution: the audit function writes and signs a new chain."""
    row = tables.store.rows[ID]
    failed = replace(row.history[-1], status=Status.FAILED)
    forged = replace(row, status=Status.FAILED, history=(*row.history[:-1], failed), audited_version=0, audit_hash="")
    tables.store.rows[ID] = forged
    del tables.log.log[ID]
    tables.audit(ID)


TABLE: list[tuple[Attack, int, Tampering]] = [
    (edit, 2, Tampering.EDITED),
    (edit_with_its_hash, 3, Tampering.EDITED),
    (edit_the_head_and_the_row, 3, Tampering.REWRITTEN),
    (remove, 2, Tampering.REMOVED),
    (remove_and_renumber, 2, Tampering.ROW_DIFFERS),
    (insert_at_the_end, 4, Tampering.INSERTED),
    (insert_between, 3, Tampering.INSERTED),
    (reorder, 2, Tampering.REORDERED),
    (cut_off, 3, Tampering.CUT_OFF),
    (cut_off_with_the_row, 2, Tampering.REWRITTEN),
    (remove_the_whole_log, 1, Tampering.CUT_OFF),
    (rewrite_everything, 3, Tampering.REWRITTEN),
    (rewrite_with_anothers_signature, 3, Tampering.REWRITTEN),
    (remove_the_signature, 3, Tampering.REWRITTEN),
    (copy_anothers_chain, 1, Tampering.EDITED),
    (change_the_row(status=Status.FAILED), 3, Tampering.ROW_DIFFERS),
    (change_the_row(customer_id="cus_eve"), 3, Tampering.ROW_DIFFERS),
    (change_the_row(audit_hash="0" * 64), 3, Tampering.ROW_DIFFERS),
    (change_the_amount, 3, Tampering.ROW_DIFFERS),
    (change_the_history, 1, Tampering.ROW_DIFFERS),
    (remove_the_row, 0, Tampering.ROW_REMOVED),
    (remove_row_and_log, 3, Tampering.NOT_AS_ANCHORED),
    (let_the_audit_function_sign_a_lie, 3, Tampering.NOT_AS_ANCHORED),
]
NAMES = [getattr(attack, "__qualname__", "").partition(".")[0] for attack, _, _ in TABLE]


def test_untouched_payments_and_anchors_have_no_fault() -> None:
    assert scenario().faults(ID, "pay_2", "pay_3") == []


@pytest.mark.fault(24)
@pytest.mark.parametrize(("attack", "entry", "kind"), TABLE, ids=NAMES)
def test_tampering_is_found_and_names_payment_and_entry(attack: Attack, entry: int, kind: Tampering) -> None:
    tables = scenario()
    attack(tables)

    (fault,) = tables.faults(ID, "pay_2", "pay_3")

    assert (fault.payment_id, fault.entry, fault.kind) == (ID, entry, kind)
    assert f"payment {ID}" in fault.text


@pytest.mark.fault(24)
@pytest.mark.parametrize(
    "attack", [edit_the_head_and_the_row, cut_off, rewrite_everything, remove_the_signature, cut_off_with_the_row]
)
def test_head_that_was_tampered_with_is_not_extended(attack: Attack) -> None:
    tables = scenario()
    attack(tables)
    row = tables.store.rows[ID]
    status = Status.REFUNDED if row.status is Status.SUCCEEDED else Status.DISPUTED
    tables.store.rows[ID] = moved(replace(row, status=Status.SUCCEEDED), status, at=NOON, actor="workflow")
    before = list(entries(tables))

    with pytest.raises(AuditBroken, match=f"payment {ID}, entry"):
        tables.audit(ID)

    assert entries(tables) == before


def test_rollback_of_row_and_chain_is_found_once_it_was_anchored() -> None:
    tables = scenario()
    row, chain = tables.store.rows[ID], list(entries(tables))
    tables.now += HOUR
    tables.refunded(ID)
    tables.anchor()

    tables.store.rows[ID], tables.log.log[ID] = row, chain

    assert tables.found(ID) == (4, Tampering.NOT_AS_ANCHORED)


def test_rollback_within_the_last_hour_is_not_seen() -> None:
    """What docs/guarantees.md says of the time since the last anchor."""
    tables = scenario()
    row, chain = tables.store.rows[ID], list(entries(tables))
    tables.refunded(ID)

    tables.store.rows[ID], tables.log.log[ID] = row, chain

    assert tables.found(ID) is None


# Anchors --------------------------------------------------------------------------------------------------------------


def replaced(tables: AuditedPayments) -> None:
    key = key_of(1)
    anchor = replace(anchor_of(tables.anchors.get(key)), parts=())
    tables.anchors.put(key, anchor.as_json())


def replaced_by_another(tables: AuditedPayments) -> None:
    tables.anchors.put(key_of(1), tables.anchors.get(key_of(2)))


def replaced_without_a_trace(tables: AuditedPayments) -> None:
    """Where nothing is locked any more, an older version can go."""
    anchor = replace(anchor_of(tables.anchors.get(key_of(1))), parts=())
    tables.anchors.versions[key_of(1)] = [anchor.as_json()]


def removed(tables: AuditedPayments) -> None:
    del tables.anchors.versions[key_of(1)]


def hidden(tables: AuditedPayments) -> None:
    tables.anchors.delete(key_of(2))


def first_removed_from_its_place(tables: AuditedPayments) -> None:
    tables.anchors.delete(key_of(0))


def leaves_replaced(tables: AuditedPayments) -> None:
    (part,) = anchor_of(tables.anchors.get(key_of(1))).parts
    tables.anchors.put(part.name, tables.anchors.get(part.name).replace(b"pay_1", b"pay_9"))


def leaves_removed(tables: AuditedPayments) -> None:
    (part,) = anchor_of(tables.anchors.get(key_of(1))).parts
    tables.anchors.delete(part.name)


@pytest.mark.parametrize(
    "attack",
    [replaced, replaced_by_another, replaced_without_a_trace, removed, hidden, leaves_replaced, leaves_removed],
)
def test_anchor_that_was_replaced_or_removed_is_named(attack: Attack) -> None:
    tables = scenario()
    tables.anchor()
    attack(tables)

    (fault,) = tables.faults(ID)

    assert (fault.payment_id, fault.kind) == ("", Tampering.ANCHOR)
    assert fault.text.startswith("anchor 2 " if attack is hidden else "anchor 1 ")


# Any change -----------------------------------------------------------------------------------------------------------

FIELDS = sorted(field.name for field in fields(AuditEntry) if field.name != "payment_id")  # it is the table's key


@given(number=some.integers(0, 2), name=some.sampled_from(FIELDS), text=some.text(max_size=5))
def test_any_change_of_any_field_is_found(number: int, name: str, text: str) -> None:
    tables = scenario()
    entry = entries(tables)[number]
    value: Any = len(text) + 10 if name in ("sequence", "minor_units") else text
    if getattr(entry, name) == value or (name == "mac" and number < 2):  # only the head's signature is asked about
        return
    entries(tables)[number] = replace(entry, **{name: value})

    assert tables.found(ID)
