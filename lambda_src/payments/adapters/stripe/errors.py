"""What Stripe's errors mean for a payment: one table.

An error about one object (its charge, its payment method, its customer, its content) concerns that payment alone. Only
an error about our key, our account or a parameter that every request of ours has is Misconfigured, which counts for
the batch breaker. An error of a question is never an answer about the charge: it proves neither that the charge was
made nor that it was not.

Sources: docs.stripe.com/error-codes, docs.stripe.com/error-low-level, the SDK's own mapping from HTTP status to
exception, and recorded answers. Stripe does not document which status, code and parameter come together. A row
therefore demands no more than it needs, and the table ends with a default for each class of HTTP status.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import stripe

from payments.adapters.stripe.amounts import LIMIT_CODES, limit
from payments.adapters.stripe.connections import never_left
from payments.domain.errors import (
    CHARGE_NOT_FOUND,
    GATEWAY_UNREACHABLE,
    LOCK_TIMEOUT,
    RATE_LIMIT,
    RESOURCE_RATE_LIMIT,
    AttemptDeclined,
    Conflict,
    Declined,
    InvalidPayment,
    Misconfigured,
    NotSent,
    OutcomeUnknown,
    PaymentError,
    RateLimited,
    RequiresAction,
)


class Call(StrEnum):
    """The calls to Stripe. The same answer to another call may mean something else."""

    CHARGE = "charge"
    RETRIEVE = "retrieve"
    SEARCH = "search"
    LIST = "list"
    CANCEL = "cancel"
    CREATE_CUSTOMER = "create_customer"
    START_SETUP = "start_setup"
    LIST_METHODS = "list_methods"
    DETACH = "detach"
    DELETE_CUSTOMER = "delete_customer"
    REFUND = "refund"
    RETRIEVE_REFUND = "retrieve_refund"
    LIST_REFUNDS = "list_refunds"


NO_ANSWER = 0
"""The HTTP status of an answer that did not arrive."""
NEVER_LEFT = "never_left"
"""The type of an answer that did not arrive because no connection was made."""
UNREADABLE = -1
"""The status of an answer that is not Stripe's JSON, independent of its HTTP status: a proxy may have sent it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the table reads of an error. Each text is one plain word or "". `parameter` is without its brackets, and
    `code` is the more precise of Stripe's two codes, and `limit` says what limited the requests."""

    call: Call
    status: int
    type: str = ""
    code: str = ""
    parameter: str = ""
    limit: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the answers that it matches, and the error that they mean. An empty condition matches all.

    A code in `codes` that ends in `_` is a prefix. `code` is ours, for an answer without a code of Stripe's; with
    `renames` for every answer. `message` may name the answer's `{status}`, its `{parameter}` and the `{limit}` of the
    amount. With `outage` the cause is Stripe or the way to it, and not this payment.
    """

    error: type[PaymentError]
    code: str
    message: str
    calls: Container[Call] = tuple(Call)
    statuses: Container[int] = ()
    types: Container[str] = ()
    codes: tuple[str, ...] = ()
    parameters: Container[str] = ()
    limits: Container[str] = ()
    renames: bool = False
    outage: bool = False

    def matches(self, answer: Answer) -> bool:
        """True if this row is about such an answer."""
        return (
            answer.call in self.calls
            and (not self.statuses or answer.status in self.statuses)
            and (not self.types or answer.type in self.types)
            and (not self.parameters or answer.parameter in self.parameters)
            and (not self.limits or answer.limit in self.limits)
            and (not self.codes or any(_is_code(answer.code, code) for code in self.codes))
        )


def _is_code(code: str, pattern: str) -> bool:
    return code.startswith(pattern) if pattern.endswith("_") else code == pattern


_CHARGE = (Call.CHARGE,)
_REFUND = (Call.REFUND,)
_REFUSED = (400, 402, 403, 404)
"""The statuses of a request that Stripe refused. Which of them an account error has is not documented for all codes."""
_OF_ANOTHER_ACCOUNT = ("resource_missing", "livemode_mismatch")
"""The object does not exist for this key: it is unknown, or belongs to another account, or to the other mode."""
_OF_OUR_ACCOUNT = (
    "account_invalid",
    "api_key_expired",
    "capability_not_active",
    "country_unsupported",
    "livemode_mismatch",
    "not_allowed_on_standard_account",
    "platform_",
    "secret_key_required",
    "testmode_charges_only",
    "tls_version_unsupported",
)
"""Not all codes with `account_`: `account_closed` and `account_number_invalid` are about a payer's bank account."""
_NOTHING_CHARGED = "; this request charged nothing; correct it and send it under a new payment_id"
_NOTHING_REFUNDED = "; this request refunded nothing"

