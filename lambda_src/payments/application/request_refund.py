"""Accept a refund: reserve its amount once, and start it once, however often the client repeats the request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from payments.domain.money import Money
from payments.domain.payment import Payment
from payments.domain.refund import Refund, RefundRequest, booked, refund_requested
from payments.domain.refund_statuses import RefundStatus
from payments.domain.refundable import NotRefundable, require_refundable
from payments.domain.sealed_fields import context_of, refund_field
from payments.ports.field_encryptor import FieldEncryptor
from payments.ports.payment_store import PaymentStore, VersionConflict, require
from payments.ports.refund_store import RefundExists, RefundStore
from payments.ports.refund_workflow import RefundWorkflow

MOST_VERSIONS = 600
"""A payment whose row has this version gets no new refund: its history must have room for the outcome of every one."""
REFUNDABLE_FOR = timedelta(days=180)
"""How long after a payment was sent it can be refunded: the shortest time that Stripe documents, for bank debits."""
_TRIES = 5


class OtherRefund(Exception):
    """The refund_id belongs to a refund with other content. Nothing was written."""

    def __init__(self, existing: Refund) -> None:
        self.existing = existing
        super().__init__(f"refund {existing.refund_id} exists with other content")


@dataclass(frozen=True, slots=True)
class RefundAcceptance:
    """The stored refund, and whether it existed before this call."""

    refund: Refund
    replayed: bool


def _never(*_: object) -> bool:
    return False


@dataclass(frozen=True)
class RefundRequests:
    """`needs_approval` says whether a second person must approve a refund of so much of a payment."""

    payments: PaymentStore
    refunds: RefundStore
    workflow: RefundWorkflow
    encryptor: FieldEncryptor
    needs_approval: Callable[[Payment, Money], bool] = _never
    refundable_for: timedelta = REFUNDABLE_FOR

    def request(
        self,
        asked: RefundRequest,
        *,
        by: str,
        at: datetime,
        source: str = "rest",
        requested_by: str = "",
        correlation_id: str = "",
    ) -> RefundAcceptance:
        """Store the refund with its reservation if it is new, and start it. One that waits for an approval is not sent:
        its execution writes the audit log and publishes the event.

        The reservation is one transaction with the payment's row: of two refunds at the same time that exceed what is
        left, one is refused. A repeated call repairs one that failed between storing and starting. `by` is the actor
        in the audit log. Raises NotRefundable, OtherRefund, VersionConflict after several lost races, and
        EncryptionUnavailable.
        """
        known = self.refunds.get(asked.refund_id)
        if known:
            return self._repeated(asked, known)
        for _ in range(_TRIES):
            payment = require(self.payments, asked.payment_id)
            minor_units = asked.money.minor_units if asked.money else None
            money = require_refundable(payment, minor_units, at=at, refundable_for=self.refundable_for)
            if payment.version >= MOST_VERSIONS:
                raise NotRefundable("too_many", f"payment {payment.payment_id} changed too often to be refunded here")
            waits = self.needs_approval(payment, money)
            if waits and not requested_by:
                raise NotRefundable("no_requester", "it needs an approval, and must be requested with a token")
            refund = refund_requested(
                asked,
                money,
                status=RefundStatus.PENDING_APPROVAL if waits else RefundStatus.PENDING,
                at=at,
                actor=by,
                source=source,
                requested_by=requested_by,
                correlation_id=correlation_id,
            )
            refund = replace(refund, metadata=sealed_metadata(refund, self.encryptor))
            try:
                self.refunds.create(refund, booked(payment, None, refund))
            except RefundExists as other:
                return self._repeated(asked, other.existing)
            except VersionConflict:
                continue
            self._start(refund)
            return RefundAcceptance(refund, replayed=False)
        raise VersionConflict(f"payment {asked.payment_id} changed {_TRIES} times while a refund was reserved")

    def _repeated(self, asked: RefundRequest, known: Refund) -> RefundAcceptance:
        if (known.payment_id, known.fingerprint) != (asked.payment_id, asked.fingerprint):
            raise OtherRefund(known)
        self._start(known)
        return RefundAcceptance(known, replayed=True)

    def _start(self, refund: Refund) -> None:
        if refund.status in (RefundStatus.PENDING, RefundStatus.PENDING_APPROVAL):
            self.workflow.start(refund.refund_id, refund.payment_id)


def sealed_metadata(refund: Refund, encryptor: FieldEncryptor) -> Mapping[str, str]:
    """The metadata of a refund, its values encrypted for its payment. Raises EncryptionUnavailable."""
    if not refund.metadata:
        return {}
    plain = {refund_field(refund.refund_id, key): value for key, value in refund.metadata.items()}
    sealed = encryptor.seal(context_of(refund.payment_id), plain)
    return {key: sealed[refund_field(refund.refund_id, key)] for key in refund.metadata}


def opened_metadata(refund: Refund, encryptor: FieldEncryptor) -> Mapping[str, str]:
    """The metadata of a refund in plain text. Raises EncryptionUnavailable and DecryptionFailed."""
    if not refund.metadata:
        return {}
    sealed = {refund_field(refund.refund_id, key): value for key, value in refund.metadata.items()}
    plain = encryptor.open(context_of(refund.payment_id), sealed)
    return {key: plain[refund_field(refund.refund_id, key)] for key in refund.metadata}
