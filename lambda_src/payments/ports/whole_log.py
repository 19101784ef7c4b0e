"""The audit log and the payments as a whole."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from payments.domain.audit_chain import AuditEntry
from payments.domain.payment import Payment


class WholeLog(Protocol):
    """The audit log and the payments as a whole, for a verification of everything."""

    def chains(self) -> Iterator[list[AuditEntry]]:
        """The entries of each payment that has some, in their order."""

    def rows(self, payment_ids: Sequence[str]) -> dict[str, Payment]:
        """The rows of at most 100 payments."""

    def audited_rows(self) -> Iterator[Payment]:
        """All rows that the log covers up to some version."""

    def entries_of(self, keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], AuditEntry]:
        """At most 100 entries, by payment and sequence."""
