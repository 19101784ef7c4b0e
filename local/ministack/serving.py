"""Serves MiniStack by uvicorn and httptools instead of hypercorn and h11.

The local AWS is one process, and HTTP in pure Python takes a third of the time of each call. Header names stay as the
client wrote them, because functions behind a REST API receive them that way. The head and body of an answer are sent in
one write, because each write costs an encryption and a system call.
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

from local.ministack import private_socket

KEEP_ALIVE_SECONDS = 75
LONGEST_SOCKET_PATH = 103  # the limit of macOS; the limit of Linux is 107


def serve() -> None:
    """Serve on BIND_HOST and GATEWAY_PORT until SIGTERM."""
    _raise_connection_limit()
    certificate, key = tls.resolve_tls_material() if tls.use_ssl_enabled() else (None, None)
    config = uvicorn.Config(
        app,
        host=os.environ["BIND_HOST"],
        port=int(os.environ["GATEWAY_PORT"]),
        http=_Protocol,
        ws="none",
        loop="none",  # use the installed policy: uvloop
        ssl_certfile=certificate,
        ssl_keyfile=key,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
        access_log=False,
        log_level="warning",
        # MiniStack sends the headers that AWS sends; there is no proxy in front of it
        server_header=False,
        date_header=False,
        proxy_headers=False,
    )
    _Server(config).run()


def shortcut() -> str:
    """The path of the socket that functions use, see runtime/shortcut.py. "" if it is too long for a socket."""
    path = os.path.join(tempfile.gettempdir(), "aws.sock")
    return path if len(path) <= LONGEST_SOCKET_PATH else ""


class _Server(uvicorn.Server):
    """Listens on the TLS port, and on a socket that only this user's processes can open."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.should_exit or not shortcut():
            return

        def connection() -> asyncio.Protocol:
            return private_socket.Connection(f"127.0.0.1:{self.config.port}")

        self.servers.append(await asyncio.get_running_loop().create_unix_server(connection, shortcut()))


def _raise_connection_limit() -> None:
    """Allow as many open connections as the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Protocol(HttpToolsProtocol):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(_OneWrite(transport))  # type: ignore[arg-type]

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self.headers[-1] = (name, value)


class _OneWrite:
    """A transport that combines all writes of one turn of the event loop."""

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
