"""Validate: check that the payment has a payment method and that the gateway can charge the amount."""

from collections.abc import Callable
from datetime import timedelta

from payments.domain.clock import Clock, parse_iso
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


class PaymentMethods:
    """Selects the payment method of a payment: its own, else its token's, else its customer's, else the environment's.
    `of` needs an encryptor; `check` does not."""

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

    def of(self, payment: Payment) -> str:
        """The payment method in plain text, of a payment whose own payment method is already decrypted.

        Raises InvalidPayment if there is no payment method, and the errors of the encryptor.
        """
        if payment.payment_method:
            self._refuse_bad_token(payment)
            return payment.payment_method
        field, method = self._on_file(payment)
        if not is_sealed(method):
            return method
        if self._encryptor is None:
            raise EncryptionUnavailable("this function has no key to decrypt a payment method")
        return self._encryptor.open({"customer_id": payment.customer_id}, {field: method})[field]

    def check(self, payment: Payment) -> None:
        """Raise InvalidPayment if there is no payment method. Decrypts nothing and therefore needs no key."""
        if payment.payment_method:
            self._refuse_bad_token(payment)
        else:
            self._on_file(payment)

    def _refuse_bad_token(self, payment: Payment) -> None:
        """The row keeps the payment method of the first attempt. If that attempt provably charged nothing, the token
        must still be valid. If it may have charged, the next attempt must send the same request."""
        if payment.token_id and payment.status is Status.PENDING:
            self._good_token(payment)

    def _on_file(self, payment: Payment) -> tuple[str, str]:
        """The payment method as stored elsewhere, and the field name under which it was encrypted."""
        if payment.token_id:
            return "payment_method", self._good_token(payment).payment_method
        method = self._of_customer(payment) or self._default
        if not method:
            raise InvalidPayment(
                "no_payment_method",
                "the payment has no payment method, its customer has no default one, and neither has this "
                "environment; send it again under a new payment_id with a payment_method",
            )
        return "default_payment_method", method

    def _of_customer(self, payment: Payment) -> str:
        """The customer's default, if the submitter was allowed to use it when the payment was accepted.

        A payment may name a customer that is not stored. Another caller may create a customer of that id before the
        payment is charged, and the submitter must not use its payment method. Otherwise a submitter could guess ids
        that are about to be created.
        """
        customer = self._customers.get(payment.customer_id) if payment.customer_id else None
        if customer is None:
            return ""
        if payment.submitted_by in ("", customer.created_by) or not customer.created_at:
            return customer.default_payment_method
        # if the customer was already stored, the API checked its owner when it accepted the payment
        known_before = parse_iso(payment.created_at) - parse_iso(customer.created_at) >= LONGEST_REQUEST
        return customer.default_payment_method if known_before else ""

    def _good_token(self, payment: Payment) -> Token:
        token = self._tokens.get(payment.token_id)
        if token is None:
            raise _refused("token_unknown", "the token does not exist")
        if token.customer_id != payment.customer_id:
            raise _refused("token_of_another_customer", "the token belongs to another customer")
        match token.status(self._clock()):
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
