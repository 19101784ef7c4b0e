"""The schedule of recovery: once a minute, by a role that may invoke the sweep function and nothing else."""

from tests.infrastructure.synth import ACCOUNT, REGION, Resource, Stack, arn


def _schedule(stack: Stack) -> Resource:
    return stack.named("aws_scheduler_schedule", "payment-sweep-schedule")[1]


def test_recovery_runs_every_minute(stack: Stack) -> None:
    sweep, _ = stack.named("aws_lambda_function", "payment-sweep")
    schedule = _schedule(stack)

    assert schedule["schedule_expression"] == "rate(1 minute)"
    assert schedule["flexible_time_window"] == {"mode": "OFF"}
    assert schedule["target"]["arn"] == arn(sweep)
    assert "state" not in schedule  # enabled, AWS's default


def test_schedule_does_not_retry_a_failed_call(stack: Stack) -> None:
    assert _schedule(stack)["target"]["retry_policy"] == {"maximum_retry_attempts": 0}


def test_failed_recovery_run_is_not_repeated_by_lambda(stack: Stack) -> None:
    sweep, _ = stack.named("aws_lambda_function", "payment-sweep")
    _, retries = stack.only("aws_lambda_function_event_invoke_config", function_name=f"${{{sweep}.function_name}}")
    assert (retries["maximum_retry_attempts"], retries["maximum_event_age_in_seconds"]) == (0, 60)


def test_schedule_calls_under_a_role_that_may_only_call_recovery(stack: Stack) -> None:
    role, _ = stack.named("aws_iam_role", "payment-sweep-schedule")
    policy = stack.role_policies()[f"payment-sweep-schedule-{stack.suffix}"]

    assert _schedule(stack)["target"]["role_arn"] == arn(role)
    assert stack.statements(policy) == [
        {
            "Effect": "Allow",
            "Action": ["lambda:InvokeFunction"],
            "Resource": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:payment-sweep-{stack.suffix}"],
        }
    ]


def test_schedules_role_when_taken_on_then_by_the_scheduler_alone(stack: Stack) -> None:
    _, role = stack.named("aws_iam_role", "payment-sweep-schedule")

    assert stack.statements(role["assume_role_policy"]) == [
        {"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ]


def test_schedule_when_made_then_its_role_has_its_permission_first(stack: Stack) -> None:
    role, _ = stack.named("aws_iam_role", "payment-sweep-schedule")
    policy, _ = stack.only("aws_iam_role_policy", role=f"${{{role}.name}}")

    assert _schedule(stack)["depends_on"] == [policy]


def test_schedule_when_the_stack_is_destroyed_then_it_goes_with_it(stack: Stack) -> None:
    schedule = _schedule(stack)

    assert schedule["name"].endswith(f"-{stack.suffix}")
    assert not schedule.get("lifecycle", {}).get("prevent_destroy")
    assert "group_name" not in schedule  # a schedule group of our own would have to be removed too
