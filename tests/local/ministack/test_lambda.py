"""Functions fail, log, scale and count as on AWS."""

import hashlib
import json
import os
import random
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local.ministack.server import LocalAws
from tests.local.ministack.conftest import MAX_WORKERS, Deploy, Invoke, Run, function_arn, log, metric
from tests.waiting import eventually


def test_lambda_error_of_our_own_class_keeps_its_name_and_stack(function: str, invoke: Invoke) -> None:
    answer = invoke(function, decline="lost card")
    assert (answer["errorType"], answer["errorMessage"]) == ("CardDeclined", "lost card")
    assert "raise CardDeclined" in answer["stackTrace"][-1]


def test_lambda_error_when_a_machine_catches_it_by_name_then_it_is_caught(function: str, run: Run) -> None:
    caught = {"ErrorEquals": ["CardDeclined"], "Next": "Done"}
    execution = run({"Resource": function_arn(function), "Catch": [caught]}, decline="lost card")
    assert execution["status"] == "SUCCEEDED"
    assert json.loads(execution["output"])["Error"] == "CardDeclined"


def test_lambda_error_when_it_is_raised_then_the_process_stays_warm(deploy: Deploy, invoke: Invoke) -> None:
    name = deploy()
    before = invoke(name)["pid"]
    invoke(name, decline="lost card")
    assert invoke(name)["pid"] == before


def test_lambda_process_that_exits_is_an_exit_error(function: str, invoke: Invoke) -> None:
    assert invoke(function, exit=3)["errorType"] == "Runtime.ExitError"


def test_lambda_worker_when_it_is_killed_then_it_fails_alone(
    aws: LocalAws, deploy: Deploy, invoke: Invoke, tmp_path: Path
) -> None:
    name = deploy()
    at_work = invoke(name)["pid"]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(invoke, name, until=str(tmp_path / "go"))
        eventually("a busy worker", lambda: aws.workers(name, busy=True))
        second = pool.submit(invoke, name, until=str(tmp_path / "go"))
        [killed] = eventually("a second worker", lambda: set(aws.workers(name)) - {at_work})
        os.kill(killed, signal.SIGKILL)
        assert second.result()["errorType"] == "Runtime.ExitError"
        (tmp_path / "go").touch()
        assert first.result()["pid"] == at_work
    assert invoke(name)["pid"] != killed


def test_second_lambda_worker_shares_the_loaded_code_and_nothing_else(
    aws: LocalAws, deploy: Deploy, invoke: Invoke, tmp_path: Path
) -> None:
    name = deploy()
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(invoke, name, own=True, until=str(tmp_path / "go")) for _ in range(2)]
        eventually("two busy workers", lambda: aws.workers(name, busy=True), lambda busy: len(busy) == 2)
        (tmp_path / "go").touch()
        one, other = (answer.result()["own"] for answer in answers)
    assert one["loaded_by"] == other["loaded_by"]
    for what in ("pid", "directory", "log_stream", "random", "own_random"):
        assert one[what] != other[what], what
    assert one["seeded"] == other["seeded"] == random.Random(7).random()
    assert one["code_mode"] == 0o444
    assert one["calls"] == other["calls"] == 1
    assert one["access_key"] == other["access_key"] != invoke(deploy(), own=True)["own"]["access_key"]


