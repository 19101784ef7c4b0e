"""Executions: one for each name, however often and from wherever it is started."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from fakes.workflow import MemoryWorkflow
from payments.adapters.step_functions import StepFunctionsWorkflow
from payments.ports.workflow import Workflow
from tests.moto_tables import aws_in_memory

Started = Callable[[], dict[str, dict[str, Any]]]
"""Returns the started executions: name → input."""
LONGEST_ID = "p" * 64


@pytest.fixture
def step_functions() -> Iterator[tuple[Workflow, Started]]:
    with aws_in_memory():
        client = boto3.client("stepfunctions")
        machine = client.create_state_machine(
            name="payments",
            definition=json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 1, "End": True}}}),
            roleArn="arn:aws:iam::123456789012:role/workflow",
        )["stateMachineArn"]

        def started() -> dict[str, dict[str, Any]]:
            executions = client.list_executions(stateMachineArn=machine)["executions"]
            arns = {execution["name"]: execution["executionArn"] for execution in executions}
            return {
                name: json.loads(client.describe_execution(executionArn=arn)["input"]) for name, arn in arns.items()
            }

        yield StepFunctionsWorkflow(client, machine), started


def in_memory() -> tuple[Workflow, Started]:
    workflow = MemoryWorkflow()

    def state(name: str) -> dict[str, Any]:
        ask = {"ask": True} if name in workflow.reconciling else {}
        reason = {"event_id": workflow.reasons[name]} if name in workflow.reasons else {}
        return {"payment_id": name.partition(".")[0]} | ask | reason

    return workflow, lambda: {name: state(name) for name in workflow.started}


@pytest.fixture(params=["memory", "step_functions"])
def workflow(request: pytest.FixtureRequest) -> tuple[Workflow, Started]:
    if request.param == "memory":
        return in_memory()
    real: tuple[Workflow, Started] = request.getfixturevalue("step_functions")
    return real


def test_start_when_repeated_then_one_execution_named_by_the_payment(workflow: tuple[Workflow, Started]) -> None:
    executions, started = workflow
    executions.start("pay_1")
    executions.start("pay_1")
    assert started() == {"pay_1": {"payment_id": "pay_1"}}


def test_restart_starts_one_execution_per_suffix(
    workflow: tuple[Workflow, Started],
) -> None:
    executions, started = workflow
    executions.start("pay_1")
    executions.restart("pay_1", "2")
    executions.restart("pay_1", "2")
    executions.restart("pay_1", "3", reconcile=True)
    executions.restart("pay_1", "e1", reconcile=True, event_id="evt_1")
    assert started() == {
        "pay_1": {"payment_id": "pay_1"},
        "pay_1.2": {"payment_id": "pay_1"},
        "pay_1.3": {"payment_id": "pay_1", "ask": True},
        "pay_1.e1": {"payment_id": "pay_1", "ask": True, "event_id": "evt_1"},
    }


def test_restart_name_fits_with_the_longest_id_and_suffix(
    workflow: tuple[Workflow, Started],
) -> None:
    """Step Functions accepts names of up to 80 characters."""
    executions, started = workflow
    executions.restart(LONGEST_ID, "e" + "f" * 11)
    (name,) = started()
    assert len(name) == 77
