"""One suite for the field encryptor and the e-mail hasher on KMS (moto) and for their in-memory fakes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from fakes.email_hasher import MemoryEmailHasher
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.text_hasher import MemoryTextHasher
from payments.adapters.kms import KmsEmailHasher, KmsFieldEncryptor, KmsTextHasher
from payments.application.searchable_metadata import SearchableMetadata
from payments.domain.sealed_text import is_sealed
from payments.ports.email_hasher import EmailHasher
from payments.ports.field_encryptor import DecryptionFailed, EncryptionUnavailable
from payments.ports.row_encryptor import RowEncryptor
from payments.ports.text_hasher import TextHasher
from tests.moto_tables import aws_in_memory

MINE = {"payment_id": "pay_1"}
YOURS = {"payment_id": "pay_2"}
VALUES = {"payment_method": "pm_1", "metadata.order": "A-17, \u2615", "metadata.empty": ""}


@dataclass
class Bench:
    """An encryptor and a hasher, the switch of their keys, and the number of requests that KMS would have received."""

    encryptor: RowEncryptor
    hasher: EmailHasher
    text_hasher: TextHasher
    switch: Callable[[bool], None]
    calls: Callable[[], int]
    rotate: Callable[[], object] = field(default=lambda: None)


@pytest.fixture(params=["memory", "kms"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "memory":
        yield memory_bench()
        return
    with aws_in_memory():
        yield kms_bench()


def memory_bench() -> Bench:
    encryptor, hasher, text_hasher = MemoryFieldEncryptor(), MemoryEmailHasher(), MemoryTextHasher()

    def switch(on: bool) -> None:
        encryptor.available = hasher.available = text_hasher.available = on

    return Bench(encryptor, hasher, text_hasher, switch, lambda: encryptor.calls)


def kms_bench() -> Bench:
    client = boto3.client("kms")
    key = client.create_key()["KeyMetadata"]["Arn"]
    lookup_key = client.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["Arn"]
    asked: list[str] = []
    disabled: list[bool] = [False]

    def ask(model: object, **_: object) -> None:
        """moto's keys work while they are disabled; the local AWS's do not: tests/local/ministack/test_kms.py."""
        asked.append(getattr(model, "name", ""))
        if disabled[0]:
            raise ClientError({"Error": {"Code": "DisabledException", "Message": f"{key} is disabled."}}, "-")

    def switch(on: bool) -> None:
        disabled[0] = not on

    client.meta.events.register("before-call.kms", ask)
    return Bench(
        KmsFieldEncryptor(client, key),
        KmsEmailHasher(client, lookup_key),
        KmsTextHasher(client, lookup_key),
        switch,
        lambda: len(asked),
        lambda: client.rotate_key_on_demand(KeyId=key),
    )


def test_seal_then_open_gives_the_values_and_no_plain_text_is_left(bench: Bench) -> None:
    sealed = bench.encryptor.seal(MINE, VALUES)

    assert {name for name, text in sealed.items() if is_sealed(text)} == {"payment_method", "metadata.order"}
    assert sealed["metadata.empty"] == ""
    assert not any("pm_1" in text or "A-17" in text for text in sealed.values())
    assert bench.encryptor.open(MINE, sealed) == VALUES


def test_seal_when_called_twice_then_other_texts(bench: Bench) -> None:
    assert bench.encryptor.seal(MINE, {"f": "pm_1"}) != bench.encryptor.seal(MINE, {"f": "pm_1"})


def test_seal_and_open_when_asked_for_several_then_one_request_each(bench: Bench) -> None:
    sealed = bench.encryptor.seal(MINE, VALUES)
    assert bench.calls() == 1
    bench.encryptor.open(MINE, sealed)
    assert bench.calls() == 2


def test_seal_of_sealed_values_changes_nothing_without_a_request(bench: Bench) -> None:
    sealed = bench.encryptor.seal(MINE, VALUES)
    bench.switch(False)
    assert bench.encryptor.seal(MINE, sealed) == sealed


def test_open_passes_plain_texts_through_without_a_request(bench: Bench) -> None:
    bench.switch(False)
    assert bench.encryptor.open(MINE, VALUES) == VALUES


@pytest.mark.parametrize("context", [YOURS, {}, MINE | YOURS | {"customer_id": "c1"}, {"customer_id": "pay_1"}])
def test_open_when_the_context_is_another_then_refused_naming_the_field(bench: Bench, context: dict[str, str]) -> None:
    sealed = bench.encryptor.seal(MINE, {"payment_method": "pm_1"})
    with pytest.raises(DecryptionFailed, match="payment_method"):
        bench.encryptor.open(context, sealed)


def test_open_refuses_a_text_moved_to_another_field_naming_it(bench: Bench) -> None:
    sealed = bench.encryptor.seal(MINE, {"payment_method": "pm_1", "gateway_reference": "pi_1"})
    with pytest.raises(DecryptionFailed, match="gateway_reference"):
        bench.encryptor.open(MINE, {"gateway_reference": sealed["payment_method"]})


@pytest.mark.parametrize("change", [lambda t: t[:-2], lambda t: t + "AAAA", lambda t: "AAAA.".join(t.rsplit(".", 1))])
def test_open_when_a_text_was_changed_then_refused(bench: Bench, change: Callable[[str], str]) -> None:
    sealed = bench.encryptor.seal(MINE, {"f": "a longer text"})["f"]
    with pytest.raises(DecryptionFailed, match="f: "):
        bench.encryptor.open(MINE, {"f": change(sealed)})


@pytest.mark.parametrize(
    "text", ["sealed.v1.", "sealed.v1.x", "sealed.v1..", "sealed.v1.a.b", "sealed.v1.\u2615.\u2615"]
)
def test_open_when_a_text_only_looks_sealed_then_refused(bench: Bench, text: str) -> None:
    with pytest.raises(DecryptionFailed, match="f: "):
        bench.encryptor.open(MINE, {"f": text})


def test_unlock_lets_the_same_key_seal_more_without_another_request(bench: Bench) -> None:
    sealed = bench.encryptor.seal(MINE, {"metadata.order": "A-17"})
    plain, seal = bench.encryptor.unlock(MINE, sealed | {"payment_method": "pm_1"})
    calls = bench.calls()
    bench.switch(False)
    more = seal(sealed | {"payment_method": "pm_1", "gateway_reference": "pi_1", "empty": ""})

    assert (plain, calls, bench.calls()) == ({"metadata.order": "A-17", "payment_method": "pm_1"}, 2, 2)
    assert more["metadata.order"] == sealed["metadata.order"]
    bench.switch(True)
    assert bench.encryptor.open(MINE, more) == plain | {"gateway_reference": "pi_1", "empty": ""}
    assert bench.calls() == 3  # all under one data key


def test_unlock_when_nothing_is_sealed_then_a_new_key(bench: Bench) -> None:
    plain, seal = bench.encryptor.unlock(MINE, {"payment_method": ""})
    sealed = seal({"payment_method": "pm_1"})

    assert (plain, bench.calls()) == ({"payment_method": ""}, 1)
    assert bench.encryptor.open(MINE, sealed) == {"payment_method": "pm_1"}
    with pytest.raises(DecryptionFailed):
        bench.encryptor.open(YOURS, sealed)


def test_open_when_texts_have_several_keys_then_each_is_asked_for_once(bench: Bench) -> None:
    one = bench.encryptor.seal(MINE, {"a": "1", "b": "2"})
    other = bench.encryptor.seal(MINE, {"c": "3"})
    assert bench.encryptor.open(MINE, one | other) == {"a": "1", "b": "2", "c": "3"}
    assert bench.calls() == 4


@pytest.mark.fault(45)
def test_encryption_fails_closed_at_once_when_its_key_is_disabled(bench: Bench) -> None:
    sealed = bench.encryptor.seal(MINE, VALUES)
    bench.encryptor.open(MINE, sealed)
    bench.switch(False)

    for use in (bench.encryptor.seal, bench.encryptor.unlock):
        with pytest.raises(EncryptionUnavailable):
            use(MINE, VALUES)
    for use in (bench.encryptor.open, bench.encryptor.unlock):
        with pytest.raises(EncryptionUnavailable):
            use(MINE, sealed)
    with pytest.raises(EncryptionUnavailable):
        bench.hasher.hash_of("ada@example.com")


@pytest.mark.fault(45)
def test_open_when_the_key_is_enabled_again_then_all_is_there(bench: Bench) -> None:
    sealed = bench.encryptor.seal(MINE, VALUES)
    bench.switch(False)
    bench.switch(True)
    assert bench.encryptor.open(MINE, sealed) == VALUES


@pytest.mark.fault(45)
def test_open_reads_fields_sealed_before_a_key_rotation(bench: Bench) -> None:
    before = bench.encryptor.seal(MINE, {"a": "1"})
    bench.rotate()
    assert bench.encryptor.open(MINE, before | bench.encryptor.seal(MINE, {"b": "2"})) == {"a": "1", "b": "2"}


def test_hash_when_an_address_is_spelled_otherwise_then_the_same(bench: Bench) -> None:
    spellings = ("ada.lov\u00e9@example.com", " Ada.Love\u0301@Example.COM\n", "ADA.LOV\u00c9@EXAMPLE.COM")

    assert len({bench.hasher.hash_of(email) for email in spellings}) == 1
    assert bench.hasher.hash_of("ada.love@example.com") != bench.hasher.hash_of(spellings[0])


def test_hash_when_made_then_64_hexadecimal_digits_and_no_address(bench: Bench) -> None:
    made = bench.hasher.hash_of("ada@example.com")
    assert len(made) == 64
    assert int(made, 16)


@pytest.mark.parametrize(
    "error",
    [
        *(
            ClientError({"Error": {"Code": code, "Message": "-"}}, "-")
            for code in (
                "AccessDeniedException",
                "KMSInvalidStateException",
                "ThrottlingException",
                "NotFoundException",
            )
        ),
        ConnectTimeoutError(endpoint_url="https://kms"),
    ],
    ids=str,
)
def test_encryptor_is_unavailable_when_kms_cannot_be_used(error: Exception) -> None:
    def fail(**_: object) -> None:
        raise error

    with aws_in_memory():
        client = boto3.client("kms")
        encryptor = KmsFieldEncryptor(client, client.create_key()["KeyMetadata"]["Arn"])
        sealed = encryptor.seal(MINE, VALUES)
        client.meta.events.register("before-call.kms", fail)
        with pytest.raises(EncryptionUnavailable):
            encryptor.open(MINE, sealed)
        with pytest.raises(EncryptionUnavailable):
            encryptor.seal(MINE, VALUES)


def test_decryption_error_of_a_broken_field_does_not_show_its_text(bench: Bench) -> None:
    sealed = bench.encryptor.seal(MINE, {"payment_method": "pm_1"})["payment_method"]
    with pytest.raises(DecryptionFailed) as broken:
        bench.encryptor.open(YOURS, {"payment_method": sealed})
    assert sealed[12:] not in str(broken.value)
    assert "pm_1" not in str(broken.value)


def test_hash_of_a_text_is_repeatable_and_exact(bench: Bench) -> None:
    metadata = SearchableMetadata("order", bench.text_hasher)
    found = metadata.hash_of({"order": "A-17", "shop": "1"})
    assert found == metadata.hash_of_value("A-17")
    assert len(found) == 64
    assert found not in {
        metadata.hash_of_value("a-17"),
        SearchableMetadata("shop", bench.text_hasher).hash_of_value("A-17"),
    }
    assert metadata.hash_of({"shop": "1"}) == metadata.hash_of({"order": ""}) == ""


def test_no_declared_key_asks_for_no_hash(bench: Bench) -> None:
    bench.switch(False)
    assert SearchableMetadata("", bench.text_hasher).hash_of({"order": "A-17"}) == ""
    with pytest.raises(EncryptionUnavailable):
        SearchableMetadata("order", bench.text_hasher).hash_of({"order": "A-17"})
