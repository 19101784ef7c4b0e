"""The documented commands for AWS, as a shell passes them on: versions 1 and 2 of the AWS CLI accept each of them."""

import re
import subprocess

import pytest

from payments.adapters.dynamodb.tables import PAYMENTS, PROCESSING_STATUS, Table
from tests.aws_cli import Command, Mistyped, parse, text
from tests.documented_commands import BLOCKS, NEEDS_AWS

_STUBS = r"""
PATH=/nowhere
aws() { printf '%s\0' "$@" $'\36' >&3; echo "answer"; }
date() { case "$*" in *%F*) echo 2026-11-21 ;; *) echo 1795651200 ;; esac; }
python3() { echo arn:aws:states:us-east-1:123456789012:stateMachine:payment-processor-dev; }
bin/payctl() { :; }
command_not_found_handle() { :; }
"""
"""Functions instead of all programs. `aws` writes each of its arguments to the third file, and then a separator."""
_END_OF_COMMAND = "\x1e\0"


@pytest.fixture(scope="module")
def commands() -> list[Command]:
    """All of them, from one run of all blocks in one shell."""
    script = "\n".join([_STUBS, *(block.script for block in BLOCKS if block.mark == NEEDS_AWS)])
    run = subprocess.run(
        ["bash", "-c", f"exec 3>&1 >/dev/null\n{script}"], capture_output=True, text=True, timeout=60, check=True
    )
    assert not run.stderr
    return [parse(one.split("\0")[:-1]) for one in run.stdout.split(_END_OF_COMMAND)[:-1]]


def test_aws_commands_when_parsed_then_the_model_knows_all_of_them(commands: list[Command]) -> None:
    assert len(commands) >= 20
    assert {"logs", "dynamodb", "stepfunctions", "kms", "secretsmanager", "scheduler"} <= {
        command.service for command in commands
    }


def test_queries_of_an_index_with_keys_only_read_nothing_but_keys(commands: list[Command]) -> None:
    for command in commands:
        index = command.parameters.get("IndexName", "")
        table = next((one for one in (PAYMENTS, PROCESSING_STATUS) if index in one.keys_only), None)
        if table:
            read = set(re.findall(r"(\w+)\.[SN]\b", command.query))
            assert read, f"{command.operation} of {index} shows attributes that the index may not have"
            assert read <= keys_of(table, index)


def keys_of(table: Table, index: str) -> set[str]:
    return set(table.key.attributes) | set(table.indexes[index].attributes)


def test_commands_when_read_then_no_date_in_them_grows_old() -> None:
    for block in BLOCKS:
        if block.mark == NEEDS_AWS:
            assert not re.search(r"\b20\d\d-\d\d-\d\d", block.script), block.script


@pytest.mark.parametrize(
    "mistyped",
    [
        "logs tail /aws/lambda/payment-charge-dev --since 30m",  # only in version 2
        "lambda invoke --function-name payment-sweep-dev --payload {}",  # Base64 in version 2
        "dynamodb qeury --table-name payments-dev",
        "dynamodb query --tablename payments-dev",
        "dynamodb query --index-name by-batch",  # without its table
        "stepfunctions get-execution-history --execution-arn x --reverse-order yes",
        "kms describe-key --key-id x --max-items 5",  # has no pages
        "scheduler get-schedule --name x --output yaml",  # only in version 2
    ],
)
def test_aws_command_when_mistyped_then_it_is_rejected(mistyped: str) -> None:
    with pytest.raises(Mistyped):
        parse(mistyped.split())


def test_text_output_when_printed_then_a_line_for_each_list() -> None:
    assert text([["a", 1], ["b", None]]) == "a\t1\nb\tNone"
    assert text("key-1") == "key-1"
