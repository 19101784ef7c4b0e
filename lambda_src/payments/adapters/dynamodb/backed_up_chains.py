"""The audit chains in a part of a backup."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from payments.adapters.dynamodb.audit import audit_entry_of
from payments.adapters.dynamodb.tables import AUDIT_LOG
from payments.domain.audit_chain import AuditEntry, Fault, fault_of_chain, fault_of_rest
from payments.domain.backup import Row

CHAINS = AUDIT_LOG.name
"""The table of a backup that has the chains."""


class BackedUpChains:
    """Checks the chains in the rows of a part, in their order. A scan returns the entries of a payment together.

    A part can begin in the middle of a chain; its first hash is then taken as it is. `head_fault` checks the signature
    of a signed entry at the end of a chain; an end without one has no signature to check: payments went on meanwhile.
    """

    def __init__(self, head_fault: Callable[[AuditEntry], Fault | None] = lambda _: None) -> None:
        self._head_fault = head_fault

    def faults(self, table: str, rows: Iterable[Row]) -> Iterator[str]:
        """What is wrong with the chains among rows of this table. Reads all rows."""
        if table != CHAINS:
            for _ in rows:
                pass
            return
        of_payments = (row for row in rows if ":" not in _payment_of(row))
        for payment_id, some in groupby(of_payments, key=_payment_of):
            try:
                chain = [audit_entry_of(row) for row in some]
            except (KeyError, TypeError, ValueError):
                yield f"payment {payment_id} has an entry that cannot be read"
                continue
            check = fault_of_chain if chain[0].sequence == 1 else fault_of_rest
            fault = check(payment_id, chain) or (self._head_fault(chain[-1]) if chain[-1].mac else None)
            if fault:
                yield fault.text


def _payment_of(row: Row) -> str:
    return str(row.get("payment_id", {}).get("S", ""))
