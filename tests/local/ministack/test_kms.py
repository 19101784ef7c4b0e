"""FAULT 45 on keys that are really disabled: the field encryptor and the e-mail hasher on the local AWS."""

from dataclasses import dataclass
from typing import Any

import pytest

from local.ministack.server import LocalAws
from payments.adapters.kms import KmsEmailHasher, KmsFieldEncryptor
from payments.ports.field_encryptor import DecryptionFailed, EncryptionUnavailable

MINE = {"payment_id": "pay_1"}
VALUES = {"payment_method": "pm_1", "metadata.order": "A-17"}


@dataclass
class Keys:
    """Two new keys and their adapters."""

    kms: Any
    arn: str
    lookup_arn: str

    @property
    def encryptor(self) -> KmsFieldEncryptor:
        """A field encryptor, as in a new function instance."""
        return KmsFieldEncryptor(self.kms, self.arn)

    @property
    def hasher(self) -> KmsEmailHasher:
        return KmsEmailHasher(self.kms, self.lookup_arn)


@pytest.fixture
def keys(aws: LocalAws) -> Keys:
    kms = aws.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    lookup = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["Arn"]
    return Keys(kms, key, lookup)


def test_encryptor_opens_sealed_fields_and_those_added_after_unlock(keys: Keys) -> None:
    sealed = keys.encryptor.seal(MINE, VALUES)
    plain, seal = keys.encryptor.unlock(MINE, sealed)
    more = seal({"gateway_reference": "pi_1"})

    assert plain == VALUES
    assert keys.encryptor.open(MINE, sealed | more) == VALUES | {"gateway_reference": "pi_1"}


@pytest.mark.parametrize("context", [{"payment_id": "pay_2"}, {"customer_id": "pay_1"}, {}])
def test_open_when_the_text_is_another_rows_then_refused(keys: Keys, context: dict[str, str]) -> None:
    with pytest.raises(DecryptionFailed, match="payment_method"):
        keys.encryptor.open(context, keys.encryptor.seal(MINE, {"payment_method": "pm_1"}))


def test_open_when_the_text_is_another_fields_then_refused(keys: Keys) -> None:
    sealed = keys.encryptor.seal(MINE, {"payment_method": "pm_1"})["payment_method"]
    with pytest.raises(DecryptionFailed, match="gateway_reference"):
        keys.encryptor.open(MINE, {"gateway_reference": sealed})


@pytest.mark.fault(45)
def test_encryptor_fails_closed_while_its_key_is_disabled(keys: Keys) -> None:
    encryptor = keys.encryptor
    sealed = encryptor.seal(MINE, VALUES)
    assert encryptor.open(MINE, sealed) == VALUES  # data that it decrypted before is not cached
    keys.kms.disable_key(KeyId=keys.arn)

    for attempt in (
        lambda: encryptor.open(MINE, sealed),
        lambda: encryptor.seal(MINE, VALUES),
        lambda: encryptor.unlock(MINE, sealed),
        lambda: encryptor.unlock(MINE, {}),
    ):
        with pytest.raises(EncryptionUnavailable, match="DisabledException"):
            attempt()

    keys.kms.enable_key(KeyId=keys.arn)
    assert encryptor.open(MINE, sealed) == VALUES


@pytest.mark.fault(45)
def test_encryptor_fails_closed_while_its_key_is_pending_deletion(keys: Keys) -> None:
    sealed = keys.encryptor.seal(MINE, VALUES)
    keys.kms.schedule_key_deletion(KeyId=keys.arn, PendingWindowInDays=7)
    with pytest.raises(EncryptionUnavailable, match="KMSInvalidStateException"):
        keys.encryptor.open(MINE, sealed)

    keys.kms.cancel_key_deletion(KeyId=keys.arn)
    keys.kms.enable_key(KeyId=keys.arn)
    assert keys.encryptor.open(MINE, sealed) == VALUES


@pytest.mark.fault(45)
def test_encryptor_fails_closed_when_its_key_does_not_exist(keys: Keys) -> None:
    gone = keys.arn.rpartition("/")[0] + "/00000000-0000-0000-0000-000000000000"
    with pytest.raises(EncryptionUnavailable, match="NotFoundException"):
        KmsFieldEncryptor(keys.kms, gone).seal(MINE, VALUES)


@pytest.mark.fault(45)
def test_hash_fails_while_its_key_is_disabled_and_is_unchanged_after(keys: Keys) -> None:
    before = keys.hasher.hash_of("Ada@Example.com")
    keys.kms.disable_key(KeyId=keys.lookup_arn)
    with pytest.raises(EncryptionUnavailable, match="DisabledException"):
        keys.hasher.hash_of("ada@example.com")

    keys.kms.enable_key(KeyId=keys.lookup_arn)
    assert keys.hasher.hash_of("ada@example.com") == before


def test_hash_differs_under_another_key(keys: Keys) -> None:
    other = keys.kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["Arn"]
    hashes = {KmsEmailHasher(keys.kms, arn).hash_of("ada@example.com") for arn in (keys.lookup_arn, other)}
    assert len(hashes) == 2
