"""The REST API against its contract, api/openapi.yaml, and the contract against the code."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lib.foundation.identity import AUTHORIZER_CACHE_SECONDS, BEARER_PATTERN
from lib.package import ROOT
from lib.settings import Settings
from payments.domain import customer as customers
from payments.domain import token as tokens
from payments.domain.currencies import EXPONENTS
from payments.domain.money import Money, max_minor_units
from payments.domain.payment import (
    CUSTOMER_ID,
    FIELDS,
    MAX_DESCRIPTION,
    MAX_METADATA_KEYS,
    MAX_METADATA_VALUE,
    MAX_RETURN_URL,
    METADATA_KEY,
    PAYMENT_ID,
    PAYMENT_METHOD,
    REQUIRED_FIELDS,
    RETURN_URL,
    InvalidRequest,
)
from payments.domain.statuses import Status
from payments.rest import legacy, list_query
from payments.rest import tokens as rest_tokens
from payments.rest.access import ALLOWED
from payments.rest.http import MAX_BODY_BYTES
from tests.infrastructure.synth import Resource, Stack, synthesise, waivers

CONTRACT: dict[str, Any] = yaml.safe_load((ROOT / "api" / "openapi.yaml").read_text())
SCHEMAS = CONTRACT["components"]["schemas"]
VERBS = {"get", "post", "put", "patch", "delete", "head", "options"}
OPERATIONS = {
    f"{verb.upper()} {path}": operation
    for path, operations in CONTRACT["paths"].items()
    for verb, operation in operations.items()
    if verb in VERBS
}
WEBHOOK, HEALTH = "POST /webhooks/stripe", "GET /health"
OPEN = {WEBHOOK, HEALTH}
"""Routes that need no token."""
OTHER_VERBS = {f"ANY {path}" for path in CONTRACT["paths"]}
"""The method that answers 405 on a path without the requested verb."""
PLACES = {"path": "path", "query": "querystring"}


def _function_of(operation: dict[str, Any]) -> str:
    """The function that the contract names for an operation."""
    return str(operation.get("x-function", "api"))


def _address(reference: str) -> str:
    """aws_x.key of "${aws_x.key.id}"."""
    return reference.removeprefix("${").rpartition(".")[0]


def _path(stack: Stack, resource_id: str) -> str:
    resource = stack.addresses[_address(resource_id)]
    if "path_part" not in resource:
        return ""
    return f"{_path(stack, resource['parent_id'])}/{resource['path_part']}"


def _methods(stack: Stack) -> dict[str, tuple[str, Resource]]:
    """ "GET /payments/{payment_id}" → the method and its address."""
    return {
        f"{method['http_method']} {_path(stack, method['resource_id'])}": (address, method)
        for address, method in stack.all("aws_api_gateway_method").items()
    }


def _parameters(operation: dict[str, Any]) -> list[dict[str, Any]]:
    """An operation's parameters, with references resolved."""
    named = CONTRACT["components"]["parameters"]
    return [
        named[parameter["$ref"].rpartition("/")[2]] if "$ref" in parameter else parameter
        for parameter in operation.get("parameters", [])
    ]


def _bodies(operation: dict[str, Any]) -> dict[str, str]:
    """Content type → the contract's schema of the request body."""
    content = operation.get("requestBody", {}).get("content", {})
    return {
        kind: body["schema"]["$ref"].rpartition("/")[2] for kind, body in content.items() if "$ref" in body["schema"]
    }


BODIES = {schema for operation in OPERATIONS.values() for schema in _bodies(operation).values()}


# Routes ------------------------------------------------------------------------------------------------------------


def test_methods_match_the_contract_plus_one_any_method_per_path(
    stack: Stack,
) -> None:
    assert _methods(stack).keys() == OPERATIONS.keys() | OTHER_VERBS


