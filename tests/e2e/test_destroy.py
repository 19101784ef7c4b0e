"""FAULT 48: what cdktf-cli destroys leaves nothing behind. It has run since the last test of test_terraform.py."""

from collections.abc import Callable
from concurrent.futures import Future

import pytest

from tests.e2e.conftest import Destroyed
from tests.e2e.inventory import of_suffix
from tests.e2e.second_suffix import SUFFIX


@pytest.mark.fault(48)
def test_destroy_when_run_then_nothing_is_left_behind(destroying: Callable[[], Future[Destroyed]]) -> None:
    before, after = destroying().result()
    assert all(of_suffix(before, SUFFIX).values())
    assert {kind: found for kind, found in of_suffix(after, SUFFIX).items() if found} == {}
    assert of_suffix(after, "local") == of_suffix(before, "local")
