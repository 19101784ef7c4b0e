"""Queue delivery in memory."""


class MemoryDelivery:
    """A switch that remembers its position."""

    def __init__(self) -> None:
        self.on = True

    def is_on(self) -> bool:
        """True if the switch is on."""
        return self.on

    def switch(self, *, on: bool) -> None:
        """Set the switch. It takes effect at once."""
        self.on = on