def test_routes_of_the_api_function_match_the_contract() -> None:
    # read, not imported: the module makes its clients from a function's environment
    source = (ROOT / "lambda_src" / "handlers" / "api.py").read_text()
    (routes,) = [
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "OPERATIONS"
    ]
    assert isinstance(routes, ast.Dict)
    handled = {
        ast.literal_eval(key): ast.unparse(value).rpartition(".")[2]
        for key, value in zip(routes.keys, routes.values, strict=True)
        if key
    }

    assert handled == {route: operation["operationId"] for route, operation in OPERATIONS.items() if route not in OPEN}
    assert set(handled.values()) == ALLOWED.keys()


def test_webhook_is_the_only_route_of_another_function() -> None:
    others = {route: _function_of(operation) for route, operation in OPERATIONS.items() if "x-function" in operation}

    assert others == {WEBHOOK: "webhook"}


def test_methods_invoke_the_function_that_the_contract_names(stack: Stack) -> None:
    for route, (address, method) in _methods(stack).items():
        function, _ = stack.named("aws_lambda_function", f"payment-{_function_of(OPERATIONS.get(route, {}))}")
        _, integration = stack.only("aws_api_gateway_integration", http_method=f"${{{address}.http_method}}")
        assert integration["resource_id"] == method["resource_id"]
        assert integration["type"] == "AWS_PROXY"
        assert integration["integration_http_method"] == "POST"
        assert integration["uri"] == f"${{{function}.invoke_arn}}"


def test_methods_when_called_then_body_and_parameters_are_validated(stack: Stack) -> None:
    validator, settings = stack.only("aws_api_gateway_request_validator")

    assert settings["validate_request_body"] is True
    assert settings["validate_request_parameters"] is True
    for route, (_, method) in _methods(stack).items():
        assert method["request_validator_id"] == f"${{{validator}.id}}"
        assert method.get("request_parameters", {}) == {
            f"method.request.{PLACES[parameter['in']]}.{parameter['name']}": parameter.get("required", False)
            for parameter in _parameters(OPERATIONS.get(route, {}))
            if parameter["in"] in PLACES
        }


def test_path_parameters_are_described_and_required_by_the_contract() -> None:
    for route, operation in OPERATIONS.items():
        described = {parameter["name"] for parameter in _parameters(operation) if parameter["in"] == "path"}
        assert described == {part[1:-1] for part in route.split("/") if part.startswith("{")}
        assert all(parameter["required"] for parameter in _parameters(operation) if parameter["in"] == "path")


# Authorization -----------------------------------------------------------------------------------------------------


@pytest.mark.fault(42)
def test_only_health_and_webhook_are_open_without_a_token(stack: Stack) -> None:
    authorizer, _ = stack.only("aws_api_gateway_authorizer")
    for route, (_, method) in _methods(stack).items():
        if route in OPEN:
            assert method["authorization"] == "NONE"
            assert "authorizer_id" not in method
            assert not method["api_key_required"]
        else:
            assert method["authorization"] == "CUSTOM"
            assert method["authorizer_id"] == f"${{{authorizer}.id}}"
            assert method["api_key_required"] is True
            assert "CKV_AWS_59" not in method.get("//", {}).get("waived", {})


def test_authorizer_gets_only_bearer_tokens_and_is_cached_for_a_minute(
    stack: Stack,
) -> None:
    _, authorizer = stack.only("aws_api_gateway_authorizer")
    function, _ = stack.named("aws_lambda_function", "payment-authorize")

    assert authorizer["type"] == "TOKEN"
    assert authorizer["authorizer_uri"] == f"${{{function}.invoke_arn}}"
    assert authorizer["identity_source"] == "method.request.header.Authorization"
    assert authorizer["identity_validation_expression"] == BEARER_PATTERN
    assert authorizer["authorizer_result_ttl_in_seconds"] == AUTHORIZER_CACHE_SECONDS == 60


def test_usage_plans_take_the_key_from_the_authorizer_not_the_caller(stack: Stack) -> None:
    _, api = stack.only("aws_api_gateway_rest_api")
    assert api["api_key_source"] == "AUTHORIZER"


