"""The commands of the README and of the pages that it links, run unchanged, one after the other in one shell."""

import json
import os
import re
import subprocess
from typing import Any

import pytest

from local.stack import LocalStack
from local.terraform import ROOT
from tests.documented_commands import BLOCKS, HERE, NEEDS_AWS, PAGES, RUN_BY
from tests.waiting import eventually

_NEXT = "---- next block ----"


@pytest.fixture(scope="module")
def printed(local_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The output of each block, by its commands. Run outside of the project, so that their files do not stay in it."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("bin", "local"):
        (folder / name).symlink_to(ROOT / name)
    printed, errors = folder / "printed", folder / "errors"
    with printed.open("w") as output, errors.open("w") as error:
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", f"echo {_NEXT!r}\n".join(block.script for block in HERE)],
            cwd=folder,
            env=os.environ | {"PAYCTL_OUTPUTS": str(local_stack.outputs_path)},
            stdout=output,
            stderr=error,
        )
    try:
        returned = eventually(
            "the end of the documented commands",
            shell.poll,
            lambda _: True,
            progress=lambda _: f"{printed.read_text()[-1000:]}\n{errors.read_text()[-1000:]}",
        )
    finally:
        shell.kill()
        shell.wait()
    parts = printed.read_text().split(f"{_NEXT}\n")
    assert returned == 0, f"{HERE[len(parts) - 1].script}\nprinted {parts[-1]}\n{errors.read_text()}"
    return {block.script: part for block, part in zip(HERE, parts, strict=True)}


def test_blocks_when_not_run_here_then_a_comment_says_where_they_are() -> None:
    for block in BLOCKS:
        if block.mark.startswith(RUN_BY):
            for path in block.mark.removeprefix(RUN_BY).split(", "):
                assert (ROOT / path).is_file(), block.mark
        else:
            assert block.mark in ("", NEEDS_AWS), block.mark
    assert len(HERE) >= 16


def test_pages_when_they_have_commands_then_all_are_listed_here() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert {str(page.relative_to(ROOT)) for page in pages if "```bash" in page.read_text()} == set(PAGES)


def test_documented_cdktf_commands_are_those_that_the_tests_run() -> None:
    named = {command for block in BLOCKS for command in re.findall(r"^cdktf (\w+)", block.script, re.MULTILINE)}
    run = set(re.findall(r"\bself\(\"(\w+)\"", (ROOT / "tests/e2e/second_suffix.py").read_text()))
    assert named == run == {"synth", "diff", "deploy", "destroy"}


def test_answers_have_the_shape_that_the_readme_shows(
    printed: dict[str, str],
) -> None:
    shown = [block for block in HERE if block.answer]
    assert len(shown) == 7
    for block in shown:
        assert shape(json.loads(printed[block.script])) == shape(json.loads(block.answer)), block.script


def shape(value: Any) -> Any:
    """JSON without the values that differ between runs: field names, types of values, and every status unchanged."""
    if isinstance(value, dict):
        return {name: part if name in ("status", "type", "actor") else shape(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shape(part) for part in value]
    return type(value).__name__


def test_documented_3d_secure_payment_is_finished(printed: dict[str, str]) -> None:
    (output,) = [text for script, text in printed.items() if "/3d_secure" in script]
    assert '"status":"succeeded"' in output.replace(" ", "")


def test_documented_upload_charges_every_row_and_writes_result_files(
    printed: dict[str, str],
) -> None:
    (output,) = [text for script, text in printed.items() if "payroll.csv" in script]
    assert "2,inv_1001,25.00,EUR,succeeded," in output
    assert "3,inv_1002,1200,JPY,succeeded," in output
    for name in ("results.csv", "errors.csv", "resubmit.csv"):
        assert f"==> results/{name} <==" in output


def test_sample_upload_exits_with_7_as_a_row_waits_for_its_customer(
    printed: dict[str, str],
) -> None:
    (output,) = [text for script, text in printed.items() if "samples/payments.csv" in script]
    assert "exit code 7: not every row was charged" in output


def test_documented_payctl_payment_succeeds_and_batches_are_listed(printed: dict[str, str]) -> None:
    (output,) = [text for script, text in printed.items() if "order_17" in script]
    assert "order=A-17" in output
    assert "succeeded" in output
    assert '"key": "incoming/payroll.csv"' in output


@pytest.mark.fault(10)
def test_documented_payment_with_a_lost_answer_is_found_charged(printed: dict[str, str]) -> None:
    (output,) = [text for script, text in printed.items() if "stand_in=answer_lost" in script]
    assert "order_18" in output
    assert "succeeded" in output


def test_documented_saved_card_becomes_the_default_and_is_charged(printed: dict[str, str]) -> None:
    (cards,) = [text for script, text in printed.items() if "tee cards.json" in script]
    [card] = json.loads(cards)["payment_methods"]
    assert card["default"] is True
    (output,) = [text for script, text in printed.items() if "pay_saved_" in script]
    assert '"status": "succeeded"' in output
