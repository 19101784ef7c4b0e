"""A workflow that remembers what was started."""


class MemoryWorkflow:
    """A twin that remembers the names of the executions that were started, which of them ask, and for which event."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.reconciling: list[str] = []
        self.reasons: dict[str, str] = {}

    def start(self, payment_id: str) -> None:
        """See the port."""
        if payment_id not in self.started:
            self.started.append(payment_id)

    def restart(self, payment_id: str, execution_suffix: str, *, reconcile: bool = False, event_id: str = "") -> None:
        """See the port."""
        name = f"{payment_id}.{execution_suffix}"
        if name in self.started:
            return
        self.start(name)
        if reconcile:
            self.reconciling.append(name)
        if event_id:
            self.reasons[name] = event_id
