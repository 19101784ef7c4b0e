"""payctl payment recheck."""

import secrets
import time
from typing import Any

import typer

from payctl import adapters, at_gateway, exit_codes, show
from payctl.deadline import Deadline
from payctl.failures import Exit, Failure
from payctl.options import Json, Timeout, stack_of
from payctl.stack import Stack
from payments.application.charge import may_call_gateway
from payments.domain.payment import Payment
from payments.domain.statuses import Status

POLL_SECONDS = 0.5


def recheck(context: typer.Context, payment_id: str, timeout: Timeout = 60, json: Json = False) -> None:
    """Query the gateway for a payment now, and show what changed.

    Use it for a payment in review after the conflict is resolved, and for an unknown payment that cannot wait.
    Another execution of the workflow does this under the same rules: no payment is charged twice.
    """
    stack = stack_of(context)
    before = _row(stack, payment_id)
    if before.status is Status.PENDING:
        raise Failure(
            f"{payment_id} is pending: nothing was sent to the gateway yet",
            details=[f"see why it waits with: payctl payment explain {payment_id}"],
        )
    if not may_call_gateway(before, reconcile=True):
        raise Failure(f"{payment_id} is {before.status}: this status is final, the gateway is not queried again")
    execution_suffix = "o" + secrets.token_hex(5)
    adapters.workflow(stack).restart(payment_id, execution_suffix, reconcile=True)
    with show.err.status(f"{payment_id}: querying the gateway"):
        gave_up = _wait_for_end(stack, payment_id, f"{payment_id}.{execution_suffix}", timeout)
    after = _row(stack, payment_id)
    if json:
        show.as_json(
            {
                "payment_id": payment_id,
                "execution": f"{payment_id}.{execution_suffix}",
                "ended": not gave_up,
                "before": before.status.value,
                "after": after.status.value,
                "changed": after.version != before.version,
                "code": after.code,
                "message": after.message,
                "gateway_reference": at_gateway.reference(stack, after),
            }
        )
    else:
        _print_result(stack, before, after)
    if gave_up:
        raise Failure(
            gave_up,
            details=[f"see its progress with: payctl payment explain {payment_id}"],
            code=Exit.STILL_OPEN,
        )
    raise typer.Exit(exit_codes.of_payment(after.status))


def _row(stack: Stack, payment_id: str) -> Payment:
    payment = adapters.payments(stack).get(payment_id)
    if payment is None:
        raise Failure(f"there is no payment {payment_id} in {stack.name}")
    return payment


def _wait_for_end(stack: Stack, payment_id: str, name: str, timeout_seconds: float) -> str:
    """Wait for an execution while it changes its payment.

    Returns why the wait ended before the execution: "" if the execution has ended. Raises Failure if it failed.
    """
    client, arn = stack.client("stepfunctions"), adapters.execution_arn(stack, name)
    deadline = Deadline(timeout_seconds, f"the end of execution {name}")
    while (execution := _described(client, arn))["status"] == "RUNNING":
        row = _row(stack, payment_id)
        if deadline.over(f"{row.status}, version {row.version}"):
            return deadline.report
        time.sleep(POLL_SECONDS)
    if execution["status"] != "SUCCEEDED":
        raise Failure(
            f"execution {name} {execution['status'].lower()}: {execution.get('error', 'no error name')}",
            details=["see its steps with: payctl payment explain; see also the log groups of its functions"],
        )
    return ""


def _described(client: Any, arn: str) -> Any:
    """Describe the execution. Immediately after its start it may not exist yet: then it counts as running."""
    try:
        return client.describe_execution(executionArn=arn)
    except client.exceptions.ExecutionDoesNotExist:
        return {"status": "RUNNING"}


def _print_result(stack: Stack, before: Payment, after: Payment) -> None:
    changed = after.version != before.version
    show.facts(
        [
            ("payment", after.payment_id),
            ("before", show.status(before.status)),
            ("now", show.status(after.status)),
            ("changed", "yes" if changed else "no: the gateway confirms the payment's status"),
            ("reason", f"{after.message} ({after.code})" if after.code else ""),
            ("gateway reference", at_gateway.reference(stack, after)),
            ("environment", stack.name),
        ]
    )
