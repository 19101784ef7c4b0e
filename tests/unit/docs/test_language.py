"""Words that were retired stay retired: one word of the field for each thing, in code and prose (docs/glossary.md)."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("lib", "lambda_src", "fakes", "payctl", "local", "simulation", "tests", "tools", "docs", "api")
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "Makefile", "Pipfile", "main.py")
ENDINGS = (".py", ".md", ".yaml")

RETIRED = {
    "lane": "batch breaker",
    "knock": "probe",
    "canary": "probe",
    "vault": "field encryptor",
    "patience": "recovery time-outs",
    "sweeper": "recovery",
    "sweeping": "recovery",
    "tend": "recover",
    "tended": "recovered",
    "taken up": "restarted",
    "let go": "reverted",
    "postman": "delivery queue",
    "twin": "fake",
    "stand-in": "fake Stripe",
    "hush": "redact_exception",
    "hushed": "redacted",
    "examiner": "dead-letter triage",
    "stumbled": "on_error",
    "stumble": "fail",
    "told": "reported",
    "rung": "fired",
    "die": "crash",
    "died": "crashed",
    "whoever": "every caller that",
    "whatever": "every",
    "nobody": "no caller",
    "as ever": "as before",
}
"""Word → what we say instead."""

DEPLOYED = (
    "payctl lane",  # the older name of `payctl breaker`
    '"lane"',  # that command; the breaker's item in the controls table; a source in payctl's JSON
    "`lane`",
    "lane_paused",  # a count in the log and the answer of the sweep function
    "LanePaused",  # a metric
    "canary",  # an attribute of the breaker's item, and its name in payctl's JSON
    "sweeper-silent",  # an alarm
    "taken_up",  # a count in the log and the answer of the sweep function
    "PATIENCE_SECONDS",  # a setting
    "patience_seconds",
    "VAULT_KEY_ARN",  # an environment variable of the functions
    "vault_key_arn",  # an output of the stack
    "_stand_in",  # the control routes of the fake Stripe, and the key of faults in a payment's metadata
    "stand_in",
    "Worker process died",  # MiniStack's own text
)
"""The one allow-list: deployed, stored and public names, which keep their text."""


@cache
def _texts() -> dict[str, str]:
    """Path → text, of everything but this file."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in ENDINGS]
    paths = sorted({*found, *(ROOT / page for page in PAGES)} - {Path(__file__)})
    return {str(path.relative_to(ROOT)): path.read_text() for path in paths}


@cache
def _lines() -> list[tuple[str, str]]:
    """Where each line is, and the line without deployed names."""
    deployed = re.compile("|".join(map(re.escape, DEPLOYED)))
    return [
        (f"{path}:{number}", deployed.sub("", line).strip())
        for path, text in _texts().items()
        for number, line in enumerate(text.splitlines(), 1)
    ]


def _pattern(word: str) -> re.Pattern[str]:
    """Finds a word, its plural, and both as parts of a name: `lane`, `lanes`, `OPEN_LANE`, `OpenLane`."""
    spelled = re.escape(word).replace(r"\ ", "[ _]").replace(r"\-", "[-_]")
    name = "".join(part.capitalize() for part in re.split("[ -]", word))
    return re.compile(rf"(?<![^\W_])(?i:{spelled})(?i:s?)(?![^\W_])|(?<![A-Z]){name}s?(?![a-z])")


@pytest.mark.parametrize("word", RETIRED)
def test_retired_word_when_looked_for_then_only_in_names_that_are_deployed(word: str) -> None:
    pattern = _pattern(word)
    found = [f"{at}: {line}" for at, line in _lines() if pattern.search(line)]
    assert not found, f"say {RETIRED[word]!r} instead of {word!r}:\n" + "\n".join(found)


def test_deployed_names_when_listed_then_each_is_still_used() -> None:
    texts = "\n".join(_texts().values())
    assert [name for name in DEPLOYED if name not in texts] == []


@pytest.mark.parametrize("text", ["a lane", "lanes", "OPEN_LANE", "lane_stays_shut", "OpenLane", "Lanes"])
def test_pattern_finds_a_word_in_prose_and_in_names(text: str) -> None:
    assert _pattern("lane").search(text)


@pytest.mark.parametrize("text", ["plane", "planes", "AirPlane", "laneway"])
def test_pattern_ignores_other_words(text: str) -> None:
    assert not _pattern("lane").search(text)


def test_docstrings_when_read_then_none_only_refers_to_another_place() -> None:
    refers = re.compile(r'"""See [^."]*\.?"""')
    found = [f"{at}: {line}" for at, line in _lines() if at.split(":")[0].endswith(".py") and refers.search(line)]
    assert not found, "say what the method does in this class:\n" + "\n".join(found)


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
