"""A world for payctl in tests: a REST API that answers what it is told to, and outputs that point at it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from payctl.app import app

OUTPUTS = {
    "environment_suffix": "test",
    "region": "us-east-1",
    "auth_mode": "none",
    "batch_bucket": "files",
    "payments_table": "payments",
    "processing_status_table": "payment-processing-status",
    "customers_table": "customers",
    "gateway_secret_arn": "gateway-key",
}


@dataclass
class Received:
    """A request that reached the API."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class FakeApi:
    """Answers each request with the next of `answers`: status, JSON and headers. The last one repeats."""

    url: str
    answers: list[tuple[int, Any, dict[str, str]]] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)

    def will_answer(self, status: int, body: Any, **headers: str) -> None:
        """Queue an answer; header names are written with underscores."""
        self.answers.append((status, body, {name.replace("_", "-"): value for name, value in headers.items()}))


@contextmanager
def fake_api() -> Iterator[FakeApi]:
    """A REST API on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            api.received.append(Received(self.command, self.path, dict(self.headers), body))
            status, content, headers = api.answers.pop(0) if len(api.answers) > 1 else api.answers[0]
            payload = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = handle_request  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api = FakeApi(f"http://127.0.0.1:{server.server_address[1]}/test")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()


type Payctl = Callable[..., Result]


def payctl_with(folder: Path, **outputs: str) -> Payctl:
    """payctl on a stack with OUTPUTS and these; called with the command line's words, and `input` for its stdin."""
    path = folder / "outputs.json"
    path.write_text(json.dumps(OUTPUTS | {"api_url": "https://api.example/test"} | outputs))
    runner = CliRunner()

    def run(*arguments: str, stdin: str = "") -> Result:
        return runner.invoke(app, ["--outputs", str(path), *arguments], input=stdin)

    return run


def payment_view(status: str = "succeeded", **more: Any) -> dict[str, Any]:
    """A payment as GET /payments/{payment_id} answers it."""
    return {
        "payment_id": "pay_1",
        "status": status,
        "amount": 99.99,
        "currency": "USD",
        "source": "rest",
        "created_at": "2026-11-21T12:00:00.000Z",
        "updated_at": "2026-11-21T12:00:01.000Z",
        "history": [
            {"version": 1, "status": "pending", "at": "2026-11-21T12:00:00.000Z", "actor": "rest"},
            {"version": 2, "status": status, "at": "2026-11-21T12:00:01.000Z", "actor": "workflow"},
        ],
        "references": {"gateway": "stripe", "gateway_reference": "pi_1"},
        "links": {"self": "/payments/pay_1"},
        **more,
    }


ACCEPTED = {
    "payment_id": "pay_1",
    "status": "pending",
    "accepted_at": "2026-11-21T12:00:00.000Z",
    "links": {"self": "/payments/pay_1"},
}
