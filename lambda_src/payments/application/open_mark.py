"""Whether the environment is open. A closed one accepts and sends nothing: its tables may not know of every charge."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from payments.domain.clock import Clock
from payments.ports.batch_breaker_store import BreakerStore

REMEMBERED_FOR = timedelta(seconds=5)
"""How long a function that sends nothing believes that the environment is open. That it is closed is never believed."""


@dataclass
class OpenMark:
    """Reads the mark, at most once in five seconds while the environment is open."""

    store: BreakerStore
    clock: Clock
    _open_until: datetime | None = field(default=None, init=False)

    def is_open(self) -> bool:
        """Whether the mark is there, or was some seconds ago."""
        now = self.clock()
        if self._open_until is None or now >= self._open_until:
            self._open_until = now + REMEMBERED_FOR if self.store.state().is_open else None
        return self._open_until is not None
