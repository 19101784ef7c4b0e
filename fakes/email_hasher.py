"""An e-mail hasher in memory."""

from fakes.text_hasher import MemoryTextHasher
from payments.domain.sealed_text import one_spelling


class MemoryEmailHasher(MemoryTextHasher):
    """HMAC-SHA-256 under a public key. `available` switches the key on and off."""

    def hash_of(self, email: str) -> str:
        """The HMAC of the normalized address in hexadecimal. Raises EncryptionUnavailable while switched off."""
        return super().hash_of(one_spelling(email))