def test_auth_mode_none_asks_for_no_token_or_key(tmp_path: Path) -> None:
    stack = synthesise(Settings(environment_suffix="dev", auth_mode="none"), tmp_path)

    assert stack.all("aws_api_gateway_authorizer") == {}
    for _, method in _methods(stack).values():
        assert (method["authorization"], bool(method["api_key_required"])) == ("NONE", False)
        assert "CKV_AWS_59" in waivers(method)
    assert "payment-authorize-dev" not in json.dumps(stack.document)


def test_open_methods_when_they_let_everybody_in_then_with_a_reason(stack: Stack) -> None:
    for route in OPEN:
        assert "the signature of its caller" in waivers(_methods(stack)[route][1])["CKV_AWS_59"]
    (signature,) = OPERATIONS[WEBHOOK]["parameters"]
    assert (signature["name"], signature["in"], signature["required"]) == ("Stripe-Signature", "header", True)


def test_contract_lifts_authentication_only_for_health_and_webhook() -> None:
    assert {route for route, operation in OPERATIONS.items() if operation.get("security") == []} == OPEN
    assert CONTRACT["security"] == [{"bearer": []}]
    assert not [route for route, operation in OPERATIONS.items() if operation.get("security", []) != []]


def test_contract_lists_the_error_responses_of_every_operation() -> None:
    for route, operation in OPERATIONS.items():
        documented = set(operation["responses"])
        assert {"429", "500"} <= documented
        if route not in OPEN:
            assert {"400", "401", "403", "503"} <= documented
        if _bodies(operation):
            assert {"400", "413", "415"} <= documented
        if "{" in route:
            assert "404" in documented
        assert operation["responses"]["429"] == {"$ref": "#/components/responses/TooMany"}


# Models ------------------------------------------------------------------------------------------------------------


def _model(stack: Stack, name: str) -> dict[str, Any]:
    _, model = stack.only("aws_api_gateway_model", name=name)
    assert model["content_type"] == "application/json"
    schema: dict[str, Any] = json.loads(model["schema"])
    return schema


@pytest.mark.parametrize("name", sorted(BODIES))
def test_model_has_the_contracts_fields_and_constrains_no_value(stack: Stack, name: str) -> None:
    model, contract = _model(stack, name), SCHEMAS[name]

    assert (model["type"], model["additionalProperties"]) == ("object", False)
    assert model.get("required") == contract.get("required")
    assert model["properties"] == {field: {} for field in contract["properties"]}


def test_models_when_they_demand_no_field_then_they_do_not_say_so(stack: Stack) -> None:
    # draft 4 of JSON schema, which models are written in, has no empty list here
    assert all(_model(stack, name).get("required", ["one"]) for name in BODIES)


def test_every_request_body_with_a_contract_schema_has_a_model(stack: Stack) -> None:
    for route, (_, method) in _methods(stack).items():
        models = {
            kind: stack.addresses[_address(name)]["name"] for kind, name in method.get("request_models", {}).items()
        }
        assert models == _bodies(OPERATIONS.get(route, {}))
    assert {model["name"] for model in stack.all("aws_api_gateway_model").values()} == BODIES


def test_webhooks_body_when_it_comes_then_api_gateway_does_not_judge_it(stack: Stack) -> None:
    _, method = _methods(stack)[WEBHOOK]

    assert "request_models" not in method  # the signature covers the body byte for byte


# The contract and the code -----------------------------------------------------------------------------------------


def _fields(schema: str) -> tuple[str, ...]:
    return tuple(SCHEMAS[schema]["properties"])


