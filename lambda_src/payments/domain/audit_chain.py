"""Audit log entries: one for each version of a payment's row, chained by hash, the head signed.

The head of a chain is its last entry. It carries a MAC over the payment, the sequence and the hash, made with a key
that only the audit function may use. Each hash covers the one before it: a valid head proves all entries.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from payments.domain.identity import who_of
from payments.domain.payment import Payment
from payments.domain.statuses import Status

GENESIS = "0" * 64
"""The `previous_hash` of a payment's first entry."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to a payment, when, and with which result. `sequence` is the version of the row it describes.

    `subject`, `role`, `channel` and `uploader` are those of `Who`, in words what `actor` says in short. `outcome` is
    the status in words, `before` the status that the row had. They and `customer_id` are empty in entries from before
    they existed, and where they do not apply.

    `mac` is the signature of the head that the entry was when it was written. Only the last entry of each write has
    one.

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
    outcome: str = ""
    before: str = ""
    mac: str = ""

    def sealed(self) -> "AuditEntry":
        """The entry with its hash: SHA-256 over all other fields but `mac`, including the previous hash.

        Empty fields of `_ADDED` are left out: an entry from before they existed keeps its hash.
        """
        fields = asdict(self).items()
        content = {key: value for key, value in fields if key not in _OUTSIDE and (value or key not in _ADDED)}
        return replace(self, hash=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest())

    @property
    def is_intact(self) -> bool:
        """Whether the hash is the one of the content."""
        return self.sealed().hash == self.hash


_ADDED = frozenset({"subject", "role", "channel", "customer_id", "uploader", "outcome", "before"})
_OUTSIDE = frozenset({"hash", "mac"})

OUTCOME_IN_WORDS = {
    Status.PENDING: "Payment Pending",
    Status.PROCESSING: "Payment Processing",
    Status.REQUIRES_ACTION: "Payment Requires Action",
    Status.IN_REVIEW: "Payment In Review",
    Status.UNKNOWN: "Payment Outcome Unknown",
    Status.SUCCEEDED: "Payment Successful",
    Status.DECLINED: "Payment Declined",
    Status.REJECTED: "Payment Rejected",
    Status.FAILED: "Payment Failed",
    Status.PARTIALLY_REFUNDED: "Payment Partially Refunded",
    Status.REFUNDED: "Payment Refunded",
    Status.DISPUTED: "Payment Disputed",
    Status.DISPUTE_LOST: "Dispute Lost",
}


def signed_text(entry: AuditEntry) -> str:
    """What the MAC of a head covers. The first words keep it apart from everything else that a key may sign."""
    return json.dumps(["payments.audit.head.v1", entry.payment_id, entry.sequence, entry.hash])


class Leaf(NamedTuple):
    """The head that a chain had when it was anchored."""

    payment_id: str
    sequence: int
    hash: str


class Tampering(StrEnum):
    """How an audit log was tampered with."""

    EDITED = "edited"
    REMOVED = "removed"
    INSERTED = "inserted"
    REORDERED = "reordered"
    CUT_OFF = "cut_off"
    ROW_DIFFERS = "row_differs"
    ROW_REMOVED = "row_removed"
    REWRITTEN = "rewritten"
    """The chain is consistent, but its head has no valid signature."""
    NOT_AS_ANCHORED = "not_as_anchored"
    """The chain is consistent and signed, but an anchor lists another head: it was rolled back or made again."""
    ANCHOR = "anchor"
    """An anchor was replaced or removed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with an audit log, and where. `entry` is 0 where no single entry is meant."""

    payment_id: str
    entry: int
    kind: Tampering
    text: str


class AuditBroken(Exception):
    """An audit chain that does not verify. The text names the payment and the entry."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(fault.text)


def missing_entries(payment: Payment) -> list[AuditEntry]:
    """The entries of `payment`'s history that the log does not have yet, chained to the last one its row names."""
    entries = []
    previous_hash = payment.audit_hash or GENESIS
    for index in range(payment.audited_version, len(payment.history)):
        change = payment.history[index]
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
            outcome=OUTCOME_IN_WORDS[change.status],
            before=payment.history[index - 1].status.value if index else "",
            **asdict(who),
        ).sealed()
        previous_hash = entry.hash
        entries.append(entry)
    return entries


def verify(payment: Payment, entries: Sequence[AuditEntry]) -> None:
    """Check the whole chain of a payment against its row. Raises AuditBroken naming the payment and the entry."""
    if fault := fault_of_chain(payment.payment_id, entries) or fault_of_row(payment, entries):
        raise AuditBroken(fault)