def test_lambda_code_is_loaded_again_after_its_loader_process_is_killed(deploy: Deploy, invoke: Invoke) -> None:
    name = deploy()
    before = invoke(name, own=True)["own"]
    os.kill(before["loaded_by"], signal.SIGKILL)
    os.kill(before["pid"], signal.SIGKILL)
    after = eventually("an answer of a new process", lambda: invoke(name, own=True).get("own"))
    assert after["loaded_by"] != before["loaded_by"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_lambda_worker_killed_while_idle_leaves_no_open_pipe(aws: LocalAws, deploy: Deploy, invoke: Invoke) -> None:
    name = deploy()

    def pipes() -> int:
        links = [os.readlink(link) for link in Path(f"/proc/{aws.pid}/fd").iterdir() if link.is_symlink()]
        return sum(link.startswith("pipe:") for link in links)

    before = invoke(name)["pid"]
    open_pipes = pipes()
    for _ in range(3):
        os.kill(before, signal.SIGKILL)
        eventually("the end of the process", lambda: aws.workers(name), lambda workers: workers == [])
        before = invoke(name)["pid"]
    eventually("no further open pipe", pipes, lambda now: now <= open_pipes)  # functions of other tests open pipes


def test_lambda_keys_are_no_function_of_the_arn(aws: LocalAws, deploy: Deploy, invoke: Invoke, role: str) -> None:
    name = deploy()
    guessed = hashlib.sha256(f"{function_arn(name)}:{role}".encode()).hexdigest()
    assert invoke(name, environment=True)["AWS_ACCESS_KEY_ID"] != f"ASIA{guessed[:16].upper()}"


def test_lambda_worker_directory_is_removed_with_its_files(deploy: Deploy, invoke: Invoke) -> None:
    name = deploy()
    directory = Path(invoke(name, own=True)["own"]["directory"])
    (directory / "left").touch()
    invoke(name, exit=1)
    eventually("the directory to be removed", directory.exists, lambda exists: not exists)


def test_lambda_function_calling_itself_beyond_its_bound_ends(deploy: Deploy, invoke: Invoke) -> None:
    answer = invoke(deploy(), call_itself=2 * MAX_WORKERS)
    assert answer.get("statusCode") == 200, answer


@pytest.mark.parametrize("module", ["nowhere", "payments"], ids=["unknown", "installed here, not in the package"])
def test_lambda_whose_module_is_missing_says_which_one(
    aws: LocalAws, deploy: Deploy, invoke: Invoke, module: str
) -> None:
    name = deploy()
    aws.client("lambda").update_function_configuration(FunctionName=name, Handler=f"{module}.handle")
    answer = eventually("an error", lambda: invoke(name), lambda answer: answer.get("errorMessage"))
    assert f"No module named '{module}'" in answer["errorMessage"]


def test_lambda_log_keeps_a_last_line_without_newline_as_printed(aws: LocalAws, deploy: Deploy, invoke: Invoke) -> None:
    name = deploy()
    invoke(name, print="first\nlast without newline")
    events = aws.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    assert [event["message"] for event in events[1:-2]] == ["first", "last without newline"]


def test_lambda_log_of_a_silent_handler_has_only_lambdas_lines(aws: LocalAws, deploy: Deploy, invoke: Invoke) -> None:
    name = deploy()
    invoke(name)
    assert [line.split()[0] for line in log(aws, name)] == ["START", "END", "REPORT"]


def test_concurrent_lambda_calls_share_the_few_workers(deploy: Deploy, invoke: Invoke) -> None:
    name = deploy()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: invoke(name, sleep=0.1), range(8)))
    assert 1 <= len({answer["pid"] for answer in answers}) <= MAX_WORKERS


def test_lambda_throttle_when_a_machine_meets_it_then_it_has_its_name(aws: LocalAws, deploy: Deploy, run: Run) -> None:
    name = deploy()
    aws.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    execution = run({"Resource": function_arn(name)})
    assert execution["error"] == "Lambda.TooManyRequestsException"
    assert metric(aws, "AWS/Lambda", "Throttles", {"FunctionName": name}) == 1


def test_lambda_metrics_count_invocations_and_errors_of_a_state_machine(
    aws: LocalAws, deploy: Deploy, run: Run
) -> None:
    name = deploy()
    run({"Resource": function_arn(name)})
    run({"Resource": function_arn(name)}, decline="lost card")

    def count(what: str) -> float | None:
        return metric(aws, "AWS/Lambda", what, {"FunctionName": name})

    assert (count("Invocations"), count("Errors"), count("Throttles")) == (2, 1, 0)


def test_embedded_metrics_printed_by_a_function_reach_cloudwatch(aws: LocalAws, function: str, invoke: Invoke) -> None:
    directive: dict[str, Any] = {
        "Namespace": "Payments",
        "Dimensions": [["service"], ["service", "currency"]],
        "Metrics": [{"Name": "charged", "Unit": "Count"}],
    }
    record = {"_aws": {"Timestamp": 0, "CloudWatchMetrics": [directive]}, "service": "p", "currency": "EUR"}
    invoke(function, print=json.dumps(record | {"charged": [1, 2]}) + '\n{"_aws": "not a metric"}\n')
    charged = metric(aws, "Payments", "charged", {"service": "p", "currency": "EUR"})
    assert charged == metric(aws, "Payments", "charged", {"service": "p"}) == 3