def test_contract_and_code_agree_on_payment_fields_and_limits() -> None:
    request = SCHEMAS["PaymentRequest"]
    properties, metadata = request["properties"], SCHEMAS["Metadata"]

    assert _fields("PaymentRequest") == FIELDS
    assert tuple(request["required"]) == REQUIRED_FIELDS
    assert SCHEMAS["PaymentId"]["pattern"] == f"^{PAYMENT_ID.pattern}$"
    assert properties["customer_id"]["pattern"] == f"^({CUSTOMER_ID.pattern})?$"
    assert properties["payment_method"]["pattern"] == f"^({PAYMENT_METHOD.pattern})?$"
    assert properties["token"]["pattern"] == f"^({tokens.TOKEN.pattern})?$"
    assert properties["description"]["maxLength"] == MAX_DESCRIPTION
    assert properties["return_url"]["pattern"] == f"^({RETURN_URL.pattern})?$"
    assert properties["return_url"]["maxLength"] == MAX_RETURN_URL
    assert metadata["maxProperties"] == MAX_METADATA_KEYS
    assert metadata["propertyNames"]["pattern"] == f"^{METADATA_KEY.pattern}$"
    assert metadata["additionalProperties"]["maxLength"] == MAX_METADATA_VALUE
    assert _fields("PaymentRequestV1") == tuple(SCHEMAS["PaymentRequestV1"]["required"]) == legacy.FIELDS


def test_contract_and_code_agree_on_customer_fields_and_limits() -> None:
    assert _fields("CustomerRequest") == customers.FIELDS
    assert _fields("CustomerRequestV1") == customers.FIELDS[:-1]
    # what is required depends on the caller: a person gives neither an id nor an address
    assert not any("required" in SCHEMAS[schema] for schema in ("CustomerRequest", "CustomerRequestV1"))
    change = SCHEMAS["CustomerChange"]["properties"]
    assert tuple(change) == customers.PRIVATE
    removable = [name for name, schema in change.items() if {"type": "null"} in schema.get("anyOf", [])]
    assert tuple(removable) == customers.REMOVABLE
    assert SCHEMAS["CustomerId"]["pattern"] == f"^{CUSTOMER_ID.pattern}$"
    assert SCHEMAS["PaymentMethod"]["pattern"] == f"^{PAYMENT_METHOD.pattern}$"
    assert SCHEMAS["Email"]["maxLength"] == customers.MAX_EMAIL


@pytest.mark.parametrize(
    ("field", "schema", "text"),
    [
        *(
            ("email", "Email", text)
            for text in (
                "jo@example.com",
                "jo.o'neil+tag@mail.example.co.uk",
                "jo@example",
                "jo@example.c",
                "jo@-example.com",
                "jo@example-.com",
                "jo@example.1a",
                "jö@example.com",
                "jo @example.com",
                "jo@@example.com",
                "a" * 64 + "@example.com",
                "a" * 65 + "@example.com",
                "jo@" + "a" * 63 + ".com",
                "jo@" + "a" * 64 + ".com",
            )
        ),
        *(
            ("name", "Name", text)
            for text in (
                "Jo",
                "J",
                "Jo \u00d6zg\u00fcr",
                "x" * 200,
                "x" * 201,
                "Jo\nMax",
                "Jo\u2028Max",
                "\u202eJo",
                "",
                "\x7f",
            )
        ),
        *(("subject", "subject", text) for text in ("a", "~!", "a b", "ä", "x" * 255, "x" * 256, "")),
    ],
)
def test_customers_field_when_judged_by_contract_and_code_then_alike(field: str, schema: str, text: str) -> None:
    properties = SCHEMAS["CustomerRequest"]["properties"]
    described = SCHEMAS.get(schema) or properties[schema]
    by_contract = bool(re.search(described["pattern"], text)) and len(text) <= described.get("maxLength", len(text))
    try:
        customers.parse_customer({"customer_id": "cus_1", "email": "jo@example.com", field: text})
    except InvalidRequest:
        assert not by_contract
    else:
        assert by_contract


def test_contract_and_code_agree_on_token_fields_and_limits() -> None:
    request = SCHEMAS["TokenRequest"]
    expires = request["properties"]["expires_in_seconds"]

    assert _fields("TokenRequest") == rest_tokens.FIELDS
    assert tuple(request["required"]) == rest_tokens.REQUIRED_FIELDS
    assert (expires["minimum"], expires["maximum"]) == (tokens.MIN_SECONDS, tokens.MAX_SECONDS)
    assert expires["default"] == tokens.DEFAULT_SECONDS
    assert SCHEMAS["NewToken"]["properties"]["token"]["pattern"] == f"^{tokens.TOKEN.pattern}$"
    assert re.search(SCHEMAS["TokenId"]["pattern"], tokens.token_id_of("ptok_x"))
    documented = SCHEMAS["Token"]["properties"]["status"]["enum"]
    assert documented == [status.value for status in tokens.TokenStatus if status is not tokens.TokenStatus.REVOKED]


