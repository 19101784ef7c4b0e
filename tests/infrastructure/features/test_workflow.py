"""The state machine against the domain's error table: what is retried, what is caught, and where every path ends."""

from typing import Any

import pytest

from payments.adapters.step_functions import refund_machine_of
from payments.domain.errors import POLICIES, UNEXPECTED
from tests.infrastructure.synth import ACCOUNT, REGION, Stack

State = dict[str, Any]
FUNCTIONS = {"Validate": "validate", "Charge": "charge", "Record": "record", "Audit": "audit"}
TASKS = [*FUNCTIONS, "Publish"]
RAISED = {error.__name__: policy for error, policy in POLICIES.items() if not policy.is_answer}
WAITED_FOR = {name for name, policy in RAISED.items() if policy.waits_as_requested}
ANSWERS = {error.__name__ for error, policy in POLICIES.items() if policy.is_answer}


def _states(stack: Stack) -> dict[str, State]:
    states: dict[str, State] = stack.definition()["States"]
    return states


def _next(state: State) -> set[str]:
    """All states that a state may lead to."""
    followers = {state.get("Next"), state.get("Default")}
    followers |= {branch["Next"] for branch in (*state.get("Choices", []), *state.get("Catch", []))}
    return {name for name in followers if name}


def _paths(states: dict[str, State], at: str, before: tuple[str, ...] = ()) -> list[list[str]]:
    """Every path from a state to the end, or back to a state that it passed before."""
    way, followers = (*before, at), _next(states[at])
    if at in before or not followers:
        return [list(way)]
    return [path for name in sorted(followers) for path in _paths(states, name, way)]


def test_tasks_are_the_payment_steps_each_with_its_function(stack: Stack) -> None:
    states = _states(stack)

    assert {name for name, state in states.items() if state["Type"] == "Task"} == set(TASKS)
    for name, function in FUNCTIONS.items():
        assert states[name]["Resource"] == (
            f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:payment-{function}-{stack.suffix}"
        )


def test_type_when_synthesised_then_standard_unless_set_otherwise(stack: Stack) -> None:
    _, machine = stack.named("aws_sfn_state_machine", "payment-processor")

    assert machine["type"] == ("EXPRESS" if stack.suffix == "express" else "STANDARD")
    assert machine["tracing_configuration"] == {"enabled": True}


@pytest.mark.fault(67)
def test_express_execution_waits_for_less_than_its_five_minutes(stacks: dict[str, Stack]) -> None:
    """And a new payment is accepted only if its ticket is within that time."""
    for name, longest, limit in (("express", "120", "120"), ("dev", "0", "300")):
        _, charge = stacks[name].named("aws_lambda_function", "payment-charge")
        _, api = stacks[name].named("aws_lambda_function", "payment-api")
        assert charge["environment"]["variables"]["LONGEST_WAIT_SECONDS"] == longest
        assert api["environment"]["variables"]["GATEWAY_BACKLOG_LIMIT_SECONDS"] == limit


def test_logging_when_express_then_errors_without_the_payments_data(stacks: dict[str, Stack]) -> None:
    _, machine = stacks["express"].named("aws_sfn_state_machine", "payment-processor")
    logging = machine["logging_configuration"]

    assert logging["level"] == "ERROR"
    assert logging["include_execution_data"] is False
    assert (
        stacks["express"]
        .resolve(logging["log_destination"])
        .endswith(":/aws/vendedlogs/states/payment-processor-express:*")
    )


@pytest.mark.parametrize("name", TASKS)
def test_task_times_out_after_its_functions_own_time_out(stack: Stack, name: str) -> None:
    timeout = _states(stack)[name]["TimeoutSeconds"]

    if name in FUNCTIONS:
        _, function = stack.named("aws_lambda_function", f"payment-{FUNCTIONS[name]}")
        assert timeout > function["timeout"]
    assert 0 < timeout < 120


@pytest.mark.parametrize("name", TASKS)
def test_task_retries_unexpected_errors_with_the_last_retrier(stack: Stack, name: str) -> None:
    *before, last = _states(stack)[name]["Retry"]

    assert last["ErrorEquals"] == ["States.ALL"]
    assert last["MaxAttempts"] == UNEXPECTED.max_attempts > 0
    assert all("States.ALL" not in retrier["ErrorEquals"] for retrier in before)


def test_charge_has_the_retrier_of_each_error_in_the_table(stack: Stack) -> None:
    *own, _ = _states(stack)["Charge"]["Retry"]
    retriers = {name: retrier for retrier in own for name in retrier["ErrorEquals"]}

    assert retriers.keys() == RAISED.keys()
    for name in RAISED.keys() - WAITED_FOR:
        policy = RAISED[name]
        assert retriers[name]["MaxAttempts"] == policy.max_attempts
        assert retriers[name]["IntervalSeconds"] == policy.interval_seconds
        assert retriers[name]["BackoffRate"] == policy.backoff_rate
        assert retriers[name]["MaxDelaySeconds"] == policy.max_delay_seconds


