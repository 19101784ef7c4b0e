"""What can go wrong with a payment, and what the workflow does about each: one table.

`lib/features/workflow.py` makes the state machine's Retry and Catch from `POLICIES`; `handlers/record.py` takes from it
the status that a caught error ends in. So the Python classes and the state machine cannot drift apart.
"""

import json
from dataclasses import dataclass

from payments.domain.statuses import Status


class PaymentError(Exception):
    """A payment error. Its text is a small JSON object, as a state machine hands on nothing but the text.

    `code` is a short machine word, `message` a sentence for people. Neither ever holds personal data, a token
    or a card number, since both end up in the execution history and the audit log.
    """

    def __init__(self, code: str, message: str, *, gateway_reference: str = "", retry_after_seconds: int = 0) -> None:
        self.code = code
        self.message = message
        self.gateway_reference = gateway_reference
        self.retry_after_seconds = retry_after_seconds
        super().__init__(
            json.dumps({"code": code, "message": message, "gateway_reference": gateway_reference}, sort_keys=True)
        )


class InvalidPayment(PaymentError):
    """The payment breaks a rule of ours. It is never sent."""


class Declined(PaymentError):
    """The issuer or the gateway said no. Asking again would not change it."""


class RequiresAction(PaymentError):
    """The customer must authenticate before the gateway goes on."""


class Conflict(PaymentError):
    """The gateway reports something other than we asked for: another amount or currency. A person must look."""


class RateLimited(PaymentError):
    """The gateway asked us to slow down (429). Nothing was charged."""


class NotSent(PaymentError):
    """The request provably never reached the gateway. Safe to retry."""


class OutcomeUnknown(PaymentError):
    """The request was sent and no answer tells what became of it. Ask first, never assume."""


class Misconfigured(PaymentError):
    """The gateway refuses our credentials or account: no payment can get through until a person mends it."""


@dataclass(frozen=True)
class Policy:
    """What the workflow does with an error class.

    An error with `max_attempts` 0 is an answer, not a fault: the handler returns it as an outcome, so that five
    declined cards do not ring the Lambda error alarm. All others are raised, retried and, in the end, caught.
    Delays are seconds; each delay is jittered over its whole length so that a crowd of retries spreads out.
    With `waits_as_told` the workflow waits as long as the gateway asked for (Retry-After) before each attempt; the
    intervals are those of an answer that asks for none.
    """

    status: Status
    """The status the payment ends in when this error is its last word."""
    max_attempts: int = 0
    interval_seconds: int = 1
    backoff_rate: int = 2
    max_delay_seconds: int = 60
    waits_as_told: bool = False

    @property
    def is_answer(self) -> bool:
        """True when the error is a result to hand on, not a fault to retry."""
        return self.max_attempts == 0


POLICIES: dict[type[PaymentError], Policy] = {
    InvalidPayment: Policy(Status.REJECTED),
    Declined: Policy(Status.DECLINED),
    RequiresAction: Policy(Status.REQUIRES_ACTION),
    Conflict: Policy(Status.IN_REVIEW),
    # 1+2+4+8+16+32+60+60 s: about three minutes of a busy gateway before the payment is given up as not charged
    RateLimited: Policy(Status.FAILED, max_attempts=8, interval_seconds=1, waits_as_told=True),
    NotSent: Policy(Status.FAILED, max_attempts=6, interval_seconds=1, max_delay_seconds=30),
    # the retry asks the gateway for the payment before it sends anything
    OutcomeUnknown: Policy(Status.UNKNOWN, max_attempts=4, interval_seconds=2, max_delay_seconds=30),
    # a key that was just rotated works again within seconds; anything longer needs a person, and the payment waits
    Misconfigured: Policy(Status.PENDING, max_attempts=2, interval_seconds=2),
}

UNEXPECTED = Policy(Status.UNKNOWN, max_attempts=4, interval_seconds=1, max_delay_seconds=20)
"""Anything without a class of its own: a crash, a timeout, a throttled function or table. After the charge step
it may hide a charge, so it never ends in `failed` there."""

SUSPICIOUS_DECLINE_CODES = frozenset(
    {"lost_card", "stolen_card", "pickup_card", "fraudulent", "card_velocity_exceeded"}
)
"""Declines that speak of a card in wrong hands (docs.stripe.com/declines/codes): many of them mean card testing."""

_BY_NAME = {error.__name__: error for error in POLICIES}


def policy_of(error_name: str) -> Policy:
    """The policy for an error name as a state machine reports it (`NotSent`, `States.Timeout`, …)."""
    error = _BY_NAME.get(error_name)
    return POLICIES[error] if error else UNEXPECTED
