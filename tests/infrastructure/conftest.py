"""Every kind of environment, synthesised once for the whole folder."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.settings import Settings
from tests.infrastructure.synth import Stack, read, synthesise

VARIANTS: dict[str, dict[str, Any]] = {
    "dev": {},
    "staging": {},
    "prod": {"alarm_emails": ["oncall@example.com"]},
    "pr-1234": {
        "tags": {"Team": "payments", "Project": "checkout"},
        "settlement_currencies": ["USD", "EUR"],
        "refund_approval_above": "EUR=500",
    },
    "express": {"workflow_type": "EXPRESS", "merchants": ["shop:sh_", "partner"]},
    "local": {"aws_endpoint_url": "https://127.0.0.1:4566", "stripe_api_base": "http://127.0.0.1:8420"},
}
"""Suffix → the settings that are not the environment's own."""


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_shell() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as shell:
        for name in Settings.model_fields:
            shell.delenv(name.upper(), raising=False)
        yield


@pytest.fixture(scope="session")
def stacks(tmp_path_factory: pytest.TempPathFactory, _no_settings_of_the_shell: None) -> dict[str, Stack]:
    """Every variant's stack by its suffix, synthesised once for all processes that run these tests."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "synth"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return {
            suffix: _made_once(Settings(environment_suffix=suffix, **more), folder / suffix)
            for suffix, more in VARIANTS.items()
        }


def _made_once(settings: Settings, folder: Path) -> Stack:
    found = list(folder.glob("stacks/*/cdk.tf.json"))
    return read(settings, found[0]) if found else synthesise(settings, folder)


@pytest.fixture(params=VARIANTS)
def stack(request: pytest.FixtureRequest, stacks: dict[str, Stack]) -> Stack:
    """Each variant in turn: these tests hold for all of them."""
    return stacks[request.param]


@pytest.fixture
def dev(stacks: dict[str, Stack]) -> Stack:
    """The default environment."""
    return stacks["dev"]


@pytest.fixture
def prod(stacks: dict[str, Stack]) -> Stack:
    """Production."""
    return stacks["prod"]
