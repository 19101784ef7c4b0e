"""The audit chains in the rows of a backup."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from payments.adapters.dynamodb.backed_up_chains import CHAINS, BackedUpChains
from payments.adapters.dynamodb.items import to_item
from payments.domain.audit_chain import AuditEntry
from payments.domain.backup import Row
from tests.unit.application.audit_scenario import AuditedPayments


@pytest.fixture
def tables() -> AuditedPayments:
    made = AuditedPayments()
    made.charged("pay_1", "pay_2")
    return made


def rows_of(tables: AuditedPayments) -> list[Row]:
    return [to_item(asdict(entry)) for chain in tables.log.log.values() for entry in chain]


def faults(tables: AuditedPayments, rows: list[Row] | None = None) -> list[str]:
    return list(BackedUpChains(tables.heads.fault_of).faults(CHAINS, rows or rows_of(tables)))


def test_chains_of_a_part_verify_also_if_it_begins_within_one(tables: AuditedPayments) -> None:
    denied: Row = {"payment_id": {"S": "denied:payment:pay_1"}, "sequence": {"N": "1"}}
    for first in range(4):
        assert faults(tables, [denied, *rows_of(tables)[first:]]) == []
    assert faults(tables, rows_of(tables)[:-1]) == []  # the rest is in the next part


@pytest.mark.fault(24)
@pytest.mark.parametrize("changes", [{"actor": "operator:eve"}, {"previous_hash": "0" * 64}, {"sequence": 3}])
def test_changed_entry_of_a_backup_is_named(tables: AuditedPayments, changes: dict[str, Any]) -> None:
    chain = tables.log.log["pay_2"]
    chain[1] = replace(chain[1], **changes)

    (fault,) = faults(tables)

    assert "payment pay_2, entry 2 " in fault


def test_rewritten_chain_of_a_backup_is_found_by_its_signature(tables: AuditedPayments) -> None:
    chain = tables.log.log["pay_2"]
    previous = chain[0].previous_hash
    for index, entry in enumerate(list[AuditEntry](chain)):
        chain[index] = replace(entry, minor_units=1, previous_hash=previous).sealed()
        previous = chain[index].hash

    assert [text.partition(",")[0] for text in faults(tables)] == ["payment pay_2"]
    assert list(BackedUpChains().faults(CHAINS, rows_of(tables))) == []  # the function may not verify signatures


def test_entry_that_cannot_be_read_is_a_fault(tables: AuditedPayments) -> None:
    assert faults(tables, [{"payment_id": {"S": "pay_1"}}]) == ["payment pay_1 has an entry that cannot be read"]
