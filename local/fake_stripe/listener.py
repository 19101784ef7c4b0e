"""The listening port of the fake Stripe. It can be closed for a time, which looks like a server that is down."""

import socket
import threading

from waitress.server import BaseWSGIServer


class Listener:
    """Refuses connections for a number of seconds and closes the existing connections.

    Sockets belong to the server's loop, therefore all changes run in that loop. While closed, the port stays bound
    without listening: the system refuses connections, and no other program can take the port.
    """

    def __init__(self) -> None:
        self._server: BaseWSGIServer | None = None
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def belongs_to(self, server: BaseWSGIServer) -> None:
        """Set the server to close."""
        self._server = server

    def shut(self, seconds: float) -> None:
        """Close now, and open again after `seconds`."""
        with self._lock:
            if self._server:
                self._server.trigger.pull_trigger(self._hang_up)
                self._timer = threading.Timer(seconds, self._open_soon)
                self._timer.daemon = True
                self._timer.start()

    def open(self) -> None:
        """Open now, before the seconds have passed."""
        if self._timer:
            self._timer.cancel()
        self._open_soon()

    def leave(self) -> None:
        """Release the server before it ends: no timer may change it any more."""
        with self._lock:
            self._server = None
            if self._timer:
                self._timer.cancel()

    def _open_soon(self) -> None:
        with self._lock:
            if self._server:
                self._server.trigger.pull_trigger(self._server.accept_connections)

    def _hang_up(self) -> None:
        server = self._server
        if server is None:
            return
        for channel in list(server.active_channels.values()):
            channel.handle_close()
        server.del_channel()
        server.socket.close()
        server.accepting = False
        server.create_socket(socket.AF_INET, socket.SOCK_STREAM)
        server.set_reuse_addr()
        server.bind((server.effective_host, int(server.effective_port)))
