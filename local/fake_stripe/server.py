"""Starts and stops the fake Stripe: in this process for fast tests, or in its own process."""

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
"""Many, because intentionally late answers must not delay other requests."""

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 5.0
_INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "SYSTEMROOT")


class FakeStripeFailed(RuntimeError):
    """The fake Stripe did not start. The text has the reason and the end of its log."""


@dataclass(frozen=True, slots=True)
class Running:
    """A fake Stripe in its own process."""

    url: str
    pid: int
    log: Path


def wsgi_server(
    fake_stripe: FakeStripe, port: int = 0, sockets: dict[int, Any] | None = None, listener: Listener | None = None
) -> BaseWSGIServer:
    """A server for `fake_stripe` on loopback, bound and not yet running. Port 0 selects a free port.

    `sockets` receives the server's open sockets by file descriptor. `listener` can close the server temporarily. Call
    its `leave` before the server ends.
    """
    listener = listener or Listener()
    server = create_server(
        web_app(fake_stripe, listener),
        map=sockets,
        host=HOST,
        port=port,
        threads=THREADS,
        log_socket_errors=False,  # an intentionally lost answer is not an error
        clear_untrusted_proxy_headers=True,
    )
    fake_stripe.ledger.base_url = url_of(server)
    listener.belongs_to(server)
    return server


def url_of(server: BaseWSGIServer) -> str:
    """The address of `server`."""
    return f"http://{HOST}:{server.effective_port}"


@contextmanager
def in_process(clock: Clock = utc_now, new_id: NewId = random_id) -> Iterator[tuple[str, FakeStripe]]:
    """Run the fake Stripe on a thread of this process. Yields its URL and the object for inspection."""
    fake_stripe = FakeStripe(clock=clock, new_id=new_id)
    sockets: dict[int, Any] = {}
    listener = Listener()
    server = wsgi_server(fake_stripe, sockets=sockets, listener=listener)
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            server.asyncore.loop(timeout=1, map=sockets, count=1)

    thread = threading.Thread(target=serve, name="fake-stripe", daemon=True)
    thread.start()
    try:
        yield url_of(server), fake_stripe
    finally:
        listener.leave()
        stopping.set()
        server.pull_trigger()  # wakes the loop
        thread.join()
        server.asyncore.close_all(sockets, ignore_all=True)
        server.task_dispatcher.shutdown(timeout=STOP_TIMEOUT_SECONDS)
        fake_stripe.refunds.stop()
        fake_stripe.webhooks.stop()


@contextmanager
def running(directory: Path, port: int = 0) -> Iterator[Running]:
    """Run the fake Stripe in its own process while the context lasts."""
    gateway = start(directory, port)
    try:
        yield gateway
    finally:
        stop(gateway.pid)


def start(directory: Path, port: int = 0) -> Running:
    """Start the fake Stripe as a detached process, with its log in `directory`, and wait until it answers.

    It outlives this process. Any process can call `stop`. Raises FakeStripeFailed.
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
    threading.Thread(target=process.wait, daemon=True).start()  # prevents a zombie when any process stops it
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if ready.exists():
            url = json.loads(ready.read_text())["url"]
            if healthy(url):
                return Running(url, process.pid, log)
        time.sleep(0.02)
    reason = f"it ended with {process.returncode}" if process.poll() is not None else "it did not answer in time"
    stop(process.pid)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise FakeStripeFailed(f"the fake Stripe did not start: {reason}. The end of {log}:\n{tail}")


def stop(pid: int) -> None:
    """Stop the fake Stripe with this process id, which any process may have started. It may have ended before."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            os.kill(pid, 0)  # raises if the process has ended
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)


def accept_connections(pid: int) -> None:
    """End `refuse_connections` of the fake Stripe with this process id."""
    os.kill(pid, signal.SIGUSR1)


def clean_environment() -> dict[str, str]:
    """The environment of a started process, without our keys, proxies and Python settings."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


def healthy(url: str) -> bool:
    """True if a fake Stripe answers at `url`."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=2)  # ignores proxy settings
    try:
        connection.request("GET", "/_stand_in/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
