"""The local AWS's side of a function's process: what it waits for, and what it leaves behind."""

import os
import select
import socket
from collections.abc import Iterator

import pytest

from local.ministack.processes import ExecutionEnvironment
from local.ministack.runtime.fork_server import END_OF_LOG, receive, send


class NeverWaits:
    """`select.poll` of a test in which everything to wait for is there already."""

    def __init__(self) -> None:
        self._poll = poll()
        self.register, self.unregister = self._poll.register, self._poll.unregister

    def poll(self, _: float) -> list[tuple[int, int]]:
        ready = self._poll.poll(0)
        assert ready, "it waits"
        return ready


poll = select.poll


@pytest.fixture
def pair() -> Iterator[tuple[ExecutionEnvironment, socket.socket, int]]:
    """An execution environment, and the ends of its process, which the test plays."""
    ours, its = socket.socketpair()
    reader, writer = os.pipe()
    environment = ExecutionEnvironment(os.getpid(), ours, reader, "/no/such/directory")
    yield environment, its, writer
    its.close()
    os.close(writer)
    environment.wait()


def test_invocation_of_a_silent_handler_ends_with_its_answer(
    pair: tuple[ExecutionEnvironment, socket.socket, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment, its, writer = pair
    send(its, {"result": 5})
    os.write(writer, END_OF_LOG)
    monkeypatch.setattr(select, "poll", NeverWaits)
    assert environment.invoke({}, 60) == ({"result": 5}, "")
    assert receive(its) == ({}, [])
