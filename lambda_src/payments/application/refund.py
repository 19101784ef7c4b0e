"""Refund a payment at most once for each refund id, whichever component fails, and never more than was captured."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from payments.application.charge import SENT_AGAIN_FOR
from payments.application.request_refund import opened_metadata
from payments.domain.clock import Clock, iso, parse_iso
from payments.domain.errors import (
    Conflict,
    InvalidPayment,
    Misconfigured,
    NotSent,
    OutcomeUnknown,
    PaymentError,
    RateLimited,
)
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.refund import (
    BY_HAND,
    MADE_AT_THE_GATEWAY,
    Refund,
    booked,
    made_by_hand,
    refund_moved,
    refund_noted,
)
from payments.domain.refund_due import is_provable
from payments.domain.refund_statuses import RefundStatus, may_move_refund
from payments.domain.refundable import NotRefundable, books_of, require_undisputed
from payments.domain.sealed_fields import context_of
from payments.domain.sealed_text import REFERENCE
from payments.ports.field_encryptor import FieldEncryptor
from payments.ports.payment_store import PaymentStore, VersionConflict, require
from payments.ports.refund_gateway import GatewayRefund, RefundGateway, RefundOrder
from payments.ports.refund_store import RefundStore, require_refund

ACTOR = "refund"
"""The actor of the versions that this step writes."""
MOST_ATTEMPTS = 100
"""A refund is sent no more often: its payment's history must have room for the outcome."""
FAILED_LATE = "failed_late"
"""It failed after it had succeeded: its payer must be paid in another way."""
CONTRADICTS = "contradicts"
"""The gateway reports a refund that we proved not to exist, or another status than the last one."""
AMOUNT_DIFFERS = "amount_differs"
"""The gateway reports another amount under our refund id."""
NO_REFERENCE = "no_reference"
"""The payment's row does not name its charge, as of before references were stored. Refund it at the gateway."""
OTHER_CONTENT = "idempotency_error"
"""The gateway has the refund's key with other content."""
_PROVEN_NOT_REFUNDED = (NotSent, RateLimited, Misconfigured, InvalidPayment)
"""The errors of a request that refunded nothing."""
_S = RefundStatus


