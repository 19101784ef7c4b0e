"""The costs that the docs tell are those that the code has."""

import re
import subprocess
import sys
from decimal import Decimal

import pytest

from lib.package import ROOT

COSTS = ROOT / "docs" / "costs.md"
README = ROOT / "README.md"


@pytest.fixture(scope="module")
def counted() -> str:
    """What docs/costs.py prints. In a process of its own, as it loads every handler."""
    run = subprocess.run([sys.executable, "-m", "docs.costs"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_tables_when_counted_anew_then_they_are_the_ones_in_the_docs(counted: str) -> None:
    assert counted in COSTS.read_text(), f"put into docs/costs.md what `python -m docs.costs` prints:\n{counted}"


def test_readme_when_it_tells_the_sums_then_they_are_the_counted_ones_in_whole_dollars(counted: str) -> None:
    told = re.search(r"about \$(\d+) at AWS with Standard workflows and \$(\d+) with Express", README.read_text())
    assert told

    for name, dollars in zip(("Standard", "Express"), told.groups(), strict=True):
        assert {round(Decimal(amount)) for amount in _sums(counted, name)} == {int(dollars)}


def _sums(counted: str, name: str) -> list[str]:
    """The sums of the columns of one kind of workflow."""
    (header,) = re.findall(r"^\| Dollars .*$", counted, re.MULTILINE)
    (sums,) = re.findall(r"^\| \*\*Sum\*\* .*$", counted, re.MULTILINE)
    columns = zip(header.split("|"), sums.split("|"), strict=True)
    found = [amount.strip(" *") for title, amount in columns if title.strip().endswith(name)]
    assert len(found) == 2, header
    return found
