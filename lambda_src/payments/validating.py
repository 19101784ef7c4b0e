"""Validate: is there a payment method to charge, and can the gateway charge this money at all?"""

from collections.abc import Callable

from payments.errors import InvalidPayment
from payments.money import Money
from payments.payment import Payment
from payments.stores.port import CustomerStore


class PaymentMethods:
    """Which payment method a payment is charged on: its own, else its customer's, else the environment's."""

    def __init__(self, customers: CustomerStore, default: str) -> None:
        self._customers = customers
        self._default = default

    def of(self, payment: Payment) -> str:
        """The payment method. Raises InvalidPayment when there is none."""
        if payment.payment_method:
            return payment.payment_method
        of_customer = self._customers.default_payment_method(payment.customer_id) if payment.customer_id else ""
        method = of_customer or self._default
        if not method:
            raise InvalidPayment(
                "no_payment_method",
                "the payment names no payment method, its customer has no default one, and this environment has "
                "none; send it again under a new payment_id with a payment_method",
            )
        return method


def validate(payment: Payment, *, methods: PaymentMethods, refusal: Callable[[Money], str | None]) -> None:
    """Check what the request alone could not tell, before anything is sent to a gateway.

    `refusal` tells why the gateway cannot charge an amount. Raises InvalidPayment with the reason.
    """
    why = refusal(payment.money)
    if why:
        raise InvalidPayment("amount_not_chargeable", why)
    methods.of(payment)