@dataclass(frozen=True)
class Refunding:
    """Sends refunds, and asks the gateway for those that may be sent.

    The rules are those of `Charging`:

    - The amount is reserved on the payment's row before anything is sent. The row becomes `processing` in a version of
      its own before each request, and returns to `pending` only if this request, the only one, refunded nothing.
    - Every request of a refund has the same key and the same content. From 23 hours after the first one, nothing is
      sent again.
    - Before each request the gateway lists the refunds of the payment, and ours is found by our id in its metadata.
      This also finds refunds that were made before the tables were restored.
    - `failed`, and with it the end of the reservation, needs a refusal of the only request, or the list, read when no
      request can arrive any more.

    `turn` waits for the gateway's slot before each request. `is_open` is read before each send.
    """

    gateway: RefundGateway
    payments: PaymentStore
    refunds: RefundStore
    encryptor: FieldEncryptor
    clock: Clock
    timeouts: RecoveryTimeouts = field(default_factory=RecoveryTimeouts)
    environment_id: str = ""
    is_open: Callable[[], bool] = lambda: True
    turn: Callable[[], None] = lambda: None
    resend_for: timedelta = SENT_AGAIN_FOR

    def process(self, refund_id: str) -> Refund:
        """Send a refund, or find the result of an earlier request, and return its row.

        Raises the errors of the gateway that a later execution must follow up, NoFreeSlot of `turn`, and
        VersionConflict if another execution works on the payment.
        """
        refund = require_refund(self.refunds, refund_id)
        payment = require(self.payments, refund.payment_id)
        if not self.is_open():
            return refund
        match refund.status:
            case _S.PENDING | _S.PROCESSING if not refund.gateway_reference:
                return self._find_or_send(refund, payment)
            case _S.PROCESSING | _S.REQUIRES_ACTION:
                self.turn()
                return self._record(refund, payment, self._asked(lambda: self.gateway.refund(refund.gateway_reference)))
        return refund

    def look(self, payment_id: str) -> list[Refund]:
        """Compare all refunds of a payment with the gateway's list, and return those that changed.

        It takes in refunds that were made there by hand, and refunds of ours that a restored table does not have.
        Raises the errors of the gateway, NoFreeSlot of `turn`, and VersionConflict.
        """
        if not self.is_open():
            return []
        payment = require(self.payments, payment_id)
        charge = self._charge_of(payment)
        if not charge:
            return []
        self.turn()
        listed = self._asked(lambda: self.gateway.refunds_of(charge))
        changed = []
        for found in reversed(listed):
            if after := self._take_in(found, payment):
                changed.append(after)
                # the answer is as of the version before: nothing but this loop wrote since, or the next write fails
                payment = booked_version(self.payments, payment)
        return changed

    def _take_in(self, found: GatewayRefund, payment: Payment) -> Refund | None:
        known = self.refunds.get(self._id_of(found))
        if known is None:
            return self._create(found, payment)
        if known.payment_id != payment.payment_id:
            return None  # an id of another environment's refund, or chosen by hand in the metadata
        after = self._record(known, payment, found)
        return after if after is not known else None

    def _id_of(self, found: GatewayRefund) -> str:
        ours = found.refund_id and found.environment_id == self.environment_id
        return found.refund_id if ours and not found.refund_id.startswith(MADE_AT_THE_GATEWAY) else found.reference

    def _create(self, found: GatewayRefund, payment: Payment) -> Refund | None:
        if found.money is None:
            return None
        refund = made_by_hand(
            self._id_of(found),
            payment,
            found.money,
            found.status,
            at=self.clock(),
            reference=found.reference,
            reason=found.reason,
        )
        self.refunds.create(refund, booked(payment, None, refund, refunded=found.total))
        return refund

    def _find_or_send(self, refund: Refund, payment: Payment) -> Refund:
        order = self._order(refund, payment)
        if not order.charge:
            return self._note(refund, payment, NO_REFERENCE, "the payment's row does not name its charge")
        asked_at = self.clock()
        self.turn()
        if refund.status is _S.PENDING:
            listed = self.gateway.refunds_of(order.charge)  # its errors are about this request: nothing was sent
        else:
            listed = self._asked(lambda: self.gateway.refunds_of(order.charge))
        for found in listed:
            if (found.refund_id, found.environment_id) == (refund.refund_id, order.environment_id):
                return self._record(refund, payment, found)
        why_not = self._why_not(refund, payment)
        if not why_not:
            return self._send(refund, payment, order)
        if refund.status is _S.PROCESSING and not is_provable(refund, self.timeouts, asked_at):
            return refund  # its request may still arrive
        return self._save(refund, payment, _S.FAILED, *why_not)

    def _why_not(self, refund: Refund, payment: Payment) -> tuple[str, str] | None:
        """The code and the sentence why the refund must not be sent now; None if it may be."""
        try:
            require_undisputed(payment)
        except NotRefundable as disputed:
            return disputed.code, f"{disputed}; nothing was refunded"
        if not books_of(payment).is_within:
            return "more_than_left", "the gateway refunded the money otherwise meanwhile; nothing was refunded"
        if refund.attempts >= MOST_ATTEMPTS:
            return "too_many_attempts", f"{refund.attempts} attempts had no result, and nothing was refunded"
        first = refund.status is _S.PROCESSING and parse_iso(refund.attempted_at)
        if first and self.clock() - first >= self.resend_for:
            return "not_refunded", "the request got no answer, and the gateway's list has no such refund"
        return None

    def _send(self, refund: Refund, payment: Payment, order: RefundOrder) -> Refund:
        """Write the intent in a new version, which fences off executions that read the row before, and send."""
        may_be_refunded = refund.status is _S.PROCESSING
        self.turn()
        if not self.is_open():
            return refund
        now = self.clock()
        sent = refund_moved(
            refund,
            _S.PROCESSING,
            at=now,
            actor=ACTOR,
            attempts=refund.attempts + 1,
            attempted_at=refund.attempted_at or iso(now),
            sent_at=iso(now),
            environment_id=order.environment_id,
        )
        booked_payment = booked(payment, refund, sent)
        self.refunds.save(sent, booked_payment)
        try:
            found = self.gateway.create_refund(order)
        except Conflict as error:
            return self._note(sent, booked_payment, OTHER_CONTENT, error.message)
        except _PROVEN_NOT_REFUNDED as error:
            if may_be_refunded:
                raise _earlier_unknown(error) from error
            if isinstance(error, InvalidPayment):
                return self._save(sent, booked_payment, _S.FAILED, error.code, error.message)
            self._revert_to_pending(sent, booked_payment, error)
            raise
        if may_be_refunded:  # the gateway may have repeated an answer of before
            self.turn()
            found = self._asked(lambda: self.gateway.refund(found.reference))
        return self._record(sent, booked_payment, found)

    def _revert_to_pending(self, sent: Refund, payment: Payment, error: PaymentError) -> None:
        try:
            self._save(sent, payment, _S.PENDING, error.code, error.message)
        except VersionConflict:
            # another execution read our intent and may have sent it: this failed request proves nothing any more
            raise _earlier_unknown(error) from error

    def _record(self, refund: Refund, payment: Payment, found: GatewayRefund) -> Refund:
        """Write what the gateway reports about a refund, and its total about the payment."""
        same = refund.status is found.status and refund.gateway_reference == found.reference
        if same:
            return refund
        if found.money != refund.money:
            message = f"the gateway reports {found.money or 'an unreadable amount'}; compare both"
            return self._note(refund, payment, AMOUNT_DIFFERS, message, found)
        if may_move_refund(refund.status, found.status):
            after = refund_moved(
                refund,
                found.status,
                at=self.clock(),
                actor=BY_HAND if refund.source == BY_HAND else ACTOR,
                code=found.code,
                message=_MESSAGES[found.status],
                gateway_reference=found.reference,
                attention=FAILED_LATE if refund.status is _S.SUCCEEDED else "",
            )
            self.refunds.save(after, booked(payment, refund, after, refunded=found.total))
            return after
        message = f"the gateway reports {found.status}, and our row says {refund.status}; compare both"
        return self._note(refund, payment, CONTRADICTS, message, found)

    def _note(
        self, refund: Refund, payment: Payment, code: str, message: str, found: GatewayRefund | None = None
    ) -> Refund:
        """Put the refund on the operators' list, once for each reason."""
        if refund.attention == code and (found is None or payment.refunded_minor_units == found.total):
            return refund
        reference = found.reference if found else refund.gateway_reference
        after = refund_noted(
            refund,
            at=self.clock(),
            actor=ACTOR,
            code=code,
            message=message,
            attention=code,
            gateway_reference=reference,
        )
        self.refunds.save(after, booked(payment, refund, after, refunded=found.total if found else None))
        return after

    def _save(self, refund: Refund, payment: Payment, status: RefundStatus, code: str, message: str) -> Refund:
        after = refund_moved(refund, status, at=self.clock(), actor=ACTOR, code=code, message=message)
        self.refunds.save(after, booked(payment, refund, after))
        return after

    def _order(self, refund: Refund, payment: Payment) -> RefundOrder:
        return RefundOrder(
            refund.refund_id,
            refund.payment_id,
            self._charge_of(payment),
            refund.money,
            refund.reason,
            opened_metadata(refund, self.encryptor),
            refund.environment_id or self.environment_id,
        )

    def _charge_of(self, payment: Payment) -> str:
        """The gateway's reference of the payment. Most are stored clear, and need no request to KMS."""
        stored = {REFERENCE: payment.gateway_reference}
        return self.encryptor.open(context_of(payment.payment_id), stored)[REFERENCE]

    @staticmethod
    def _asked[T](question: Callable[[], T]) -> T:
        """The answer to a question. That the gateway refuses a question says nothing about a refund."""
        try:
            return question()
        except (NotSent, Misconfigured, InvalidPayment) as error:
            raise _earlier_unknown(error) from error


_MESSAGES = {
    _S.PROCESSING: "the gateway accepted it, and the bank carries it out later",
    _S.REQUIRES_ACTION: "the gateway waits for the payer",
    _S.SUCCEEDED: "the gateway refunded it",
    _S.FAILED: "the bank did not carry it out; the money is back on the payment",
    _S.CANCELED: "it was canceled at the gateway; the money is back on the payment",
}


def booked_version(payments: PaymentStore, before: Payment) -> Payment:
    """The payment's row after one write of ours. Raises VersionConflict if another execution wrote too."""
    after = require(payments, before.payment_id)
    if after.version != before.version + 1:
        raise VersionConflict(f"payment {before.payment_id} changed while its refunds were compared")
    return after


def _earlier_unknown(error: PaymentError) -> PaymentError:
    """The meaning of an error for a refund that may be sent: this request refunded nothing, an earlier one may have."""
    if isinstance(error, RateLimited):
        return error
    return OutcomeUnknown(
        "earlier_attempt_unknown",
        f"an earlier request may have refunded, and the gateway was not asked: {error.code}",
        outage=error.outage,
    )
