"""One suite for the refunds table on DynamoDB (moto) and for its in-memory fake."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import boto3
import pytest

from fakes.audit import MemoryAuditStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.payments import MemoryPaymentStore
from fakes.refunds import MemoryRefundStore
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.payment_writes import BOOKED
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.refunds import DynamoRefundStore
from payments.adapters.dynamodb.tables import AUDIT_LOG, PAYMENTS, REFUNDS
from payments.application.audit import audit
from payments.domain.audit_chain import verify
from payments.domain.clock import iso
from payments.domain.due import NEVER, Due, Kind
from payments.domain.money import Money
from payments.domain.payment import Payment
from payments.domain.refund import Refund, RefundRequest, booked, refund_moved, refund_requested
from payments.domain.refund_approval import APPROVAL_WAIT
from payments.domain.refund_statuses import RefundStatus
from payments.domain.sealed_fields import NotSealed
from payments.domain.statuses import Status
from payments.ports.audit_store import AuditStore
from payments.ports.payment_store import PaymentStore, VersionConflict, require
from payments.ports.refund_store import RefundExists, RefundNotStored, RefundStore, require_refund
from tests.moto_tables import aws_in_memory, create_table
from tests.unit import builders
from tests.unit.builders import ALWAYS, NOON, after
from tests.unit.chain_heads import heads_of

_S = RefundStatus
REFUND_KINDS = (Kind.REFUND_OPEN, Kind.REFUND_APPROVAL, Kind.REFUND_ATTENTION)


@dataclass
class Stores:
    payments: PaymentStore
    refunds: RefundStore
    audit: AuditStore

    def create(self, refund_id: str = "ref_1", minor_units: int = 4000, **changes: Any) -> Refund:
        refund = replace(new_refund(refund_id, minor_units), **changes)
        self.refunds.create(refund, booked(self.payment, None, refund))
        return refund

    def move(self, before: Refund, status: RefundStatus, refunded: int | None = None, **changes: Any) -> Refund:
        after_it = refund_moved(before, status, at=NOON, actor="test", **changes)
        self.refunds.save(after_it, booked(self.payment, before, after_it, refunded=refunded))
        return after_it

    @property
    def payment(self) -> Payment:
        return require(self.payments, "pay_1")

    def waiting(self) -> list[tuple[Kind, str]]:
        return [(kind, row_id) for kind in REFUND_KINDS for row_id, _ in self.refunds.due(kind, ALWAYS)]


def new_refund(refund_id: str = "ref_1", minor_units: int = 4000) -> Refund:
    asked = RefundRequest(refund_id, "pay_1")
    money = Money(minor_units, "USD")
    return refund_requested(asked, money, status=_S.PENDING, at=NOON, actor="admin:sub_jo", source="rest")


@pytest.fixture(params=["memory", "dynamodb"])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    payments: Any
    encryptor = MemoryFieldEncryptor()
    with aws_in_memory():
        if request.param == "memory":
            payments = MemoryPaymentStore(encryptor)
            stores = Stores(payments, MemoryRefundStore(payments), MemoryAuditStore(payments))
        else:
            client = boto3.client("dynamodb")
            for table in (PAYMENTS, REFUNDS, AUDIT_LOG):
                create_table(table)
            payments = DynamoPaymentStore(client, PAYMENTS.name, encryptor)
            refunds = DynamoRefundStore(client, REFUNDS.name, PAYMENTS.name)
            stores = Stores(payments, refunds, DynamoAuditStore(client, AUDIT_LOG.name, PAYMENTS.name))
        row = builders.payment()
        payments.create(row)
        for status in (Status.PROCESSING, Status.SUCCEEDED):
            payments.save(after(require(payments, "pay_1"), status))
        yield stores


def test_refund_is_stored_and_its_amount_reserved_at_once(stores: Stores) -> None:
    refund = stores.create(
        reason="duplicate",
        description="Broken",
        metadata={"order": "sealed.v1.k.x"},
        requested_by="sub_jo",
        attention="late",
    )

    assert stores.refunds.get("ref_1") == refund
    assert stores.payment.reserved_minor_units == 4000
    assert stores.payment.history[-1].message == "ref_1: 40.00 USD"


def test_second_refund_of_the_same_id_changes_nothing(stores: Stores) -> None:
    first = stores.create()

    with pytest.raises(RefundExists) as known:
        stores.create(minor_units=100)

    assert known.value.existing == first
    assert stores.payment.reserved_minor_units == 4000


@pytest.mark.fault(38)
def test_of_two_refunds_at_the_same_time_one_is_stored(stores: Stores) -> None:
    seen = stores.payment
    stores.create("ref_1", 6000)

    with pytest.raises(VersionConflict):
        stores.refunds.create(new_refund("ref_2", 6000), booked(seen, None, new_refund("ref_2", 6000)))

    assert stores.refunds.get("ref_2") is None
    assert stores.payment.reserved_minor_units == 6000


def test_change_moves_the_amount_from_reserved_to_refunded(stores: Stores) -> None:
    new = stores.create()
    sent = stores.move(new, _S.PROCESSING, attempts=1, sent_at=iso(NOON))
    done = stores.move(sent, _S.SUCCEEDED, refunded=4000, gateway_reference="re_1")

    payment = stores.payment
    assert (payment.reserved_minor_units, payment.refunded_minor_units) == (0, 4000)
    assert payment.status is Status.PARTIALLY_REFUNDED
    assert stores.refunds.get("ref_1") == done
    assert payment.payment_method  # what a refund does not change stays


@pytest.mark.parametrize("behind", ["refund", "payment"])
def test_change_needs_the_previous_version_of_both_rows(stores: Stores, behind: str) -> None:
    new, seen = stores.create(), stores.payment
    sent = refund_moved(new, _S.PROCESSING, at=NOON, actor="test")
    if behind == "refund":
        stores.move(new, _S.PROCESSING)
        seen = stores.payment
    else:
        stores.payments.save(after(seen, Status.PARTIALLY_REFUNDED))

    before = stores.payment
    with pytest.raises(VersionConflict):
        stores.refunds.save(sent, booked(seen, new, sent))

    assert stores.payment == before


@pytest.mark.fault(84)
@pytest.mark.parametrize(("early", "late"), [(_S.PENDING, _S.REJECTED), (_S.REJECTED, _S.PENDING)])
def test_of_an_approval_and_a_rejection_the_first_is_stored(stores: Stores, early: _S, late: _S) -> None:
    waiting, seen = stores.create(status=_S.PENDING_APPROVAL), stores.payment
    first = refund_moved(waiting, early, at=NOON, actor="admin:sub_al", approved_by="sub_al")
    second = refund_moved(waiting, late, at=NOON, actor="admin:sub_bo", approved_by="sub_bo")
    stores.refunds.save(first, booked(seen, waiting, first))

    for payment in (seen, stores.payment):
        with pytest.raises(VersionConflict):
            stores.refunds.save(second, booked(payment, waiting, second))

    assert stores.refunds.get("ref_1") == first
    assert stores.payment.reserved_minor_units == first.reserved_minor_units


def test_refund_that_needs_an_approval_is_due_when_it_waits_too_long(stores: Stores) -> None:
    waiting = stores.create(status=_S.PENDING_APPROVAL)
    [(_, due)] = stores.refunds.due(Kind.REFUND_APPROVAL, ALWAYS)
    assert due.at == iso(NOON + APPROVAL_WAIT)

    stores.move(waiting, _S.REJECTED, approved_by="sub_al")

    assert stores.waiting() == []


def test_save_of_a_payment_keeps_what_is_reserved(stores: Stores) -> None:
    seen = stores.payment
    stores.create()
    with pytest.raises(VersionConflict):
        stores.payments.save(after(seen, Status.PARTIALLY_REFUNDED))
    stores.payments.save(replace(after(stores.payment, Status.PARTIALLY_REFUNDED), reserved_minor_units=0))

    assert stores.payment.reserved_minor_units == 4000


def test_every_change_has_an_entry_in_the_audit_log_of_the_payment(stores: Stores) -> None:
    new = stores.create()
    stores.move(stores.move(new, _S.PROCESSING), _S.SUCCEEDED, refunded=4000, gateway_reference="re_1")
    audit(stores.payment, log=stores.audit, heads=heads_of(stores.audit))

    entries = stores.audit.entries("pay_1")
    verify(stores.payment, entries)
    assert [entry.code for entry in entries[3:]] == ["refund_pending", "refund_processing", "refund_succeeded"]
    assert entries[3].subject == "sub_jo"


def test_refund_waits_in_the_index_until_it_ends_or_an_operator_looks(stores: Stores) -> None:
    new = stores.create()
    assert stores.waiting() == [(Kind.REFUND_OPEN, "ref_1")]
    done = stores.move(stores.move(new, _S.PROCESSING), _S.SUCCEEDED, refunded=4000, gateway_reference="re_1")
    assert stores.waiting() == []
    stores.move(done, _S.FAILED, refunded=0, attention="failed_late")

    assert stores.waiting() == [(Kind.REFUND_ATTENTION, "ref_1")]
    assert next(stores.refunds.due(Kind.REFUND_ATTENTION, ALWAYS))[1].at == NEVER


def test_restart_is_claimed_once_and_moves_the_due_time(stores: Stores) -> None:
    row = stores.create()
    first_due = next(stores.refunds.due(Kind.REFUND_OPEN, ALWAYS))[1]
    claimed = stores.refunds.claim_restart(row, NOON + timedelta(minutes=6))

    assert claimed.restarts == 1
    with pytest.raises(VersionConflict):
        stores.refunds.claim_restart(row, NOON + timedelta(minutes=6))
    assert next(stores.refunds.due(Kind.REFUND_OPEN, ALWAYS))[1].at > first_due.at
    sent = stores.move(claimed, _S.PROCESSING)
    assert require_refund(stores.refunds, "ref_1").restarts == 1 == sent.restarts


def test_postponed_refund_keeps_the_later_time(stores: Stores) -> None:
    stores.create()
    for minutes in (10, 5):
        stores.refunds.postpone("ref_1", NOON + timedelta(minutes=minutes))

    assert require_refund(stores.refunds, "ref_1").not_before == iso(NOON + timedelta(minutes=10))


def test_look_again_has_no_effect_on_a_row_that_moved_on(stores: Stores) -> None:
    row = stores.create()
    stores.refunds.look_again(row, Due(Kind.REFUND_ATTENTION, NEVER))
    assert stores.waiting() == [(Kind.REFUND_ATTENTION, "ref_1")]
    stores.move(row, _S.PROCESSING)
    stores.refunds.look_again(row, None)

    assert stores.waiting() == [(Kind.REFUND_OPEN, "ref_1")]


def test_refunds_are_listed_by_payment_and_by_status_and_day(stores: Stores) -> None:
    for number in range(3):
        stores.create(f"ref_{number}", 100, created_at=iso(NOON + timedelta(seconds=number)))
    stores.move(require_refund(stores.refunds, "ref_0"), _S.PROCESSING)

    assert [refund.refund_id for refund in stores.refunds.of_payment("pay_1")] == ["ref_0", "ref_1", "ref_2"]
    first = stores.refunds.of_day(_S.PENDING, "2026-11-21", 1)
    second = stores.refunds.of_day(_S.PENDING, "2026-11-21", 5, first.next_after)
    assert {refund.refund_id for refund in first.refunds + second.refunds} == {"ref_1", "ref_2"}
    assert second.next_after == ""
    assert stores.refunds.of_day(_S.PENDING, "2026-11-22", 5).refunds == []


def test_metadata_in_plain_text_is_never_stored(stores: Stores) -> None:
    with pytest.raises(NotSealed):
        stores.create(metadata={"order": "A-17"})
    with pytest.raises(RefundNotStored):
        require_refund(stores.refunds, "ref_1")


def test_booked_attributes_are_those_that_a_refund_changes() -> None:
    row = after(builders.payment(), Status.PROCESSING, Status.SUCCEEDED)
    changed = booked(row, None, new_refund())

    names = {name for name in ("status", "version", "updated_at", "history") if getattr(row, name) is not None}
    assert names <= set(BOOKED)
    assert replace(row, **{name: getattr(changed, name) for name in BOOKED if hasattr(row, name)}) == changed
