"""Requests to the gateway that a client waits for, and the problem if the gateway does not answer."""

from collections.abc import Callable

from payments.domain.errors import InvalidPayment, PaymentError, RateLimited
from payments.observability.logs import logger
from payments.rest.http import Problem
from payments.rest.rate_limits import TooMany

RETRY_AFTER_SECONDS = 5
"""When to send a request again if the gateway did not say."""


def at_gateway[T](call: Callable[[], T]) -> T:
    """The answer of a call about a customer.

    Raises Problem 409 if the gateway does not know the customer, 429 without a slot or if the gateway asks to slow
    down, and 503 without an answer. The last two have Retry-After.
    """
    try:
        return call()
    except InvalidPayment as error:
        logger().warning("refused by the gateway", code=error.code)
        detail = "Stripe does not know this customer any more; erase it, and create another one"
        raise Problem(409, "conflict", detail) from None
    except RateLimited as error:
        logger().warning("no slot at the gateway", code=error.code)
        raise TooMany("to Stripe by all callers", error.retry_after_seconds or RETRY_AFTER_SECONDS) from None
    except PaymentError as error:
        logger().warning("no answer of the gateway", code=error.code)
        detail = "Stripe cannot be reached now; send the same request again later"
        raise Problem(503, "unavailable", detail, retry_after_seconds=RETRY_AFTER_SECONDS) from None
