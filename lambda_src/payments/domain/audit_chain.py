"""Audit log entries: one for each version of a payment's row, chained by hash."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from payments.domain.identity import who_of
from payments.domain.payment import Payment

GENESIS = "0" * 64
"""The `previous_hash` of a payment's first entry."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to a payment, when, and with which result. `sequence` is the version of the row it describes.

    `subject`, `role`, `channel` and `uploader` are those of `Who`, in words what `actor` says in short. They and
    `customer_id` are empty in entries from before they existed, and where they do not apply.

    `gateway_reference` is the encrypted text of the row. The hash covers that text: a check needs no key.
    """

    payment_id: str
    sequence: int
    at: str
    actor: str
    status: str
    code: str
    message: str
    minor_units: int
    currency: str
    gateway_reference: str
    correlation_id: str
    previous_hash: str
    hash: str = ""
    subject: str = ""
    role: str = ""
    channel: str = ""
    customer_id: str = ""
    uploader: str = ""

    def sealed(self) -> "AuditEntry":
        """The entry with its hash: SHA-256 over all other fields, including the previous hash.

        Empty fields of `_ADDED` are left out: an entry from before they existed keeps its hash.
        """
        fields = asdict(self).items()
        content = {key: value for key, value in fields if key != "hash" and (value or key not in _ADDED)}
        return replace(self, hash=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest())


_ADDED = frozenset({"subject", "role", "channel", "customer_id", "uploader"})


class AuditBroken(Exception):
    """An audit chain that does not verify. The text names the payment and the entry."""


def missing_entries(payment: Payment) -> list[AuditEntry]:
    """The entries of `payment`'s history that the log does not have yet, chained to the last one its row names."""
    entries = []
    previous_hash = payment.audit_hash or GENESIS
    for change in payment.history[payment.audited_version :]:
        who = who_of(change.actor, payment.submitted_by)
        entry = AuditEntry(
            payment_id=payment.payment_id,
            sequence=change.version,
            at=change.at,
            actor=change.actor,
            status=change.status.value,
            code=change.code,
            message=change.message,
            minor_units=payment.money.minor_units,
            currency=payment.money.currency,
            gateway_reference=payment.gateway_reference,
            correlation_id=payment.correlation_id,
            previous_hash=previous_hash,
            customer_id=payment.customer_id,
            **asdict(who),
        ).sealed()
        previous_hash = entry.hash
        entries.append(entry)
    return entries


def verify(payment: Payment, entries: Sequence[AuditEntry]) -> None:
    """Check the whole chain of a payment against its row. Raises AuditBroken naming the payment and the entry.

    Detects a changed entry (by its hash), a removed one (by the sequence) and a truncated log (by the row's marks).
    """
    previous_hash = GENESIS
    for expected, entry in enumerate(entries, 1):
        where = f"payment {payment.payment_id}, entry {expected}"
        if entry.sequence != expected:
            raise AuditBroken(f"{where} is missing: the next entry of the log is {entry.sequence}")
        if entry.previous_hash != previous_hash or entry.sealed().hash != entry.hash:
            raise AuditBroken(f"{where} was changed: its hash does not match its content")
        previous_hash = entry.hash
    if payment.audited_version > len(entries):
        raise AuditBroken(f"payment {payment.payment_id}, entry {len(entries) + 1} is missing: the log is truncated")
    if payment.audited_version and entries[payment.audited_version - 1].hash != payment.audit_hash:
        raise AuditBroken(f"payment {payment.payment_id}, entry {payment.audited_version} is not the one its row names")
