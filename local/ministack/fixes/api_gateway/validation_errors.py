"""`$context.error.validationErrorString` in a gateway response describes the errors in the request body.

MiniStack does not replace the variable. The messages use AWS's wording, for the keywords in the product's models.
Quotes are escaped: a template that puts the variable into a JSON string remains valid JSON.
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html

Probe: `validation_errors` in tests/local/ministack/test_upstream.py.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from ministack.services import apigateway_v1

from local.ministack.fixes.api_gateway.request_models import model_for
from local.ministack.fixes.patching import wrap

VARIABLE = re.compile(r"\$(context\.error\.validationErrorString\b|\{context\.error\.validationErrorString\})")

type Schema = dict[str, Any]


def apply() -> None:
    wrap(apigateway_v1, "_check_request_validation", _explain)
    wrap(apigateway_v1, "_gateway_error_response", _fill_in)


def _explain(
    check: Any, method: dict[str, Any], api_id: str, request: Any, headers: dict[str, str], body: bytes, *more: Any
) -> Any:
    error = check(method, api_id, request, headers, body, *more)
    if error is not None and error.response_type == "BAD_REQUEST_BODY":
        error.explanation = _explanation(apigateway_v1._model_schema(api_id, model_for(method, headers)), body)
    return error


def _fill_in(respond: Any, error: Any, request: Any) -> Any:
    status, headers, body = respond(error, request)
    escaped = json.dumps(getattr(error, "explanation", error.message or ""))[1:-1]
    return status, headers, VARIABLE.sub(lambda _: escaped, body.decode()).encode()


def _explanation(schema: Schema, body: bytes) -> str:
    try:
        mismatches = list(_mismatches(schema, json.loads(body)))
    except (ValueError, RecursionError):
        mismatches = ["could not parse the body as JSON"]
    return f"[{', '.join(mismatches)}]"


def _mismatches(schema: Schema, value: Any) -> Iterator[str]:
    expected = schema.get("type")
    if expected and not _is(expected, value):
        yield f'instance type ({_kind(value)}) does not match any allowed primitive type (allowed: ["{expected}"])'
    elif "oneOf" in schema and (matched := sum(_valid(choice, value) for choice in schema["oneOf"])) != 1:
        yield f"instance failed to match exactly one schema (matched {matched} out of {len(schema['oneOf'])})"
    elif isinstance(value, str):
        yield from _text_mismatches(schema, value)
    elif isinstance(value, dict):
        yield from _object_mismatches(schema, value)


def _text_mismatches(schema: Schema, text: str) -> Iterator[str]:
    most, pattern = schema.get("maxLength", len(text)), schema.get("pattern", "")
    if len(text) > most:
        yield f'string "{text}" is too long (length: {len(text)}, maximum allowed: {most})'
    if not re.search(pattern, text):
        yield f'ECMA 262 regex "{pattern}" does not match input string "{text}"'


def _object_mismatches(schema: Schema, value: dict[str, Any]) -> Iterator[str]:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    most = schema.get("maxProperties", len(value))
    if missing := set(schema.get("required", ())) - value.keys():
        yield f"object has missing required properties ({_list(missing)})"
    if others is False and (unknown := value.keys() - properties.keys()):
        yield f"object instance has properties which are not allowed by the schema: {_list(unknown)}"
    if len(value) > most:
        yield f"object has too many properties (found {len(value)} but schema requires at most {most})"
    for name, part in value.items():
        yield from _mismatches(properties.get(name) or others or {}, part)


def _valid(schema: Schema, value: Any) -> bool:
    return bool(apigateway_v1._json_schema_valid(schema, value, schema))


def _is(kind: str, value: Any) -> bool:
    return bool(apigateway_v1._JSON_TYPES[kind](value))


def _kind(value: Any) -> str:
    most_special_first = ("null", "boolean", "integer", "number", "string", "array", "object")
    return next(kind for kind in most_special_first if _is(kind, value))


def _list(names: set[str]) -> str:
    return json.dumps(sorted(names), separators=(",", ":"))
