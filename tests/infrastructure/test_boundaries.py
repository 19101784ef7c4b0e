"""Which layer may import what, and which file may read the clock, the environment and fractions of money."""

import ast
import sys
from collections.abc import Callable, Iterable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from lib.package import ROOT

LAMBDA = "lambda_src"
DOMAIN = "lambda_src/payments"
INFRASTRUCTURE = "lib"
CDKTF = {"cdktf", "cdktf_cdktf_provider_aws", "constructs"}


Import = ast.Import | ast.ImportFrom


@cache
def _import_nodes(path: Path) -> tuple[Import, ...]:
    """The imports of a file. It is parsed once for all tests."""
    return tuple(node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, Import))


def _found(folder: str, look: Callable[[ast.AST], Iterable[str]], forbidden: set[str]) -> dict[str, set[str]]:
    """File below a folder → the forbidden names in it. Files without any are left out."""
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
    """The called functions as written: `float`, `datetime.now`."""
    return [ast.unparse(node.func)] if isinstance(node, ast.Call) else []


def _operators(node: ast.AST) -> list[str]:
    return [type(node.op).__name__] if isinstance(node, ast.BinOp) else []


def _attributes(node: ast.AST) -> list[str]:
    """Dotted names: `os.environ`."""
    return [ast.unparse(node)] if isinstance(node, ast.Attribute) else []


def _words(node: ast.AST) -> list[str]:
    """The name of a variable, an attribute or an import."""
    match node:
        case ast.Name(id=word) | ast.Attribute(attr=word) | ast.alias(name=word):
            return [word]
    return []


def test_lambda_code_imports_nothing_of_infrastructure_or_local_run() -> None:
    assert _found(LAMBDA, _imports, CDKTF | INWARDS.keys() | {"tests"}) == {}


class Layer(NamedTuple):
    """What a layer may import: our layers, and third-party packages. The standard library is always allowed."""

    layers: frozenset[str]
    packages: frozenset[str] = frozenset()


def _layer(layers: str, packages: str = "") -> Layer:
    return Layer(frozenset(layers.split()), frozenset(packages.split()))


LAYERS: dict[str, Layer] = {
    "domain": _layer("domain"),
    "ports": _layer("domain ports"),
    "application": _layer("domain ports application"),
    "adapters": _layer(
        "domain ports adapters observability", "boto3 botocore cryptography jwt requests stripe urllib3"
    ),
    "rest": _layer("domain ports application rest observability", "simplejson"),
    "observability": _layer("domain observability config", "aws_lambda_powertools"),
    "config": _layer(""),
    "handlers": _layer("domain ports application adapters rest observability config handlers", "aws_lambda_powertools"),
}
"""The import table of docs/architecture.md. `config` is the one module that reads the environment."""

INWARDS: dict[str, Layer] = {
    "lib": _layer("domain adapters rest observability"),  # names and limits that both sides must agree on
    "fakes": _layer("domain ports adapters"),
    "payctl": _layer("domain ports application adapters"),
    "simulation": _layer("domain ports application adapters observability fakes lib"),
    "local": _layer("domain ports application adapters fakes lib payctl simulation"),
    "docs": _layer("domain adapters fakes lib tests"),  # costs.py counts on the tests' tables in memory
}
"""Packages outside of the Lambda code, and the layers that they may import. The Lambda code imports none of them."""

OF_LIB = {"lib.settings", "lib.dispatch_rate", "lib.features.state_machine"}
"""The modules of lib that other packages may import: they need no cdktf, and say how the stack behaves."""

STUBS = "mypy_boto3_"
"""Packages that contain only types: imported for the type checker, and absent when a function runs. Allowed where
boto3 is."""


