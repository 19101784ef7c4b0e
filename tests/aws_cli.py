"""The AWS CLI of the tests: `aws <service> <operation> --options`, as botocore's model of the service defines it.

It knows only what versions 1 and 2 of the AWS CLI have in common. It runs as a program:

    python -m tests.aws_cli dynamodb scan --table-name payments-dev --query 'Items[].payment_id.S' --output text
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import boto3
import jmespath
from botocore import xform_name
from botocore.exceptions import ParamValidationError
from botocore.model import ServiceModel, Shape
from botocore.session import Session
from botocore.validate import validate_parameters

SERVICES = {"s3api": "s3"}
"""The services that the AWS CLI names differently from botocore."""
RENAMED = {("sns", "subscribe", "notification-endpoint"): "endpoint"}
"""The parameters that the AWS CLI names differently, because it has an option of that name."""
OUTPUTS = ("json", "text")


class Mistyped(ValueError):
    """The AWS CLI rejects this command."""


@dataclass(frozen=True)
class Command:
    """A command of the AWS CLI: the operation with its parameters, and what is done with the answer."""

    service: str
    operation: str
    """As botocore names it: ListExecutions."""
    parameters: dict[str, Any] = field(default_factory=dict)
    query: str = ""
    output: str = "json"
    max_items: int | None = None


def parse(arguments: Sequence[str]) -> Command:
    """The command of these arguments, the words after `aws`. Raises Mistyped if the AWS CLI would reject them."""
    if len(arguments) < 2:
        raise Mistyped(f"a service and an operation are missing: {arguments}")
    service, name = SERVICES.get(arguments[0], arguments[0]), arguments[1]
    if service not in Session().get_available_services():
        raise Mistyped(f"there is no service {arguments[0]}")
    operations = {xform_name(operation, "-"): operation for operation in _model(service).operation_names}
    if name not in operations:
        raise Mistyped(f"{service} has no operation {name}")
    shape = _model(service).operation_model(operations[name]).input_shape
    members = {xform_name(member, "-"): member for member in shape.members} if shape else {}
    own: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    for option, values in _options(arguments[2:]):
        if option == "query":
            jmespath.compile(own.setdefault("query", _single(option, values)))
        elif option == "output":
            if own.setdefault("output", _single(option, values)) not in OUTPUTS:
                raise Mistyped(f"--output {values} is none of {OUTPUTS}")
        elif option == "max-items":
            if operations[name] not in _paged(service):
                raise Mistyped(f"{service} {name} has no pages, and therefore no --max-items")
            own["max_items"] = int(_single(option, values))
        else:
            wanted = RENAMED.get((service, name, option), option)
            negated = wanted.startswith("no-") and wanted not in members
            member = members.get(wanted.removeprefix("no-") if negated else wanted)
            if not shape or not member:
                raise Mistyped(f"{service} {name} has no option --{option}")
            parameters[member] = _value(option, shape.members[member], values, negated=negated)
    try:
        if shape:
            validate_parameters(parameters, shape)
    except ParamValidationError as error:
        raise Mistyped(str(error)) from None
    return Command(service, operations[name], parameters, **own)


@cache
def _model(service: str) -> ServiceModel:
    return Session().get_service_model(service)


@cache
def _paged(service: str) -> frozenset[str]:
    """The operations that answer in pages."""
    pages = Session().get_component("data_loader").load_service_model(service, "paginators-1")["pagination"]
    return frozenset(pages)


def _options(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each option without its dashes, with the words that follow it."""
    found: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.removeprefix("--").partition("=")
            found.append((name, [value] if equals else []))
        elif found:
            found[-1][1].append(word)
        else:
            raise Mistyped(f"unexpected argument {word}")
    return iter(found)


def _single(option: str, values: list[str]) -> str:
    if len(values) != 1:
        raise Mistyped(f"--{option} needs one value and has {values}")
    return values[0]


def _value(option: str, shape: Shape, values: list[str], *, negated: bool) -> Any:
    """The value of an option, by the type of its parameter: JSON or the shorthand `Name=value` for what has parts."""
    if shape.type_name == "boolean":
        if values:
            raise Mistyped(f"--{option} takes no value and has {values}")
        return not negated
    if negated:
        raise Mistyped(f"--{option} is no switch")
    if shape.type_name == "list" and not (values and values[0].startswith("[")):
        return list(values)
    value = _single(option, values)
    if shape.type_name in ("integer", "long"):
        return int(value)
    if shape.type_name in ("structure", "map", "list"):
        if value.startswith(("{", "[")):
            return json.loads(value)
        return dict(part.split("=", 1) for part in value.split(","))
    if shape.type_name in ("string", "timestamp"):
        return value
    raise Mistyped(f"--{option} is a {shape.type_name}, which versions 1 and 2 of the AWS CLI read differently")


def run(command: Command, client: Any) -> Any:
    """The answer of the service, with all pages, or as many as hold `max_items`; then what `query` selects of it."""
    method = xform_name(command.operation)
    if client.can_paginate(method):
        pages = client.get_paginator(method).paginate(
            **command.parameters, PaginationConfig={"MaxItems": command.max_items}
        )
        answer = pages.build_full_result()
    else:
        answer = getattr(client, method)(**command.parameters)
    answer.pop("ResponseMetadata", None)
    return jmespath.search(command.query, answer) if command.query else answer


def text(value: Any) -> str:
    """A value as `--output text` prints it: a line of each list, its parts separated by tabs."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return str(value)
    if any(isinstance(part, list | dict) for part in value):
        return "\n".join(text(part) for part in value)
    return "\t".join(map(str, value))


def main(arguments: Sequence[str]) -> int:
    """Run a command, print its answer, and return its exit code."""
    try:
        command = parse(arguments)
    except ValueError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 252
    answer = run(command, boto3.client(command.service))  # type: ignore[call-overload]
    shown = text(answer) if command.output == "text" else json.dumps(answer, indent=4, default=str)
    if answer is not None and shown:
        print(shown)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
