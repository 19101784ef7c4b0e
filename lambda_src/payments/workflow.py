"""The port to the workflow that carries a payment from accepted to audited."""

import json
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


class Workflow(Protocol):
    """Starts executions, one a payment."""

    def start(self, payment_id: str) -> None:
        """Start the payment's execution. Starting twice is the same as once."""


class StepFunctionsWorkflow:
    """The Step Functions state machine. An execution carries the payment's name, so AWS starts it once at most."""

    def __init__(self, client: "SFNClient", state_machine_arn: str) -> None:
        self._client = client
        self._state_machine_arn = state_machine_arn

    def start(self, payment_id: str) -> None:
        """See the port."""
        try:
            self._client.start_execution(
                stateMachineArn=self._state_machine_arn,
                name=payment_id,
                input=json.dumps({"payment_id": payment_id}),
            )
        except self._client.exceptions.ExecutionAlreadyExists:
            return


class MemoryWorkflow:
    """A twin that remembers which executions were started."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def start(self, payment_id: str) -> None:
        """See the port."""
        if payment_id not in self.started:
            self.started.append(payment_id)