def _full_imports(node: ast.AST) -> list[str]:
    """Every imported module by its whole name, and what is imported from a package as `package.name`."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module="payments", names=names):
            return [f"payments.{alias.name}" for alias in names]
        case ast.ImportFrom(module=str(module)):
            return [module]
    return []


def _unit(module: str) -> str:
    """The layer that a module of the Lambda code belongs to, else the top-level package."""
    parts = module.split(".")
    return parts[1] if parts[0] == "payments" and len(parts) > 1 else parts[0]


def _imported(path: Path) -> set[str]:
    units = {_unit(module) for node in _import_nodes(path) for module in _full_imports(node)}
    return {"boto3" if unit.startswith(STUBS) else unit for unit in units if unit not in sys.stdlib_module_names}


def test_layers_when_they_import_then_only_what_the_table_allows() -> None:
    for path in sorted((ROOT / LAMBDA).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / LAMBDA).with_suffix("").parts)
        if path.name == "__init__.py":
            continue
        layer = LAYERS[_unit(module)]
        forbidden = _imported(path) - layer.layers - layer.packages
        assert not forbidden, f"{module} imports {', '.join(sorted(forbidden))}, which LAYERS does not allow"


@pytest.mark.parametrize("folder", INWARDS)
def test_packages_outside_the_lambda_code_import_inwards_only(folder: str) -> None:
    known = LAYERS.keys() | INWARDS.keys() | {"tests"}
    for path in sorted((ROOT / folder).rglob("*.py")):
        forbidden = _imported(path) & known - INWARDS[folder].layers - {folder}
        assert not forbidden, f"{path.relative_to(ROOT)} imports {', '.join(sorted(forbidden))}"


@pytest.mark.parametrize("folder", [folder for folder in INWARDS if folder != "lib"])
def test_packages_beside_lib_import_only_its_modules_without_cdktf(folder: str) -> None:
    for path in sorted((ROOT / folder).rglob("*.py")):
        modules = {module for node in _import_nodes(path) for module in _full_imports(node)}
        forbidden = {module for module in modules if _unit(module) == "lib"} - OF_LIB
        assert not forbidden, f"{path.relative_to(ROOT)} imports {', '.join(sorted(forbidden))}"


def test_no_module_imports_relatively() -> None:
    for folder in (LAMBDA, *INWARDS, "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            relative = [node.lineno for node in _import_nodes(path) if isinstance(node, ast.ImportFrom) and node.level]
            assert not relative, f"{path.relative_to(ROOT)}:{relative[0]}: import by the whole name of the module"


def test_every_port_defines_one_protocol_and_no_other_module_any() -> None:
    for path in sorted((ROOT / LAMBDA).rglob("*.py")):
        if path.name == "__init__.py":
            continue
        classes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
        protocols = [cls.name for cls in classes if any(_is_protocol(base) for base in cls.bases)]
        expected = 1 if path.parent == ROOT / DOMAIN / "ports" else 0
        assert len(protocols) == expected, f"{path.relative_to(ROOT)} defines the protocols {protocols}"


def _is_protocol(base: ast.expr) -> bool:
    """True for Protocol, typing.Protocol and Protocol[T]."""
    return ast.unparse(base).partition("[")[0].rpartition(".")[2] == "Protocol"


def test_modules_when_followed_then_no_circle() -> None:
    modules = {}
    for folder in (LAMBDA, "lib", "fakes", "payctl", "local", "simulation"):
        base = ROOT / folder if folder == LAMBDA else ROOT
        for path in (ROOT / folder).rglob("*.py"):
            module = ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")
            modules[module] = {name for node in _import_nodes(path) for name in _from(node)}
    graph = {
        module: {name for name in names if name in modules and name != module} for module, names in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        raise AssertionError(f"these import one another: {' → '.join(circle.args[1])}") from None


def _from(node: ast.AST) -> list[str]:
    """Imported modules, and for `from package import name` the module `package.name` that it may be."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def test_infrastructure_when_it_imports_cdktf_then_through_the_one_door() -> None:
    assert _found(INFRASTRUCTURE, _imports, CDKTF).keys() == {"bindings.py"}
    assert _found(INFRASTRUCTURE, _imports, {"local", "handlers"}) == {}


PARTS: dict[str, set[str]] = {
    "foundation": {"foundation"},
    "features": {"foundation", "features"},
    "monitoring": {"foundation", "features", "monitoring"},
}
"""Part of lib → the parts that it may import. payment_stack.py composes them. All may import settings and iam."""

