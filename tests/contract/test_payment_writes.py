"""Each write of a payment's row names the attributes that the table says, and therefore those that IAM allows."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import boto3
import pytest

from fakes.field_encryptor import MemoryFieldEncryptor
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.payment_writes import NAMED, Write
from payments.adapters.dynamodb.payments import DynamoPaymentStore, payment_values
from payments.adapters.dynamodb.refunds import DynamoRefundStore
from payments.adapters.dynamodb.tables import AUDIT_LOG, PAYMENTS, PROCESSING_STATUS, REFUNDS
from payments.application.audit import audit
from payments.domain.due import Due, Kind
from payments.domain.payment import Payment
from payments.domain.refund import RefundRequest, booked, refund_requested
from payments.domain.refund_statuses import RefundStatus
from payments.domain.statuses import Status
from payments.ports.payment_store import AlreadyExists, require
from tests.moto_tables import aws_in_memory, create_table
from tests.unit.builders import NOON, after, batch_payment, payment
from tests.unit.chain_heads import heads_of

MARKS = frozenset({"audited_version", "audit_hash"})


@dataclass
class Requests:
    """The stores, and what their updates of payments name."""

    named: set[str] = field(default_factory=set)
    actions: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        client = boto3.client("dynamodb")
        client.meta.events.register("provide-client-params.*.*", self._asked)
        self.payments = DynamoPaymentStore(client, PAYMENTS.name, MemoryFieldEncryptor())
        self.log = DynamoAuditStore(client, AUDIT_LOG.name, PAYMENTS.name)
        self.refunds = DynamoRefundStore(client, REFUNDS.name, PAYMENTS.name)
        self.batches = DynamoBatchStore(client, PROCESSING_STATUS.name, PAYMENTS.name)

    def _asked(self, model: Any, params: Mapping[str, Any], **_: Any) -> None:
        for parts in params.get("TransactItems", [{model.name.removesuffix("Item"): params}]):
            for action, request in parts.items():
                if request.get("TableName") == PAYMENTS.name and action not in ("Get", "Query"):
                    self.actions.add(action)
                    self.named |= named_by(request)


def named_by(request: Mapping[str, Any]) -> set[str]:
    """The attributes that IAM sees in an update: those of the key, the update and the condition."""
    names = request.get("ExpressionAttributeNames", {})
    text = f"{request.get('UpdateExpression', '')} {request.get('ConditionExpression', '')}"
    words = re.findall(r"(?<![:#\w])#?[a-z_]\w*", text)
    functions = {"attribute_exists", "attribute_not_exists"}
    return set(request["Key"]) | {names.get(word, word) for word in words if word not in functions}


@pytest.fixture
def requests() -> Iterator[Requests]:
    with aws_in_memory():
        for table in (PAYMENTS, AUDIT_LOG, PROCESSING_STATUS, REFUNDS):
            create_table(table)
        yield Requests()


ENCRYPTED = ("payment_method", "metadata", "return_url", "client_ip")
FULL = replace(
    batch_payment("pay_1", 2, customer_id="cus_1", metadata={"order": "A-17"}),
    description="Annual plan",
    submitted_by="sub_jo",
    hold="card_testing",
    metadata_hash="f" * 64,
    retry_of="pay_0",
    off_session=True,
    token_id="a" * 64,
    return_url="https://shop.example/done",
    client_ip="203.0.113.7",
    card_counters="cards#merchant",
)


def write(requests: Requests, row: Payment) -> dict[Write, Callable[[], object]]:
    store = requests.payments
    asked = RefundRequest("ref_1", "pay_1")
    refund = refund_requested(asked, row.money, status=RefundStatus.PENDING, at=NOON, actor="test", source="rest")
    return {
        Write.SAVE: lambda: store.save(after(row, Status.PROCESSING)),
        Write.BOOK: lambda: requests.refunds.create(refund, booked(row, None, refund)),
        Write.POSTPONE: lambda: store.postpone("pay_1", NOON + timedelta(hours=1)),
        Write.KEEP_REFERENCE: lambda: store.keep_reference("pay_1", "pi_" + "a" * 24, "d" * 32),
        Write.PROVE_ABSENT: lambda: store.prove_absent(row),
        Write.MARK_RETRIED: lambda: store.mark_retried(row, "pay_1-2"),
        Write.LOOK_AGAIN: lambda: store.look_again(row, Due(Kind.OPEN, "2026-11-21T12:00:00.000Z")),
        Write.CLAIM_RESTART: lambda: store.claim_restart(row, NOON),
        Write.ADOPT: lambda: list(store.adopt()),
        Write.MARK_AUDITED: lambda: audit(row, log=requests.log, heads=heads_of(requests.log)),
        Write.CLOSE_ROW: lambda: requests.batches.close_row(row),
        Write.FORGET_BUYER: lambda: store.forget_buyer("pay_1"),
    }


@pytest.mark.parametrize("kind", [kind for kind in Write if kind is not Write.CREATE])
def test_write_names_the_attributes_of_the_table_and_no_others(requests: Requests, kind: Write) -> None:
    requests.payments.create(FULL)
    if kind is Write.ADOPT:
        boto3.client("dynamodb").update_item(
            TableName=PAYMENTS.name,
            Key={"payment_id": {"S": "pay_1"}},
            UpdateExpression="SET unsettled = :share",
            ExpressionAttributeValues={":share": {"S": "a"}},
        )
    row = require(requests.payments, "pay_1")
    requests.named.clear()

    write(requests, row)[kind]()

    assert requests.named <= NAMED[kind]
    assert requests.named - {"payment_id"}
    assert requests.actions == {"Update"}


@pytest.mark.parametrize("row", [FULL, payment("pay_1")], ids=["all fields", "few fields"])
def test_create_names_no_attribute_of_other_writers_and_never_a_mark(requests: Requests, row: Payment) -> None:
    requests.payments.create(row)

    assert requests.named <= NAMED[Write.CREATE]
    assert requests.actions == {"Update"}
    with pytest.raises(AlreadyExists) as known:
        requests.payments.create(replace(row, description="another"))
    stored = known.value.existing
    assert replace(row, **{name: getattr(stored, name) for name in ENCRYPTED}) == stored


def test_only_the_audit_function_and_recovery_can_name_the_marks() -> None:
    assert {kind for kind, names in NAMED.items() if names & MARKS} == {Write.MARK_AUDITED, Write.LOOK_AGAIN}
    assert "audit_hash" not in NAMED[Write.LOOK_AGAIN]


def test_each_attribute_of_a_row_is_written_by_one_of_the_writes() -> None:
    assert payment_values(FULL).keys() - frozenset().union(*NAMED.values()) == set()


@pytest.mark.parametrize("stored", [True, False], ids=["row of before, with 0", "new row"])
def test_first_entries_are_appended_to_rows_with_and_without_a_mark(requests: Requests, stored: bool) -> None:
    requests.payments.create(FULL)
    if stored:
        boto3.client("dynamodb").update_item(
            TableName=PAYMENTS.name,
            Key={"payment_id": {"S": "pay_1"}},
            UpdateExpression="SET audited_version = :none",
            ExpressionAttributeValues={":none": {"N": "0"}},
        )

    audit(require(requests.payments, "pay_1"), log=requests.log, heads=heads_of(requests.log))

    assert require(requests.payments, "pay_1").audited_version == 1
