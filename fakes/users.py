"""The in-memory fake of the people who may log in."""

from payments.domain.identity import Caller
from payments.ports.user_directory import DirectoryUnavailable


class MemoryUsers:
    """The verified addresses by subject."""

    def __init__(self, **verified: str) -> None:
        self.verified = verified
        self.available = True

    def verified_email(self, caller: Caller) -> str:
        """The address of the caller, or ""."""
        if not self.available:
            raise DirectoryUnavailable
        return caller.email or self.verified.get(caller.subject, "")