ROWS = (
    # No answer
    Row(
        NotSent,
        GATEWAY_UNREACHABLE,
        "no connection to Stripe could be made",
        statuses=(NO_ANSWER,),
        types=(NEVER_LEFT,),
    ),
    Row(
        OutcomeUnknown,
        "no_answer",
        "the request may have reached Stripe, but no answer arrived",
        statuses=(NO_ANSWER,),
        outage=True,
    ),
    # Too many requests, or two at the same time
    Row(
        RateLimited,
        LOCK_TIMEOUT,
        "another request works on the same object at Stripe",
        statuses=(429,),
        codes=(LOCK_TIMEOUT,),
    ),
    Row(
        RateLimited,
        RESOURCE_RATE_LIMIT,
        "Stripe limits the requests for one object",
        statuses=(429,),
        limits=("resource-specific",),
        renames=True,
    ),
    # Stripe has several codes for it; the deadline of a payment counts from ours
    Row(RateLimited, RATE_LIMIT, "Stripe asked us to slow down", statuses=(429,), outage=True, renames=True),
    Row(RateLimited, RATE_LIMIT, "Stripe asked us to slow down", statuses=(400,), codes=(RATE_LIMIT,), outage=True),
    # not RateLimited, which may end in `failed`: the request that holds the key may be charging now
    Row(
        OutcomeUnknown,
        "idempotency_key_in_use",
        "another request for this payment is still running at Stripe",
        codes=("idempotency_key_in_use",),
    ),
    Row(
        Conflict,
        "idempotency_error",
        "Stripe has this payment id with other content",
        calls=_CHARGE,
        statuses=(400,),
        types=("idempotency_error",),
        renames=True,
    ),
    Row(
        Conflict,
        "idempotency_error",
        "Stripe has this refund id with other content",
        calls=_REFUND,
        statuses=(400,),
        types=("idempotency_error",),
        renames=True,
    ),
    # One object of one payment
    Row(
        Declined,
        "invalid_payment_method",
        "Stripe does not know the payment method",
        calls=_CHARGE,
        statuses=(400, 404),
        codes=_OF_ANOTHER_ACCOUNT,
        parameters=("payment_method",),
        renames=True,
    ),
    Row(
        InvalidPayment,
        "unknown_customer",
        "Stripe does not know the customer of the payment method" + _NOTHING_CHARGED,
        calls=_CHARGE,
        statuses=(400, 404),
        codes=_OF_ANOTHER_ACCOUNT,
        parameters=("customer",),
        renames=True,
    ),
    # a key of another account does not know the charge either: this is never "not charged"
    Row(
        OutcomeUnknown,
        CHARGE_NOT_FOUND,
        "Stripe does not know the payment's charge under our key, which does not prove that nothing was charged",
        calls=(Call.RETRIEVE, Call.CANCEL, Call.REFUND, Call.LIST_REFUNDS),
        statuses=(400, 404),
        codes=_OF_ANOTHER_ACCOUNT,
        renames=True,
    ),
    Row(
        OutcomeUnknown,
        "refund_not_found",
        "Stripe does not know the refund under our key, which does not prove that nothing was refunded",
        calls=(Call.RETRIEVE_REFUND,),
        statuses=(400, 404),
        codes=_OF_ANOTHER_ACCOUNT,
        renames=True,
    ),
    Row(
        InvalidPayment,
        "unknown_customer",
        "Stripe does not know the customer under our key",
        calls=(Call.START_SETUP, Call.LIST_METHODS, Call.DELETE_CUSTOMER),
        statuses=(400, 404),
        codes=_OF_ANOTHER_ACCOUNT,
        renames=True,
    ),
    # The amount of one payment, independent of the parameter that Stripe names
    Row(
        InvalidPayment,
        "amount_refused",
        "{limit}" + _NOTHING_CHARGED,
        calls=_CHARGE,
        statuses=(400,),
        codes=tuple(sorted(LIMIT_CODES)),
    ),
    # Our key, our account, and what every request of ours has
    Row(Misconfigured, "gateway_key_refused", "Stripe refuses our key", statuses=(401,)),
    Row(Misconfigured, "gateway_key_refused", "Stripe refuses our account", statuses=_REFUSED, codes=_OF_OUR_ACCOUNT),
    Row(Misconfigured, "gateway_key_refused", "Stripe does not allow our key this request", statuses=(403,)),
    Row(
        Misconfigured,
        "request_refused",
        "Stripe does not know a parameter that every request of ours has",
        calls=_CHARGE,
        statuses=(400,),
        codes=("parameter_unknown",),
    ),
    Row(
        InvalidPayment,
        "payment_method_refused",
        "the payment method is not a card" + _NOTHING_CHARGED,
        calls=_CHARGE,
        statuses=(400,),
        codes=("payment_intent_incompatible_payment_method",),
    ),
    Row(
        Misconfigured,
        "request_refused",
        "Stripe does not let our account charge cards",
        calls=_CHARGE,
        statuses=(400,),
        parameters=("payment_method_types",),
    ),
    # "... is not attached to a customer so detachment is impossible" has no code
    Row(
        InvalidPayment,
        "not_attached",
        "the payment method is not attached to a customer at Stripe",
        calls=(Call.DETACH,),
        statuses=(400, 404),
        renames=True,
    ),
    # A refund that Stripe refuses: it is too much, disputed, or too old. Too much has no code.
    Row(
        InvalidPayment,
        "refunded_already",
        "the payment is refunded already" + _NOTHING_REFUNDED,
        calls=_REFUND,
        statuses=(400,),
        codes=("charge_already_refunded",),
        renames=True,
    ),
    Row(
        InvalidPayment,
        "disputed",
        "the payment is disputed" + _NOTHING_REFUNDED,
        calls=_REFUND,
        statuses=(400,),
        codes=("charge_disputed", "refund_disputed_payment"),
        renames=True,
    ),
    Row(
        InvalidPayment,
        "more_than_left",
        "the amount is more than what is left of the payment" + _NOTHING_REFUNDED,
        calls=_REFUND,
        statuses=(400,),
        parameters=("amount",),
        renames=True,
    ),
    Row(
        InvalidPayment,
        "refund_refused",
        "Stripe refuses this refund" + _NOTHING_REFUNDED,
        calls=_REFUND,
        statuses=(400,),
    ),
    # The answer about a card
    Row(
        RequiresAction,
        "authentication_required",
        "the customer must authenticate the payment",
        calls=_CHARGE,
        statuses=(402,),
        codes=("authentication_required",),
    ),
    # the charge remains, in `requires_payment_method`, and another card can pay it
    Row(AttemptDeclined, "card_declined", "the card was declined", calls=_CHARGE, statuses=(402,)),
    # The content of one payment
    Row(
        InvalidPayment,
        "customer_mismatch",
        "the payment method belongs to a customer at Stripe, and the request names none or another one"
        + _NOTHING_CHARGED,
        calls=_CHARGE,
        statuses=(400,),
        parameters=("customer", "source"),
        renames=True,
    ),
    Row(
        InvalidPayment,
        "payment_method_refused",
        "Stripe cannot charge the payment method, which may be used, detached or of another customer"
        + _NOTHING_CHARGED,
        calls=_CHARGE,
        statuses=(400,),
        parameters=("payment_method",),
    ),
    Row(
        InvalidPayment,
        "request_refused",
        "Stripe rejects the payment's {parameter}" + _NOTHING_CHARGED,
        calls=_CHARGE,
        statuses=(400,),
        parameters=("amount", "currency", "description", "metadata"),
    ),
    # Defaults for each class of status. A used or detached payment method is refused without a code and a parameter.
    Row(
        InvalidPayment,
        "request_refused",
        "Stripe rejects this payment, for example because its payment method cannot be used again" + _NOTHING_CHARGED,
        calls=_CHARGE,
        statuses=(400,),
    ),
    # the search is not offered to accounts in India, which may charge all the same
    Row(
        OutcomeUnknown,
        "search_refused",
        "Stripe does not search for payments of this account",
        calls=(Call.SEARCH,),
        statuses=(400,),
    ),
    Row(OutcomeUnknown, "gateway_error", "Stripe answered {status}", statuses=range(400, 500)),
    # Stripe stores a 500 under the idempotency key whether or not the charge was made
    Row(OutcomeUnknown, "gateway_error", "Stripe answered {status}", statuses=range(500, 600), outage=True),
    Row(OutcomeUnknown, "gateway_error", "Stripe's answer is unreadable", outage=True),
)
"""The first row that matches an answer counts. The last one matches all."""


