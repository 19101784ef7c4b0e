"""Open and close an environment. A closed one accepts and sends no payment."""

from payctl import adapters
from payctl.stack import Stack
from payments.domain.clock import utc_now


def close(stack: Stack) -> None:
    """Remove the mark that the environment is open, stop the delivery of queued payments and all executions.

    An execution that is stopped loses nothing: its row says what it did, and recovery continues it later.
    """
    adapters.breaker(stack).close()
    adapters.delivery(stack).switch(on=False)
    client = stack.client("stepfunctions")
    if client.describe_state_machine(stateMachineArn=stack["state_machine_arn"]).get("type") == "EXPRESS":
        return  # these end within five minutes, and cannot be listed
    pages = client.get_paginator("list_executions").paginate(
        stateMachineArn=stack["state_machine_arn"], statusFilter="RUNNING"
    )
    for execution in [one for page in pages for one in page["executions"]]:
        try:
            client.stop_execution(executionArn=execution["executionArn"], cause="the environment was closed")
        except client.exceptions.ExecutionDoesNotExist:
            continue  # it ended meanwhile


def was_restored(stack: Stack) -> bool:
    """Whether a backup was restored into the tables, or is being restored."""
    return adapters.restore_progress(stack) is not None


def open_it(stack: Stack) -> None:
    """Write the mark, and deliver queued payments again unless the batch breaker is paused."""
    breaker = adapters.breaker(stack)
    breaker.open(adapters.operator(stack), utc_now())
    adapters.delivery(stack).switch(on=not breaker.state().paused)
