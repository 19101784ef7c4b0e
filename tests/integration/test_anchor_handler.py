"""The audit and the anchor function on moto: signed entries in, anchors out, and the metrics of their alarms."""

from types import ModuleType
from typing import Any

import boto3
import pytest

from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.tables import AUDIT_LOG, CONTROLS, PAYMENTS, PROCESSING_STATUS
from payments.adapters.s3_anchors import S3AnchorStore
from payments.application.anchor import AnchorBroken
from payments.domain.anchor import anchor_of, key_of
from payments.domain.audit_chain import AuditBroken
from payments.domain.statuses import Status
from payments.observability.metrics import ANCHORS_WRITTEN, AUDIT_BROKEN
from payments.ports.payment_store import require
from tests.integration.functions import Context, load, metrics_in
from tests.moto_tables import create_table
from tests.unit.builders import after, payment


class AuditFunctions:
    """The two handlers, the tables and the bucket."""

    def __init__(self, audit: ModuleType, anchor: ModuleType) -> None:
        self.audit, self.anchor = audit, anchor
        self.sent: list[dict[str, Any]] = []
        anchor.itself = self.sent.append  # type: ignore[attr-defined]
        client = boto3.client("dynamodb")
        self.payments = DynamoPaymentStore(client, PAYMENTS.name)
        self.log = DynamoAuditStore(client, AUDIT_LOG.name, PAYMENTS.name)
        self.anchors = S3AnchorStore(boto3.client("s3"), "anchors")

    def charged(self, payment_id: str) -> None:
        """A payment of November 2026 that succeeded, audited by the function."""
        self.payments.create(payment(payment_id, method=""))
        for status in (Status.PROCESSING, Status.SUCCEEDED):
            self.payments.save(after(require(self.payments, payment_id), status))
        self.run_audit(payment_id)

    def refunded(self, payment_id: str) -> None:
        """The payment is refunded, and audited by the function."""
        self.payments.save(after(require(self.payments, payment_id), Status.REFUNDED))
        self.run_audit(payment_id)

    def run_audit(self, payment_id: str) -> None:
        self.audit.handler({"payment_id": payment_id}, Context())

    def run_anchor(self) -> None:
        self.anchor.handler({}, Context())

    def change_entry(self, payment_id: str, sequence: int, remove: str) -> None:
        """An administrator changes an entry in the table."""
        boto3.client("dynamodb").update_item(
            TableName=AUDIT_LOG.name,
            Key={"payment_id": {"S": payment_id}, "sequence": {"N": str(sequence)}},
            UpdateExpression="REMOVE #name",
            ExpressionAttributeNames={"#name": remove},
        )


@pytest.fixture
def functions(aws: None) -> AuditFunctions:
    for table in (PAYMENTS, AUDIT_LOG, PROCESSING_STATUS, CONTROLS):
        create_table(table)
    boto3.client("s3").create_bucket(Bucket="anchors")
    kms = boto3.client("kms")
    audit_key, anchor_key = (
        kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["Arn"] for _ in range(2)
    )
    settings = {
        "ANCHOR_BUCKET": "anchors",
        "ANCHOR_KEY_ARN": anchor_key,
        "AUDIT_KEY_ARN": audit_key,
        "AUDIT_TABLE": AUDIT_LOG.name,
        "AWS_LAMBDA_FUNCTION_NAME": "payment-anchor-test",
        "ENVIRONMENT_ID": "0123456789abcdef",
        "ENVIRONMENT_SUFFIX": "test",
        "PAYMENTS_TABLE": PAYMENTS.name,
        "PROCESSING_STATUS_TABLE": PROCESSING_STATUS.name,
        "REPORT_FUNCTION": "payment-report-test",
    }
    return AuditFunctions(load("audit", **settings), load("anchor", **settings))


def test_audited_payment_has_a_signed_head_and_is_in_the_next_anchor(
    functions: AuditFunctions, capsys: pytest.CaptureFixture[str]
) -> None:
    functions.charged("pay_1")
    functions.run_anchor()
    functions.run_anchor()

    assert [bool(entry.mac) for entry in functions.log.entries("pay_1")] == [False, False, True]
    first, second = (anchor_of(functions.anchors.get(key_of(number))) for number in range(2))
    assert (first.leaves, second.leaves) == (1, 0)
    assert second.previous == first.hash
    assert metrics_in(capsys.readouterr().out)[ANCHORS_WRITTEN] == 2
    functions.refunded("pay_1")
    assert functions.log.entries("pay_1")[3].mac


@pytest.mark.fault(24)
@pytest.mark.parametrize("field", ["channel", "mac"])
def test_head_that_was_changed_is_not_extended_and_an_alarm_counts_it(
    functions: AuditFunctions, capsys: pytest.CaptureFixture[str], field: str
) -> None:
    functions.run_anchor()
    functions.charged("pay_1")
    functions.change_entry("pay_1", 3, remove=field)
    functions.payments.save(after(require(functions.payments, "pay_1"), Status.REFUNDED))

    with pytest.raises(AuditBroken, match="payment pay_1, entry 3"):
        functions.run_audit("pay_1")

    assert len(functions.log.entries("pay_1")) == 3
    assert metrics_in(capsys.readouterr().out)[AUDIT_BROKEN] == 1


def test_unsigned_head_that_the_first_anchor_lists_is_extended(functions: AuditFunctions) -> None:
    functions.charged("pay_1")
    functions.change_entry("pay_1", 3, remove="mac")
    functions.run_anchor()

    functions.refunded("pay_1")

    assert [bool(entry.mac) for entry in functions.log.entries("pay_1")] == [False, False, False, True]


def test_replaced_anchor_is_not_extended_and_an_alarm_counts_it(
    functions: AuditFunctions, capsys: pytest.CaptureFixture[str]
) -> None:
    functions.run_anchor()
    content = functions.anchors.get(key_of(0))
    functions.anchors.put(key_of(0), content.replace(b'"mac": "', b'"mac": "00'))

    with pytest.raises(AnchorBroken, match="anchor 0 was replaced"):
        functions.run_anchor()

    assert metrics_in(capsys.readouterr().out)[AUDIT_BROKEN] == 1
