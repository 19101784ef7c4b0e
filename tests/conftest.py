"""For all tests: no result depends on the machine's speed, the longest files run first, and boto3 parses each service's
model once a process instead of once in each of a thousand sessions."""

import functools
import gc

import botocore.session
import hypothesis
import pytest

hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

LONG_FOLDERS = ("simulation", "infrastructure", "integration", "local")
"""The folders with the longest files. Two processes that share the files then end at almost the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the long folders first. Needs xdist's --no-loadscope-reorder."""
    items.sort(key=lambda item: _position(item.nodeid.split("/")[1]))


def pytest_collection_finish() -> None:
    """Keep modules and tests out of garbage collections: with them, a full one takes half a second."""
    gc.collect()
    gc.freeze()


def _position(folder: str) -> int:
    return LONG_FOLDERS.index(folder) if folder in LONG_FOLDERS else len(LONG_FOLDERS)
