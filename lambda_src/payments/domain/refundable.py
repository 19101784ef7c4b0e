"""What is left of a payment to refund: the arithmetic, and why a refund is refused."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from payments.domain.clock import parse_iso
from payments.domain.money import Money
from payments.domain.payment import Payment
from payments.domain.statuses import CAPTURED, Status


@dataclass(frozen=True, slots=True)
class Books:
    """The minor units of a payment: captured by the gateway, refunded there, reserved for refunds of ours that the
    gateway does not report yet, and disputed.

    A refund is in `reserved` from its acceptance, and in `refunded` from the gateway's first answer that shows it.
    """

    captured: int
    refunded: int = 0
    reserved: int = 0
    disputed: int = 0

    @property
    def left(self) -> int:
        """What a new refund may take. Below 0 if the gateway refunded more than we knew when we reserved."""
        return self.captured - self.refunded - self.reserved - self.disputed

    @property
    def is_within(self) -> bool:
        """Whether reserved + refunded + disputed are at most what was captured."""
        return self.left >= 0


def books_of(payment: Payment) -> Books:
    """The books of a payment. A payment that is not captured has nothing to refund.

    A part that was refunded before amounts were stored counts as the whole payment, until the gateway is asked.
    """
    captured = payment.money.minor_units if payment.status in CAPTURED else 0
    refunded = captured if payment.refunded is None else payment.refunded
    return Books(captured, refunded, payment.reserved_minor_units, payment.disputed_minor_units)


class NotRefundable(Exception):
    """A refund that the payment does not allow now. `code` is a word, the text a sentence with the reason."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def require_refundable(payment: Payment, minor_units: int | None, *, at: datetime, refundable_for: timedelta) -> Money:
    """The money of a new refund: `minor_units`, or without them all that is left. Raises NotRefundable."""
    name, books = f"payment {payment.payment_id}", books_of(payment)
    require_undisputed(payment)
    if payment.status not in CAPTURED:
        raise NotRefundable("not_captured", f"{name} is {payment.status}, and only a captured payment can be refunded")
    if at - parse_iso(payment.attempted_at or payment.created_at) > refundable_for:
        raise NotRefundable("too_old", f"{name} is older than {refundable_for.days} days, too old for the gateway")
    left = Money(max(books.left, 0), payment.money.currency)
    if not left.minor_units:
        reserved = f", {Money(books.reserved, left.currency)} of it reserved for refunds" if books.reserved else ""
        raise NotRefundable("nothing_left", f"nothing of {name} is left to refund{reserved}")
    if minor_units is not None and minor_units > left.minor_units:
        asked = Money(minor_units, left.currency)
        raise NotRefundable("more_than_left", f"{asked} is more than what is left of {name}, which is {left}")
    return left if minor_units is None else Money(minor_units, left.currency)


def require_undisputed(payment: Payment) -> None:
    """Raise NotRefundable for a payment whose cardholder disputes it, or won: both would be paid back twice."""
    if payment.status is Status.DISPUTED or payment.disputed_minor_units:
        raise NotRefundable(
            "disputed", f"payment {payment.payment_id} is disputed: the bank may pay it back; answer the dispute"
        )
    if payment.status is Status.DISPUTE_LOST:
        raise NotRefundable("dispute_lost", f"payment {payment.payment_id} was paid back by the bank after a dispute")
