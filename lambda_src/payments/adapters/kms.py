"""Field encryption with AWS KMS. The key never leaves KMS. Each seal uses a new data key, stored with it, KMS-wrapped.

No data key outlives the call that requested it. Once the KMS key is disabled, nothing is encrypted or decrypted.
"""

import binascii
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from payments.domain.sealed_text import PREFIX, Context, Seal, is_sealed, is_to_seal, needs_sealing, one_spelling
from payments.ports.field_encryptor import DecryptionFailed, EncryptionUnavailable

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient


_MAC: Final = "HMAC_SHA_256"
_MAC_BYTES = 32
_NONCE_BYTES = 12
"""NIST SP 800-38D, 8.2.2: random nonces are safe for 2^32 texts a key; a data key here seals a few dozen."""


class KmsFieldEncryptor:
    """A sealed text is `sealed.v1.`, the wrapped data key, a dot, and the nonce with the AES-256-GCM ciphertext.

    Context and field name are associated data of the ciphertext. The context is also KMS's encryption context.
    """

    def __init__(self, client: "KMSClient", key_arn: str) -> None:
        self._client = client
        self._key_arn = key_arn

    def seal(self, context: Context, values: Mapping[str, str]) -> dict[str, str]:
        """Encrypt the plain values under one new data key: one request to KMS, or none if all are empty or encrypted.

        Raises EncryptionUnavailable.
        """
        return self._new_key(context).seal(values) if needs_sealing(values) else dict(values)

    def open(self, context: Context, values: Mapping[str, str]) -> dict[str, str]:
        """Decrypt the encrypted values: one request to KMS for each data key among them.

        Raises EncryptionUnavailable, and DecryptionFailed naming the field.
        """
        return self._opened(values, self._keys(context, values))

    def unlock(self, context: Context, values: Mapping[str, str]) -> tuple[dict[str, str], Seal]:
        """Decrypt the values, and return them with the `seal` of their first data key, or of a new one.

        Raises EncryptionUnavailable, and DecryptionFailed naming the field.
        """
        keys = self._keys(context, values)
        key = next(iter(keys.values()), None) or self._new_key(context)
        return self._opened(values, keys), key.seal

    def _new_key(self, context: Context) -> "_DataKey":
        with _kms():
            made = self._client.generate_data_key(
                KeyId=self._key_arn, KeySpec="AES_256", EncryptionContext=dict(context)
            )
        return _DataKey(context, _encoded(made["CiphertextBlob"]), made["Plaintext"])

    def _keys(self, context: Context, values: Mapping[str, str]) -> dict[str, "_DataKey"]:
        """The data keys of all encrypted values by their wrapped form; usually there is one."""
        keys: dict[str, _DataKey] = {}
        for field, text in values.items():
            if is_sealed(text) and (wrapped := _parts(field, text)[0]) not in keys:
                keys[wrapped] = _DataKey(context, wrapped, self._unwrapped(context, field, wrapped))
        return keys

    def _unwrapped(self, context: Context, field: str, wrapped: str) -> bytes:
        with _kms(field):
            return self._client.decrypt(
                KeyId=self._key_arn, CiphertextBlob=_decoded(field, wrapped), EncryptionContext=dict(context)
            )["Plaintext"]

    @staticmethod
    def _opened(values: Mapping[str, str], keys: Mapping[str, "_DataKey"]) -> dict[str, str]:
        return {
            field: keys[_parts(field, text)[0]].open(field, text) if is_sealed(text) else text
            for field, text in values.items()
        }


