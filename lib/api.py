"""The REST API, made from api/openapi.yaml: its routes, request models, validators and errors."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import yaml

from lib.aws import (
    ApiGatewayDeployment,
    ApiGatewayGatewayResponse,
    ApiGatewayIntegration,
    ApiGatewayMethod,
    ApiGatewayMethodSettings,
    ApiGatewayModel,
    ApiGatewayRequestValidator,
    ApiGatewayResource,
    ApiGatewayRestApi,
    ApiGatewayStage,
    Construct,
    LambdaPermission,
    TerraformResource,
)
from lib.functions import Function
from lib.package import ROOT
from lib.policies import waive
from lib.settings import Settings

OPENAPI = ROOT / "api" / "openapi.yaml"
VERBS = ("get", "post", "put", "patch", "delete")

_INVALID = "the request does not match the contract: $context.error.validationErrorString; correct it and send it again"
GATEWAY_ERRORS: dict[str, tuple[int, str, str, str]] = {
    "BAD_REQUEST_BODY": (400, "invalid-request", "The request cannot be taken", _INVALID),
    "BAD_REQUEST_PARAMETERS": (400, "invalid-request", "The request cannot be taken", _INVALID),
    "REQUEST_TOO_LARGE": (413, "invalid-request", "The request is too large", "send one payment at a time"),
    "THROTTLED": (429, "throttled", "Too many requests", "wait a second, then send the same request again"),
    "MISSING_AUTHENTICATION_TOKEN": (404, "not-found", "No such route", "see api/openapi.yaml for the routes"),
    "ACCESS_DENIED": (
        403,
        "forbidden",
        "Not allowed",
        "the signature is good, but its identity may not call this route",
    ),
    "INVALID_SIGNATURE": (403, "forbidden", "Not allowed", "the signature does not match the request; sign it anew"),
    "EXPIRED_TOKEN": (
        403,
        "forbidden",
        "Not allowed",
        "the credentials ran out; get new ones and sign the request anew",
    ),
    "UNSUPPORTED_MEDIA_TYPE": (415, "invalid-request", "The request cannot be taken", "send application/json"),
    "DEFAULT_4XX": (0, "refused", "The request was refused", "see the status code; $context.error.message"),
    "DEFAULT_5XX": (0, "internal-error", "Something failed on our side", "send the same request again"),
}
"""What API Gateway answers by itself: response type → status (0: each its own), problem kind, title, detail."""
_UNSIGNED = {
    "MISSING_AUTHENTICATION_TOKEN": (
        403,
        "forbidden",
        "Not signed, or no such route",
        "sign the request with Signature Version 4; see api/openapi.yaml for the routes",
    )
}
"""API Gateway cannot tell an unknown route from an unsigned request; where it asks for IAM, it is mostly the second."""


def load_contract() -> dict[str, Any]:
    """api/openapi.yaml as plain data."""
    contract: dict[str, Any] = yaml.safe_load(OPENAPI.read_text())
    return contract


def gateway_model(contract: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """What API Gateway checks of a body: that it is an object with the contract's fields, none missing, none unknown.

    Types and patterns are left to the function. It names the field, the value and what is allowed, where API Gateway
    says "instance type (integer) does not match any allowed primitive type" of a field that it does not name.
    """
    body = contract["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": body["type"],
        "required": body["required"],
        "properties": {name: {} for name in body["properties"]},
        "additionalProperties": body["additionalProperties"],
    }


class PaymentApi(Construct):
    """The API with its functions: an operation's `x-function` in the contract names the one behind it."""

    def __init__(self, scope: Construct, settings: Settings, functions: Mapping[str, Function]) -> None:
        super().__init__(scope, "api")
        self._contract = load_contract()
        self._settings = settings
        self._functions = functions
        self._made: list[TerraformResource] = []
        self._schemas: list[str] = []
        self.rest_api = ApiGatewayRestApi(
            self,
            "rest_api",
            name=settings.name("payment-api"),
            description=self._contract["info"]["title"],
            endpoint_configuration={"types": ["REGIONAL"]},
            lifecycle={"create_before_destroy": True},
        )
        self._validator = ApiGatewayRequestValidator(
            self,
            "validator",
            rest_api_id=self.rest_api.id,
            name="body-and-parameters",
            validate_request_body=True,
            validate_request_parameters=True,
        )
        for path, operations in self._contract["paths"].items():
            resource_id = self._resource(path)
            for verb in VERBS:
                if verb in operations:
                    self._method(resource_id, verb, operations[verb])
        self._gateway_errors()
        self.stage = self._stage()
        for name, function in functions.items():
            LambdaPermission(
                self,
                f"calls_{name}",
                action="lambda:InvokeFunction",
                function_name=function.function.function_name,
                principal="apigateway.amazonaws.com",
                source_arn=f"{self.rest_api.execution_arn}/*/*",
            )

    def _resource(self, path: str) -> str:
        parent = self.rest_api.root_resource_id
        at = ""
        for part in path.strip("/").split("/"):
            at += f"_{part.strip('{}')}"
            known = self.node.try_find_child(f"path{at}")
            resource = known or ApiGatewayResource(
                self, f"path{at}", rest_api_id=self.rest_api.id, parent_id=parent, path_part=part
            )
            parent = resource.id  # type: ignore[attr-defined]  # try_find_child gives the bare construct
        return parent

    def _method(self, resource_id: str, verb: str, operation: dict[str, Any]) -> None:
        name = operation["operationId"]
        parameters = [p for p in operation.get("parameters", []) if p["in"] == "path"]
        proves_itself = operation.get("security") == []  # by a signature that its function checks
        asks_for_iam = self._settings.effective.auth_mode == "iam" and not proves_itself
        method = ApiGatewayMethod(
            self,
            name,
            rest_api_id=self.rest_api.id,
            resource_id=resource_id,
            http_method=verb.upper(),
            authorization="AWS_IAM" if asks_for_iam else "NONE",
            request_validator_id=self._validator.id,
            request_parameters={f"method.request.path.{p['name']}": True for p in parameters} or None,
            request_models=self._models(operation) or None,
        )
        integration = ApiGatewayIntegration(
            self,
            f"{name}_integration",
            rest_api_id=self.rest_api.id,
            resource_id=resource_id,
            http_method=method.http_method,
            integration_http_method="POST",
            type="AWS_PROXY",
            uri=self._functions[operation.get("x-function", "api")].function.invoke_arn,
        )
        self._made += [method, integration]
        if proves_itself:
            waive(method, CKV_AWS_59="Stripe cannot sign for IAM: its own signature is checked before all else")
        elif not asks_for_iam:
            waive(method, CKV_AWS_59="AUTH_MODE=none is for trying it out; production refuses to synthesise with it")

    def _models(self, operation: dict[str, Any]) -> dict[str, str]:
        models = {}
        for content_type, content in operation.get("requestBody", {}).get("content", {}).items():
            if "$ref" not in content["schema"]:
                continue  # a body that the function takes as it is
            name = content["schema"]["$ref"].rpartition("/")[2]
            schema = json.dumps(gateway_model(self._contract, content["schema"]))
            self._schemas.append(schema)
            model = ApiGatewayModel(
                self,
                name,
                rest_api_id=self.rest_api.id,
                name=name,
                content_type=content_type,
                schema=schema,
            )
            models[content_type] = model.name
        return models

    def _gateway_errors(self) -> None:
        errors = GATEWAY_ERRORS | (_UNSIGNED if self._settings.effective.auth_mode == "iam" else {})
        for response_type, (status, kind, title, detail) in errors.items():
            problem = {
                "type": f"urn:problem:payment-api:{kind}",
                "title": title,
                **({"status": status} if status else {}),
                "detail": detail,
                "instance": "$context.requestId",
            }
            self._made.append(
                ApiGatewayGatewayResponse(
                    self,
                    response_type.lower(),
                    rest_api_id=self.rest_api.id,
                    response_type=response_type,
                    status_code=str(status) if status else None,
                    response_templates={"application/json": json.dumps(problem)},
                    response_parameters={
                        "gatewayresponse.header.Content-Type": "'application/problem+json'",
                        **({"gatewayresponse.header.Retry-After": "'1'"} if status == 429 else {}),
                    },
                )
            )

    def _stage(self) -> ApiGatewayStage:
        # a REST API only serves a snapshot of itself: a new one for every change of what it is made from
        auth_mode = self._settings.effective.auth_mode
        called = [function.name for function in self._functions.values()]
        shape = f"{OPENAPI.read_text()}{self._schemas}{GATEWAY_ERRORS}{auth_mode}{called}"
        deployment = ApiGatewayDeployment(
            self,
            "deployment",
            rest_api_id=self.rest_api.id,
            triggers={"contract": hashlib.sha256(shape.encode()).hexdigest()},
            lifecycle={"create_before_destroy": True},
            depends_on=self._made,
        )
        stage = ApiGatewayStage(
            self,
            "stage",
            rest_api_id=self.rest_api.id,
            deployment_id=deployment.id,
            stage_name=self._settings.environment_suffix,
            xray_tracing_enabled=True,
        )
        waive(
            stage,
            CKV_AWS_76="needs a role in the account's API Gateway settings, which all stacks share; the function logs",
            CKV_AWS_120="answers about payments must never come from a cache",
            CKV2_AWS_4="needs the same account-wide role; the function logs every request with its id",
            CKV2_AWS_29="a web ACL comes with the identity of callers; until then IAM keeps strangers out",
            CKV2_AWS_51="callers sign with IAM; a client certificate would be a second, weaker proof",
        )
        limits = ApiGatewayMethodSettings(
            self,
            "limits",
            rest_api_id=self.rest_api.id,
            stage_name=stage.stage_name,
            method_path="*/*",
            settings={
                "metrics_enabled": True,
                "throttling_rate_limit": self._settings.effective.api_rate_per_second,
                "throttling_burst_limit": self._settings.effective.api_burst,
            },
        )
        waive(limits, CKV_AWS_225="answers about payments must never come from a cache")
        return stage