def row_of(answer: Answer) -> Row:
    """The first row that matches."""
    return next(row for row in ROWS if row.matches(answer))


def payment_error(call: Call, error: stripe.StripeError, currency: str = "") -> PaymentError:
    """The payment error that Stripe's answer to `call` means. It contains only codes and our own sentences: Stripe's
    text may name payment methods and people. With the payment's `currency`, it names the limit of the amount."""
    answer = _answer(call, error)
    row = row_of(answer)
    return row.error(
        row.code if row.renames else answer.code or row.code,
        row.message.format(status=answer.status, parameter=answer.parameter, limit=_limit(answer.code, currency)),
        gateway_reference=_reference(_body(error)),
        retry_after_seconds=_retry_after_seconds(error) if row.error is RateLimited else 0,
        outage=row.outage,
    )


def _limit(code: str, currency: str) -> str:
    known = currency and code in LIMIT_CODES
    return limit(code, currency) if known else "the amount is outside Stripe's limits"


def code_of(problem: Mapping[str, Any]) -> str:
    """The more precise of Stripe's two codes: `decline_code` (insufficient_funds) before `code` (card_declined)."""
    return word(problem.get("decline_code")) or word(problem.get("code"))


def word(value: object) -> str:
    """A code that may be logged: one plain word, or ""."""
    return value if isinstance(value, str) and re.fullmatch("[a-z][a-z0-9_]{0,63}", value) else ""


