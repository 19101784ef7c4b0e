"""The resources of API Gateway, made from api/openapi.yaml: routes, request models, validators and errors."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import yaml

from lib.bindings import (
    ApiGatewayAuthorizer,
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
from lib.foundation.functions import Function
from lib.foundation.identity import AUTHORIZER_CACHE_SECONDS, BEARER_PATTERN
from lib.iam import waive
from lib.package import ROOT
from lib.settings import Settings

OPENAPI = ROOT / "api" / "openapi.yaml"
VERBS = ("get", "post", "put", "patch", "delete")

_INVALID = "the request does not match the contract: $context.error.validationErrorString; correct it and send it again"
GATEWAY_ERRORS: dict[str, tuple[int, str, str, str]] = {
    "BAD_REQUEST_BODY": (400, "invalid-request", "Invalid request", _INVALID),
    "BAD_REQUEST_PARAMETERS": (400, "invalid-request", "Invalid request", _INVALID),
    "REQUEST_TOO_LARGE": (413, "invalid-request", "Request too large", "send one payment at a time"),
    "THROTTLED": (429, "throttled", "Too many requests", "wait a second, then send the same request again"),
    "QUOTA_EXCEEDED": (
        429,
        "throttled",
        "Quota exceeded",
        "the quota resets tomorrow; ask an operator for a larger one",
    ),
    "UNAUTHORIZED": (
        401,
        "unauthorized",
        "Unauthorized",
        "send a valid access token as `Authorization: Bearer ...`; get one with `payctl login` and `payctl token`",
    ),
    "INVALID_API_KEY": (403, "forbidden", "Forbidden", "the caller has no usage plan; ask an operator"),
    "WAF_FILTERED": (403, "forbidden", "Forbidden", "the web ACL blocked the request; see docs/api.md"),
    "MISSING_AUTHENTICATION_TOKEN": (404, "not-found", "Route not found", "see api/openapi.yaml for the routes"),
    "ACCESS_DENIED": (403, "forbidden", "Forbidden", "the caller may not call this route"),
    "UNSUPPORTED_MEDIA_TYPE": (415, "invalid-request", "Invalid request", "send application/json"),
    "DEFAULT_4XX": (0, "refused", "Request rejected", "see the status code, and api/openapi.yaml"),
    "DEFAULT_5XX": (0, "internal-error", "Internal error", "send the same request again"),
}
"""API Gateway's own errors: response type → status (0: keep its own), problem kind, title, detail."""
_HEADERS: dict[int, dict[str, str]] = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}}
_TOMORROW = {"Retry-After": "86400"}


def load_contract() -> dict[str, Any]:
    """api/openapi.yaml as plain data."""
    contract: dict[str, Any] = yaml.safe_load(OPENAPI.read_text())
    return contract


