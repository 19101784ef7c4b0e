"""Bring restored payments up to what the gateway charged since their backup, before anything is sent again.

A payment that was charged after the backup has no row, or one that does not know of the charge. Sent again, it would be
charged twice as soon as the gateway has forgotten its idempotency key. Therefore every charge of ours that the gateway
lists gets a row that knows of it. A row that knows of a charge asks about it and sends nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from payments.domain.clock import Clock, iso, parse_iso
from payments.domain.payment import PAYMENT_ID, RECREATED, Payment, PaymentRequest, accepted, moved
from payments.domain.sealed_fields import context_of, reference_digest
from payments.domain.sealed_text import REFERENCE
from payments.domain.statuses import CAPTURED, Status
from payments.ports.field_encryptor import FieldEncryptor
from payments.ports.payment_gateway import ListedCharge, PaymentGateway
from payments.ports.payment_store import AlreadyExists, PaymentStore

ACTOR = "restore"
"""The actor of the versions that this writes."""
FOUND = "charge_found_at_the_gateway"
MARGIN = timedelta(hours=1)
"""How long before the backup the list begins: clocks differ, and a charge function may run for 80 seconds."""
SENDS_FOR = timedelta(minutes=3)
"""How long after the closing of an environment a charge function may still send: its time-out, with a margin."""


class Finding(StrEnum):
    """What a listed charge means for its payment."""

    RECREATED = "recreated"
    """It had no row."""
    UPDATED = "updated"
    """Its row did not know of the charge."""
    SAME = "same"
    """Its row knows of the charge."""
    DIFFERS = "differs"
    """Its row says that nothing, or something else, was charged. An operator decides."""
    NOT_OURS = "not_ours"
    """It belongs to another environment or system."""


@dataclass(frozen=True)
class CompareWithGateway:
    """`encryptor` encrypts references that need it. `on_finding` receives each charge with what it means."""

    gateway: PaymentGateway
    payments: PaymentStore
    encryptor: FieldEncryptor
    clock: Clock
    environment_id: str
    on_finding: Callable[[ListedCharge, Finding], Any] = lambda *_: None

    def compare(self, since: datetime, on_page: Callable[[datetime | None], Any] = lambda _: None) -> None:
        """Compare every charge that was created since then, the newest first. Safe to repeat.

        Raises RateLimited, NotSent, OutcomeUnknown, Misconfigured and EncryptionUnavailable: do not open then.
        """
        until, after = self.clock(), ""
        while True:
            page = self.gateway.listed(since, until, after)
            for charge in page.charges:
                self.on_finding(charge, self._finding(charge))
            on_page(page.oldest_at)
            after = page.next_page
            if not after:
                return

    def _finding(self, charge: ListedCharge) -> Finding:
        if charge.environment_id != self.environment_id or not PAYMENT_ID.fullmatch(charge.payment_id):
            return Finding.NOT_OURS
        row = self.payments.get(charge.payment_id)
        if row is None:
            return self._recreate(charge)
        digest = reference_digest(charge.payment_id, charge.reference)
        if row.money != charge.money or row.reference_digest not in ("", digest):
            return Finding.DIFFERS
        match row.status:
            case Status.PENDING:
                return self._update(row, charge)
            case Status.IN_REVIEW if not row.attempts:  # it was approved after the backup
                return self._update(row, charge)
            case Status.PROCESSING | Status.UNKNOWN | Status.REQUIRES_ACTION | Status.IN_REVIEW:
                if row.gateway_reference:
                    return Finding.SAME
                self.payments.keep_reference(row.payment_id, self._stored(charge), digest)
                return Finding.UPDATED
            case status if status in CAPTURED:
                return Finding.SAME if charge.captured else Finding.DIFFERS
        return Finding.DIFFERS if charge.captured else Finding.SAME

    def _recreate(self, charge: ListedCharge) -> Finding:
        """Store a row with the status, the amount and the reference of the charge, in one write."""
        if charge.money is None:
            return Finding.DIFFERS
        created_at = charge.created_at.replace(microsecond=0)
        first = accepted(PaymentRequest(charge.payment_id, charge.money), at=created_at, source="rest")
        try:
            self.payments.create(self._versions(first, charge, RECREATED)[-1])
        except AlreadyExists:
            return Finding.SAME
        return Finding.RECREATED

    def _update(self, row: Payment, charge: ListedCharge) -> Finding:
        """Write the versions that the row lacks, one after another. A row with the first of them sends nothing."""
        for version in self._versions(row, charge, FOUND):
            self.payments.save(version)
        return Finding.UPDATED

    def _versions(self, row: Payment, charge: ListedCharge, code: str) -> list[Payment]:
        """The row with the charge: as processing, which asks about it, and as succeeded if it is captured."""
        now = self.clock()
        message = "the charge was made after the backup, and is known from the gateway's list"
        if row.status is Status.IN_REVIEW:
            row = replace(row, status=Status.PENDING)  # the approval is in no table any more
        processing = moved(
            row,
            Status.PROCESSING,
            at=max(now, parse_iso(row.updated_at)),
            actor=ACTOR,
            code=code,
            message=message,
            attempts=max(row.attempts, 1),
            attempted_at=row.attempted_at or iso(charge.created_at),
            gateway=self.gateway.name,
            environment_id=self.environment_id,
            gateway_reference=self._stored(charge),
            reference_digest=reference_digest(row.payment_id, charge.reference),
        )
        if not charge.captured:
            return [processing]
        return [processing, moved(processing, Status.SUCCEEDED, at=now, actor=ACTOR, code=code, message=message)]

    def _stored(self, charge: ListedCharge) -> str:
        return self.encryptor.seal(context_of(charge.payment_id), {REFERENCE: charge.reference})[REFERENCE]
