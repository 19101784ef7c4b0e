"""The costs and limits in the docs are those that the code computes."""

import re
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from docs.costs import TABLES, index_writes
from docs.scale import KEYS, RATES
from lib.package import ROOT
from payments.adapters.dynamodb.tables import BY_BATCH, BY_STATUS_DAY, BY_UNSETTLED, PAYMENTS

COSTS = ROOT / "docs" / "costs.md"
SCALE = ROOT / "docs" / "scale.md"
README = ROOT / "README.md"


PRINT = """
from docs import costs, scale
by_entrance = costs.shares()
print(costs.tables(by_entrance), *scale.tables(by_entrance), sep="\\f")
"""


@pytest.fixture(scope="module")
def printed() -> list[str]:
    """The tables of docs/costs.py and docs/scale.py, run in a process of its own because it loads every handler."""
    run = subprocess.run([sys.executable, "-c", PRINT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip().split("\f")


@pytest.fixture(scope="module")
def counted(printed: list[str]) -> str:
    """The tables of docs/costs.py."""
    return printed[0]


def test_tables_when_counted_anew_then_they_are_the_ones_in_the_docs(counted: str) -> None:
    assert counted in COSTS.read_text(), f"put into docs/costs.md what `python -m docs.costs` prints:\n{counted}"


def test_limits_when_counted_anew_then_each_is_under_its_rate_in_docs(printed: list[str]) -> None:
    _, *sections = re.split(r"^## ", SCALE.read_text().partition("\n## What is no limit")[0], flags=re.MULTILINE)
    titles = [f"At {rate:,} payments a second\n" for rate in RATES] + ["Above\n"]

    for title, section, table in zip(titles, sections, printed[1:], strict=True):
        assert section.startswith(title)
        assert table in section, f"put into docs/scale.md what `python -m docs.scale` prints:\n{table}"


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
def test_index_writes_count_what_a_row_change_writes_to_the_index(
    index: str, before: dict[str, Any], after: dict[str, Any], units: int
) -> None:
    assert index_writes(PAYMENTS, index, before, after).total() == units


def test_index_writes_when_key_changes_then_both_partitions_are_written() -> None:
    accepted, sent = (KEY | {"updated_at": {"S": at}, "status_day": {"S": f"{at}#2026-11-21"}} for at in "ab")

    assert index_writes(PAYMENTS, BY_STATUS_DAY, accepted, sent) == {"a#2026-11-21": 1, "b#2026-11-21": 1}


def test_every_index_when_limits_are_computed_then_its_keys_are_described() -> None:
    assert {*KEYS} == {index for table in TABLES.values() for index in table.indexes}, "say in docs/scale.py who shares"


def _sums(counted: str, name: str) -> list[str]:
    """The sums of the columns of one kind of workflow."""
    ((header, sums),) = re.findall(r"^(\| Dollars .*)\n(?:\|.*\n)*(\| \*\*Sum\*\* .*)$", counted, re.MULTILINE)
    columns = zip(header.split("|"), sums.split("|"), strict=True)
    found = [amount.strip(" *") for title, amount in columns if title.strip().endswith(name)]
    assert len(found) == 2, header
    return found
