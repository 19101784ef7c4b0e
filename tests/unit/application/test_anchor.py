"""Writing anchors, and looking heads up in them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from fakes.chain_signer import MemoryChainSigner
from payments.application.anchor import AnchorBroken
from payments.application.anchored_heads import NoAnchorYet
from payments.domain.anchor import PART_LEAVES, anchor_of, key_of, parts_of, root_of
from payments.domain.audit_chain import AuditBroken, Leaf
from payments.domain.statuses import Status
from tests.unit.application.audit_scenario import HOUR, AuditedPayments

MINUTE = timedelta(minutes=1)


def heads(tables: AuditedPayments, number: int) -> dict[str, int]:
    """Payment → sequence of its head, in one anchor."""
    anchor = anchor_of(tables.anchors.get(key_of(number)))
    return {leaf.payment_id: leaf.sequence for part in anchor.parts for leaf in tables.anchored.leaves(anchor, part)}


def test_first_anchor_has_all_chains_and_the_next_ones_what_changed() -> None:
    tables = AuditedPayments()
    tables.charged("pay_1", "pay_2")
    tables.anchor()
    tables.refunded("pay_2")
    tables.charged("pay_3")
    tables.anchor()
    tables.anchor()

    assert [heads(tables, number) for number in range(3)] == [
        {"pay_1": 3, "pay_2": 3},
        {"pay_2": 4, "pay_3": 3},
        {},
    ]


def test_change_in_the_last_minutes_is_in_the_next_anchor() -> None:
    tables = AuditedPayments()
    tables.anchor()
    tables.charged("pay_1")
    tables.anchor(after=MINUTE)
    tables.anchor()

    assert [heads(tables, number) for number in range(3)] == [{}, {}, {"pay_1": 3}]


def test_first_anchor_has_also_what_was_written_just_now() -> None:
    tables = AuditedPayments()
    unsigned(tables, "pay_1")
    tables.anchor(after=timedelta(seconds=1))

    assert heads(tables, 0) == {"pay_1": 3}
    tables.refunded("pay_1")
    assert tables.faults("pay_1") == []


def test_change_that_is_audited_late_is_in_a_later_anchor() -> None:
    tables = AuditedPayments()
    tables.charged("pay_1")
    tables.anchor()
    tables.refunded("pay_1", audited=False)
    for _ in range(5):
        tables.anchor()
    tables.audit("pay_1")
    tables.anchor()

    assert heads(tables, 5) == {"pay_1": 3}
    assert heads(tables, 6) == {"pay_1": 4}
    tables.anchor()
    assert heads(tables, 7) == {}


def test_anchor_that_is_too_large_for_a_run_is_continued_and_written_once() -> None:
    tables = AuditedPayments()
    tables.charged(*(f"pay_{number:03}" for number in range(250)))
    tables.anchor()
    for number in range(0, 250, 2):
        tables.refunded(f"pay_{number:03}")
    tables.now += HOUR

    runs = 0
    while (made := tables.run(most_leaves=30).run(f"run{runs}", lambda: 0)) is None:
        runs += 1
        assert runs < 50
    assert runs == tables.continued > 2
    assert made.leaves == 125
    assert len(made.parts) > 1
    assert tables.faults(*tables.store.rows) == []


def test_two_runs_at_a_time_write_one_anchor() -> None:
    tables = AuditedPayments()
    tables.charged("pay_1")
    tables.now += HOUR
    first = tables.run()
    overtaken = replace(first, signer=_Overtaken(tables))

    assert overtaken.run("slow", lambda: 900) is None
    assert tables.faults("pay_1") == []


class _Overtaken(MemoryChainSigner):
    """A signer that is so slow that another run writes the anchor first."""

    def __init__(self, tables: AuditedPayments) -> None:
        super().__init__(b"anchors")
        self._tables = tables

    def sign(self, text: str) -> str:
        if not self._tables.anchors.versions.get(key_of(0)):
            self._tables.run().run("fast", lambda: 900)
        return super().sign(text)


def test_last_anchor_that_was_replaced_is_not_extended() -> None:
    tables = AuditedPayments()
    tables.anchor()
    forged = replace(anchor_of(tables.anchors.get(key_of(0))), until="2027-01-01T00:00:00.000Z")
    tables.anchors.put(key_of(0), forged.as_json())

    with pytest.raises(AnchorBroken, match="anchor 0 was replaced"):
        tables.run().run("run", lambda: 900)


def test_anchors_that_expired_are_not_missing() -> None:
    tables = AuditedPayments()
    tables.charged("pay_1")
    for _ in range(500):
        tables.anchor(after=timedelta(days=1))
    for number in range(1, 99):
        tables.anchors.delete(key_of(number))

    assert tables.faults("pay_1") == []


# Chains of before -----------------------------------------------------------------------------------------------------


def unsigned(tables: AuditedPayments, payment_id: str) -> None:
    """A payment that code of before audited: without signatures."""
    tables.charged(payment_id)
    tables.log.log[payment_id] = [replace(entry, mac="") for entry in tables.log.log[payment_id]]


def test_unsigned_chain_of_the_first_anchor_verifies_and_goes_on_signed() -> None:
    tables = AuditedPayments()
    unsigned(tables, "pay_1")
    tables.anchor()
    assert tables.faults("pay_1") == []

    tables.refunded("pay_1")

    assert tables.faults("pay_1") == []
    assert [bool(entry.mac) for entry in tables.log.log["pay_1"]] == [False, False, False, True]


def test_unsigned_chain_that_no_first_anchor_lists_is_not_extended() -> None:
    tables = AuditedPayments()
    tables.anchor()
    unsigned(tables, "pay_1")
    tables.anchor()

    with pytest.raises(AuditBroken, match="pay_1, entry 3 is the head, and is neither signed nor in the first anchor"):
        tables.refunded("pay_1")


def test_unsigned_chain_waits_for_the_first_anchor() -> None:
    tables = AuditedPayments()
    unsigned(tables, "pay_1")
    with pytest.raises(NoAnchorYet):
        tables.refunded("pay_1")

    tables.anchor()
    tables.audit("pay_1")

    assert tables.store.rows["pay_1"].status is Status.REFUNDED
    assert tables.faults("pay_1") == []


# Requests to KMS ------------------------------------------------------------------------------------------------------


def test_payment_costs_one_signature_and_a_later_change_two_requests() -> None:
    tables = AuditedPayments()
    tables.anchor()
    tables.charged("pay_1")
    assert tables.signer.requests == 1
    tables.audit("pay_1")
    assert tables.signer.requests == 1
    tables.refunded("pay_1")
    assert tables.signer.requests == 3


# The tree -------------------------------------------------------------------------------------------------------------


def test_root_is_that_of_rfc_6962() -> None:
    """The test vectors of RFC 6962's reference implementation, for the inner nodes."""
    import hashlib

    a, b, c = (hashlib.sha256(bytes([number])).digest() for number in range(3))
    inner = hashlib.sha256(b"\x01" + a + b).digest()
    assert root_of([a, b]) == inner
    assert root_of([a, b, c]) == hashlib.sha256(b"\x01" + inner + c).digest()
    assert root_of([]) == hashlib.sha256().digest()


def test_parts_are_sorted_and_small_so_that_one_payment_is_in_one_part() -> None:
    leaves = [Leaf(f"pay_{number:05}", 3, "h") for number in reversed(range(2 * PART_LEAVES + 1))]
    parts = [part for part, _ in parts_of(leaves, "anchors/00000001/", "run", 0)]

    assert [part.leaves for part in parts] == [PART_LEAVES, PART_LEAVES, 1]
    assert sum(part.may_have("pay_02000") for part in parts) == 1
