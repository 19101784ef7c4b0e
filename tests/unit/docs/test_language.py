"""Words that were retired stay retired: one word of the field for each thing, in code and prose (docs/glossary.md)."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("lib", "lambda_src", "fakes", "payctl", "local", "simulation", "tools", "docs", "api")
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "Makefile")
ENDINGS = (".py", ".md", ".yaml")

RETIRED = {
    "lane": "batch breaker",
    "knock": "probe",
    "canary": "probe",
    "vault": "field encryptor",
    "patience": "recovery time-outs",
    "sweeper": "recovery",
    "postman": "delivery queue",
    "twin": "fake",
    "hush": "redact_exception",
    "examiner": "dead-letter triage",
    "stumbled": "on_error",
}
"""Word → what we say instead."""

ALLOWED = (
    "payctl lane",  # the older name of `payctl breaker`
    "sweeper-silent",  # a deployed alarm
    '"lane"',  # an item of the controls table, a part of payctl's JSON, a part of a simulated world
    "`lane`",
    "lane open",  # an invariant of the simulation
    '"lane status"',
    'name="lane"',
    '"canary"',  # an attribute of that item
    "REMOVE canary",
    "refused_at, canary, refusals",
    "SET canary",
    "`canary`",
    '"vault"',
    "foundation.patience",  # the settings PATIENCE_SECONDS
    "base.patience",
    "def patience",
    "patience = math.ceil",
    '"patience_seconds": patience',
)
"""Deployed, stored and public names, which keep their text, and what holds them."""


def _texts() -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in ENDINGS]
    return sorted([*found, *(ROOT / page for page in PAGES)])


@pytest.mark.parametrize("word", RETIRED)
def test_retired_word_when_looked_for_then_only_in_names_that_are_deployed(word: str) -> None:
    pattern = re.compile(rf"\b{word}s?\b", re.IGNORECASE)
    found = []
    for path in _texts():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            rest = line
            for allowed in ALLOWED:
                rest = rest.replace(allowed, "")
            if pattern.search(rest):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not found, f"say {RETIRED[word]!r} instead of {word!r}:\n" + "\n".join(found)


MOST_CHARACTERS = 70
"""How long the name of a test may be."""

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@cache
def _definitions() -> list[tuple[str, Definition]]:
    """Every function and class below tests/, and where it stands."""
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno}", node)
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, Definition)
    ]


def test_names_of_tests_have_at_most_70_characters() -> None:
    names = [(at, node.name) for at, node in _definitions() if node.name.startswith("test_")]
    long = [f"{at}: {name} has {len(name)}" for at, name in names if len(name) > MOST_CHARACTERS]
    assert names
    assert not long, "shorten these names:\n" + "\n".join(long)


def test_no_class_in_the_tests_is_called_world() -> None:
    found = [at for at, node in _definitions() if isinstance(node, ast.ClassDef) and node.name == "World"]
    assert not found, "World is a class of the simulation; name these by what they hold:\n" + "\n".join(found)
