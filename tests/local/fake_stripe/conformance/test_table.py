"""The README of the fake Stripe and the conformance tests name each other, and every row has a source."""

import ast
import re
from collections import Counter
from pathlib import Path

from local.fake_stripe.settings import RATE_LIMITS, Settings

README = Path(__file__).parents[4] / "local/fake_stripe/README.md"
PAGE = r"\[[^\]]+\]\(https://(docs\.stripe\.com|github\.com)/[^)]+\)"
SOURCE = re.compile(rf"{PAGE}|`_[a-z_]+\.py`|recorded|to verify")


def rows() -> list[list[str]]:
    """The rows of the tables of behaviours: behaviour, source, test."""
    lines = (line for line in README.read_text().splitlines() if line.endswith("` |"))
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_readme_names_each_conformance_test_once() -> None:
    written = {
        node.name
        for path in Path(__file__).parent.glob("test_*.py")
        if path != Path(__file__)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    assert Counter(row[-1].strip("`| ") for row in rows()) == Counter(written)


def test_every_behaviour_of_the_readme_has_a_source() -> None:
    assert [row for row in rows() if len(row) != 3 or not SOURCE.search(row[1])] == []


def test_readme_names_only_settings_that_exist() -> None:
    text = README.read_text()
    assert set(re.findall(r"setting `([a-z_]+)`", text)) <= set(Settings.__slots__)
    assert all(f"`{name}`" in text or f'"{name}"' in text for name in RATE_LIMITS if name != "none")
