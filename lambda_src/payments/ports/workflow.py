"""The workflow that processes a payment from accepted to audited."""

from typing import Protocol


class Workflow(Protocol):
    """Starts executions of the workflow: one for each payment, and further ones to recover it."""

    def start(self, payment_id: str) -> None:
        """Start the payment's execution. A repeated call has no effect."""

    def restart(
        self,
        payment_id: str,
        execution_suffix: str,
        *,
        reconcile: bool = False,
        event_id: str = "",
        gateway_reference: str = "",
    ) -> None:
        """Start another execution, named by `execution_suffix` (1 to 12 letters and digits, unique for the payment).

        A repeated call with the same suffix has no effect. With `reconcile` the gateway is queried even for a payment
        that is settled or held for review. `event_id` is the gateway event that caused the restart; the execution
        settles it. `gateway_reference` is the charge that the event is about, as it is stored.
        """
