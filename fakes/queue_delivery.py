"""Queue delivery in memory."""


class MemoryDelivery:
    """A switch that remembers how it stands."""

    def __init__(self) -> None:
        self.on = True

    def is_on(self) -> bool:
        """See the port."""
        return self.on

    def switch(self, *, on: bool) -> None:
        """See the port."""
        self.on = on
