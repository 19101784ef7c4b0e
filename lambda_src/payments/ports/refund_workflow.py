"""The workflow that carries out refunds."""

from typing import Protocol


class RefundWorkflow(Protocol):
    """Starts executions of the refund workflow: one for each refund, and further ones to recover it."""

    def start(self, refund_id: str, payment_id: str) -> None:
        """Start the refund's execution. A repeated call has no effect."""

    def restart(self, refund_id: str, payment_id: str, execution_suffix: str) -> None:
        """Start another execution, named by `execution_suffix` (1 to 12 letters and digits, unique for the refund).

        A repeated call with the same suffix has no effect.
        """

    def look(self, payment_id: str, execution_suffix: str) -> None:
        """Start an execution that lists all refunds of a payment at the gateway and takes in what changed there."""