class _DataKey:
    """A data key in plain text, for the lifetime of this object."""

    def __init__(self, context: Context, wrapped: str, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # who seals nothing does not load it

        self._context = dict(context)
        self._wrapped = wrapped
        self._cipher = AESGCM(key)

    def seal(self, values: Mapping[str, str]) -> dict[str, str]:
        return {field: self._sealed(field, text) if is_to_seal(field, text) else text for field, text in values.items()}

    def _sealed(self, field: str, text: str) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        ciphertext = self._cipher.encrypt(nonce, text.encode(), self._place_of(field))
        return f"{PREFIX}{self._wrapped}.{_encoded(nonce + ciphertext)}"

    def open(self, field: str, text: str) -> str:
        from cryptography.exceptions import InvalidTag

        content = _decoded(field, _parts(field, text)[1])
        try:
            plain = self._cipher.decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], self._place_of(field))
        except (InvalidTag, ValueError):
            raise _broken(field) from None
        return plain.decode()

    def _place_of(self, field: str) -> bytes:
        return json.dumps([self._context, field], sort_keys=True, separators=(",", ":")).encode()


class KmsTextHasher:
    """HMAC-SHA-256 under a KMS key. Only principals with permission for the key can test texts."""

    def __init__(self, client: "KMSClient", key_arn: str) -> None:
        self._client = client
        self._key_arn = key_arn

    def hash_of(self, text: str) -> str:
        """The HMAC in hexadecimal: one request to KMS. Raises EncryptionUnavailable."""
        with _kms():
            made = self._client.generate_mac(KeyId=self._key_arn, MacAlgorithm="HMAC_SHA_256", Message=text.encode())
        return made["Mac"].hex()


class KmsChainSigner:
    """Signs under an HMAC key. Each signature and each verification is one request to KMS."""

    def __init__(self, client: "KMSClient", key_arn: str) -> None:
        self._client = client
        self._key_arn = key_arn

    def sign(self, text: str) -> str:
        """The HMAC-SHA-256 in hexadecimal. Raises EncryptionUnavailable."""
        with _kms():
            made = self._client.generate_mac(KeyId=self._key_arn, MacAlgorithm=_MAC, Message=text.encode())
        return made["Mac"].hex()

    def verifies(self, text: str, mac: str) -> bool:
        """Whether the MAC is the one of the text. Raises EncryptionUnavailable."""
        try:
            content = bytes.fromhex(mac)
        except ValueError:
            return False
        if len(content) != _MAC_BYTES:
            return False  # KMS would refuse it
        try:
            with _kms():
                self._client.verify_mac(KeyId=self._key_arn, MacAlgorithm=_MAC, Message=text.encode(), Mac=content)
        except _InvalidMac:
            return False
        return True


class KmsEmailHasher(KmsTextHasher):
    """The same of e-mail addresses, equal for all spellings of one."""

    def hash_of(self, email: str) -> str:
        """The HMAC of the normalized address in hexadecimal: one request to KMS. Raises EncryptionUnavailable."""
        return super().hash_of(one_spelling(email))


class _InvalidMac(Exception):
    """KMS says that a MAC is not the one of its text."""


@contextmanager
def _kms(field: str = "") -> Iterator[None]:
    """Convert errors of KMS to errors of the port. `field` is the field that is being decrypted, or ""."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "KMSInvalidMacException":
            raise _InvalidMac from None
        if field and code in ("InvalidCiphertextException", "IncorrectKeyException"):
            raise _broken(field) from None
        raise EncryptionUnavailable(f"the encryption key cannot be used: {code}") from None
    except BotoCoreError as error:
        raise EncryptionUnavailable(f"the encryption key cannot be reached: {type(error).__name__}") from None


def _broken(field: str) -> DecryptionFailed:
    return DecryptionFailed(f"{field}: this sealed text belongs to another row or field, or was changed")


def _parts(field: str, text: str) -> tuple[str, str]:
    """The wrapped data key and the ciphertext of a sealed text."""
    wrapped, _, ciphertext = text.removeprefix(PREFIX).partition(".")
    if not wrapped or not ciphertext:
        raise _broken(field)
    return wrapped, ciphertext


def _encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def _decoded(field: str, text: str) -> bytes:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise _broken(field) from None
