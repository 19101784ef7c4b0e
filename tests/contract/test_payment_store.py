"""One suite for the payments table on DynamoDB (moto) and for its in-memory fake."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any

import boto3
import pytest

from fakes.audit import MemoryAuditStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.payments import MemoryPaymentStore
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.items import to_item
from payments.adapters.dynamodb.payments import DynamoPaymentStore, payment_values
from payments.adapters.dynamodb.tables import AUDIT_LOG, PAYMENTS
from payments.application.audit import audit
from payments.application.sealed_payments import opened
from payments.domain.audit_chain import missing_entries
from payments.domain.clock import iso
from payments.domain.due import Due, Kind
from payments.domain.payment import Payment, accepted, moved
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.sealed_fields import NotSealed, private
from payments.domain.sealed_text import is_sealed
from payments.domain.statuses import Status
from payments.ports.audit_store import AuditStore
from payments.ports.field_encryptor import EncryptionUnavailable
from payments.ports.payment_store import AlreadyExists, PaymentStore, VersionConflict, require
from tests.moto_tables import aws_in_memory, create_table
from tests.unit import builders
from tests.unit.builders import NOON, after, request, waiting
from tests.unit.chain_heads import heads_of

payment = partial(builders.payment, method="")
"""Without private fields: encrypted fields have their own tests."""


def batch_payment() -> Payment:
    return replace(builders.batch_payment(), payment_method="")


@dataclass
class Stores:
    payments: PaymentStore
    audit: AuditStore
    encryptor: MemoryFieldEncryptor

    def opened(self, payment_id: str = "pay_1") -> Payment:
        return opened(require(self.payments, payment_id), self.encryptor)


@pytest.fixture(params=["memory", "dynamodb"])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    encryptor = MemoryFieldEncryptor()
    if request.param == "memory":
        payments = MemoryPaymentStore(encryptor)
        yield Stores(payments, MemoryAuditStore(payments), encryptor)
        return
    with aws_in_memory():
        client = create_table(PAYMENTS)
        create_table(AUDIT_LOG)
        yield Stores(
            DynamoPaymentStore(client, PAYMENTS.name, encryptor),
            DynamoAuditStore(client, AUDIT_LOG.name, PAYMENTS.name),
            encryptor,
        )


METADATA = {"order": "A-17", "empty": ""}


def sealed_reference(stores: Stores) -> str:
    return stores.encryptor.seal({"payment_id": "pay_1"}, {"gateway_reference": "PAYID-1"})["gateway_reference"]


def full_payment() -> Payment:
    """A payment with a value in every field that a client or a batch can fill."""
    asked = request(customer_id="c1", payment_method="pm_1", description="tea, \u2615", metadata=METADATA)
    return accepted(asked, at=NOON, source="batch", correlation_id="r1", batch_id="b1", batch_line=7)


@pytest.mark.parametrize("stored", [payment(), full_payment()], ids=["plain", "full"])
def test_create_then_get_gives_the_same_payment(stores: Stores, stored: Payment) -> None:
    stores.payments.create(stored)
    assert stores.opened() == stored


def test_get_when_there_is_none_then_none_and_require_names_it(stores: Stores) -> None:
    assert stores.payments.get("pay_1") is None
    with pytest.raises(LookupError, match="pay_1"):
        require(stores.payments, "pay_1")


def test_create_with_a_taken_id_keeps_and_returns_the_first(stores: Stores) -> None:
    stores.payments.create(payment())
    with pytest.raises(AlreadyExists) as taken:
        stores.payments.create(payment(amount=1))
    assert taken.value.existing == payment()
    assert stores.payments.get("pay_1") == payment()


def test_save_then_get_gives_the_next_version(stores: Stores) -> None:
    stores.payments.create(full_payment())
    charged = moved(
        require(stores.payments, "pay_1"),
        Status.PROCESSING,
        at=NOON,
        actor="charge",
        attempts=1,
        attempted_at=iso(NOON),
        gateway="stripe",
    )
    stores.payments.save(charged)
    done = moved(charged, Status.SUCCEEDED, at=NOON, actor="workflow")
    done = replace(done, gateway_reference=sealed_reference(stores))
    stores.payments.save(done)
    assert stores.payments.get("pay_1") == done
    assert stores.opened() == replace(done, payment_method="pm_1", gateway_reference="PAYID-1", metadata=METADATA)


def test_save_when_a_reason_is_gone_then_it_is_gone_from_the_row(stores: Stores) -> None:
    stores.payments.create(payment())
    busy = moved(payment(), Status.PROCESSING, at=NOON, actor="charge", code="rate_limited", message="busy")
    stores.payments.save(busy)
    stores.payments.save(moved(busy, Status.SUCCEEDED, at=NOON, actor="workflow"))
    assert require(stores.payments, "pay_1").code == ""


def test_save_when_another_was_faster_then_refused_and_nothing_changes(stores: Stores) -> None:
    stores.payments.create(payment())
    first = moved(payment(), Status.PROCESSING, at=NOON, actor="one")
    stores.payments.save(first)
    with pytest.raises(VersionConflict):
        stores.payments.save(moved(payment(), Status.FAILED, at=NOON, actor="two"))
    assert stores.payments.get("pay_1") == first


def test_save_when_the_payment_is_not_stored_then_refused(stores: Stores) -> None:
    with pytest.raises(VersionConflict):
        stores.payments.save(moved(payment(), Status.FAILED, at=NOON, actor="two"))


def test_save_leaves_the_audit_marks_alone(stores: Stores) -> None:
    stores.payments.create(payment())
    stores.audit.append(missing_entries(payment()), row_version=1)
    stores.payments.save(moved(payment(), Status.PROCESSING, at=NOON, actor="charge"))
    row = require(stores.payments, "pay_1")
    assert (row.version, row.audited_version) == (2, 1)
    assert row.audit_hash


def test_of_batch_gives_its_payments_by_line(stores: Stores) -> None:
    for line, name in ((9, "a"), (2, "b"), (100, "c")):
        asked = request(name)
        stores.payments.create(accepted(asked, at=NOON, source="batch", batch_id="b1", batch_line=line))
    stores.payments.create(payment("rest"))
    assert [row.payment_id for row in stores.payments.of_batch("b1")] == ["b", "a", "c"]


# Open payments ------------------------------------------------------------------------------------

LATER = NOON + timedelta(hours=1)
WAITING = [Status.UNKNOWN, Status.REQUIRES_ACTION, Status.IN_REVIEW]


def unsettled(stores: Stores) -> list[str]:
    return waiting(stores.payments)


def save_all(stores: Stores, row: Payment, *statuses: Status) -> Payment:
    """Save each of the versions, as the workflow does."""
    for status in statuses:
        row = after(row, status)
        stores.payments.save(row)
    return row


def audit_now(stores: Stores) -> None:
    audit(require(stores.payments, "pay_1"), log=stores.audit, heads=heads_of(stores.audit))


def test_unsettled_when_accepted_over_rest_then_in_from_creation_on(stores: Stores) -> None:
    stores.payments.create(payment())
    assert unsettled(stores) == ["pay_1"]


def test_unsettled_when_of_a_batch_then_in_from_its_first_change_on(stores: Stores) -> None:
    stores.payments.create(batch_payment())
    assert unsettled(stores) == []
    save_all(stores, batch_payment(), Status.PROCESSING, Status.PENDING)
    assert unsettled(stores) == ["pay_1"]


def test_unsettled_when_settled_then_in_until_the_audit_covers_it(stores: Stores) -> None:
    stores.payments.create(payment())
    save_all(stores, payment(), Status.PROCESSING, Status.SUCCEEDED)
    assert unsettled(stores) == ["pay_1"]
    audit_now(stores)
    assert unsettled(stores) == []


@pytest.mark.parametrize("status", WAITING)
def test_unsettled_when_audited_and_still_waited_for_then_it_stays(stores: Stores, status: Status) -> None:
    stores.payments.create(payment())
    save_all(stores, payment(), Status.PROCESSING, status)
    audit_now(stores)
    assert unsettled(stores) == ["pay_1"]


def test_unsettled_lists_a_refunded_payment_until_the_refund_is_audited(stores: Stores) -> None:
    stores.payments.create(payment())
    row = save_all(stores, payment(), Status.PROCESSING, Status.SUCCEEDED)
    audit_now(stores)
    save_all(stores, row, Status.REFUNDED)
    assert unsettled(stores) == ["pay_1"]
    audit_now(stores)
    assert unsettled(stores) == []


def test_unsettled_when_there_are_many_then_each_comes_once(stores: Stores) -> None:
    names = [f"pay_{number}" for number in range(40)]
    for name in names:
        stores.payments.create(payment(name))
    assert sorted(unsettled(stores)) == sorted(names)


UNIT = RecoveryTimeouts().unit
DUE = {
    "new": ((), Kind.PENDING, UNIT),
    "sent": ((Status.PROCESSING,), Kind.PENDING, UNIT),  # as when it was new: no write in the index
    "unknown": ((Status.PROCESSING, Status.UNKNOWN), Kind.OPEN, UNIT),
    "waits for its customer": ((Status.PROCESSING, Status.REQUIRES_ACTION), Kind.CUSTOMER, 3 * UNIT),
    "held": ((Status.PROCESSING, Status.IN_REVIEW), Kind.REVIEW, UNIT),
}


@pytest.mark.parametrize(("statuses", "kind", "wait"), DUE.values(), ids=list(DUE))
def test_due_lists_a_payment_by_its_kind_from_its_time_on(
    stores: Stores, statuses: tuple[Status, ...], kind: Kind, wait: timedelta
) -> None:
    stores.payments.create(payment())
    save_all(stores, payment(), *statuses)
    assert waiting(stores.payments, NOON + wait - timedelta(seconds=1)) == []
    assert list(stores.payments.due(kind, NOON + wait)) == [("pay_1", Due(kind, iso(NOON + wait)))]
    assert stores.payments.count(kind, NOON + wait) == 1
    assert stores.payments.count(kind, NOON) == 0


def test_due_lists_the_earliest_first_across_all_shares(stores: Stores) -> None:
    rows = [payment(f"pay_{number}") for number in range(20)]
    for number, row in enumerate(rows):
        stores.payments.create(replace(row, created_at=iso(NOON + 7 * number % 20 * UNIT)))
    found = [due.at for _, due in stores.payments.due(Kind.PENDING, LATER + 100 * UNIT)]
    assert len(found) == 20
    assert found == sorted(found)


def test_due_time_moves_with_a_restart_and_with_a_look(stores: Stores) -> None:
    stores.payments.create(payment())
    claimed = stores.payments.claim_restart(payment(), LATER)
    assert waiting(stores.payments, LATER + 2 * UNIT - timedelta(seconds=1)) == []
    assert waiting(stores.payments, LATER + 2 * UNIT) == ["pay_1"]
    stores.payments.look_again(payment(), Due(Kind.OPEN, iso(NOON)))  # read before the restart: no effect
    assert waiting(stores.payments, LATER) == []
    stores.payments.look_again(claimed, Due(Kind.OPEN, iso(NOON)))
    assert waiting(stores.payments, NOON, [Kind.OPEN]) == ["pay_1"]
    stores.payments.look_again(claimed, None)
    assert unsettled(stores) == []


def test_dynamodb_rows_of_before_move_once_to_the_index_by_due_time() -> None:
    with aws_in_memory():
        client = create_table(PAYMENTS)
        store = DynamoPaymentStore(client, PAYMENTS.name)
        for number in range(20):
            store.create(payment(f"pay_{number}", method=""))
            client.update_item(
                TableName=PAYMENTS.name,
                Key={"payment_id": {"S": f"pay_{number}"}},
                UpdateExpression="SET unsettled = :share REMOVE due_kind, due_at",
                ExpressionAttributeValues={":share": {"S": f"{number % 16:x}"}},
            )
        assert waiting(store) == []
        first = list(islice(store.adopt(), 7))  # the run ends early
        assert len(waiting(store)) == 7
        assert sorted(first + list(store.adopt())) == sorted(waiting(store))
        assert len(waiting(store, NOON, [Kind.OPEN])) == 20
        assert list(store.adopt()) == []


def test_claim_restart_when_two_saw_the_same_then_one_has_it(stores: Stores) -> None:
    stores.payments.create(payment())
    claimed = stores.payments.claim_restart(payment(), LATER)
    assert (claimed.restarts, claimed.restarted_at) == (1, iso(LATER))
    assert stores.payments.get("pay_1") == claimed
    with pytest.raises(VersionConflict):
        stores.payments.claim_restart(payment(), LATER)
    assert stores.payments.claim_restart(claimed, LATER).restarts == 2
    with pytest.raises(VersionConflict):
        stores.payments.claim_restart(claimed, LATER)


def test_claim_restart_when_the_payment_moved_on_by_itself_then_refused(stores: Stores) -> None:
    stores.payments.create(payment())
    moved_on = save_all(stores, payment(), Status.PROCESSING)
    with pytest.raises(VersionConflict):
        stores.payments.claim_restart(payment(), LATER)
    assert stores.payments.get("pay_1") == moved_on


def test_claim_restart_count_survives_a_save_of_a_row_read_before(stores: Stores) -> None:
    stores.payments.create(payment())
    stores.payments.claim_restart(payment(), LATER)
    save_all(stores, payment(), Status.PROCESSING)
    row = require(stores.payments, "pay_1")
    assert (row.status, row.restarts, row.restarted_at) == (Status.PROCESSING, 1, iso(LATER))


# The time that an attempt waits for -------------------------------------------------------------------------------


def test_postpone_keeps_the_latest_time(stores: Stores) -> None:
    stores.payments.create(payment())
    for until in (LATER, LATER - timedelta(hours=1)):
        stores.payments.postpone("pay_1", until)
        assert require(stores.payments, "pay_1") == replace(payment(), not_before=iso(LATER))
    stores.payments.postpone("pay_1", LATER + timedelta(seconds=1))
    assert require(stores.payments, "pay_1").not_before == iso(LATER + timedelta(seconds=1))


def test_postponed_time_survives_a_save_of_a_row_read_before(stores: Stores) -> None:
    stores.payments.create(payment())
    stores.payments.postpone("pay_1", LATER)
    save_all(stores, payment(), Status.PROCESSING)
    row = require(stores.payments, "pay_1")
    assert (row.status, row.not_before) == (Status.PROCESSING, iso(LATER))


def test_forget_buyer_removes_the_address_and_no_save_brings_it_back(stores: Stores) -> None:
    stores.payments.create(replace(payment(), client_ip="203.0.113.7", card_counters="card cards#ip#1"))
    read_before = require(stores.payments, "pay_1")
    assert stores.encryptor.open({"payment_id": "pay_1"}, {"client_ip": read_before.client_ip}) == {
        "client_ip": "203.0.113.7"
    }
    stores.payments.forget_buyer("pay_1")
    stores.payments.save(after(read_before, Status.PROCESSING))
    row = require(stores.payments, "pay_1")
    assert (row.status, row.client_ip, row.card_counters) == (Status.PROCESSING, "", "")


# The gateway's reference, as soon as it is known ---------------------------------------------------------------------


def test_keep_reference_stores_the_first_one_in_any_status(stores: Stores) -> None:
    stores.payments.create(payment())
    unknown = save_all(stores, payment(), Status.PROCESSING, Status.UNKNOWN)
    for reference, digest in (("sealed.v1.a.b", "d1"), ("sealed.v1.c.d", "d2")):
        stores.payments.keep_reference("pay_1", reference, digest)
        kept = replace(unknown, gateway_reference="sealed.v1.a.b", reference_digest="d1")
        assert require(stores.payments, "pay_1") == kept


def test_kept_reference_survives_a_save_of_a_row_read_before(stores: Stores) -> None:
    stores.payments.create(payment())
    stores.payments.keep_reference("pay_1", "sealed.v1.a.b", "d1")
    save_all(stores, payment(), Status.PROCESSING)
    row = require(stores.payments, "pay_1")
    assert (row.status, row.gateway_reference, row.reference_digest) == (Status.PROCESSING, "sealed.v1.a.b", "d1")


def test_form_of_the_request_is_stored_with_the_intent(stores: Stores) -> None:
    stores.payments.create(payment())
    form: dict[str, Any] = {"environment_id": "0123456789abcdef", "gateway_customer": "cus_1", "off_session": True}
    sent = after(payment(), Status.PROCESSING, **form)
    stores.payments.save(sent)
    assert require(stores.payments, "pay_1") == sent
    assert (sent.environment_id, sent.gateway_customer, sent.off_session) == ("0123456789abcdef", "cus_1", True)


def test_prove_absent_marks_only_the_given_version(stores: Stores) -> None:
    stores.payments.create(payment())
    unknown = save_all(stores, payment(), Status.PROCESSING, Status.UNKNOWN)
    stores.payments.prove_absent(replace(unknown, version=2))
    assert not require(stores.payments, "pay_1").is_proven_absent
    stores.payments.prove_absent(unknown)
    assert require(stores.payments, "pay_1").is_proven_absent
    stores.payments.save(after(unknown, Status.PROCESSING))
    assert not require(stores.payments, "pay_1").is_proven_absent


def test_prove_absent_has_no_effect_once_a_reference_is_known(stores: Stores) -> None:
    stores.payments.create(payment())
    unknown = save_all(stores, payment(), Status.PROCESSING, Status.UNKNOWN)
    stores.payments.keep_reference("pay_1", "sealed.v1.a.b", "d1")
    stores.payments.prove_absent(unknown)
    assert require(stores.payments, "pay_1").absent_version == 0


def test_mark_retried_when_set_to_another_retry_then_the_first_wins(stores: Stores) -> None:
    stores.payments.create(payment())
    failed = save_all(stores, payment(), Status.FAILED)
    for _ in range(2):
        stores.payments.mark_retried(failed, "pay_1_r2")
    with pytest.raises(VersionConflict):
        stores.payments.mark_retried(failed, "other")
    assert require(stores.payments, "pay_1").retried_as == "pay_1_r2"


def test_mark_retried_when_the_row_changed_then_refused(stores: Stores) -> None:
    stores.payments.create(payment())
    failed = save_all(stores, payment(), Status.FAILED)
    for stale in (replace(failed, version=1), replace(failed, status=Status.REJECTED)):
        with pytest.raises(VersionConflict):
            stores.payments.mark_retried(stale, "pay_1_r2")
    assert require(stores.payments, "pay_1").retried_as == ""


def test_create_and_save_keep_what_a_payment_is_a_retry_of(stores: Stores) -> None:
    row = replace(payment(), retry_of="pay_0")
    stores.payments.create(row)
    save_all(stores, row, Status.FAILED)
    assert require(stores.payments, "pay_1").retry_of == "pay_0"


def test_keep_reference_refuses_a_reference_in_plain_text(stores: Stores) -> None:
    stores.payments.create(payment())
    with pytest.raises(NotSealed):
        stores.payments.keep_reference("pay_1", "PAYID-1", "d1")


def test_keep_reference_stores_the_id_of_a_charge_clear(stores: Stores) -> None:
    stores.payments.create(payment())
    stores.payments.keep_reference("pay_1", "pi_1", "d1")
    assert require(stores.payments, "pay_1").gateway_reference == "pi_1"


# Fields that are stored encrypted ------------------------------------------------------------------------------------


def test_create_leaves_no_private_plain_text_in_the_row(stores: Stores) -> None:
    stores.payments.create(full_payment())
    row = require(stores.payments, "pay_1")

    assert {name for name, text in private(row).items() if is_sealed(text)} == {"payment_method", "metadata.order"}
    assert stores.encryptor.calls == 1
    assert (row.description, row.customer_id, row.fingerprint) == ("tea, \u2615", "c1", full_payment().fingerprint)


@pytest.mark.fault(45)
def test_create_when_the_key_is_disabled_then_nothing_is_stored(stores: Stores) -> None:
    stores.encryptor.available = False
    with pytest.raises(EncryptionUnavailable):
        stores.payments.create(full_payment())
    assert stores.payments.get("pay_1") is None


@pytest.mark.fault(45)
def test_get_and_save_when_the_key_is_disabled_then_they_need_none(stores: Stores) -> None:
    stores.payments.create(full_payment())
    stores.encryptor.available = False
    after_it = save_all(stores, require(stores.payments, "pay_1"), Status.PROCESSING, Status.SUCCEEDED)
    assert stores.payments.get("pay_1") == after_it
    with pytest.raises(EncryptionUnavailable):
        stores.opened()


@pytest.mark.parametrize("field", ["payment_method", "gateway_reference"])
def test_save_of_a_plain_private_field_is_refused_and_changes_nothing(stores: Stores, field: str) -> None:
    stores.payments.create(payment())
    with pytest.raises(VersionConflict):
        stores.payments.save(moved(payment(), Status.PROCESSING, at=NOON, actor="c", **{field: "plain_1"}))
    assert stores.payments.get("pay_1") == payment()


def test_save_of_a_row_from_before_sealing_works_and_keeps_its_text(dynamodb: DynamoPaymentStore) -> None:
    before = after(builders.payment(), Status.PROCESSING, Status.SUCCEEDED, gateway_reference="pi_1")
    boto3.client("dynamodb").put_item(TableName=PAYMENTS.name, Item=to_item(payment_values(before)))
    refunded = after(before, Status.REFUNDED)

    dynamodb.save(refunded)

    assert opened(require(dynamodb, "pay_1"), MemoryFieldEncryptor()) == refunded
    with pytest.raises(VersionConflict, match="plain payment_method"):
        dynamodb.save(replace(after(refunded, Status.DISPUTED), payment_method="pm_other"))


def test_create_without_an_encryptor_refuses_plain_text_storing_nothing(dynamodb: DynamoPaymentStore) -> None:
    with pytest.raises(NotSealed, match="pay_1"):
        dynamodb.create(builders.payment())
    assert dynamodb.get("pay_1") is None
    dynamodb.create(payment())


@pytest.fixture
def dynamodb() -> Iterator[DynamoPaymentStore]:
    """The payments table for functions that have no key."""
    with aws_in_memory():
        yield DynamoPaymentStore(create_table(PAYMENTS), PAYMENTS.name)


def test_save_keeps_the_refunded_amount_and_removes_it(stores: Stores) -> None:
    """A refund that fails later takes it back."""
    stores.payments.create(payment())
    row = require(stores.payments, "pay_1")
    for status in (Status.PROCESSING, Status.SUCCEEDED):
        row = moved(row, status, at=NOON, actor="test")
        stores.payments.save(row)
    for status, minor_units in ((Status.PARTIALLY_REFUNDED, 1000), (Status.REFUNDED, 9999), (Status.SUCCEEDED, 0)):
        row = moved(row, status, at=NOON, actor="test", refunded_minor_units=minor_units)
        stores.payments.save(row)
        assert require(stores.payments, "pay_1").refunded_minor_units == minor_units
