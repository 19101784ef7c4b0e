"""One suite for what the audit log is signed and anchored with, on AWS (moto) and for the in-memory fakes."""

from collections.abc import Iterator

import boto3
import pytest

from fakes.anchors import MemoryAnchorStore
from fakes.audit import MemoryAuditStore
from fakes.chain_signer import MemoryChainSigner
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.tables import AUDIT_LOG, PAYMENTS
from payments.adapters.dynamodb.whole_log import DynamoWholeLog
from payments.adapters.kms import KmsChainSigner
from payments.adapters.s3_anchors import S3AnchorStore
from payments.application.audit import audit
from payments.domain.anchor import key_of
from payments.ports.anchor_store import AlreadyStored, AnchorStore
from payments.ports.backup_store import NoSuchObject
from payments.ports.chain_signer import ChainSigner
from payments.ports.field_encryptor import EncryptionUnavailable
from payments.ports.payment_store import require
from tests.moto_tables import aws_in_memory, create_table
from tests.unit.builders import payment
from tests.unit.chain_heads import heads_of


@pytest.fixture(autouse=True)
def aws() -> Iterator[None]:
    with aws_in_memory():
        yield


@pytest.fixture(params=["kms", "memory"])
def signer(request: pytest.FixtureRequest) -> ChainSigner:
    if request.param == "memory":
        return MemoryChainSigner()
    kms = boto3.client("kms")
    key = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["Arn"]
    return KmsChainSigner(kms, key)


@pytest.fixture(params=["s3", "memory"])
def anchors(request: pytest.FixtureRequest) -> AnchorStore:
    if request.param == "memory":
        return MemoryAnchorStore()
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="anchors")
    s3.put_bucket_versioning(Bucket="anchors", VersioningConfiguration={"Status": "Enabled"})
    return S3AnchorStore(s3, "anchors")


def test_signer_verifies_what_it_signed_and_nothing_else(signer: ChainSigner) -> None:
    mac = signer.sign("text")

    assert signer.verifies("text", mac)
    assert not signer.verifies("another text", mac)
    assert not signer.verifies("text", signer.sign("another text"))


@pytest.mark.parametrize("mac", ["", "no hex", "ab", "00" * 32])
def test_signer_when_the_mac_is_none_then_it_does_not_verify(signer: ChainSigner, mac: str) -> None:
    assert not signer.verifies("text", mac)


@pytest.mark.fault(45)
def test_signer_when_its_key_is_disabled_then_it_says_so() -> None:
    kms = boto3.client("kms")
    key = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["Arn"]
    signer = KmsChainSigner(kms, f"{key}0")  # moto signs with a disabled key, and knows no other
    with pytest.raises(EncryptionUnavailable):
        signer.sign("text")
    with pytest.raises(EncryptionUnavailable):
        signer.verifies("text", "00" * 32)


def test_anchor_is_added_once(anchors: AnchorStore) -> None:
    anchors.add(key_of(1), b"first")
    with pytest.raises(AlreadyStored):
        anchors.add(key_of(1), b"second")

    assert anchors.get(key_of(1)) == b"first"
    assert anchors.rewritten() == []


def test_anchors_are_numbered_and_the_first_is_none_of_them(anchors: AnchorStore) -> None:
    for number in (0, 2, 1, 11):
        anchors.add(key_of(number), b"anchor")

    assert anchors.numbers() == [1, 2, 11]


def test_anchor_that_is_replaced_is_listed_and_its_progress_is_not(anchors: AnchorStore) -> None:
    for number in range(4):
        anchors.add(key_of(number), b"anchor")
    for key in (key_of(0), key_of(2), key_of(3).replace("anchor.json", "progress.json")):
        anchors.put(key, b"one")
        anchors.put(key, b"another")

    assert anchors.rewritten() == [0, 2]


def test_object_that_does_not_exist_raises(anchors: AnchorStore) -> None:
    with pytest.raises(NoSuchObject):
        anchors.get(key_of(0))


def test_entry_of_the_log_is_read_alone_with_its_signature() -> None:
    client = boto3.client("dynamodb")
    for table in (PAYMENTS, AUDIT_LOG):
        create_table(table, client)
    store = DynamoPaymentStore(client, PAYMENTS.name)
    log = DynamoAuditStore(client, AUDIT_LOG.name, PAYMENTS.name)
    for payment_id in ("pay_1", "pay_2"):
        store.create(payment(payment_id, method=""))
        audit(require(store, payment_id), log=log, heads=heads_of(log))
    store.create(payment("pay_3", method=""))

    head = log.entry("pay_1", 1)

    assert head
    assert [head] == log.entries("pay_1")
    assert heads_of(log).fault_of(head) is None
    assert log.entry("pay_1", 2) is None
    whole = DynamoWholeLog(client, AUDIT_LOG.name, PAYMENTS.name)
    assert sorted(chain[0].payment_id for chain in whole.chains()) == ["pay_1", "pay_2"]
    assert whole.rows(["pay_1", "pay_9"]) == {"pay_1": require(store, "pay_1")}
    assert sorted(row.payment_id for row in whole.audited_rows()) == ["pay_1", "pay_2"]
    assert whole.entries_of([("pay_1", 1), ("pay_9", 1)]) == {("pay_1", 1): head}


def test_entry_of_the_fake_is_read_alone() -> None:
    log = MemoryAuditStore.__new__(MemoryAuditStore)
    log.log = {}
    assert log.entry("pay_1", 1) is None
