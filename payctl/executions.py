"""The steps of a payment's executions, from the history in Step Functions."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from payctl import adapters
from payctl.stack import Stack
from payments.domain.gateway_event import GatewayEvent, execution_suffix_of

MAX_EVENTS = 1000
"""Per execution. A successful execution has about thirty."""
EVENT_ATTEMPTS = 4
"""Per webhook event: how many of its executions are searched. Covers the first 40 minutes of a gateway outage."""
SCHEDULED = ("LambdaFunctionScheduled", "TaskScheduled")
ENDS = ("Failed", "TimedOut", "Aborted")


def names(payment_id: str, restarts: int, events: list[GatewayEvent]) -> list[str]:
    """The possible names of a payment's executions: the first, those of restarts, and those of webhooks."""
    restarted = [f"{payment_id}.{number}" for number in range(2, restarts + 2)]
    return [
        payment_id,
        *restarted,
        *(
            f"{payment_id}.{execution_suffix_of(event, attempt)}"
            for event in events
            for attempt in range(EVENT_ATTEMPTS)
        ),
    ]


def history(stack: Stack, client: Any, name: str) -> list[tuple[datetime, str]]:
    """The states, failures with error names, and retries of an execution, with times. Empty if it does not exist."""
    arn = adapters.execution_arn(stack, name)
    try:
        events = client.get_execution_history(executionArn=arn, maxResults=MAX_EVENTS)["events"]
    except client.exceptions.ExecutionDoesNotExist:
        return []
    return list(_steps(name, events))


def _steps(name: str, events: list[Any]) -> Iterator[tuple[datetime, str]]:
    state, tries = "", 0
    for event in events:
        at, kind = event["timestamp"], event["type"]
        # only the name of the error: its cause may hold data that must not be shown
        error: str = next((value.get("error", "") for key, value in event.items() if key.endswith("EventDetails")), "")
        why = f": {error}" if error else ""
        if kind.startswith("Execution"):
            yield at, f"{name} {_phrase(kind.removeprefix('Execution'))}{why}"
        elif kind.endswith("StateEntered"):
            state, tries = event["stateEnteredEventDetails"]["name"], 0
            if not kind.startswith("Choice"):
                yield at, f"{name}: {state}"
        elif kind in SCHEDULED:
            tries += 1
            if tries > 1:
                yield at, f"{name}: {state}, attempt {tries}"
        elif kind.endswith(ENDS):
            yield at, f"{name}: {state} {'timed out' if kind.endswith('TimedOut') else 'failed'}{why}"


def _phrase(kind: str) -> str:
    return {"TimedOut": "timed out"}.get(kind, kind.lower())
