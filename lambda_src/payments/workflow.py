"""The port to the workflow that carries a payment from accepted to audited."""

import json
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


class Workflow(Protocol):
    """Starts executions: one a payment, and more of them where one came to nothing."""

    def start(self, payment_id: str) -> None:
        """Start the payment's execution. Starting twice is the same as once."""

    def again(self, payment_id: str, occasion: str, *, ask: bool = False, event_id: str = "") -> None:
        """Start another execution for an occasion, a word of at most 12 letters and digits that no other has.

        The same occasion twice is the same as once. With `ask` the gateway is asked even about a payment that is
        settled or held for review; `event_id` is the gateway's event that gave reason to, and is done with then.
        """


class StepFunctionsWorkflow:
    """The Step Functions state machine. An execution carries the payment's name, so AWS starts it once at most.

    A name has 80 characters: 64 of the payment id, a dot, and the occasion.
    """

    def __init__(self, client: "SFNClient", state_machine_arn: str) -> None:
        self._client = client
        self._state_machine_arn = state_machine_arn

    def start(self, payment_id: str) -> None:
        """See the port."""
        self._start(payment_id, {"payment_id": payment_id})

    def again(self, payment_id: str, occasion: str, *, ask: bool = False, event_id: str = "") -> None:
        """See the port."""
        state = {"payment_id": payment_id, "ask": ask, "event_id": event_id}
        self._start(f"{payment_id}.{occasion}", {name: value for name, value in state.items() if value})

    def _start(self, name: str, state: dict[str, Any]) -> None:
        try:
            self._client.start_execution(stateMachineArn=self._state_machine_arn, name=name, input=json.dumps(state))
        except self._client.exceptions.ExecutionAlreadyExists:
            return


class MemoryWorkflow:
    """A twin that remembers the names of the executions that were started, which of them ask, and for which event."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.asking: list[str] = []
        self.reasons: dict[str, str] = {}

    def start(self, payment_id: str) -> None:
        """See the port."""
        if payment_id not in self.started:
            self.started.append(payment_id)

    def again(self, payment_id: str, occasion: str, *, ask: bool = False, event_id: str = "") -> None:
        """See the port."""
        name = f"{payment_id}.{occasion}"
        if name in self.started:
            return
        self.start(name)
        if ask:
            self.asking.append(name)
        if event_id:
            self.reasons[name] = event_id
