"""The REST API against its contract, api/openapi.yaml, and the contract against the code."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lib.package import ROOT
from payments.payment import (
    CUSTOMER_ID,
    FIELDS,
    MAX_DESCRIPTION,
    MAX_METADATA_KEYS,
    MAX_METADATA_VALUE,
    PAYMENT_ID,
    PAYMENT_METHOD,
    REQUIRED_FIELDS,
)
from payments.statuses import Status
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
WEBHOOK = "POST /webhooks/stripe"


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


def test_methods_when_synthesised_then_they_are_those_of_the_contract(stack: Stack) -> None:
    assert _methods(stack).keys() == OPERATIONS.keys()


def test_routes_of_the_function_when_compared_then_they_are_those_of_the_contract() -> None:
    # read, not imported: the module makes its clients from a function's environment
    source = (ROOT / "lambda_src" / "handlers" / "api.py").read_text()
    (routes,) = [
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "ROUTES"
    ]
    assert isinstance(routes, ast.Dict)
    handled = {
        ast.literal_eval(key): ast.unparse(value) for key, value in zip(routes.keys, routes.values, strict=True) if key
    }

    assert handled == {
        route: operation["operationId"] for route, operation in OPERATIONS.items() if _function_of(operation) == "api"
    }


def test_routes_of_other_functions_when_listed_then_the_webhook_is_the_only_one() -> None:
    others = {route: _function_of(operation) for route, operation in OPERATIONS.items() if "x-function" in operation}

    assert others == {WEBHOOK: "webhook"}


def test_methods_when_called_then_the_function_that_the_contract_names_answers(stack: Stack) -> None:
    for route, (address, method) in _methods(stack).items():
        function, _ = stack.named("aws_lambda_function", f"payment-{_function_of(OPERATIONS[route])}")
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
        parameters = [p["name"] for p in OPERATIONS[route].get("parameters", []) if p["in"] == "path"]
        assert method["request_validator_id"] == f"${{{validator}.id}}"
        assert method.get("request_parameters", {}) == {f"method.request.path.{name}": True for name in parameters}


@pytest.mark.parametrize(("suffix", "authorization"), [("dev", "NONE"), ("staging", "AWS_IAM"), ("prod", "AWS_IAM")])
def test_methods_when_called_without_a_signature_then_only_dev_lets_them_in(
    stacks: dict[str, Stack], suffix: str, authorization: str
) -> None:
    authorizations = {
        method["authorization"] for route, (_, method) in _methods(stacks[suffix]).items() if route != WEBHOOK
    }

    assert authorizations == {authorization}


def test_webhook_when_the_gateway_calls_then_it_is_let_in_without_iam_and_proves_itself_by_its_signature(
    stack: Stack,
) -> None:
    _, method = _methods(stack)[WEBHOOK]
    (signature,) = OPERATIONS[WEBHOOK]["parameters"]

    assert method["authorization"] == "NONE"
    assert "signature is checked" in waivers(method)["CKV_AWS_59"]
    assert (signature["name"], signature["in"], signature["required"]) == ("Stripe-Signature", "header", True)


def test_contract_when_it_lifts_the_proof_of_who_calls_then_for_the_webhook_alone() -> None:
    assert [route for route, operation in OPERATIONS.items() if operation.get("security") == []] == [WEBHOOK]


def test_model_when_compared_with_the_contract_then_it_knows_the_same_fields(stack: Stack) -> None:
    model = _request_model(stack)
    contract = SCHEMAS["PaymentRequest"]

    assert (model["type"], model["required"], model["additionalProperties"]) == ("object", contract["required"], False)
    assert model["properties"].keys() == contract["properties"].keys()


def _request_model(stack: Stack) -> dict[str, Any]:
    _, method = _methods(stack)["POST /payments"]
    model = stack.addresses[_address(method["request_models"]["application/json"])]
    assert model["content_type"] == "application/json"
    schema: dict[str, Any] = json.loads(model["schema"])
    return schema


def test_models_when_synthesised_then_every_request_body_with_a_schema_of_the_contracts_has_one(stack: Stack) -> None:
    for route, (_, method) in _methods(stack).items():
        content = OPERATIONS[route].get("requestBody", {}).get("content", {})
        described = {content_type for content_type, body in content.items() if "$ref" in body["schema"]}
        assert method.get("request_models", {}).keys() == described


def test_webhooks_body_when_it_comes_then_api_gateway_does_not_judge_it(stack: Stack) -> None:
    _, method = _methods(stack)[WEBHOOK]

    assert "request_models" not in method  # what is signed decides, byte for byte


def test_contract_when_compared_with_the_code_then_the_same_fields_and_limits() -> None:
    request = SCHEMAS["PaymentRequest"]
    properties = request["properties"]

    assert tuple(properties) == FIELDS
    assert tuple(request["required"]) == REQUIRED_FIELDS
    assert SCHEMAS["PaymentId"]["pattern"] == f"^{PAYMENT_ID.pattern}$"
    assert properties["customer_id"]["pattern"] == f"^{CUSTOMER_ID.pattern}$"
    assert properties["payment_method"]["pattern"] == f"^{PAYMENT_METHOD.pattern}$"
    assert properties["description"]["maxLength"] == MAX_DESCRIPTION
    assert properties["metadata"]["maxProperties"] == MAX_METADATA_KEYS
    assert properties["metadata"]["additionalProperties"]["maxLength"] == MAX_METADATA_VALUE


def test_statuses_of_the_contract_when_compared_then_they_are_the_domains() -> None:
    assert SCHEMAS["Status"]["enum"] == [status.value for status in Status]


def test_errors_of_the_gateway_when_it_refuses_by_itself_then_problem_details_that_say_what_to_do(stack: Stack) -> None:
    responses = {r["response_type"]: r for r in stack.all("aws_api_gateway_gateway_response").values()}

    assert {"BAD_REQUEST_BODY", "THROTTLED", "DEFAULT_4XX", "DEFAULT_5XX"} <= responses.keys()
    for response in responses.values():
        problem = json.loads(response["response_templates"]["application/json"])
        assert set(SCHEMAS["Problem"]["required"]) <= problem.keys() <= SCHEMAS["Problem"]["properties"].keys()
        assert problem.get("status") == (int(response["status_code"]) if "status_code" in response else None)
        assert response["response_parameters"]["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
    assert responses["THROTTLED"]["response_parameters"]["gatewayresponse.header.Retry-After"] == "'1'"


def test_stage_when_synthesised_then_throttled_as_the_environment_says_and_traced(stack: Stack) -> None:
    _, stage = stack.only("aws_api_gateway_stage")
    _, limits = stack.only("aws_api_gateway_method_settings")

    assert stage["xray_tracing_enabled"] is True
    assert limits["method_path"] == "*/*"
    assert limits["settings"]["metrics_enabled"] is True
    assert limits["settings"]["throttling_rate_limit"] == stack.settings.effective.api_rate_per_second
    assert limits["settings"]["throttling_burst_limit"] == stack.settings.effective.api_burst


def test_deployment_when_made_then_everything_it_takes_a_snapshot_of_is_there_first(stack: Stack) -> None:
    _, deployment = stack.only("aws_api_gateway_deployment")
    parts = {
        address
        for kind in ("method", "integration", "gateway_response")
        for address in stack.all(f"aws_api_gateway_{kind}")
    }

    assert set(deployment["depends_on"]) == parts
    assert deployment["lifecycle"] == {"create_before_destroy": True}


def test_functions_when_the_api_calls_them_then_only_this_api_may_and_only_those_of_its_routes(stack: Stack) -> None:
    api, _ = stack.only("aws_api_gateway_rest_api")
    permissions = [
        permission
        for permission in stack.all("aws_lambda_permission").values()
        if permission["principal"] == "apigateway.amazonaws.com"
    ]

    assert {stack.resolve(permission["function_name"]) for permission in permissions} == {
        f"payment-{_function_of(operation)}-{stack.suffix}" for operation in OPERATIONS.values()
    }
    for permission in permissions:
        assert permission["action"] == "lambda:InvokeFunction"
        assert permission["source_arn"] == f"${{{api}.execution_arn}}/*/*"


def test_bodies_when_of_the_contracts_example_then_they_have_all_that_is_required() -> None:
    example = OPERATIONS["POST /payments"]["requestBody"]["content"]["application/json"]["example"]

    assert set(REQUIRED_FIELDS) <= example.keys() <= set(FIELDS)


def test_deployment_when_a_model_changes_then_a_new_snapshot_is_served(
    dev: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lib.api.gateway_model", lambda contract, schema: {"type": "object"})
    changed = synthesise(dev.settings, tmp_path)

    assert _trigger(changed) != _trigger(dev)


def test_deployment_when_nothing_changes_then_no_new_snapshot_is_made(dev: Stack, tmp_path: Path) -> None:
    assert _trigger(synthesise(dev.settings, tmp_path)) == _trigger(dev)


def _trigger(stack: Stack) -> dict[str, str]:
    _, deployment = stack.only("aws_api_gateway_deployment")
    triggers: dict[str, str] = deployment["triggers"]
    return triggers