@pytest.mark.parametrize(
    ("route", "parameters"),
    [
        ("GET /payments", list_query.OF_ALL),
        ("GET /customers/{customer_id}/payments", list_query.OF_A_CUSTOMER),
    ],
)
def test_contract_and_code_agree_on_list_parameters(route: str, parameters: tuple[str, ...]) -> None:
    query = {p["name"]: p["schema"] for p in _parameters(OPERATIONS[route]) if p["in"] == "query"}

    assert tuple(query) == parameters
    assert (query["limit"]["maximum"], query["limit"]["default"]) == (list_query.MAX_LIMIT, list_query.DEFAULT_LIMIT)


def test_contract_and_code_agree_on_currencies_digits_and_amount_limits() -> None:
    known: dict[str, int] = {}
    for group in SCHEMAS["Money"]["anyOf"]:
        number, text = group["properties"]["amount"]["anyOf"]
        currency, *others = group["properties"]["currency"]["enum"]
        exponent, maximum = EXPONENTS[currency], max_minor_units(currency)
        assert {(EXPONENTS[other], max_minor_units(other)) for other in others} <= {(exponent, maximum)}
        known |= dict.fromkeys((currency, *others), exponent)
        least, most = Money(1, currency).decimal, Money(maximum, currency).decimal
        assert number["type"] == ("number" if exponent else "integer")
        assert (str(number["minimum"]), str(number["maximum"])) == (str(float(least)) if exponent else "1", str(most))
        assert number.get("multipleOf", 1) == number["minimum"]
        for amount in (least, most, most - least, least * 10, least * 11):
            assert re.search(text["pattern"], str(amount)), amount
            Money.parse(str(amount), currency)
        for amount in (least * 0, most + least, least / 10, -least):
            assert not re.search(text["pattern"], str(amount)), amount
    assert known == EXPONENTS


def test_body_limit_is_64_kib_and_problems_have_type_title_and_detail() -> None:
    assert MAX_BODY_BYTES == 64 * 1024
    assert SCHEMAS["Problem"]["required"] == ["type", "title", "detail"]


def test_statuses_of_the_contract_when_compared_then_they_are_the_domains() -> None:
    assert SCHEMAS["Status"]["enum"] == [status.value for status in Status]


