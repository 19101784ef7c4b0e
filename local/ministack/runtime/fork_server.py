"""Forks processes for Python functions from a process that has loaded the code: a cold start takes milliseconds.

There are three generations of processes, each with one thread:

- The *root* imports the packages of Lambda's own runtime (boto3) and forks one parent per function.
- A *parent* sets one function's environment, imports its code and forks one process per execution environment.
- An *execution environment* serves one invocation at a time until its channel is closed or it is killed.

Each execution environment has its own TMPDIR, where `tempfile` writes. A path below /tmp that a function names itself
is the machine's: a mount of its own would need permissions that a user does not have on every machine.

The root is a separate program (`python fork_server.py FD`) without the project on its path. Therefore this file imports
only the standard library and boto3. Its other side is local/ministack/processes.py. A message is a length and JSON and
the file descriptors of the new process: the control socket of a parent, or the channel and log of an environment.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import random
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback
import types
from collections.abc import Callable, Iterator
from typing import Any

RAISED = "__raised__"
END_OF_LOG = b"\x1eend-of-log\n"
NICENESS = 10
"""Functions run at a lower priority than the local AWS, because every process waits for its answers."""
GC_THRESHOLDS = (20_000, 20, 20)
"""Collect rarely: a call leaves hardly any cycles, and a collection writes to pages, which copies shared memory."""
LENGTH = struct.Struct("!I")
MOST_DESCRIPTORS = 2
PR_SET_CHILD_SUBREAPER = 36
_TRACE_ID = "_X_AMZN_TRACE_ID"

_depth: int | None = None  # of the current invocation: the number of functions in its chain of calls


def send(connection: socket.socket, message: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
    """Write one message. Raises OSError if the other end has closed."""
    data = json.dumps(message).encode()
    data = LENGTH.pack(len(data)) + data
    sent = socket.send_fds(connection, [data], descriptors) if descriptors else 0
    connection.sendall(data[sent:])


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Read one message with its descriptors. None if the other end has closed."""
    descriptors: list[int] = []
    data = b""
    wanted = LENGTH.size
    while len(data) < wanted:
        piece, found, _, _ = socket.recv_fds(connection, wanted - len(data), MOST_DESCRIPTORS)
        descriptors += found
        if not piece:
            return None
        data += piece
        if len(data) == LENGTH.size:
            wanted += LENGTH.unpack(data)[0]
    return json.loads(data[LENGTH.size :]), descriptors


