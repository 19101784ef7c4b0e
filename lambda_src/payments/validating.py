"""Validate: is there a payment method to charge, and can the gateway charge this money at all?"""

from collections.abc import Callable

from payments.clock import Clock
from payments.errors import InvalidPayment
from payments.money import Money
from payments.payment import Payment, moved
from payments.statuses import Status
from payments.stores.port import CustomerStore, PaymentStore

ACTOR = "validate"


def validate(
    payment: Payment,
    *,
    store: PaymentStore,
    customers: CustomerStore,
    default_payment_method: str,
    refusal: Callable[[Money], str | None],
    clock: Clock,
) -> None:
    """Check what the request alone could not tell, and write a default payment method onto the row.

    The customer's default comes before the environment's. `refusal` tells why the gateway cannot charge an amount.
    The method goes onto the row, not through the state machine, whose history must not hold tokens.
    Raises InvalidPayment with the reason.
    """
    if payment.status is not Status.PENDING:
        return  # a repeated step: it went on from here already
    why = refusal(payment.money)
    if why:
        raise InvalidPayment("amount_not_chargeable", why)
    if payment.payment_method:
        return
    of_customer = customers.default_payment_method(payment.customer_id) if payment.customer_id else ""
    method = of_customer or default_payment_method
    if not method:
        raise InvalidPayment(
            "no_payment_method",
            "the payment names no payment method, its customer has no default one, and this environment has none; "
            "send it again under a new payment_id with a payment_method",
        )
    whose = "customer" if of_customer else "environment"
    store.save(
        moved(
            payment,
            Status.PENDING,
            at=clock(),
            actor=ACTOR,
            code="default_payment_method",
            message=f"the {whose}'s default payment method is used",
            payment_method=method,
        )
    )
