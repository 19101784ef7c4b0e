"""The in-memory fake of the reads of next actions."""

from fakes.gateway import MemoryGateway
from payments.domain.errors import AttemptDeclined, Declined, RequiresAction
from payments.ports.next_actions import NextAction


class MemoryNextActions:
    """The next actions of a gateway in memory, with its faults for `find`. `asked` has the references, oldest first."""

    def __init__(self, gateway: MemoryGateway) -> None:
        self._gateway = gateway
        self.asked: list[str] = []

    def next_action(self, reference: str) -> NextAction | None:
        """The action of a charge that requires authentication, else None."""
        self.asked.append(reference)
        try:
            self._gateway.find("", reference)
        except RequiresAction:
            return NextAction("use_stripe_sdk", f"{reference}_secret_memory")
        except (AttemptDeclined, Declined):
            return None
        return None
