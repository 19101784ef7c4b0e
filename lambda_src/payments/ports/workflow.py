"""The port to the workflow that carries a payment from accepted to audited."""

from typing import Protocol


class Workflow(Protocol):
    """Starts executions: one a payment, and more of them where one came to nothing."""

    def start(self, payment_id: str) -> None:
        """Start the payment's execution. Starting twice is the same as once."""

    def restart(self, payment_id: str, execution_suffix: str, *, reconcile: bool = False, event_id: str = "") -> None:
        """Start another execution for an occasion, a word of at most 12 letters and digits that no other has.

        The same occasion twice is the same as once. With `ask` the gateway is asked even about a payment that is
        settled or held for review; `event_id` is the gateway's event that gave reason to, and is done with then.
        """
