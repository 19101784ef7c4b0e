"""Starting and stopping the stand-in: in this process for fast tests, or in one of its own."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from waitress.server import BaseWSGIServer, create_server

from local.fake_stripe.app import FakeStripe
from local.fake_stripe.clock_and_ids import Clock, NewId, random_id, utc_now
from local.fake_stripe.listener import Listener
from local.fake_stripe.web import web_app

PROJECT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
THREADS = 64
"""Answers that are late on purpose must not keep others waiting."""

START_TIMEOUT_SECONDS = 20.0
STOP_TIMEOUT_SECONDS = 5.0
_INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "SYSTEMROOT")


class StandInFailed(RuntimeError):
    """The stand-in did not start. The text says why, with the end of its log."""


@dataclass(frozen=True, slots=True)
class Running:
    """A stand-in in a process of its own."""

    url: str
    pid: int
    log: Path


def wsgi_server(
    stand_in: FakeStripe, port: int = 0, sockets: dict[int, Any] | None = None, listener: Listener | None = None
) -> BaseWSGIServer:
    """A server for `stand_in` on loopback, bound and not yet running; port 0 takes a free one.

    `sockets` gets what the server has open, by file descriptor; `door` can shut it and must be left before it ends.
    """
    listener = listener or Listener()
    server = create_server(
        web_app(stand_in, listener),
        map=sockets,
        host=HOST,
        port=port,
        threads=THREADS,
        log_socket_errors=False,  # an answer that is lost on purpose is no error
        clear_untrusted_proxy_headers=True,
    )
    listener.belongs_to(server)
    return server


def url_of(server: BaseWSGIServer) -> str:
    """Where `server` listens."""
    return f"http://{HOST}:{server.effective_port}"


@contextmanager
def in_process(clock: Clock = utc_now, new_id: NewId = random_id) -> Iterator[tuple[str, FakeStripe]]:
    """The stand-in on a thread of this process: its URL, and itself to look into."""
    stand_in = FakeStripe(clock=clock, new_id=new_id)
    sockets: dict[int, Any] = {}
    listener = Listener()
    server = wsgi_server(stand_in, sockets=sockets, listener=listener)
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            server.asyncore.loop(timeout=1, map=sockets, count=1)

    thread = threading.Thread(target=serve, name="stand-in", daemon=True)
    thread.start()
    try:
        yield url_of(server), stand_in
    finally:
        listener.leave()
        stopping.set()
        server.pull_trigger()  # wakes the loop
        thread.join()
        server.asyncore.close_all(sockets, ignore_all=True)
        server.task_dispatcher.shutdown(timeout=STOP_TIMEOUT_SECONDS)
        stand_in.webhooks.stop()


@contextmanager
def running(directory: Path, port: int = 0) -> Iterator[Running]:
    """The stand-in in a process of its own, for as long as the block lasts."""
    gateway = start(directory, port)
    try:
        yield gateway
    finally:
        stop(gateway.pid)


def start(directory: Path, port: int = 0) -> Running:
    """Start the stand-in detached, with its log in `directory`, and wait until it answers.

    It outlives this process until `stop`, here or elsewhere. Raises StandInFailed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ready, log = directory / "gateway.json", directory / "gateway.log"
    ready.unlink(missing_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "local.fake_stripe", "--port", str(port), "--ready-file", str(ready.resolve())],
            cwd=PROJECT,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    threading.Thread(target=process.wait, daemon=True).start()  # whoever ends it, no zombie stays behind
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if ready.exists():
            url = json.loads(ready.read_text())["url"]
            if healthy(url):
                return Running(url, process.pid, log)
        time.sleep(0.02)
    reason = f"it ended with {process.returncode}" if process.poll() is not None else "it gave no answer in time"
    stop(process.pid)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise StandInFailed(f"the stand-in for the gateway did not start: {reason}. The end of {log}:\n{tail}")


def stop(pid: int) -> None:
    """End the stand-in with this process id, started here or by another process. No error if it is gone already."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            os.kill(pid, 0)  # raises when it is gone
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)


def clean_environment() -> dict[str, str]:
    """What a started process gets of our environment: no keys, proxies or Python settings."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


def healthy(url: str) -> bool:
    """True if a stand-in answers at `url`."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=2)  # heeds no proxy settings
    try:
        connection.request("GET", "/_stand_in/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