def test_api_gateway_errors_are_problem_details_with_their_headers(stack: Stack) -> None:
    responses = {r["response_type"]: r for r in stack.all("aws_api_gateway_gateway_response").values()}

    assert {
        "BAD_REQUEST_BODY",
        "THROTTLED",
        "QUOTA_EXCEEDED",
        "UNAUTHORIZED",
        "DEFAULT_4XX",
        "DEFAULT_5XX",
    } <= responses.keys()
    for response in responses.values():
        problem = json.loads(response["response_templates"]["application/json"])
        assert set(SCHEMAS["Problem"]["required"]) <= problem.keys() <= SCHEMAS["Problem"]["properties"].keys()
        # for an unknown header it would repeat the text, which may be a token
        assert "$context.error.message" not in problem["detail"]
        assert problem.get("status") == (int(response["status_code"]) if "status_code" in response else None)
        assert response["response_parameters"]["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
        headers = {name.rpartition(".")[2] for name in response["response_parameters"]}
        assert ("Retry-After" in headers) is (problem.get("status") == 429)
        assert ("WWW-Authenticate" in headers) is (problem.get("status") == 401)
    assert responses["THROTTLED"]["response_parameters"]["gatewayresponse.header.Retry-After"] == "'1'"
    assert responses["QUOTA_EXCEEDED"]["response_parameters"]["gatewayresponse.header.Retry-After"] == "'86400'"
    assert responses["UNAUTHORIZED"]["response_parameters"]["gatewayresponse.header.WWW-Authenticate"] == "'Bearer'"


def test_stage_is_traced_and_throttled_as_the_environment_says(stack: Stack) -> None:
    _, stage = stack.only("aws_api_gateway_stage")
    _, limits = stack.only("aws_api_gateway_method_settings")

    assert stage["xray_tracing_enabled"] is True
    assert limits["method_path"] == "*/*"
    assert limits["settings"]["metrics_enabled"] is True
    assert limits["settings"]["throttling_rate_limit"] == stack.settings.effective.api_rate_per_second
    assert limits["settings"]["throttling_burst_limit"] == stack.settings.effective.api_burst


def test_deployment_waits_for_all_that_it_snapshots(stack: Stack) -> None:
    _, deployment = stack.only("aws_api_gateway_deployment")
    parts = {
        address
        for kind in ("method", "integration", "gateway_response")
        for address in stack.all(f"aws_api_gateway_{kind}")
    }

    assert set(deployment["depends_on"]) == parts
    assert deployment["lifecycle"] == {"create_before_destroy": True}


def test_only_this_api_may_invoke_only_the_functions_of_its_routes(stack: Stack) -> None:
    api, _ = stack.only("aws_api_gateway_rest_api")
    permissions = {
        stack.resolve(permission["function_name"]): permission
        for permission in stack.all("aws_lambda_permission").values()
        if permission["principal"] == "apigateway.amazonaws.com"
    }
    routes = {f"payment-{_function_of(operation)}-{stack.suffix}" for operation in OPERATIONS.values()}
    authorizer = f"payment-authorize-{stack.suffix}"

    assert permissions.keys() == routes | {authorizer}
    for name, permission in permissions.items():
        assert permission["action"] == "lambda:InvokeFunction"
        behind = "authorizers/*" if name == authorizer else "*/*"
        assert permission["source_arn"] == f"${{{api}.execution_arn}}/{behind}"


@pytest.mark.parametrize("route", [route for route, operation in OPERATIONS.items() if _bodies(operation)])
def test_contract_examples_have_all_required_fields(route: str) -> None:
    [(content_type, name)] = _bodies(OPERATIONS[route]).items()
    example = OPERATIONS[route]["requestBody"]["content"][content_type]["example"]

    assert set(SCHEMAS[name].get("required", [])) <= example.keys() <= set(_fields(name))


def test_deployment_when_a_model_changes_then_a_new_snapshot_is_served(
    dev: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lib.features.api_gateway.gateway_model", lambda contract, schema: {"type": "object"})
    changed = synthesise(dev.settings, tmp_path)

    assert _trigger(changed) != _trigger(dev)


def test_deployment_takes_a_new_snapshot_when_auth_is_turned_off(dev: Stack, tmp_path: Path) -> None:
    open_to_all = synthesise(Settings(environment_suffix="dev", auth_mode="none"), tmp_path)
    assert _trigger(open_to_all) != _trigger(dev)


@pytest.mark.parametrize(("name", "value"), [("BEARER_PATTERN", "^Bearer .+$"), ("AUTHORIZER_CACHE_SECONDS", 0)])
def test_deployment_takes_a_new_snapshot_when_the_authorizer_changes(
    dev: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    monkeypatch.setattr(f"lib.features.api_gateway.{name}", value)
    assert _trigger(synthesise(dev.settings, tmp_path)) != _trigger(dev)


def test_deployment_when_nothing_changes_then_no_new_snapshot_is_made(dev: Stack, tmp_path: Path) -> None:
    assert _trigger(synthesise(dev.settings, tmp_path)) == _trigger(dev)


def _trigger(stack: Stack) -> dict[str, str]:
    _, deployment = stack.only("aws_api_gateway_deployment")
    triggers: dict[str, str] = deployment["triggers"]
    return triggers
