"""Each function is given the settings that its code reads, and no others."""

import ast
from functools import cache
from pathlib import Path

from lib.package import ROOT
from tests.infrastructure.synth import Stack

SOURCE = ROOT / "lambda_src"
BY_LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME"}
BY_A_LOCAL_AWS = {"AWS_CA_BUNDLE"}
BY_POWERTOOLS = {"POWERTOOLS_SERVICE_NAME", "LOG_LEVEL"}
ONLY_IF_SET = {"REFUND_APPROVAL_ABOVE"}
"""An environment of 4 KB has no room for a setting that says nothing."""


def _path(module: str) -> Path | None:
    """The file of one of our modules, or None for other modules."""
    path = SOURCE.joinpath(*module.split("."))
    candidates = [path.with_suffix(".py"), path / "__init__.py"]
    return next((candidate for candidate in candidates if candidate.exists()), None)


@cache
def _imported(path: Path) -> frozenset[Path]:
    """Our modules that a file imports."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return frozenset(filter(None, map(_path, modules)))


def _reached_from(handler: Path) -> set[Path]:
    """The handler's file and all of ours that it imports, directly or not."""
    reached, waiting = set[Path](), {handler}
    while waiting:
        path = waiting.pop()
        reached.add(path)
        waiting |= _imported(path) - reached
    return reached


@cache
def _read_in(path: Path) -> frozenset[str]:
    """The X of every setting("X") in a file."""
    names = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setting":
            name = node.args[0]
            assert isinstance(name, ast.Constant), f"{path.name}:{node.lineno}: a setting's name must be written out"
            names.add(str(name.value))
    return frozenset(names)


@cache
def _settings_of(handler: str) -> set[str]:
    module = handler.removesuffix(".handler")
    path = _path(module)
    assert path is not None, f"there is no {module}"
    return set[str]().union(*map(_read_in, _reached_from(path)))


def test_functions_get_exactly_the_settings_that_their_code_reads(stack: Stack) -> None:
    given = {
        function["handler"]: set(function["environment"]["variables"]) - BY_POWERTOOLS - ONLY_IF_SET
        for function in stack.all("aws_lambda_function").values()
    }

    assert given == {handler: _settings_of(handler) - BY_LAMBDA - BY_A_LOCAL_AWS - ONLY_IF_SET for handler in given}


def test_powertools_gets_the_functions_name(stack: Stack) -> None:
    for function in stack.all("aws_lambda_function").values():
        variables = function["environment"]["variables"]
        assert f"{variables['POWERTOOLS_SERVICE_NAME']}-{stack.suffix}" == function["function_name"]
        assert variables["LOG_LEVEL"] == "INFO"
