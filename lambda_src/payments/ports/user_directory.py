"""The people who may log in, as their issuer knows them."""

from typing import Protocol

from payments.domain.identity import Caller


class DirectoryUnavailable(Exception):
    """The issuer's record of a person cannot be read now."""


class UserDirectory(Protocol):
    """Reads what an issuer verified about a person."""

    def verified_email(self, caller: Caller) -> str:
        """The address that the caller's issuer verified, or "". Raises DirectoryUnavailable."""
