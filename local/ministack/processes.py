"""The local AWS's side of the processes of Python functions. The other side is runtime/fork_server.py.

An execution environment costs one fork, plus the memory that it changes. As on Lambda, each one has its own environment
variables, credentials and TMPDIR, and its own copy of the globals that the code changes after its import.
"""

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from local.ministack.runtime.fork_server import END_OF_LOG, receive, send

SERVER: Final = Path(__file__).parent / "runtime" / "fork_server.py"
LOG_BYTES: Final = 65536
END_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 60.0
"""The time limit for importing a function's code, and for a fork. Lambda allows 10 s; a busy machine takes longer."""


class ProcessEnded(Exception):
    """The process ended before it answered."""


class LoadFailed(RuntimeError):
    """The function's code could not be imported. The text names the error."""


class _ForkingProcess:
    """A process that forks on request, one request at a time. Raises OSError or ProcessEnded if it has ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        control.settimeout(ANSWER_SECONDS)
        self._lock = threading.Lock()

    def fork(self, message: dict[str, Any], *descriptors: int) -> int:
        """Fork a new process and return its process id."""
        with self._lock:
            send(self._control, message, descriptors)
            return int(self.answer()["pid"])

    def answer(self) -> dict[str, Any]:
        """Its next message. TimeoutError after ANSWER_SECONDS."""
        answer = receive(self._control)
        if answer is None:
            raise ProcessEnded
        return answer[0]

    def close(self) -> None:
        """Close the control socket, which ends the process."""
        self._control.close()


class ForkServer:
    """The root process. It starts at once, and `load` waits until it is ready."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        ours, its = socket.socketpair()
        with its:
            arguments = [sys.executable, str(SERVER), str(its.fileno())]
            self._process = subprocess.Popen(arguments, env=dict(environment), pass_fds=[its.fileno()])
        self._root = _ForkingProcess(ours)

    @property
    def alive(self) -> bool:
        """Whether the root process is running."""
        return self._process.poll() is None

    def load(self, function: dict[str, Any]) -> "Function":
        """Import a function's code in its environment. `function` is as in fork_server. Raises LoadFailed."""
        ours, its = socket.socketpair()
        with its:
            pid = self._root.fork(function, its.fileno())
        parent = _ForkingProcess(ours)
        try:
            error = parent.answer().get("error", "")
        except TimeoutError:
            error = f"the import did not end within {ANSWER_SECONDS:.0f} s"
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        except ProcessEnded:
            error = "the process ended during the import"
        if error:
            parent.close()
            raise LoadFailed(error)
        return Function(parent)

    def close(self) -> None:
        """Fork no further functions, which ends the process. Existing functions keep running."""
        self._root.close()
        self._process.wait()


class Function:
    """A function's loaded code, which creates execution environments."""

    def __init__(self, parent: _ForkingProcess) -> None:
        self._parent = parent

    def environment(self, variables: Mapping[str, str]) -> "ExecutionEnvironment":
        """A new one, with these variables added to the function's. OSError or ProcessEnded if the parent ended."""
        directory = tempfile.mktemp(prefix="lambda-tmp-")  # noqa: S306 - the child creates it; no other user is here
        own = {**variables, "TMPDIR": directory}
        ours, its = socket.socketpair()
        reader, writer = os.pipe()
        try:
            with its:
                pid = self._parent.fork({"environment": own}, its.fileno(), writer)
        except BaseException:
            ours.close()
            os.close(reader)
            raise
        finally:
            os.close(writer)
        return ExecutionEnvironment(pid, ours, reader, directory)

    def close(self) -> None:
        """Create no further environments. Existing ones keep running."""
        self._parent.close()


class ExecutionEnvironment:
    """One process that serves a function, one invocation at a time. It has the `Popen` methods that MiniStack uses."""

    def __init__(self, pid: int, channel: socket.socket, log: int, directory: str) -> None:
        self.pid = pid
        self._channel = channel
        self._log = log
        self._directory = directory
        self._ended = False
        self._in_use = threading.Lock()

    def invoke(self, request: dict[str, Any], seconds: float) -> tuple[dict[str, Any], str]:
        """Run one invocation. Returns its answer and its log. `request` and answer are as in fork_server.

        Raises ProcessEnded if the process ends before it answers, TimeoutError after `seconds`. Both carry the log.
        """
        with self._in_use:
            try:
                send(self._channel, request)
            except OSError:
                raise ProcessEnded from None
            return self._answer(time.monotonic() + seconds)

    def _answer(self, deadline: float) -> tuple[dict[str, Any], str]:
        log = bytearray()
        answer: dict[str, Any] | None = None
        waiting = {self._log, self._channel.fileno()}
        ends = select.poll()
        for descriptor in waiting:
            ends.register(descriptor, select.POLLIN)
        while waiting:
            ready = ends.poll(max(0.0, deadline - time.monotonic()) * 1000)
            if not ready:
                raise TimeoutError(_text(log))
            for descriptor, _ in ready:
                if descriptor == self._log:
                    piece = os.read(self._log, LOG_BYTES)
                    log += piece
                    done = not piece or END_OF_LOG in log[-len(piece) - len(END_OF_LOG) :]
                else:
                    answer, done = self._receive(), True
                if done:
                    waiting.discard(descriptor)
                    ends.unregister(descriptor)
        if answer is None:
            raise ProcessEnded(_text(log))
        return answer, _text(log)

    def _receive(self) -> dict[str, Any] | None:
        try:
            received = receive(self._channel)
        except OSError:
            return None
        return received[0] if received else None

    def poll(self) -> int | None:
        """None while the process runs, else -1."""
        if not self._ended:
            try:
                self._ended = not self._channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass
            except OSError:
                self._ended = True
        return -1 if self._ended else None

    def terminate(self) -> None:
        """Kill the process at once: it has nothing to save."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    kill = terminate

    def wait(self, timeout: float | None = END_SECONDS) -> int:
        """Clean up after the process has ended and its invocation knows it. TimeoutExpired after `timeout` seconds."""
        if not self._in_use.acquire(timeout=END_SECONDS if timeout is None else timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or END_SECONDS)
        with contextlib.ExitStack() as held:
            held.callback(self._in_use.release)
            if self._log >= 0:
                os.close(self._log)
                self._channel.close()
                self._log, self._ended = -1, True
                shutil.rmtree(self._directory, ignore_errors=True)
        return -1


def _text(log: bytes | bytearray) -> str:
    return log.partition(END_OF_LOG)[0].decode(errors="replace")
