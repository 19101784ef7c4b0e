"""The workflow as an AWS Step Functions state machine."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


class StepFunctionsWorkflow:
    """Starts executions of the state machine. The execution's name contains the payment id: AWS starts each once.

    A name has at most 80 characters: 64 of the payment id, a dot, and the suffix.
    """

    def __init__(self, client: "SFNClient", state_machine_arn: str) -> None:
        self._client = client
        self._state_machine_arn = state_machine_arn

    def start(self, payment_id: str) -> None:
        """Start the execution named after the payment. No effect if it already exists."""
        self._start(payment_id, {"payment_id": payment_id})

    def restart(
        self,
        payment_id: str,
        execution_suffix: str,
        *,
        reconcile: bool = False,
        event_id: str = "",
        gateway_reference: str = "",
    ) -> None:
        """Start the execution `<payment_id>.<execution_suffix>`. No effect if it already exists.

        With `reconcile` its input has "ask": true. `event_id` and the encrypted `gateway_reference` are passed on in
        the input.
        """
        state = {
            "payment_id": payment_id,
            "ask": reconcile,
            "event_id": event_id,
            "gateway_reference": gateway_reference,
        }
        self._start(f"{payment_id}.{execution_suffix}", {name: value for name, value in state.items() if value})

    def _start(self, name: str, state: dict[str, Any]) -> None:
        try:
            self._client.start_execution(stateMachineArn=self._state_machine_arn, name=name, input=json.dumps(state))
        except self._client.exceptions.ExecutionAlreadyExists:
            return