def _answer(call: Call, error: stripe.StripeError) -> Answer:
    problem = _body(error)
    match error:
        case stripe.APIConnectionError():
            return Answer(call, NO_ANSWER, NEVER_LEFT if never_left(error.__cause__) else "")
        case stripe.AuthenticationError():  # the SDK raises it itself, without a status, if it has no key
            status = 401
        case _:  # a proxy's page has a status, but is no answer of Stripe's
            status = (problem and error.http_status) or UNREADABLE
    return Answer(
        call,
        status,
        word(problem.get("type")),
        code_of(problem),
        word(str(problem.get("param", "")).partition("[")[0]),
        str((error.headers or {}).get("Stripe-Rate-Limited-Reason", "")),
    )


def _retry_after_seconds(error: stripe.StripeError) -> int:
    value = str((error.headers or {}).get("Retry-After", ""))
    return int(value) if re.fullmatch("[0-9]{1,5}", value) else 0


def _body(error: stripe.StripeError) -> Mapping[str, Any]:
    content = error.json_body.get("error") if isinstance(error.json_body, Mapping) else None
    return content if isinstance(content, Mapping) else {}


def _reference(problem: Mapping[str, Any]) -> str:
    intent = problem.get("payment_intent")
    return str(intent.get("id", "")) if isinstance(intent, Mapping) else ""
