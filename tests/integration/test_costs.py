"""The costs in the docs are those that the code computes."""

import re
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from docs.costs import index_units
from lib.package import ROOT
from payments.adapters.dynamodb.tables import BY_BATCH, BY_UNSETTLED, PAYMENTS

COSTS = ROOT / "docs" / "costs.md"
README = ROOT / "README.md"


@pytest.fixture(scope="module")
def counted() -> str:
    """The output of docs/costs.py, run in its own process because it loads every handler."""
    run = subprocess.run([sys.executable, "-m", "docs.costs"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_tables_when_counted_anew_then_they_are_the_ones_in_the_docs(counted: str) -> None:
    assert counted in COSTS.read_text(), f"put into docs/costs.md what `python -m docs.costs` prints:\n{counted}"


def test_readme_sums_are_the_counted_ones_in_whole_dollars(counted: str) -> None:
    stated = re.search(
        r"over REST cost about \$(\d+) at AWS with Standard workflows and \$(\d+) with Express ones, "
        r"in a batch \$(\d+) and \$(\d+)",
        " ".join(README.read_text().split()),
    )
    assert stated

    for name, dollars in zip(("Standard", "Express"), (stated.groups()[::2], stated.groups()[1::2]), strict=True):
        assert [round(Decimal(amount)) for amount in _sums(counted, name)] == [int(amount) for amount in dollars]


def test_readme_price_of_recovery_is_the_counted_one(counted: str) -> None:
    (dollars,) = re.findall(r"^\| \*\*Sum\*\* \| \| \*\*(\d+\.\d\d)\*\* \|$", counted, re.MULTILINE)

    assert f"Recovery costs ${dollars} a month" in " ".join(README.read_text().split())


KEY = {"payment_id": {"S": "pay_1"}, "created_at": {"S": "2026-11-21T12:00:00.000Z"}}
ROW = KEY | {"unsettled": {"S": "a"}, "batch_id": {"S": "b"}, "batch_line": {"N": "2"}, "status": {"S": "pending"}}
LONG = {"description": {"S": "x" * 1500}}


@pytest.mark.parametrize(
    ("index", "before", "after", "units"),
    [
        (BY_BATCH, {}, ROW, 1),
        (BY_BATCH, ROW, ROW, 0),
        (BY_BATCH, ROW | LONG, ROW, 2),
        (BY_BATCH, ROW, ROW | LONG | {"batch_line": {"N": "3"}}, 1 + 2),
        (BY_UNSETTLED, {}, ROW | LONG, 1),
        (BY_UNSETTLED, ROW, ROW | LONG, 0),
        (BY_UNSETTLED, ROW, KEY | LONG, 1),
        (BY_UNSETTLED, KEY, KEY | LONG, 0),
    ],
    ids=["in", "unchanged", "shorter", "its key changes", "keys only in", "keys unchanged", "keys out", "never in"],
)
def test_index_units_count_what_a_row_change_writes_to_the_index(
    index: str, before: dict[str, Any], after: dict[str, Any], units: int
) -> None:
    assert index_units(PAYMENTS, index, before, after) == units


def _sums(counted: str, name: str) -> list[str]:
    """The sums of the columns of one kind of workflow."""
    ((header, sums),) = re.findall(r"^(\| Dollars .*)\n(?:\|.*\n)*(\| \*\*Sum\*\* .*)$", counted, re.MULTILINE)
    columns = zip(header.split("|"), sums.split("|"), strict=True)
    found = [amount.strip(" *") for title, amount in columns if title.strip().endswith(name)]
    assert len(found) == 2, header
    return found
