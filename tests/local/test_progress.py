"""The steps of `make up` and `make demo` without a terminal."""

import contextlib
from io import StringIO

import pytest
from rich.console import Console

from local import progress
from local.progress import StackSteps, Steps


def test_steps_when_there_is_no_terminal_then_are_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_DETAIL_SECONDS", 0)
    text = StringIO()
    with Steps(Console(file=text, width=100)) as steps:
        say = StackSteps(steps)
        say("applying the stack")
        say("Plan: 2 to add, 1 to change, 0 to destroy.\n")
        say("aws_sqs_queue.queue: Creation complete after 25s [id=queue]\n")
        say("aws_kms_key.key: Modifications complete after 1s\n")
        say("aws_kms_key.key: Still creating... [10s elapsed]\n")
        say("looking around")
    lines = text.getvalue().splitlines()
    assert lines[:3] == ["… applying the stack", "    1 of 3 resources", "    2 of 3 resources"]
    assert [line.split(" (")[0] for line in lines[3:]] == [
        "✓ applying the stack",
        "… looking around",
        "✓ looking around",
    ]
    assert list(steps.seconds) == ["applying the stack", "looking around"]


def test_steps_when_one_fails_then_it_is_marked_as_the_one() -> None:
    text = StringIO()
    with contextlib.suppress(RuntimeError), Steps(Console(file=text, width=100)) as steps:
        steps.begin("applying the stack")
        raise RuntimeError
    assert text.getvalue().splitlines() == ["… applying the stack", "✗ applying the stack"]
