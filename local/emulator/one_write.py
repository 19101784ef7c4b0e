"""An answer's head and body leave in one write: each write costs an encryption and a system call of its own."""

from typing import Any

import h11
from hypercorn.events import RawData
from hypercorn.protocol.h11 import H11Protocol

from local.emulator.fixes.patching import wrap


def apply() -> None:
    """Let every connection that opens from now on hold a head back until its body is there."""
    wrap(H11Protocol, "_send_h11_event", _send)


async def _send(_original: Any, self: Any, event: Any) -> None:
    try:
        data = self.connection.send(event)
    except h11.LocalProtocolError:
        if self.connection.their_state != h11.ERROR:
            raise
        return
    waiting = getattr(self, "_head", b"")
    self._head = data if isinstance(event, h11.Response) else b""
    if not self._head and (waiting or data):
        await self.send(RawData(data=waiting + data))
