"""Who may import what, and who may look at the clock, the environment and fractions of money."""

import ast
from collections.abc import Callable, Iterable

from lib.package import ROOT

LAMBDA = "lambda_src"
DOMAIN = "lambda_src/payments"
INFRASTRUCTURE = "lib"
CDKTF = {"cdktf", "cdktf_cdktf_provider_aws", "constructs"}


def _found(folder: str, look: Callable[[ast.AST], Iterable[str]], forbidden: set[str]) -> dict[str, set[str]]:
    """File below a folder → what of the forbidden it has; files that have none are left out."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        names = {name for node in ast.walk(ast.parse(path.read_text())) for name in look(node)}
        found[path.relative_to(ROOT / folder).as_posix()] = names & forbidden
    assert found, f"no Python below {folder}"
    return {path: names for path, names in found.items() if names}


def _imports(node: ast.AST) -> list[str]:
    """The top-level packages that are imported."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    return [node.module.partition(".")[0]] if isinstance(node, ast.ImportFrom) and node.module else []


def _calls(node: ast.AST) -> list[str]:
    """What is called, as it is written: `float`, `datetime.now`."""
    return [ast.unparse(node.func)] if isinstance(node, ast.Call) else []


def _operators(node: ast.AST) -> list[str]:
    return [type(node.op).__name__] if isinstance(node, ast.BinOp) else []


def _attributes(node: ast.AST) -> list[str]:
    """Dotted names: `os.environ`."""
    return [ast.unparse(node)] if isinstance(node, ast.Attribute) else []


def _words(node: ast.AST) -> list[str]:
    """What is named: a variable, an attribute, something imported."""
    match node:
        case ast.Name(id=word) | ast.Attribute(attr=word) | ast.alias(name=word):
            return [word]
    return []


def test_lambda_code_when_it_imports_then_nothing_of_the_infrastructure_or_the_local_run() -> None:
    assert _found(LAMBDA, _imports, CDKTF | {"lib", "local", "payctl", "tests"}) == {}


def test_domain_when_it_imports_then_no_handler() -> None:
    assert _found(DOMAIN, _imports, {"handlers"}) == {}


def test_infrastructure_when_it_imports_cdktf_then_through_the_one_door() -> None:
    assert _found(INFRASTRUCTURE, _imports, CDKTF).keys() == {"aws.py"}
    assert _found(INFRASTRUCTURE, _imports, {"local", "handlers"}) == {}


SECONDS_OF_SLEEP = {"pace.py", "batch/dispatch.py"}
"""Where a fraction is how long a function sleeps, in seconds, which is how `time.sleep` takes it. Never money."""


def test_domain_when_it_computes_then_in_whole_numbers_and_decimals() -> None:
    assert _found(DOMAIN, _calls, {"float", "round"}) == {}
    assert _found(DOMAIN, _operators, {"Div"}) == {"pace.py": {"Div"}}


def test_sleep_when_its_length_is_computed_then_no_money_is_near() -> None:
    money = {"amount", "minor_units", "money", "Money"}
    near = _found(DOMAIN, _words, money)

    assert SECONDS_OF_SLEEP.isdisjoint(near)


def test_time_when_it_is_needed_then_handed_in_from_the_one_clock() -> None:
    clocks = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time"}

    assert _found(LAMBDA, _calls, clocks) == {"payments/clock.py": {"datetime.now"}}


def test_environment_when_it_is_read_then_in_the_one_place_for_settings() -> None:
    assert _found(LAMBDA, _attributes, {"os.environ", "os.getenv"}) == {"payments/config.py": {"os.environ"}}


def test_aws_clients_when_they_are_made_then_in_the_one_place_that_sets_time_outs() -> None:
    makers = {"boto3.client", "boto3.resource", "boto3.Session"}

    assert _found(LAMBDA, _calls, makers) == {"payments/aws.py": {"boto3.client"}}
