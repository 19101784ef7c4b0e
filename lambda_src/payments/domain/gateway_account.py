"""The account at the gateway that a key belongs to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GatewayAccount:
    """An account: its id, its name, and whether it may charge. `account_id` is "" if the key may not tell it."""

    account_id: str
    name: str = ""
    may_charge: bool = True

    def __str__(self) -> str:
        """The account for an operator."""
        if not self.account_id:
            return "an account that the key may not read"
        return f"{self.name} ({self.account_id})" if self.name else self.account_id
