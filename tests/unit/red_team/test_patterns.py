"""No input makes a regular expression slow: each one of the code, on its own worst inputs, takes linear time."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import payments
from payments.application.batch.ordinary_rows import ordinary_rows
from payments.domain.payment import FIELDS
from tests.cpu import LINEAR, growth
from tests.worst_inputs import work_through, worst_inputs

SOURCES = Path(__file__).parents[3] / "lambda_src"
LENGTH = 20_000
_CALLED = ("match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer")


def _trees() -> dict[str, ast.Module]:
    return {str(path.relative_to(SOURCES)): ast.parse(path.read_text()) for path in sorted(SOURCES.rglob("*.py"))}


TREES = _trees()


def _in(value: Any, name: str, depth: int = 0) -> Iterator[tuple[str, re.Pattern[Any]]]:
    """The patterns in a module's value, in tables too, with their names."""
    if isinstance(value, re.Pattern):
        yield name, value
    elif depth < 4 and isinstance(value, Mapping):
        for key, inside in value.items():
            yield from _in(inside, f"{name}[{key}]", depth + 1)
    elif depth < 4 and isinstance(value, list | tuple):
        for place, inside in enumerate(value):
            yield from _in(inside, f"{name}[{place}]", depth + 1)


def _compiled() -> dict[str, re.Pattern[Any]]:
    """Name → each different pattern of the modules."""
    found: dict[tuple[Any, int], tuple[str, re.Pattern[Any]]] = {}
    for module in pkgutil.walk_packages(payments.__path__, "payments."):
        for name, value in vars(importlib.import_module(module.name)).items():
            for full_name, pattern in _in(value, name):
                found.setdefault((pattern.pattern, pattern.flags), (f"{module.name}.{full_name}", pattern))
    return dict(found.values())


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    """The calls of `re`'s functions below a node."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            of = call.func.value
            if isinstance(of, ast.Name) and of.id == "re" and call.func.attr in ("compile", *_CALLED):
                yield call


def _written() -> dict[str, re.Pattern[Any]]:
    """Place → each pattern that is written where it is used, as in `re.fullmatch("[0-9]+", text)`."""
    return {
        f"{path}:{call.lineno}": re.compile(ast.literal_eval(call.args[0]))
        for path, tree in TREES.items()
        for call in _calls(tree)
        if isinstance(call.func, ast.Attribute) and call.func.attr != "compile"
    }


def _row_pattern() -> re.Pattern[Any]:
    cells = {cell.cell_contents for cell in ordinary_rows(FIELDS).__closure__ or ()}
    (pattern,) = [cell for cell in cells if isinstance(cell, re.Pattern)]
    return pattern


PATTERNS = {**_compiled(), **_written(), "ordinary_rows.row": _row_pattern()}


def _only_whole(name: str) -> bool:
    """Whether code uses a pattern of this name on whole texts only."""
    text = "".join(path.read_text() for path in SOURCES.rglob("*.py"))
    used = set(re.findall(rf"\b{re.escape(name)}\.({'|'.join(_CALLED)})\b", text))
    return used == {"fullmatch"}


def test_patterns_are_found_in_modules_tables_calls_and_functions() -> None:
    assert {
        "payments.domain.card_numbers._PLAIN",
        "payments.observability.redaction._RULES[0][1]",
        "ordinary_rows.row",
    } <= PATTERNS.keys()
    assert any(name.startswith("payments/domain/money.py:") for name in PATTERNS)


def test_each_pattern_that_a_function_compiles_is_one_that_is_tested() -> None:
    inside = [
        f"{path}:{function.name}"
        for path, tree in TREES.items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for call in _calls(function)
        if isinstance(call.func, ast.Attribute) and call.func.attr == "compile"
    ]
    assert inside == ["payments/application/batch/ordinary_rows.py:ordinary_rows"]


@pytest.mark.fault(69)
@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_pattern_takes_linear_time_on_its_worst_inputs(name: str) -> None:
    pattern, whole = PATTERNS[name], _only_whole(name.rpartition(".")[2])
    for worst in worst_inputs(pattern, whole=whole):
        ratio = growth(lambda size: work_through(pattern, worst.text(size), whole=whole), LENGTH)  # noqa: B023
        assert ratio < LINEAR, worst


@pytest.mark.parametrize(
    ("quadratic", "length"),
    [
        (r"(?<![0-9a-z])(?=[0-9-]*[a-f])[0-9a-f]{8}", 10_000),  # 13 digits, a blank and 12 KB of dashes took 12 s
        (r"[a-z]+@", LENGTH),
    ],
)
def test_worst_inputs_show_that_a_pattern_is_not_linear(quadratic: str, length: int) -> None:
    pattern = re.compile(quadratic)
    assert any(
        growth(lambda size: work_through(pattern, worst.text(size)), length) >= LINEAR  # noqa: B023
        for worst in worst_inputs(pattern)
    )
