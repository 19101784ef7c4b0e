"""What the executions of a payment did, from Step Functions' own history."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from payctl import ports
from payctl.stack import Stack
from payments.domain.gateway_event import GatewayEvent, execution_suffix_of

MAX_EVENTS = 1000
"""Of an execution; one that goes well has some thirty."""
EVENT_ATTEMPTS = 4
"""Of an event, whose executions are looked for: the first 40 minutes of a gateway that does not answer."""
SCHEDULED = ("LambdaFunctionScheduled", "TaskScheduled")
ENDS = ("Failed", "TimedOut", "Aborted")


def names(payment_id: str, restarts: int, events: list[GatewayEvent]) -> list[str]:
    """The names that executions of a payment may have: its own, those of restarts, and those of webhooks."""
    again = [f"{payment_id}.{number}" for number in range(2, restarts + 2)]
    return [
        payment_id,
        *again,
        *(
            f"{payment_id}.{execution_suffix_of(event, attempt)}"
            for event in events
            for attempt in range(EVENT_ATTEMPTS)
        ),
    ]


def history(stack: Stack, client: Any, name: str) -> list[tuple[datetime, str]]:
    """When an execution did what: states, failures with their errors' names, tries. Empty if there is none."""
    arn = ports.execution_arn(stack, name)
    try:
        events = client.get_execution_history(executionArn=arn, maxResults=MAX_EVENTS)["events"]
    except client.exceptions.ExecutionDoesNotExist:
        return []
    return list(_told(name, events))


def _told(name: str, events: list[Any]) -> Iterator[tuple[datetime, str]]:
    state, tries = "", 0
    for event in events:
        at, kind = event["timestamp"], event["type"]
        # the name of the error only: its cause may hold more than is to be shown
        error: str = next((value.get("error", "") for key, value in event.items() if key.endswith("EventDetails")), "")
        why = f": {error}" if error else ""
        if kind.startswith("Execution"):
            yield at, f"{name} {_words(kind.removeprefix('Execution'))}{why}"
        elif kind.endswith("StateEntered"):
            state, tries = event["stateEnteredEventDetails"]["name"], 0
            if not kind.startswith("Choice"):
                yield at, f"{name}: {state}"
        elif kind in SCHEDULED:
            tries += 1
            if tries > 1:
                yield at, f"{name}: {state} again, try {tries}"
        elif kind.endswith(ENDS):
            yield at, f"{name}: {state} {'timed out' if kind.endswith('TimedOut') else 'failed'}{why}"


def _words(kind: str) -> str:
    return {"TimedOut": "timed out"}.get(kind, kind.lower())
