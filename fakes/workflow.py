"""The in-memory fake of the workflow."""


class MemoryWorkflow:
    """Remembers the names of started executions, which of them reconcile, and the gateway event and reference of
    each."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.reconciling: list[str] = []
        self.reasons: dict[str, str] = {}
        self.references: dict[str, str] = {}

    def start(self, payment_id: str) -> None:
        """Remember the payment's execution. No effect if it was started before."""
        if payment_id not in self.started:
            self.started.append(payment_id)

    def restart(
        self,
        payment_id: str,
        execution_suffix: str,
        *,
        reconcile: bool = False,
        event_id: str = "",
        gateway_reference: str = "",
    ) -> None:
        """Remember the execution `<payment_id>.<execution_suffix>`. No effect if it was started before."""
        name = f"{payment_id}.{execution_suffix}"
        if name in self.started:
            return
        self.start(name)
        if reconcile:
            self.reconciling.append(name)
        if event_id:
            self.reasons[name] = event_id
        if gateway_reference:
            self.references[name] = gateway_reference