FEATURES: dict[str, set[str]] = {
    "anchors": {"workflow"},  # the first anchor follows the deployment of the audit function
    "api_gateway": set(),
    "backup": set(),
    # each merchant has a role for its files, and dispatch starts the workflow of each queued payment
    "batch": {"batch_queue", "merchant_files", "workflow"},
    "batch_queue": set(),
    "merchant_files": set(),
    "rate_limits": {"rest_api"},  # the web ACL and the usage plans belong to the API's stage
    "recovery": {"batch", "refunds", "workflow"},  # it starts executions, the splitter and the report
    "refund_machine": {"state_machine"},
    "refunds": {"refund_machine", "state_machine", "workflow"},  # its executions end in the workflow's audit function
    # it serves the webhook's route, and starts both workflows
    "rest_api": {"api_gateway", "refunds", "webhooks", "workflow"},
    "second_factor": set(),
    "state_machine": set(),
    "webhooks": {"refunds", "workflow"},  # an event starts an execution
    "workflow": {"state_machine"},
}
"""Feature → the features that it imports, because it grants itself the use of their resources."""


def _parts_of_lib(path: Path) -> set[tuple[str, str]]:
    """Part and module of each import from a part of lib: `lib.features.batch` is ("features", "batch")."""
    modules = {name for node in _import_nodes(path) for name in _from(node)}
    dotted = [module.split(".") for module in modules]
    return {(parts[1], parts[2]) for parts in dotted if parts[0] == "lib" and len(parts) > 2 and parts[1] in PARTS}


def test_parts_of_lib_when_they_import_then_only_what_the_table_allows() -> None:
    for part, allowed in PARTS.items():
        for path in sorted((ROOT / INFRASTRUCTURE / part).rglob("*.py")):
            forbidden = {f"{other}.{module}" for other, module in _parts_of_lib(path) if other not in allowed}
            assert not forbidden, f"{path.relative_to(ROOT)} imports {', '.join(sorted(forbidden))}"
            names = {name for node in _import_nodes(path) for name in _from(node)}
            assert "lib.payment_stack" not in names, f"{path.relative_to(ROOT)} imports the stack that composes it"


def test_features_when_they_import_one_another_then_as_the_table_says() -> None:
    found = {
        path.stem: {module for part, module in _parts_of_lib(path) if part == "features"}
        for path in (ROOT / INFRASTRUCTURE / "features").glob("*.py")
        if path.name != "__init__.py"
    }
    modules = FEATURES.keys()
    assert {feature: imported & modules for feature, imported in found.items()} == FEATURES


SECONDS_OF_SLEEP = {
    "application/gateway_rate_limiter.py",
    "application/read_rate.py",
    "application/batch/dispatch.py",
}
"""The modules where a fraction is a number of seconds to sleep, as `time.sleep` takes it. Never money."""


def test_domain_when_it_computes_then_in_whole_numbers_and_decimals() -> None:
    assert _found(DOMAIN, _calls, {"float", "round"}) == {}
    assert _found(DOMAIN, _operators, {"Div"}) == {
        "application/gateway_rate_limiter.py": {"Div"},
        "application/read_rate.py": {"Div"},
    }


def test_sleep_when_its_length_is_computed_then_no_money_is_near() -> None:
    money = {"amount", "minor_units", "money", "Money"}
    near = _found(DOMAIN, _words, money)

    assert SECONDS_OF_SLEEP.isdisjoint(near)


def test_time_when_it_is_needed_then_handed_in_from_the_one_clock() -> None:
    clocks = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time"}

    assert _found(LAMBDA, _calls, clocks) == {"payments/domain/clock.py": {"datetime.now"}}


def test_environment_when_it_is_read_then_in_the_one_place_for_settings() -> None:
    assert _found(LAMBDA, _attributes, {"os.environ", "os.getenv"}) == {"payments/config.py": {"os.environ"}}


def test_aws_clients_are_made_only_where_time_outs_are_set() -> None:
    makers = {"boto3.client", "boto3.resource", "boto3.Session"}

    assert _found(LAMBDA, _calls, makers) == {"payments/adapters/aws_clients.py": {"boto3.client"}}
