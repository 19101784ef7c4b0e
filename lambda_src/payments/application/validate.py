"""Validate: check that the payment has a payment method and that the gateway can charge the amount."""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from payments.domain.clock import Clock, parse_iso
from payments.domain.customer import Customer
from payments.domain.errors import InvalidPayment
from payments.domain.money import Money
from payments.domain.payment import Payment
from payments.domain.sealed_text import is_sealed
from payments.domain.statuses import Status
from payments.domain.token import Token, TokenStatus
from payments.ports.customer_store import CustomerStore
from payments.ports.field_encryptor import EncryptionUnavailable, FieldEncryptor
from payments.ports.token_store import TokenStore

LONGEST_REQUEST = timedelta(seconds=30)
"""Longer than any API call takes (29 s at API Gateway). A call sees every row written by a call that began this long
before it."""


class Method(NamedTuple):
    """What a payment is charged on. `gateway_customer` is the gateway's customer to name with the method, or ""."""

    payment_method: str
    gateway_customer: str = ""


class PaymentMethods:
    """Selects the payment method of a payment: its own, else its token's, else its customer's, else the environment's.

    All but the last are charged with the gateway's customer, if ours has one. A method that is attached to a customer
    needs it, and one that is attached to none may have it: Stripe refuses only another customer's ("Payment methods
    attached to other Customers cannot be used", docs.stripe.com/api/payment_intents/create). `of` needs an encryptor;
    `check` does not.
    """

    def __init__(
        self,
        customers: CustomerStore,
        default: str,
        tokens: TokenStore,
        clock: Clock,
        encryptor: FieldEncryptor | None = None,
    ) -> None:
        self._customers = customers
        self._default = default
        self._tokens = tokens
        self._clock = clock
        self._encryptor = encryptor

    def of(self, payment: Payment) -> Method:
        """The payment method in plain text, of a payment whose own payment method is already decrypted.

        Raises InvalidPayment if there is no payment method, and the errors of the encryptor.
        """
        if payment.payment_method:
            self._refuse_bad_token(payment)
            return Method(payment.payment_method, self._gateway_customer(payment))
        field, method, gateway_customer = self._on_file(payment)
        if not is_sealed(method):
            return Method(method, gateway_customer)
        if self._encryptor is None:
            raise EncryptionUnavailable("this function has no key to decrypt a payment method")
        opened = self._encryptor.open({"customer_id": payment.customer_id}, {field: method})
        return Method(opened[field], gateway_customer)

    def check(self, payment: Payment) -> None:
        """Raise InvalidPayment if there is no payment method. Decrypts nothing and therefore needs no key."""
        if payment.payment_method:
            self._refuse_bad_token(payment)
        else:
            self._on_file(payment)

    def _refuse_bad_token(self, payment: Payment) -> None:
        """The row keeps the payment method of the first attempt. If that attempt provably charged nothing, the token
        must not be revoked. If it may have charged, the next attempt must send the same request."""
        if payment.token_id and payment.status is Status.PENDING:
            self._good_token(payment)

    def _on_file(self, payment: Payment) -> tuple[str, str, str]:
        """The field name under which the payment method stored elsewhere was encrypted, the method, and the gateway's
        customer."""
        if payment.token_id:
            return "payment_method", self._good_token(payment).payment_method, self._gateway_customer(payment)
        customer = self._customer(payment)
        if customer and customer.default_payment_method:
            return "default_payment_method", customer.default_payment_method, customer.gateway_customer
        if not self._default:
            raise InvalidPayment(
                "no_payment_method",
                "the payment has no payment method, its customer has no default one, and neither has this "
                "environment; send it again under a new payment_id with a payment_method",
            )
        return "default_payment_method", self._default, ""

    def _gateway_customer(self, payment: Payment) -> str:
        """A token is a right to charge its customer's method, for every submitter."""
        row = self._row(payment) if payment.token_id else self._customer(payment)
        return row.gateway_customer if row else ""

    def _row(self, payment: Payment) -> Customer | None:
        return self._customers.get(payment.customer_id) if payment.customer_id else None

    def _customer(self, payment: Payment) -> Customer | None:
        """The customer, if the submitter was allowed to use its payment methods when the payment was accepted.

        A payment may name a customer that is not stored. Another caller may create a customer of that id before the
        payment is charged, and the submitter must not use its payment methods. Otherwise a submitter could guess ids
        that are about to be created.
        """
        customer = self._row(payment)
        if customer is None or payment.submitted_by in ("", customer.created_by) or not customer.created_at:
            return customer
        # if the customer was already stored, the API checked its owner when it accepted the payment
        known_before = parse_iso(payment.created_at) - parse_iso(customer.created_at) >= LONGEST_REQUEST
        return customer if known_before else None

    def _good_token(self, payment: Payment) -> Token:
        """The payment's token. A token that expires while its payment waits for the gateway is good: an outage must not
        be the payment's failure. One that is revoked meanwhile is not."""
        token = self._tokens.get(payment.token_id)
        if token is None:
            raise _refused("token_unknown", "the token does not exist")
        if token.customer_id != payment.customer_id:
            raise _refused("token_of_another_customer", "the token belongs to another customer")
        waits_since = payment.waits_since
        match token.status(parse_iso(waits_since) if waits_since else self._clock()):
            case TokenStatus.REVOKED:
                raise _refused("token_revoked", f"the token was revoked at {token.revoked_at}")
            case TokenStatus.EXPIRED:
                raise _refused("token_expired", f"the token expired at {token.expires_at}")
        return token


def validate(payment: Payment, *, methods: PaymentMethods, refusal: Callable[[Money], str | None]) -> None:
    """Check what the request alone cannot show, before anything is sent to a gateway.

    `refusal` returns why the gateway cannot charge an amount, or None. Raises InvalidPayment with the reason.
    """
    why = refusal(payment.money)
    if why:
        raise InvalidPayment("amount_not_chargeable", why)
    methods.check(payment)


def _refused(code: str, why: str) -> InvalidPayment:
    what_to_do = "create a new one for this customer with POST /tokens, and send it under a new payment_id"
    return InvalidPayment(code, f"{why}; {what_to_do}")
