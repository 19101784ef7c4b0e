"""The workflows of payments and of refunds as AWS Step Functions state machines."""

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
        _start(self._client, self._state_machine_arn, name, state)


def refund_machine_of(state_machine_arn: str) -> str:
    """The ARN of the state machine of refunds, beside that of payments: the functions' environments are full."""
    return state_machine_arn.replace(":payment-processor-", ":payment-refund-processor-")


class StepFunctionsRefunds:
    """Starts executions of the state machine of refunds, each once. Names have at most 80 characters."""

    def __init__(self, client: "SFNClient", state_machine_arn: str) -> None:
        self._client = client
        self._state_machine_arn = state_machine_arn

    def start(self, refund_id: str, payment_id: str) -> None:
        """Start the execution named after the refund. No effect if it already exists."""
        self._start(refund_id, {"refund_id": refund_id, "payment_id": payment_id})

    def restart(self, refund_id: str, payment_id: str, execution_suffix: str) -> None:
        """Start the execution `<refund_id>.<execution_suffix>`. No effect if it already exists."""
        self._start(f"{refund_id}.{execution_suffix}", {"refund_id": refund_id, "payment_id": payment_id})

    def look(self, payment_id: str, execution_suffix: str) -> None:
        """Start the execution `p.<payment_id>.<execution_suffix>`: no id of a refund has a dot."""
        self._start(f"p.{payment_id}.{execution_suffix}", {"payment_id": payment_id})

    def _start(self, name: str, state: dict[str, Any]) -> None:
        _start(self._client, self._state_machine_arn, name, state)


def _start(client: "SFNClient", state_machine_arn: str, name: str, state: dict[str, Any]) -> None:
    try:
        client.start_execution(stateMachineArn=state_machine_arn, name=name, input=json.dumps(state))
    except client.exceptions.ExecutionAlreadyExists:
        return
