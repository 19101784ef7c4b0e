"""Limits before our code runs: a web ACL in front of the API, and a usage plan for each merchant behind it."""

import json
from collections.abc import Mapping
from typing import Any

from lib.bindings import (
    ApiGatewayApiKey,
    ApiGatewayRestApi,
    ApiGatewayStage,
    ApiGatewayUsagePlan,
    ApiGatewayUsagePlanApiStages,
    ApiGatewayUsagePlanKey,
    Construct,
    Wafv2WebAcl,
    Wafv2WebAclAssociation,
)
from lib.iam import waive
from lib.settings import Settings
from payments.domain.identity import usage_key
from payments.rest.http import MAX_BODY_BYTES

FLOOD_SECONDS = 60
"""What the web ACL counts an address's calls over."""
FLOOD_FACTOR = 10
"""How many times RATE_PER_IP_PER_MINUTE one address may call in all, reading included."""
BURST_FACTOR = 2
"""A merchant's burst, in times of its rate."""

MANAGED_RULES: dict[str, tuple[str, ...]] = {
    "AWSManagedRulesAmazonIpReputationList": (),
    # whoever hides is refused; merchants' machines and the gateway call from hosting providers
    "AWSManagedRulesAnonymousIpList": ("HostingProviderIPList",),
    "AWSManagedRulesKnownBadInputsRuleSet": (),
    # it refuses bodies from 8 KiB on: events of the gateway are larger, and our own rule has our own limit
    "AWSManagedRulesCommonRuleSet": ("SizeRestrictions_BODY",),
}
"""AWS's groups of rules → those of their rules that only count."""

_THROTTLED = {
    "type": "urn:problem:payment-api:throttled",
    "title": "Too many requests",
    "status": 429,
    "detail": "too many requests from your address; wait a minute, then send the same request again",
}
_TOO_LARGE = {
    "type": "urn:problem:payment-api:invalid-request",
    "title": "The request is too large",
    "status": 413,
    "detail": f"the body is larger than {MAX_BODY_BYTES} bytes; send one payment at a time",
}


class Limits(Construct):
    """The web ACL of an API's stage; and, where callers have tokens, their usage plans.

    A plan counts for a key, and the authorizer says which key a call has: see `usage_key`. The value of a key is no
    secret, as the API takes it from the authorizer's answer alone.
    """

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        *,
        stage: ApiGatewayStage,
        rest_api: ApiGatewayRestApi,
        merchant_clients: Mapping[str, str],
    ) -> None:
        """`merchant_clients` gives each merchant's app client id by the merchant's name in MERCHANTS."""
        super().__init__(scope, "limits")
        self._settings = settings
        self._stages = [ApiGatewayUsagePlanApiStages(api_id=rest_api.id, stage=stage.stage_name)]
        self._web_acl(stage)
        if settings.effective.auth_mode == "none":
            return  # nobody says who calls, so no method asks for a key
        effective, suffix = settings.effective, settings.environment_suffix
        for merchant, client_id in merchant_clients.items():
            rate = effective.merchant_rate_per_second
            self._plan(
                f"merchant-{merchant}",
                usage_key(suffix, client_id),
                throttle_settings={"rate_limit": rate, "burst_limit": BURST_FACTOR * rate},
                quota_settings={"limit": effective.merchant_quota_per_day, "period": "DAY"},
            )
        self._plan(
            "people-and-others",
            usage_key(suffix),
            throttle_settings={"rate_limit": effective.api_rate_per_second, "burst_limit": effective.api_burst},
        )

    def _plan(self, who: str, value: str, **limits: Any) -> None:
        name = self._settings.name(f"payment-{who}")
        plan = ApiGatewayUsagePlan(self, f"{who}_plan", name=name, api_stages=self._stages, **limits)
        key = ApiGatewayApiKey(self, f"{who}_key", name=name, value=value)
        ApiGatewayUsagePlanKey(self, f"{who}_plan_key", usage_plan_id=plan.id, key_id=key.id, key_type="API_KEY")

    def _web_acl(self, stage: ApiGatewayStage) -> None:
        most = FLOOD_FACTOR * self._settings.effective.rate_per_ip_per_minute
        rules = [
            _rule(
                "flood-from-one-address",
                action=_refuse(429, "throttled", retry_after_seconds=FLOOD_SECONDS),
                statement={
                    "rate_based_statement": {
                        "limit": most,
                        "evaluation_window_sec": FLOOD_SECONDS,
                        "aggregate_key_type": "IP",
                    }
                },
            ),
            _rule(
                "body-too-large",
                action=_refuse(413, "too-large"),
                statement={
                    "size_constraint_statement": {
                        # of a larger body the web ACL is given no more than this: to go on is to be too large
                        "field_to_match": {"body": {"oversize_handling": "MATCH"}},
                        "comparison_operator": "GT",
                        "size": MAX_BODY_BYTES,
                        "text_transformation": [{"priority": 0, "type": "NONE"}],
                    }
                },
            ),
            *(
                _rule(
                    group,
                    override_action={"none": {}},
                    statement={
                        "managed_rule_group_statement": {
                            "vendor_name": "AWS",
                            "name": group,
                            "rule_action_override": [
                                {"name": name, "action_to_use": {"count": {}}} for name in only_counted
                            ],
                        }
                    },
                )
                for group, only_counted in MANAGED_RULES.items()
            ),
        ]
        acl = Wafv2WebAcl(
            self,
            "web_acl",
            name=self._settings.name("payment-api"),
            scope="REGIONAL",
            default_action={"allow": {}},
            visibility_config=_visible(self._settings.name("payment-api")),
        )
        # in Terraform's own words: the bindings have a class for each of these blocks, and none for what a rule states
        acl.add_override("rule", [{**rule, "priority": priority} for priority, rule in enumerate(rules)])
        acl.add_override(
            "custom_response_body",
            [
                {"key": key, "content_type": "APPLICATION_JSON", "content": json.dumps(problem)}
                for key, problem in (("throttled", _THROTTLED), ("too-large", _TOO_LARGE))
            ],
        )
        # API Gateway hands 16 KiB of a body to a web ACL unless it is told otherwise
        inspected = {"default_size_inspection_limit": "KB_64"}
        acl.add_override("association_config", {"request_body": {"api_gateway": inspected}})
        # samples hold requests of all callers as they came: tokens, and the addresses that customers are looked for by
        hidden = [{"field_type": "SINGLE_HEADER", "field_keys": ["authorization"]}, {"field_type": "QUERY_STRING"}]
        protected = [{"action": "SUBSTITUTION", "field": field} for field in hidden]
        acl.add_override("data_protection_config", {"data_protection": protected})
        waive(acl, CKV2_AWS_31="metrics and samples show what it refuses; the function logs every request with its id")
        Wafv2WebAclAssociation(self, "web_acl_association", resource_arn=stage.arn, web_acl_arn=acl.arn)


def _rule(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "visibility_config": _visible(name), **more}


def _refuse(status: int, body: str, *, retry_after_seconds: int = 0) -> dict[str, Any]:
    headers = [{"name": "Retry-After", "value": str(retry_after_seconds)}] if retry_after_seconds else []
    response = {"response_code": status, "custom_response_body_key": body, "response_header": headers}
    return {"block": {"custom_response": response}}


def _visible(name: str) -> dict[str, Any]:
    return {"cloudwatch_metrics_enabled": True, "sampled_requests_enabled": True, "metric_name": name}
