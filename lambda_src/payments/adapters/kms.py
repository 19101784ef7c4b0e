"""The vault on AWS KMS: the key never leaves it. Each seal has a data key of its own, stored with it, wrapped by KMS.

No data key outlives the call that asked for it: once the key is disabled, nothing is sealed or opened any more.
"""

import binascii
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from payments.domain.sealed_text import PREFIX, Context, Seal, is_sealed, needs_sealing, one_spelling
from payments.ports.field_encryptor import DecryptionFailed, EncryptionUnavailable

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient


_NONCE_BYTES = 12
"""NIST SP 800-38D, 8.2.2: random ones are safe for 2^32 texts a key; ours seals some dozens."""


class KmsFieldEncryptor:
    """A sealed text is `sealed.v1.`, the wrapped data key, a dot, and the nonce with the AES-256-GCM ciphertext.

    Context and field name are associated data of the ciphertext, and the context is KMS's encryption context as well.
    """

    def __init__(self, client: "KMSClient", key_arn: str) -> None:
        self._client = client
        self._key_arn = key_arn

    def seal(self, context: Context, values: Mapping[str, str]) -> dict[str, str]:
        """See the port."""
        return self._new_key(context).seal(values) if needs_sealing(values) else dict(values)

    def open(self, context: Context, values: Mapping[str, str]) -> dict[str, str]:
        """See the port."""
        return self._opened(values, self._keys(context, values))

    def unlock(self, context: Context, values: Mapping[str, str]) -> tuple[dict[str, str], Seal]:
        """See the port."""
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
        """The data keys of all sealed values, by their wrapped form: mostly one."""
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
    """A data key, in the clear for as long as this object lives."""

    def __init__(self, context: Context, wrapped: str, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # who seals nothing does not load it

        self._context = dict(context)
        self._wrapped = wrapped
        self._cipher = AESGCM(key)

    def seal(self, values: Mapping[str, str]) -> dict[str, str]:
        return {
            field: text if not text or is_sealed(text) else self._sealed(field, text) for field, text in values.items()
        }

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


class KmsEmailHasher:
    """HMAC-SHA-256 under a key of KMS, so that nobody without the right to ask can try addresses."""

    def __init__(self, client: "KMSClient", key_arn: str) -> None:
        self._client = client
        self._key_arn = key_arn

    def hash_of(self, email: str) -> str:
        """See the port."""
        with _kms():
            made = self._client.generate_mac(
                KeyId=self._key_arn, MacAlgorithm="HMAC_SHA_256", Message=one_spelling(email).encode()
            )
        return made["Mac"].hex()


@contextmanager
def _kms(field: str = "") -> Iterator[None]:
    """Turn what KMS answers into the port's errors; `field` is the one that is being opened."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if field and code in ("InvalidCiphertextException", "IncorrectKeyException"):
            raise _broken(field) from None
        raise EncryptionUnavailable(f"the encryption key cannot be used: {code}") from None
    except BotoCoreError as error:
        raise EncryptionUnavailable(f"the encryption key is out of reach: {type(error).__name__}") from None


def _broken(field: str) -> DecryptionFailed:
    return DecryptionFailed(f"{field}: this sealed text is another row's or field's, or was changed")


def _parts(field: str, text: str) -> tuple[str, str]:
    """The wrapped key and the ciphertext."""
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
