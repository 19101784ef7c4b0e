"""The errors of a payment, and how the workflow handles each: one table.

`lib/features/state_machine.py` makes the Retry and Catch rules of the state machine from `POLICIES`. The record step
takes the status of a caught error from it. The Python classes and the state machine therefore always agree.
"""

import json
from dataclasses import dataclass

from payments.domain.statuses import Status

UNKNOWN_STATUS = "unknown_status"
"""The code of an OutcomeUnknown: the gateway reports a status of the charge that is not known here."""
GATEWAY_UNREACHABLE = "gateway_unreachable"
"""The code of a NotSent: no connection to the gateway could be made."""
RATE_LIMIT = "rate_limit"
"""The code of a RateLimited that is about the account, and not about one object."""
LOCK_TIMEOUT, RESOURCE_RATE_LIMIT = "lock_timeout", "resource_rate_limit"
"""The codes of a RateLimited that is about one object: another request works on it, or too many do."""
SEVERAL_CHARGES = "several_charges"
"""The code of a Conflict: the gateway captured more than one charge under the payment's ids."""
CHARGE_NOT_FOUND = "charge_not_found"
"""The code of an OutcomeUnknown: the gateway does not know the payment's charge under our key."""


class PaymentError(Exception):
    """A payment error. Its text is a small JSON object, because a state machine passes on only the text.

    `code` is a short machine-readable word, `message` a sentence for people. Neither contains personal data, a token
    or a card number: both appear in the execution history and the audit log. `outage` says that the gateway, and not
    this payment, is the cause: it was not reached, fails, or refuses every request of ours for a time.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        gateway_reference: str = "",
        retry_after_seconds: int = 0,
        outage: bool = False,
    ) -> None:
        self.code = code
        self.message = message
        self.gateway_reference = gateway_reference
        self.retry_after_seconds = retry_after_seconds
        self.outage = outage or isinstance(self, NotSent)
        super().__init__(
            json.dumps({"code": code, "message": message, "gateway_reference": gateway_reference}, sort_keys=True)
        )


class InvalidPayment(PaymentError):
    """The payment breaks one of our rules, or the gateway rejects its content. This request charged nothing."""


class Declined(PaymentError):
    """The payment was declined, and nothing can pay its charge any more. A retry does not change the answer."""


class AttemptDeclined(PaymentError):
    """An attempt to charge was declined, but its charge can still be paid, for example with another card.

    It is no end of a payment: the charge must be canceled first. `code` is that of the decline."""


class RequiresAction(PaymentError):
    """The customer must authenticate before the gateway continues."""


class Conflict(PaymentError):
    """The gateway reports another amount or currency than we requested, or several charges. An operator must decide."""


class RateLimited(PaymentError):
    """The gateway answered 429 (too many requests). Nothing was charged."""


class NotSent(PaymentError):
    """Provably not sent: the TCP connection, the name's resolution or the TLS handshake failed before a byte of the
    request was sent. It is safe to retry."""


class OutcomeUnknown(PaymentError):
    """The request was sent and its result is not known. Query the gateway before sending again."""


class Misconfigured(PaymentError):
    """The gateway rejects our key or account. No payment succeeds until an operator corrects it."""


@dataclass(frozen=True)
class Policy:
    """How the workflow handles an error class.

    An error with `max_attempts` 0 is an answer, not a failure. The handler returns it as an outcome, so that declined
    cards do not fire the alarm on Lambda errors. All other errors are raised, retried and finally caught.
    Delays are in seconds. Each delay is jittered over its whole length, so that many retries spread out.
    With `waits_as_requested` the workflow waits as long as the gateway requests (Retry-After), or as long as it waited
    until now, within the interval and the maximum. The number of these waits is not limited: they end at a deadline.
    """

    status: Status
    """The status of the payment when this error remains after all attempts."""
    max_attempts: int = 0
    interval_seconds: int = 1
    backoff_rate: int = 2
    max_delay_seconds: int = 60
    waits_as_requested: bool = False

    @property
    def is_answer(self) -> bool:
        """True when the error is a result to return, not a failure to retry."""
        return self.max_attempts == 0


POLICIES: dict[type[PaymentError], Policy] = {
    InvalidPayment: Policy(Status.REJECTED),
    Declined: Policy(Status.DECLINED),
    # the charge step cancels the charge and never raises this; `declined` would be a guess
    AttemptDeclined: Policy(Status.UNKNOWN, max_attempts=4, interval_seconds=2, max_delay_seconds=30),
    RequiresAction: Policy(Status.REQUIRES_ACTION),
    Conflict: Policy(Status.IN_REVIEW),
    # it waits until RecoveryTimeouts.deadline; then a payment that was never sent fails
    RateLimited: Policy(
        Status.FAILED, max_attempts=1, interval_seconds=1, max_delay_seconds=900, waits_as_requested=True
    ),
    # a broken connection is made again within seconds; in an outage the payment waits, and ends at a deadline only
    NotSent: Policy(Status.PENDING, max_attempts=3, interval_seconds=1, max_delay_seconds=30),
    # the retry queries the gateway for the payment before it sends anything
    OutcomeUnknown: Policy(Status.UNKNOWN, max_attempts=4, interval_seconds=2, max_delay_seconds=30),
    # a rotated key works again within seconds; a longer outage needs an operator, and the payment waits
    Misconfigured: Policy(Status.PENDING, max_attempts=2, interval_seconds=2),
}

UNEXPECTED = Policy(Status.UNKNOWN, max_attempts=4, interval_seconds=1, max_delay_seconds=20)
"""The policy of every other error: a crash, a timeout, a throttled function or table. In the charge step such an error
may hide a charge: the status there is never `failed`."""

SUSPICIOUS_DECLINE_CODES = frozenset(
    {"lost_card", "stolen_card", "pickup_card", "fraudulent", "card_velocity_exceeded"}
)
"""Decline codes of lost or stolen cards (docs.stripe.com/declines/codes). Many of them indicate card testing."""

GENERIC_DECLINE, GENERIC_DECLINE_MESSAGE = "generic_decline", "the card was declined"
HIDDEN_DECLINE_CODES = SUSPICIOUS_DECLINE_CODES | {"merchant_blacklist", "restricted_card", "security_violation"}
"""Decline codes that a payer never sees: a thief must not learn that the card is known to be stolen (Stripe: "present
it to the customer as generic_decline")."""

_BY_NAME = {error.__name__: error for error in POLICIES}


def policy_of(error_name: str) -> Policy:
    """The policy for an error name as a state machine reports it (`NotSent`, `States.Timeout`, …)."""
    error = _BY_NAME.get(error_name)
    return POLICIES[error] if error else UNEXPECTED
