"""One fake Stripe for all conformance tests of a file, reset before each test. The clock stands still until moved."""

from collections.abc import Iterator

import pytest

from tests.local.fake_stripe.test_app import Api, serving


@pytest.fixture(scope="module")
def served() -> Iterator[Api]:
    with serving() as api:
        yield api


@pytest.fixture
def api(served: Api) -> Api:
    """The server, its SDK client, and its clock."""
    served.fake_stripe.reset()
    return served
