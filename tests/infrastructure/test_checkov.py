"""checkov on the synthesised JSON: every finding is waived beside its resource, and every waiver has its finding."""

import json
from pathlib import Path

import pytest

from tests.infrastructure import linters
from tests.infrastructure.synth import Stack, waivers

SCANNED = ("dev", "prod", "express")
Finding = tuple[str, str]
"""The resource's key in the JSON, and the rule: checkov names a resource with its kind or without."""


def _findings(stacks: list[Stack]) -> dict[Path, set[Finding]]:
    found: dict[Path, set[Finding]] = {stack.path: set() for stack in stacks}
    for check in linters.checkov(list(found)):
        found[Path(check["file_abs_path"])].add((check["resource"].rpartition(".")[2], check["check_id"]))
    return found


@pytest.fixture(scope="module")
def findings(stacks: dict[str, Stack]) -> dict[Path, set[Finding]]:
    """checkov's findings in the scanned stacks, from one run."""
    return _findings([stacks[suffix] for suffix in SCANNED])


@pytest.mark.parametrize("suffix", SCANNED)
def test_findings_when_scanned_then_exactly_those_that_are_waived(
    stacks: dict[str, Stack], findings: dict[Path, set[Finding]], suffix: str
) -> None:
    waived = {
        (address.partition(".")[2], rule)
        for address, resource in stacks[suffix].addresses.items()
        for rule in waivers(resource)
    }

    found = findings[stacks[suffix].path]

    assert sorted(found - waived) == [], "findings without a waiver"
    assert sorted(waived - found) == [], "waivers without a finding"


def test_waivers_when_read_then_each_gives_a_reason(stack: Stack) -> None:
    for address, resource in stack.addresses.items():
        for rule, reason in waivers(resource).items():
            assert rule.startswith("CKV"), address
            assert len(reason.split()) >= 5, f"{address}: {rule}"


def test_checkov_when_a_fault_is_planted_then_it_is_found(dev: Stack, tmp_path: Path) -> None:
    document = json.loads(dev.path.read_text())
    for table in document["resource"]["aws_dynamodb_table"].values():
        table["point_in_time_recovery"] = {"enabled": False}
    planted = tmp_path / "cdk.tf.json"
    planted.write_text(json.dumps(document))

    found = _findings([Stack(dev.settings, planted, document)])[planted]

    assert {key for key, rule in found if rule == "CKV_AWS_28"} == document["resource"]["aws_dynamodb_table"].keys()
