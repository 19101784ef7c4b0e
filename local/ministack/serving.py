"""Serves MiniStack by uvicorn and httptools instead of hypercorn and h11: all of AWS is one process here, and its HTTP
in Python is a third of each call's time.

Header names stay as the client wrote them: functions behind a REST API are given them so. An answer's head and body
leave in one write, as each write costs an encryption and a system call of its own.
"""

import asyncio
import os
import resource
import socket
import tempfile
from typing import Any

import uvicorn
from ministack.app import app
from ministack.core import tls
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

KEEP_ALIVE_SECONDS = 75
LONGEST_SOCKET_PATH = 103  # what macOS takes; Linux takes 107


def serve() -> None:
    """Serve on BIND_HOST and GATEWAY_PORT until SIGTERM."""
    _as_many_connections_as_the_system_allows()
    certificate, key = tls.resolve_tls_material() if tls.use_ssl_enabled() else (None, None)
    config = uvicorn.Config(
        app,
        host=os.environ["BIND_HOST"],
        port=int(os.environ["GATEWAY_PORT"]),
        http=_Protocol,
        ws="none",
        loop="none",  # the policy that is installed already: uvloop's
        ssl_certfile=certificate,
        ssl_keyfile=key,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
        access_log=False,
        log_level="warning",
        # MiniStack sends the headers that AWS sends; nothing stands before it whose word on the client would count
        server_header=False,
        date_header=False,
        proxy_headers=False,
    )
    _Server(config).run()


def shortcut() -> str:
    """The path of the socket that functions use: see runtime/shortcut.py. "" where it is too long for a socket."""
    path = os.path.join(tempfile.gettempdir(), "aws.sock")
    return path if len(path) <= LONGEST_SOCKET_PATH else ""


class _Server(uvicorn.Server):
    """On its TLS port, and on a socket that only this user's processes can open."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.should_exit or not shortcut():
            return

        def beside() -> asyncio.Protocol:
            return _Beside(self.config, self.server_state, self.lifespan.state)

        self.servers.append(await asyncio.get_running_loop().create_unix_server(beside, shortcut()))


def _as_many_connections_as_the_system_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Protocol(HttpToolsProtocol):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(_OneWrite(transport))  # type: ignore[arg-type]

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self.headers[-1] = (name, value)


class _Beside(_Protocol):
    """What comes over the socket never leaves the machine: it is as secure as TLS (aws:SecureTransport)."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.scheme = "https"


class _OneWrite:
    """A transport that gathers what is written in one turn of the loop."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._gathered: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._flush)
        self._gathered.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        data, self._gathered = b"".join(self._gathered), []
        if data:
            self._transport.write(data)