def fault_of_rest(payment_id: str, entries: Sequence[AuditEntry]) -> Fault | None:
    """The same as `fault_of_chain` for the rest of a chain, whose first entry is taken to be in its place."""
    return fault_of_chain(payment_id, entries, entries[0].sequence, entries[0].previous_hash)


def fault_of_chain(
    payment_id: str, entries: Sequence[AuditEntry], first: int = 1, previous_hash: str = GENESIS
) -> Fault | None:
    """What the entries of a payment show by themselves: the first entry that is not the one it should be."""

    def fault(number: int, kind: Tampering, text: str) -> Fault:
        return Fault(payment_id, number, kind, f"payment {payment_id}, entry {number} {text}")

    for expected, entry in enumerate(entries, first):
        if entry.sequence < expected:
            return fault(expected, Tampering.INSERTED, f"was inserted: the log has a second entry {entry.sequence}")
        if entry.sequence > expected:
            return fault(expected, Tampering.REMOVED, f"is missing: the next entry of the log is {entry.sequence}")
        if entry.payment_id != payment_id or not entry.is_intact:
            place = _place_of(entry, first + len(entries) - 1)
            if place:
                return fault(expected, Tampering.REORDERED, f"is out of order: it was written as entry {place}")
            return fault(expected, Tampering.EDITED, "was changed: its hash does not match its content")
        if entry.previous_hash != previous_hash:
            return fault(expected, Tampering.EDITED, "was changed: its hash does not match the entry before it")
        previous_hash = entry.hash
    return None


def fault_of_row(payment: Payment, entries: Sequence[AuditEntry]) -> Fault | None:
    """Where the row of a payment and its entries, which are a chain, do not say the same.

    An entry that the row does not name yet is no fault if the row's history has its version: a row that was read before
    its entries is a moment older.
    """
    payment_id, audited = payment.payment_id, payment.audited_version

    def fault(number: int, kind: Tampering, text: str) -> Fault:
        return Fault(payment_id, number, kind, f"payment {payment_id}, entry {number} {text}")

    if audited > len(entries):
        return fault(len(entries) + 1, Tampering.CUT_OFF, "is missing: the log is truncated")
    if len(entries) > audited:
        return fault(audited + 1, Tampering.INSERTED, f"was inserted: the row is audited up to {audited or 'no entry'}")
    if audited and entries[audited - 1].hash != payment.audit_hash:
        return fault(audited, Tampering.ROW_DIFFERS, "is not the one its row names")
    for change, entry in zip(payment.history, entries, strict=False):
        said = (change.version, change.status.value, change.at, change.actor, change.code, change.message)
        if said != (entry.sequence, entry.status, entry.at, entry.actor, entry.code, entry.message):
            return fault(entry.sequence, Tampering.ROW_DIFFERS, "differs from the history of the row")
    if not entries:
        return None
    last = entries[-1]
    if audited > len(payment.history):
        return fault(len(payment.history) + 1, Tampering.ROW_DIFFERS, "is not in the history of the row")
    if (last.minor_units, last.currency) != (payment.money.minor_units, payment.money.currency):
        return fault(last.sequence, Tampering.ROW_DIFFERS, "differs from the amount of the row")
    if (last.outcome or last.customer_id) and last.customer_id != payment.customer_id:
        return fault(last.sequence, Tampering.ROW_DIFFERS, "differs from the customer of the row")
    if payment.version == audited and payment.status.value != last.status:
        return fault(last.sequence, Tampering.ROW_DIFFERS, f"says {last.status}, and the row {payment.status.value}")
    return None


def fault_of_anchored(payment_id: str, entries: Sequence[AuditEntry], leaves: Iterable[Leaf]) -> Fault | None:
    """The first entry that is not the one that an anchor lists. `leaves` are those of the payment."""
    hashes = {entry.sequence: entry.hash for entry in entries}
    for leaf in sorted(leaves, key=lambda leaf: leaf.sequence):
        if hashes.get(leaf.sequence) != leaf.hash:
            what = "is not the one that was anchored" if leaf.sequence in hashes else "was anchored, and is missing"
            text = f"payment {payment_id}, entry {leaf.sequence} {what}"
            return Fault(payment_id, leaf.sequence, Tampering.NOT_AS_ANCHORED, text)
    return None


def _place_of(entry: AuditEntry, length: int) -> int:
    """The place at which the entry has the hash that it carries; 0 if there is none."""
    places = (place for place in range(1, length + 1) if place != entry.sequence)
    return next((place for place in places if replace(entry, sequence=place).is_intact), 0)