def _fork_on_request(control: socket.socket, child: Callable[[dict[str, Any], list[int]], None]) -> None:
    """Fork a process for each message and answer with its process id, until the other end closes."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps ended children
    while request := receive(control):
        message, descriptors = request
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            with contextlib.suppress(KeyboardInterrupt, BrokenPipeError, ConnectionResetError):
                child(message, descriptors)
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        send(control, {"pid": pid})


def _be_root(control: socket.socket) -> None:
    os.nice(NICENESS)
    _adopt_orphans()
    import boto3  # noqa: F401 - preloaded for the functions
    import shortcut  # type: ignore[import-not-found] # the module beside this file
    from botocore import client, endpoint, handlers

    sys.path.pop(0)  # this file's folder
    # a module that the package lacks must be missing here as well, although this project is installed
    sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in str(finder)]
    handlers.BUILTIN_HANDLERS += [("before-call", _pass_the_depth_on), ("before-send", shortcut.send)]
    endpoint.Endpoint.create_request = shortcut.create_request  # type: ignore[method-assign]
    client.BaseClient._resolve_endpoint_ruleset = shortcut.resolve_endpoint  # type: ignore[attr-defined]
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    _fork_on_request(control, _be_parent)


def _adopt_orphans() -> None:
    """Become the parent of processes whose parent has ended: a container has no other one that reaps them (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@contextlib.contextmanager
def _own_randomness() -> Iterator[None]:
    """Seed the generators that are created meanwhile anew in each child, as Python does for those of `random` itself.

    Otherwise all processes of a function would draw the same numbers. A generator with a seed of its own keeps it.
    """
    plain = random.Random.__init__

    def create(generator: random.Random, seed: Any = None) -> None:
        plain(generator, seed)
        if seed is None:
            os.register_at_fork(after_in_child=generator.seed)

    random.Random.__init__ = create  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        random.Random.__init__ = plain  # type: ignore[method-assign]


def _pass_the_depth_on(params: dict[str, Any], **_: Any) -> None:
    if _depth is not None:
        params["headers"].setdefault(os.environ["_DEPTH_HEADER"], str(_depth))


def _be_parent(function: dict[str, Any], descriptors: list[int]) -> None:
    """Run a parent. `function` has environment, code (a folder), paths (of its layers), handler."""
    control = socket.socket(fileno=descriptors[0])
    os.environ.clear()
    os.environ.update(function["environment"])
    sys.path[:0] = [function["code"], *function["paths"]]
    os.chdir(function["code"])
    module, _, name = function["handler"].rpartition(".")
    try:
        with _own_randomness():
            handler = getattr(importlib.import_module(module.replace("/", ".")), name)
    except Exception as error:  # noqa: BLE001 - every error of a function's module is reported to its caller
        traceback.print_exc()
        send(control, {"error": f"{type(error).__name__}: {error}"})
        return
    send(control, {"ready": True})
    gc.collect()
    gc.freeze()  # otherwise each collection in a child writes to, and copies, every page of the parent's objects

    def be_environment(message: dict[str, Any], descriptors: list[int]) -> None:
        _be_environment(handler, message, descriptors)

    _fork_on_request(control, be_environment)


def _be_environment(handler: Callable[[Any, Any], Any], message: dict[str, Any], descriptors: list[int]) -> None:
    """Run an execution environment. `message` has environment: the variables of this process, including its TMPDIR."""
    channel, log = socket.socket(fileno=descriptors[0]), descriptors[1]
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.close(log)
    os.environ.update(message["environment"])
    os.mkdir(os.environ["TMPDIR"], 0o700)
    tempfile.tempdir = None
    try:
        while request := receive(channel):
            send(channel, _invocation(handler, *request))
    finally:
        shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)


def _invocation(handler: Callable[[Any, Any], Any], request: dict[str, Any], _: list[int]) -> dict[str, Any]:
    """Run one invocation. `request` has event, request_id, arn, timeout, depth, trace_id.

    The answer has the result, or RAISED with the error.
    """
    global _depth
    _depth = request["depth"]
    os.environ.pop(_TRACE_ID, None)
    if request["trace_id"]:
        os.environ[_TRACE_ID] = request["trace_id"]
    try:
        answer = {"result": handler(request["event"], _context(request))}
        json.dumps(answer)  # an error of the function, not of this process: Runtime.MarshalError on Lambda
    except Exception as error:  # noqa: BLE001 - every error of a handler becomes the answer
        sys.stderr.write(f"[ERROR] {''.join(traceback.format_exception(error))}")
        answer = {
            RAISED: {
                "errorMessage": str(error),
                "errorType": type(error).__name__,
                "requestId": request["request_id"],
                "stackTrace": traceback.format_tb(error.__traceback__)[1:],
            }
        }
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(sys.stderr.fileno(), END_OF_LOG)
    return answer


def _context(request: dict[str, Any]) -> types.SimpleNamespace:
    environment, ends = os.environ, time.monotonic() + request["timeout"]
    return types.SimpleNamespace(
        function_name=environment["AWS_LAMBDA_FUNCTION_NAME"],
        function_version=environment["AWS_LAMBDA_FUNCTION_VERSION"],
        memory_limit_in_mb=int(environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]),
        log_group_name=environment["AWS_LAMBDA_LOG_GROUP_NAME"],
        log_stream_name=environment["AWS_LAMBDA_LOG_STREAM_NAME"],
        invoked_function_arn=request["arn"],
        aws_request_id=request["request_id"],
        identity=None,
        client_context=None,
        get_remaining_time_in_millis=lambda: max(0, int((ends - time.monotonic()) * 1000)),
    )


if __name__ == "__main__":
    _be_root(socket.socket(fileno=int(sys.argv[1])))
