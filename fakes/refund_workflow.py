"""The in-memory fake of the refund workflow."""


class MemoryRefundWorkflow:
    """Remembers the names of started executions with their input."""

    def __init__(self) -> None:
        self.started: dict[str, dict[str, str]] = {}

    def start(self, refund_id: str, payment_id: str) -> None:
        """Remember the refund's execution. No effect if it was started before."""
        self.started.setdefault(refund_id, {"refund_id": refund_id, "payment_id": payment_id})

    def restart(self, refund_id: str, payment_id: str, execution_suffix: str) -> None:
        """Remember the execution `<refund_id>.<execution_suffix>`. No effect if it was started before."""
        state = {"refund_id": refund_id, "payment_id": payment_id}
        self.started.setdefault(f"{refund_id}.{execution_suffix}", state)

    def look(self, payment_id: str, execution_suffix: str) -> None:
        """Remember the execution `p.<payment_id>.<execution_suffix>`."""
        self.started.setdefault(f"p.{payment_id}.{execution_suffix}", {"payment_id": payment_id})
