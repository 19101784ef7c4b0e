"""What the SDK raises, in the form in which the conformance tests compare it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import stripe


class Refusal(NamedTuple):
    """The parts of an error that a program reads."""

    status: int | None
    code: str | None
    param: str | None


def error_of(call: Callable[[], object]) -> Any:
    """The error that the SDK raises. Its `error` has the fields of the answer."""
    with pytest.raises(stripe.StripeError) as caught:
        call()
    return caught.value


def refusal_of(call: Callable[[], object]) -> Refusal:
    """The status, the code and the parameter of the error that the SDK raises."""
    error = error_of(call)
    return Refusal(error.http_status, error.error.code, error.error.param)
