"""Words that were retired stay retired: one word of the field for each thing, in code and prose (docs/glossary.md)."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = (
    *("lib", "lambda_src", "fakes", "payctl", "local", "simulation", "tests", "tools", "docs", "api", "bin"),
    *(".github", ".devcontainer"),
)
ENDINGS = (".py", ".md", ".yaml", ".yml", ".toml", ".js", "")
"""The endings of files with our own words, in the folders and beside them. The last one is that of tools/smoke."""
PAGES = (".editorconfig", ".gitignore", ".pre-commit-config.yaml", ".devcontainer/devcontainer.json")
"""Other files with our own words."""

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
    "story": "timeline",
    "stories": "timelines",
    "doubt": "cooldown",
    "gives way": "slows down",
    "give way": "slow down",
    "pace": "rate",
    "pacing": "rate limit",
    "sheet": "result file",
    "asking": "querying",
    "occasion": "execution suffix",
    "emulator": "local AWS",
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
    "dies": "crashes",
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
    '"canary"',  # an attribute of the breaker's item, and its name in payctl's JSON
    "`canary`",
    "REMOVE canary",
    "SET canary",
    "refused_at, canary,",
    "sweeper-silent",  # an alarm
    "taken_up",  # a count in the log and the answer of the sweep function
    "PATIENCE_SECONDS",  # a setting
    "patience_seconds",
    "VAULT_KEY_ARN",  # an environment variable of the functions
    "vault_key_arn",  # an output of the stack
    "pace#",  # the counter's item in the controls table
    "DISPATCH_PACE_SECONDS",  # an environment variable of the dispatch function
    "/_stand_in",  # the control routes of the fake Stripe
    '"stand_in"',  # the key of faults in a payment's metadata
    "`stand_in`",
    "[stand_in]",
    "stand_in=",
    "Worker process died",  # MiniStack's own text
)
"""The one allow-list: deployed, stored and public names, which keep their text."""


@cache
def _texts() -> dict[str, str]:
    """Path → text, of everything but this file."""
    below = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if "node_modules" not in path.parts]
    found = [path for path in (*below, *ROOT.iterdir()) if path.suffix in ENDINGS and not path.name.startswith(".")]
    paths = sorted({*found, *(ROOT / page for page in PAGES)} - {Path(__file__)})
    return {str(path.relative_to(ROOT)): path.read_text() for path in paths if path.is_file()}


@cache
def _own_texts() -> dict[str, str]:
    """Path → text without deployed names."""
    return {path: _without_deployed_names(text) for path, text in _texts().items()}


def _without_deployed_names(text: str) -> str:
    """The text without each deployed name that is no part of a longer one: LEAST_PATIENCE_SECONDS stays."""
    whole = (
        (r"(?<!\w)" if name[0].isalnum() else "") + re.escape(name) + (r"(?!\w)" if name[-1].isalnum() else "")
        for name in DEPLOYED
    )
    return re.sub("|".join(whole), "", text)


@cache
def _without_case() -> dict[str, str]:
    """Path → the same text without upper case."""
    return {path: text.casefold() for path, text in _own_texts().items()}


def _found(pattern: re.Pattern[str], begins_with: str = "") -> list[str]:
    """Where the pattern occurs: path, line and the words. Each occurrence begins with `begins_with` in any case, which
    is found a hundred times sooner than the pattern."""
    begins_with = begins_with.casefold()
    return [
        f"{path}:{text.count(chr(10), 0, found.start()) + 1}: {' '.join(found[0].split())}"
        for path, text in _own_texts().items()
        if begins_with in _without_case()[path]
        for found in pattern.finditer(text)
    ]


def _pattern(word: str) -> re.Pattern[str]:
    """Finds a word, its plural, and both as parts of a name: `lane`, `lanes`, `OPEN_LANE`, `OpenLane`.

    The words of a phrase may stand on two lines, also of a comment.
    """
    spelled = re.escape(word).replace(r"\ ", r"(?:_|[\s#>]+)").replace(r"\-", "[-_]")
    name = "".join(part.capitalize() for part in re.split("[ -]", word))
    return re.compile(rf"(?<![^\W_])(?i:{spelled})(?i:s?)(?![^\W_])|(?<![A-Z]){name}s?(?![a-z])")


@pytest.mark.parametrize("word", RETIRED)
def test_retired_word_when_looked_for_then_only_in_names_that_are_deployed(word: str) -> None:
    found = _found(_pattern(word), begins_with=re.split("[ -]", word)[0])
    assert not found, f"say {RETIRED[word]!r} instead of {word!r}:\n" + "\n".join(found)


def test_deployed_names_when_listed_then_each_is_still_used() -> None:
    texts = "\n".join(_texts().values())
    assert [name for name in DEPLOYED if name not in texts] == []


@pytest.mark.parametrize("text", ["a lane", "lanes", "OPEN_LANE", "lane_stays_shut", "OpenLane", "Lanes"])
def test_pattern_finds_a_word_in_prose_and_in_names(text: str) -> None:
    assert _pattern("lane").search(text)


@pytest.mark.parametrize("text", ["taken up", "taken\nup", "# taken\n    # up", "TAKEN_UP"])
def test_pattern_finds_a_phrase_also_on_two_lines(text: str) -> None:
    assert _pattern("taken up").search(text)


def test_a_longer_name_than_a_deployed_one_is_not_allowed() -> None:
    assert _without_deployed_names("PATIENCE_SECONDS and LEAST_PATIENCE_SECONDS") == " and LEAST_PATIENCE_SECONDS"


@pytest.mark.parametrize("text", ["plane", "planes", "AirPlane", "laneway"])
def test_pattern_ignores_other_words(text: str) -> None:
    assert not _pattern("lane").search(text)


def test_docstrings_when_read_then_none_only_refers_to_another_place() -> None:
    found = _found(re.compile(r'"""See [^."]*\.?"""'))
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