def gateway_model(contract: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """API Gateway's check of a body: an object with the contract's fields, no field missing, no field unknown.

    The function checks types and patterns. Its error names the field, the value and what is allowed; API Gateway would
    answer "instance type (integer) does not match any allowed primitive type" without the name of the field.
    """
    body = contract["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": body["type"],
        # draft 4 does not allow an empty list of required fields
        **({"required": body["required"]} if "required" in body else {}),
        "properties": {name: {} for name in body["properties"]},
        "additionalProperties": body["additionalProperties"],
    }


class PaymentApi(Construct):
    """The API with its functions: an operation's `x-function` in the contract names the function that serves it.

    The `authorizer` function identifies the caller; it is None if AUTH_MODE is `none`.
    """

    def __init__(
        self, scope: Construct, settings: Settings, functions: Mapping[str, Function], authorizer: Function | None
    ) -> None:
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
            # the authorizer chooses the usage plan, never the caller
            api_key_source="AUTHORIZER" if authorizer else "HEADER",
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
        self._authorizer = self._authorized_by(authorizer) if authorizer else None
        for path, operations in self._contract["paths"].items():
            resource_id = self._resource(path)
            for verb in VERBS:
                if verb in operations:
                    self._method(resource_id, verb, operations[verb])
            # an unsupported verb gets 405, not 404
            other = path.strip("/").replace("/", "_").replace("{", "").replace("}", "")
            self._method(resource_id, "any", {"operationId": f"other_{other}"})
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

    def _authorized_by(self, function: Function) -> ApiGatewayAuthorizer:
        LambdaPermission(
            self,
            "calls_authorizer",
            action="lambda:InvokeFunction",
            function_name=function.function.function_name,
            principal="apigateway.amazonaws.com",
            source_arn=f"{self.rest_api.execution_arn}/authorizers/*",
        )
        return ApiGatewayAuthorizer(
            self,
            "authorizer",
            rest_api_id=self.rest_api.id,
            name="bearer-token",
            type="TOKEN",
            authorizer_uri=function.function.invoke_arn,
            identity_source="method.request.header.Authorization",
            identity_validation_expression=BEARER_PATTERN,
            authorizer_result_ttl_in_seconds=AUTHORIZER_CACHE_SECONDS,
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
            parent = resource.id  # type: ignore[attr-defined]  # try_find_child returns a plain Construct
        return parent

    def _method(self, resource_id: str, verb: str, operation: dict[str, Any]) -> None:
        name = operation["operationId"]
        open_to_all = operation.get("security") == []
        authorizer = None if open_to_all else self._authorizer
        method = ApiGatewayMethod(
            self,
            name,
            rest_api_id=self.rest_api.id,
            resource_id=resource_id,
            http_method=verb.upper(),
            authorization="CUSTOM" if authorizer else "NONE",
            authorizer_id=authorizer.id if authorizer else None,
            api_key_required=bool(authorizer),
            request_validator_id=self._validator.id,
            request_parameters=self._parameters(operation) or None,
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
        if open_to_all:
            waive(method, CKV_AWS_59="it returns no data (health), or verifies the signature of its caller (webhooks)")
        elif not authorizer:
            waive(method, CKV_AWS_59="AUTH_MODE=none is for a trial; the synthesis of production fails with it")

    def _parameters(self, operation: dict[str, Any]) -> dict[str, bool]:
        """The path and query parameters that API Gateway passes on, and whether each is required."""
        places = {"path": "path", "query": "querystring"}
        parameters = [self._resolved(parameter) for parameter in operation.get("parameters", [])]
        return {
            f"method.request.{places[parameter['in']]}.{parameter['name']}": parameter.get("required", False)
            for parameter in parameters
            if parameter["in"] in places
        }

    def _resolved(self, parameter: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in parameter:
            return parameter
        found: dict[str, Any] = self._contract["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]
        return found

    def _models(self, operation: dict[str, Any]) -> dict[str, str]:
        models = {}
        for content_type, content in operation.get("requestBody", {}).get("content", {}).items():
            if "$ref" not in content["schema"]:
                continue  # the function takes this body unchanged
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
        for response_type, (status, kind, title, detail) in GATEWAY_ERRORS.items():
            headers = _TOMORROW if response_type == "QUOTA_EXCEEDED" else _HEADERS.get(status, {})
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
                        **{f"gatewayresponse.header.{name}": f"'{value}'" for name, value in headers.items()},
                    },
                )
            )

    def _stage(self) -> ApiGatewayStage:
        # a REST API serves a snapshot of itself: every change of its sources needs a new one
        auth_mode = self._settings.effective.auth_mode
        called = [function.name for function in self._functions.values()]
        answers = f"{GATEWAY_ERRORS}{_HEADERS}{_TOMORROW}"
        asks = f"{auth_mode}{BEARER_PATTERN}{AUTHORIZER_CACHE_SECONDS}"
        shape = f"{OPENAPI.read_text()}{self._schemas}{answers}{asks}{called}"
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
            CKV_AWS_120="answers about payments must not come from a cache",
            CKV2_AWS_4="needs the same account-wide role; the function logs every request with its id",
            CKV2_AWS_51="callers authenticate with tokens; a client certificate would add nothing",
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
        waive(limits, CKV_AWS_225="answers about payments must not come from a cache")
        return stage
