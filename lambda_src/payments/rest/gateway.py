"""Requests to the gateway that a client waits for, and the problem if the gateway does not answer."""

from collections.abc import Callable

from payments.domain.errors import InvalidPayment, PaymentError
from payments.observability.logs import logger
from payments.rest.http import Problem

RETRY_AFTER_SECONDS = 5
"""When to send a request again if the gateway did not say."""


def at_gateway[T](call: Callable[[], T]) -> T:
    """The answer of a call about a customer. Raises Problem 409 if the gateway does not know the customer, and 503 with
    Retry-After if it gave no answer or there was no slot."""
    try:
        return call()
    except InvalidPayment as error:
        logger().warning("refused by the gateway", code=error.code)
        detail = "Stripe does not know this customer any more; erase it, and create another one"
        raise Problem(409, "conflict", detail) from None
    except PaymentError as error:
        logger().warning("no answer of the gateway", code=error.code)
        detail = "Stripe cannot be reached now; send the same request again later"
        seconds = error.retry_after_seconds or RETRY_AFTER_SECONDS
        raise Problem(503, "unavailable", detail, retry_after_seconds=seconds) from None
