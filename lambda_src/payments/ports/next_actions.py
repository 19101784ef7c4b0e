"""What the customer of a charge must do next, such as 3-D Secure."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class NextAction:
    """How the customer continues a charge. For the payer alone: it is never stored or logged.

    `method` is the gateway's word for the way, such as `use_stripe_sdk` or `redirect_to_url`. `redirect_url` is the
    page to open, if there is one. `payment_method` is the one to confirm again, if the gateway removed it from the
    charge.
    """

    method: str
    client_secret: str = field(repr=False)
    redirect_url: str = field(default="", repr=False)
    payment_method: str = field(default="", repr=False)


class NextActions(Protocol):
    """Reads the next action at the gateway. Each call is one request."""

    def next_action(self, reference: str) -> NextAction | None:
        """The next action of the charge with this reference; None if it no longer waits for its customer.

        Raises RateLimited, NotSent, OutcomeUnknown or Misconfigured if the gateway gave no answer.
        """
