"""Where payctl finds the stack, and how it reaches AWS."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from payctl import stack
from payctl.failures import Exit, Failure
from tests.unit.payctl.scenarios import OUTPUTS, payctl_with

FLAT = OUTPUTS | {"api_url": "https://api.example/dev", "environment_suffix": "dev"}
PROD = FLAT | {"environment_suffix": "prod"}
LOCAL = FLAT | {"endpoint_url": "https://127.0.0.1:9", "ca_bundle": "/some/ca.pem"}


def _written(folder: Path, content: Any) -> Path:
    path = folder / "outputs.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    "content",
    [
        FLAT,
        {"payment-dev": FLAT},
        {name: {"value": value, "type": "string", "sensitive": False} for name, value in FLAT.items()},
        {"payment-dev": FLAT, "another-stack": {"vpc": "vpc-1"}},
    ],
    ids=["make up", "cdktf deploy", "terraform output", "beside another stack"],
)
def test_read_when_written_by_any_tool_then_gives_the_same_outputs(content: Any, tmp_path: Path) -> None:
    assert stack.read(_written(tmp_path, content)) == FLAT


def test_read_when_several_stacks_then_takes_the_one_of_the_suffix(tmp_path: Path) -> None:
    path = _written(tmp_path, {"payment-dev": FLAT, "payment-prod": PROD})
    assert stack.read(path, "prod") == PROD


@pytest.mark.parametrize(
    ("content", "suffix", "message", "code"),
    [
        ({"payment-dev": FLAT, "payment-prod": PROD}, None, "several stacks: dev, prod; choose one", Exit.USAGE),
        ({"payment-dev": FLAT}, "prod", "no outputs of the stack with suffix 'prod'", Exit.FAILED),
        ({}, None, "no outputs of a payment stack", Exit.FAILED),
        ([], None, "no outputs of a payment stack", Exit.FAILED),
        ("not json", None, "is not JSON", Exit.FAILED),
    ],
)
def test_read_when_there_is_not_one_stack_then_says_what_to_do(
    content: Any, suffix: str | None, message: str, code: Exit, tmp_path: Path
) -> None:
    with pytest.raises(Failure, match=message) as raised:
        stack.read(_written(tmp_path, content), suffix)
    assert raised.value.code is code


def test_read_when_the_file_is_missing_then_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="--outputs"):
        stack.read(tmp_path / "none.json")


def test_find_when_nothing_is_there_then_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "DEFAULTS", ())
    with pytest.raises(Failure) as raised:
        stack.find(None, None)
    assert "make up" in raised.value.details[0]


def test_find_when_a_local_stack_is_up_then_takes_it_before_the_one_on_aws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, deployed = tmp_path / "local.json", tmp_path / "aws.json"
    deployed.write_text(json.dumps(PROD))
    monkeypatch.setattr(stack, "DEFAULTS", (local, deployed))
    assert stack.find(None, None).name == "prod"
    local.write_text(json.dumps(LOCAL))
    assert stack.find(None, None).is_local


def test_an_output_when_missing_then_says_to_deploy_again(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no output 'customers_table'; deploy the stack again"):
        stack.Stack({}, tmp_path)["customers_table"]


def test_client_of_a_local_stack_ignores_the_operators_aws_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "a-profile-that-does-not-exist")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-operators-own")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://elsewhere.example")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    client = stack.Stack(LOCAL, tmp_path).client("s3")
    assert client.meta.endpoint_url == "https://127.0.0.1:9"
    assert client.meta.config.proxies == {}
    assert client._request_signer._credentials.access_key == "test"
    assert client._endpoint.http_session._verify == "/some/ca.pem"


def test_client_on_aws_uses_operator_credentials_and_the_stacks_region(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-operators-own")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = stack.Stack(FLAT | {"region": "eu-west-1"}, tmp_path).client("sqs")
    assert client.meta.region_name == "eu-west-1"
    assert client._request_signer._credentials.access_key == "the-operators-own"


def test_outputs_when_asked_then_prints_them(tmp_path: Path) -> None:
    payctl = payctl_with(tmp_path)
    assert json.loads(payctl("outputs", "--json").stdout) == OUTPUTS | {"api_url": "https://api.example/test"}
    assert "https://api.example/test" in payctl("outputs").stdout


def test_bin_payctl_resolves_files_in_the_callers_directory(tmp_path: Path) -> None:
    _written(tmp_path, FLAT)
    run = subprocess.run(
        [stack.ROOT / "bin" / "payctl", "--outputs", "outputs.json", "outputs", "--json"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(run.stdout) == FLAT


def test_import_when_help_is_printed_then_leaves_the_slow_sdks_out() -> None:
    slow = {"boto3", "botocore", "requests", "pydantic", "stripe"}
    script = f"import sys, payctl.app; sys.exit(sorted({slow} & set(sys.modules)))"
    run = subprocess.run(
        [stack.ROOT / ".venv" / "bin" / "python", "-c", script],
        cwd=stack.ROOT,
        env=os.environ | {"PYTHONPATH": f"{stack.ROOT}:{stack.ROOT / 'lambda_src'}"},
        capture_output=True,
        text=True,
    )
    assert run.stderr.strip() == "[]"
