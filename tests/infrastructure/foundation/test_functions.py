"""The Lambda functions: one handler, one role and one log group each, and nothing secret in their variables."""

import ast
from datetime import timedelta

import pytest

from lib.package import ROOT
from lib.settings import ENVIRONMENTS, LEAST_UNIT_SECONDS
from payments.adapters.stripe import next_actions
from payments.adapters.stripe.gateway import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS
from payments.application.charge_list import SENDS_FOR
from payments.application.client_requests import REQUESTS_PER_SECOND
from payments.application.gateway_rate_limiter import LONGEST_SLEEP_SECONDS
from payments.application.recover import RESERVE_SECONDS
from payments.domain.recovery_timeouts import RecoveryTimeouts
from tests.infrastructure.synth import Stack, arn

API_GATEWAY_WAITS_SECONDS = 29
HANDLERS = ROOT / "lambda_src" / "handlers"


def test_functions_when_synthesised_then_one_for_each_handler(stack: Stack) -> None:
    modules = {path.stem for path in HANDLERS.glob("*.py")} - {"__init__"}
    functions = stack.all("aws_lambda_function").values()

    assert {f["handler"] for f in functions} == {f"handlers.{module}.handler" for module in modules}
    assert {f["function_name"] for f in functions} == {f"payment-{module}-{stack.suffix}" for module in modules}


def test_handlers_when_read_then_each_has_the_function_that_lambda_calls() -> None:
    for path in HANDLERS.glob("[!_]*.py"):
        functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
        (handler,) = [function for function in functions if function.name == "handler"]
        assert [argument.arg for argument in handler.args.args] == ["event", "context"], path.name


def test_functions_run_python_312_on_arm64_with_tracing_and_the_layer(stack: Stack) -> None:
    layer, layer_version = stack.only("aws_lambda_layer_version")

    assert layer_version["compatible_architectures"] == ["arm64"]
    for function in stack.all("aws_lambda_function").values():
        assert function["runtime"] == "python3.12"
        assert function["architectures"] == ["arm64"]
        assert function["layers"] == [arn(layer)]
        assert function["tracing_config"] == {"mode": "Active"}
        assert function["memory_size"] == stack.settings.effective.lambda_memory_mb
        assert 0 < function["timeout"] <= 900


