"""An e-mail hasher in memory."""

import hmac

from payments.domain.sealed_text import one_spelling
from payments.ports.field_encryptor import EncryptionUnavailable


class MemoryEmailHasher:
    """HMAC-SHA-256 under a public key. `available` switches the key on and off."""

    def __init__(self) -> None:
        self.available = True

    def hash_of(self, email: str) -> str:
        """The HMAC of the normalized address in hexadecimal. Raises EncryptionUnavailable while switched off."""
        if not self.available:
            raise EncryptionUnavailable("the lookup key cannot be used: it is switched off")
        return hmac.digest(b"memory", one_spelling(email).encode(), "sha256").hex()