def test_workflow_does_not_retry_a_rate_limit_that_charge_raises(
    stack: Stack,
) -> None:
    retriers = {name: retrier for retrier in _states(stack)["Charge"]["Retry"] for name in retrier["ErrorEquals"]}

    assert {"RateLimited"} == WAITED_FOR
    assert retriers["RateLimited"] == {"ErrorEquals": ["RateLimited"], "MaxAttempts": 0}


def test_workflow_waits_as_the_gateway_asks_and_charges_again(stack: Stack) -> None:
    states = _states(stack)
    wait = {key: value for key, value in states["Wait"].items() if key != "Comment"}

    assert states["Charge"]["Next"] == "MustItWait"
    assert states["MustItWait"] == {
        "Type": "Choice",
        "Choices": [
            {"Variable": "$.wait_seconds", "IsPresent": True, "Next": "Wait"},
            {"Variable": "$.left", "IsPresent": True, "Next": "LeaveToRecovery"},
        ],
        "Default": "Record",
    }
    assert states["LeaveToRecovery"]["Type"] == "Succeed"
    assert wait == {"Type": "Wait", "SecondsPath": "$.wait_seconds", "Next": "Charge"}


def test_declines_and_other_answers_are_never_retried(stack: Stack) -> None:
    retried = {
        error
        for state in _states(stack).values()
        for retrier in state.get("Retry", [])
        for error in retrier["ErrorEquals"]
    }

    assert ANSWERS & retried == set()


def test_retriers_are_jittered_and_bounded(stack: Stack) -> None:
    retriers = [
        retrier
        for state in _states(stack).values()
        for retrier in state.get("Retry", [])
        if WAITED_FOR.isdisjoint(retrier["ErrorEquals"])
    ]

    assert len(retriers) >= len(TASKS)
    for retrier in retriers:
        assert retrier["JitterStrategy"] == "FULL"
        assert retrier["BackoffRate"] > 1
        assert retrier["IntervalSeconds"] <= retrier["MaxDelaySeconds"] <= 60


@pytest.mark.parametrize("name", ["Validate", "Charge"])
def test_step_that_fails_for_good_is_recorded_with_any_error(stack: Stack, name: str) -> None:
    assert _states(stack)[name]["Catch"] == [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Record"}]


@pytest.mark.parametrize("name", ["Record", "Audit", "Publish"])
def test_workflow_fails_if_a_step_after_the_outcome_fails(stack: Stack, name: str) -> None:
    assert "Catch" not in _states(stack)[name]


def test_every_path_to_an_outcome_ends_in_record_audit_publish(stack: Stack) -> None:
    states = _states(stack)
    paths = _paths(states, stack.definition()["StartAt"])
    ways = [path for path in paths if len(set(path)) == len(path)]
    rounds = [path[path.index(path[-1]) :] for path in paths if path not in ways]

    assert ["Validate", "IsItRefused", "Charge", "MustItWait", "Record", "Audit", "Publish"] in ways
    assert ["Validate", "IsItRefused", "Charge", "Record", "Audit", "Publish"] in ways
    assert ["Validate", "IsItRefused", "Record", "Audit", "Publish"] in ways
    assert ["Validate", "Record", "Audit", "Publish"] in ways
    assert ["Validate", "IsItRefused", "Charge", "MustItWait", "LeaveToRecovery"] in ways
    ended = [way for way in ways if way[-1] != "LeaveToRecovery"]
    assert all(way[-3:] == ["Record", "Audit", "Publish"] for way in ended)
    assert rounds == [["Charge", "MustItWait", "Wait", "Charge"]]
    assert {name for path in paths for name in path} == states.keys()
    assert [name for name, state in states.items() if state.get("End")] == ["Publish"]


def test_refused_payment_when_validated_then_it_is_never_charged(stack: Stack) -> None:
    choice = _states(stack)["IsItRefused"]

    assert choice["Choices"] == [{"Variable": "$.outcome", "IsPresent": True, "Next": "Record"}]
    assert choice["Default"] == "Charge"


def test_event_carries_status_and_type_for_subscription_filters(stack: Stack) -> None:
    publish = _states(stack)["Publish"]

    assert publish["Resource"] == "arn:aws:states:::sns:publish"
    assert publish["Parameters"] == {
        "TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:payment-events-{stack.suffix}",
        "Message.$": "States.JsonToString($.event)",
        "MessageAttributes": {
            "event_type": {"DataType": "String", "StringValue.$": "$.event.event_type"},
            "status": {"DataType": "String", "StringValue.$": "$.event.status"},
        },
    }


def test_workflow_when_made_then_its_role_has_its_permissions_first(stack: Stack) -> None:
    _, machine = stack.named("aws_sfn_state_machine", "payment-processor")
    role, _ = stack.named("aws_iam_role", "payment-processor")
    policy, _ = stack.only("aws_iam_role_policy", role=f"${{{role}.name}}")

    assert policy in machine["depends_on"]


def test_state_machine_of_refunds_is_found_by_that_of_payments(stack: Stack) -> None:
    _, payments = stack.named("aws_sfn_state_machine", "payment-processor")
    _, refunds = stack.named("aws_sfn_state_machine", "payment-refund-processor")
    prefix = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:"

    assert refund_machine_of(prefix + payments["name"]) == prefix + refunds["name"]
