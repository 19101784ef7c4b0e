"""Charge: at most once, whatever fails, whenever it fails."""

from payments.clock import Clock, iso
from payments.errors import (
    Conflict,
    InvalidPayment,
    Misconfigured,
    NotSent,
    OutcomeUnknown,
    PaymentError,
    RateLimited,
)
from payments.gateways.port import ChargeRequest, GatewayCharge, PaymentGateway
from payments.outcome import Outcome
from payments.payment import Payment, moved
from payments.statuses import Status
from payments.stores.port import PaymentStore
from payments.validating import PaymentMethods

ACTOR = "charge"
PROVEN_NOT_CHARGED = (NotSent, RateLimited, Misconfigured, InvalidPayment)
"""What the gateway answers when this call charged nothing. A decline is an outcome, not a call that came to nothing."""


def charge(
    payment: Payment, *, gateway: PaymentGateway, methods: PaymentMethods, store: PaymentStore, clock: Clock
) -> Outcome:
    """Charge a payment and say what became of it.

    The row says `processing` before the gateway is called and goes back to `pending` when a call provably charged
    nothing. So whoever finds it in `processing` knows that an earlier call may have charged, and asks first.
    Asking and sending again under the same idempotency key are safe together: a search may lag behind, and the
    key's memory may have run out (24 hours at Stripe), but not both.

    Raises the errors of `PaymentGateway`; Conflict when the gateway charged other money than asked.
    """
    if payment.status not in (Status.PENDING, Status.PROCESSING):
        return Outcome(payment.status, payment.code, payment.message, payment.gateway, payment.gateway_reference)
    may_be_charged = payment.status is Status.PROCESSING
    if not may_be_charged:
        payment = moved(
            payment,
            Status.PROCESSING,
            at=clock(),
            actor=ACTOR,
            attempts=payment.attempts + 1,
            attempted_at=payment.attempted_at or iso(clock()),
            gateway=gateway.name,
            # with the intent, so that every later attempt sends the same request under the same key
            payment_method=methods.of(payment),
        )
        store.save(payment)
    try:
        found = gateway.find(payment.payment_id) if may_be_charged else None
        charged = found or gateway.charge(_request_for(payment))
    except PROVEN_NOT_CHARGED as error:
        if may_be_charged:
            raise _still_unknown(error) from error
        let_go = moved(payment, Status.PENDING, at=clock(), actor=ACTOR, code=error.code, message=error.message)
        store.save(let_go)
        raise
    _check_money(payment, charged)
    return Outcome(charged.status, gateway=gateway.name, gateway_reference=charged.reference)


def _request_for(payment: Payment) -> ChargeRequest:
    return ChargeRequest(
        payment.payment_id, payment.money, payment.payment_method, payment.description, payment.metadata
    )


def _still_unknown(error: PaymentError) -> OutcomeUnknown:
    """This call charged nothing, but an earlier one may have."""
    return OutcomeUnknown(
        "earlier_attempt_unknown", f"an earlier call may have charged, and asking the gateway failed: {error.code}"
    )


def _check_money(payment: Payment, charged: GatewayCharge) -> None:
    if charged.money != payment.money:
        raise Conflict(
            "amount_differs",
            f"asked for {payment.money}, the gateway reports {charged.money}; compare both and correct by hand",
            gateway_reference=charged.reference,
        )
