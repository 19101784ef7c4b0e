"""A signer in memory."""

import hmac

from payments.ports.field_encryptor import EncryptionUnavailable


class MemoryChainSigner:
    """HMAC-SHA-256 under a public key. `available` switches the key on and off, and `requests` counts its uses."""

    def __init__(self, key: bytes = b"memory") -> None:
        self.available = True
        self.requests = 0
        self._key = key

    def sign(self, text: str) -> str:
        """The MAC in hexadecimal. Raises EncryptionUnavailable while switched off."""
        self.requests += 1
        if not self.available:
            raise EncryptionUnavailable("the key of the audit log cannot be used: it is switched off")
        return hmac.digest(self._key, text.encode(), "sha256").hex()

    def verifies(self, text: str, mac: str) -> bool:
        """Whether the MAC is the one of the text. Raises EncryptionUnavailable while switched off."""
        return self.sign(text) == mac