def test_each_function_has_its_own_role_that_only_lambda_can_assume(stack: Stack) -> None:
    functions = stack.all("aws_lambda_function").values()
    roles = {function["role"] for function in functions}

    assert len(roles) == len(functions)
    for function in functions:
        _, role = stack.only("aws_iam_role", name=function["function_name"])
        (trust,) = stack.statements(role["assume_role_policy"])
        assert trust == {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        assert stack.resolve(function["role"]).endswith(f":role/{function['function_name']}")


def test_functions_when_made_then_their_permissions_are_there_first(stack: Stack) -> None:
    for function in stack.all("aws_lambda_function").values():
        if function["handler"] == "handlers.mfa.handler":  # its policy names the pool, and the pool the function
            assert "depends_on" not in function
            continue
        (policy,) = function["depends_on"]
        assert stack.resolve(stack.addresses[policy]["role"]) == function["function_name"]


def test_each_function_has_a_log_group_with_the_environments_retention(stack: Stack) -> None:
    retention = stack.settings.effective.log_retention_days

    for function in stack.all("aws_lambda_function").values():
        _, group = stack.only("aws_cloudwatch_log_group", name=f"/aws/lambda/{function['function_name']}")
        assert group["retention_in_days"] == retention > 0


def test_environment_variables_never_hold_a_secret(stack: Stack) -> None:
    for function in stack.all("aws_lambda_function").values():
        for name, value in function["environment"]["variables"].items():
            secretive = any(word in name for word in ("KEY", "PASSWORD", "TOKEN", "CREDENTIAL"))
            assert not secretive or name.endswith(("_KEY_ARN", "TOKENS_TABLE")), name
            assert "SECRET" not in name or name.endswith("_SECRET_ARN"), name
            assert "secret_string" not in value, name


def test_production_calls_stripe_itself_and_has_no_test_card(prod: Stack) -> None:
    for name in ("payment-api", "payment-charge", "payment-sweep"):
        _, function = prod.named("aws_lambda_function", name)
        assert function["environment"]["variables"]["STRIPE_API_BASE"] == "https://api.stripe.com"
    _, validate = prod.named("aws_lambda_function", "payment-validate")

    assert validate["environment"]["variables"]["DEFAULT_PAYMENT_METHOD"] == ""
    assert ENVIRONMENTS["staging"].default_payment_method == ""


@pytest.mark.parametrize(("suffix", "currencies"), [("pr-1234", "USD,EUR"), ("prod", "")])
def test_validate_knows_the_settlement_currencies(stacks: dict[str, Stack], suffix: str, currencies: str) -> None:
    _, validate = stacks[suffix].named("aws_lambda_function", "payment-validate")

    assert validate["environment"]["variables"]["SETTLEMENT_CURRENCIES"] == currencies


def test_charge_ends_before_its_time_out_if_every_gateway_call_hangs(stack: Stack) -> None:
    _, charge = stack.named("aws_lambda_function", "payment-charge")
    asks_cancels_and_asks_again = 3 * (CONNECT_TIMEOUT_SECONDS + READ_TIMEOUT_SECONDS)

    assert asks_cancels_and_asks_again + LONGEST_SLEEP_SECONDS < charge["timeout"]


def test_proof_of_absence_begins_after_the_charge_function_has_ended(stack: Stack) -> None:
    _, charge = stack.named("aws_lambda_function", "payment-charge")
    shortest = RecoveryTimeouts(timedelta(seconds=LEAST_UNIT_SECONDS))

    assert timedelta(seconds=charge["timeout"]) < SENDS_FOR < shortest.proof


def test_recovery_ends_before_its_time_out_if_the_gateway_hangs(stack: Stack) -> None:
    _, sweep = stack.named("aws_lambda_function", "payment-sweep")
    asks_twice = 2 * (CONNECT_TIMEOUT_SECONDS + READ_TIMEOUT_SECONDS)  # a harmless query, and the query for the probe

    assert asks_twice + RESERVE_SECONDS < sweep["timeout"]


def test_api_and_webhook_functions_end_before_api_gateway_gives_up(stack: Stack) -> None:
    for name in ("payment-api", "payment-webhook"):
        assert stack.named("aws_lambda_function", name)[1]["timeout"] < API_GATEWAY_WAITS_SECONDS


def test_api_answers_before_its_time_out_if_the_gateway_hangs_twice(stack: Stack) -> None:
    _, api = stack.named("aws_lambda_function", "payment-api")
    request = next_actions.CONNECT_TIMEOUT_SECONDS + next_actions.READ_TIMEOUT_SECONDS

    assert 2 * request < api["timeout"] / 2  # the other half is for the tables and the keys


def test_reads_of_next_actions_and_all_slots_stay_within_the_rate(stack: Stack) -> None:
    """A Stripe sandbox has one rate for all requests."""
    _, charge = stack.named("aws_lambda_function", "payment-charge")
    slots = 1_000_000 / int(charge["environment"]["variables"]["SLOT_MICROSECONDS"])

    assert slots + REQUESTS_PER_SECOND <= stack.settings.effective.gateway_rate_per_second


def test_split_may_call_itself_beyond_lambdas_loop_guard(
    stack: Stack,
) -> None:
    split, _ = stack.named("aws_lambda_function", "payment-split")
    _, recursion = stack.only("aws_lambda_function_recursion_config", function_name=f"${{{split}.function_name}}")

    assert recursion["recursive_loop"] == "Allow"


@pytest.mark.parametrize(("suffix", "limits"), [("pr-1234", "EUR=500.00"), ("prod", None)])
def test_api_knows_above_which_amount_a_refund_needs_approval(
    stacks: dict[str, Stack], suffix: str, limits: str | None
) -> None:
    _, api = stacks[suffix].named("aws_lambda_function", "payment-api")

    assert api["environment"]["variables"].get("REFUND_APPROVAL_ABOVE") == limits
