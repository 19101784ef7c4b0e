"""The inputs on which a regular expression takes longest, searched by its own parts."""

import importlib
import re
import time
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any, NamedTuple

_parser: Any = importlib.import_module("re._parser")

USUAL = '0a -."\\\n:'
"""Characters that many patterns repeat."""
MOST_PUMPED = 24
"""The most characters of a pattern that are repeated, alone and in pairs."""
FEW = 600
"""A length at which quadratic work already differs from linear work, and all candidates are quick."""
MOST_MEASURED = 3
MOST_BEFORE_PAIRS = 4
_WHOLE_REPEATS = 20
_END = "\x00"
"""A character that few patterns match: what would match so far fails here, and is tried in other ways."""


class Worst(NamedTuple):
    """A text of any length: `before`, then `pump` again and again, then `after`."""

    before: str
    pump: str
    after: str

    def text(self, size: int) -> str:
        """The text, `size` characters long or a little more."""
        return self.before + self.pump * (size // len(self.pump)) + self.after


def worst_inputs(pattern: re.Pattern[Any], *, whole: bool = False) -> list[Worst]:
    """The few candidates that take longest at a small length, the longest first."""
    tried = sorted(candidates(pattern), key=lambda worst: -_seconds(pattern, worst.text(FEW), whole))
    return tried[:MOST_MEASURED]


def work_through(pattern: re.Pattern[Any], text: str, *, whole: bool = False) -> None:
    """All that code does with a pattern: match the `whole` text only, or find all matches in it too."""
    given: Any = text if isinstance(pattern.pattern, str) else text.encode("utf-8", "replace")
    pattern.fullmatch(given)
    for _ in () if whole else pattern.finditer(given):
        pass


def candidates(pattern: re.Pattern[Any]) -> list[Worst]:
    """What stands before each repetition, then what may be repeated there, then a character that does not fit."""
    source: Any = pattern.pattern
    tree = _parser.parse(source, pattern.flags)
    befores = sorted({"", *_beginnings(tree)}, key=len)
    characters = sorted(set(_characters(tree)) - set(USUAL))[: MOST_PUMPED - len(USUAL)]
    alphabet = [*USUAL, *characters]
    pumps = {*alphabet, *_repeated(tree), *befores} - {""}
    pairs = {one + other for one, other in product(alphabet, repeat=2)} - pumps
    few = {"", *befores[-MOST_BEFORE_PAIRS:]}
    return [Worst(*parts, _END) for parts in sorted({*product(befores, pumps), *product(few, pairs)})]


def _seconds(pattern: re.Pattern[Any], text: str, whole: bool) -> float:
    began_at = time.process_time()
    work_through(pattern, text, whole=whole)
    return time.process_time() - began_at


def _beginnings(tree: Any, before: str = "") -> Iterator[str]:
    """A text that leads to each repetition and to the end."""
    for kind, what in tree:
        name = str(kind)
        if name.endswith("_REPEAT"):
            yield before
            yield from _beginnings(what[2], before)
        else:
            for part in _parts(name, what):
                yield from _beginnings(part, before)
        before += _sample([(kind, what)])
    yield before


def _repeated(tree: Any) -> Iterator[str]:
    for kind, what in tree:
        name = str(kind)
        if name.endswith("_REPEAT"):
            yield _sample(what[2])
            yield from _repeated(what[2])
        for part in _parts(name, what):
            yield from _repeated(part)


def _parts(name: str, what: Any) -> list[Any]:
    """The parts of a branch, a group, or a look-around."""
    match name:
        case "BRANCH":
            return list(what[1])
        case "SUBPATTERN":
            return [what[3]]
        case "ATOMIC_GROUP":
            return [what]
        case "ASSERT" | "ASSERT_NOT":
            return [what[1]]
    return []


def _sample(tree: Iterable[Any]) -> str:
    """A text that matches."""
    return "".join(_sample_of(str(kind), what) for kind, what in tree)


def _sample_of(name: str, what: Any) -> str:
    match name:
        case "LITERAL":
            return chr(what)
        case "NOT_LITERAL":
            return "b" if what == ord("a") else "a"
        case "ANY":
            return "a"
        case "IN":
            return next(_members(what), "")
        case "BRANCH":
            return _sample(what[1][0])
        case "SUBPATTERN" | "ATOMIC_GROUP":
            return _sample(_parts(name, what)[0])
        case _ if name.endswith("_REPEAT"):
            times: int = min(max(what[0], 1), _WHOLE_REPEATS)
            return _sample(what[2]) * times
    return ""  # positions, look-arounds and references


def _members(of_class: Any) -> Iterator[str]:
    """Characters of a class: of the usual ones those that match, then its own."""
    test = re.compile(_class_source(of_class), re.DOTALL)
    own = [chr(what if str(kind) == "LITERAL" else what[0]) for kind, what in of_class if str(kind) in _SINGLE]
    for character in (*"4aA0b", *USUAL, *own, "%", "é"):
        if test.match(character):
            yield character


_SINGLE = ("LITERAL", "RANGE")
_CATEGORIES = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}


def _class_source(of_class: Any) -> str:
    inside = ""
    for kind, what in of_class:
        match str(kind):
            case "NEGATE":
                inside += "^"
            case "LITERAL":
                inside += re.escape(chr(what))
            case "RANGE":
                inside += f"{re.escape(chr(what[0]))}-{re.escape(chr(what[1]))}"
            case "CATEGORY":
                inside += _CATEGORIES[str(what)]
    return f"[{inside}]"


def _characters(tree: Any) -> Iterator[str]:
    """All single characters that a pattern names."""
    for kind, what in tree:
        name = str(kind)
        if name in ("LITERAL", "NOT_LITERAL"):
            yield chr(what)
        elif name == "IN":
            yield from (chr(w if str(k) == "LITERAL" else w[0]) for k, w in what if str(k) in _SINGLE)
        elif name.endswith("_REPEAT"):
            yield from _characters(what[2])
        for part in _parts(name, what):
            yield from _characters(part)
