"""Limits that apply before our code runs: the API's web ACL, and a usage plan for each merchant."""

import json
from typing import Any

from lib.bindings import (
    ApiGatewayApiKey,
    ApiGatewayStage,
    ApiGatewayUsagePlan,
    ApiGatewayUsagePlanApiStages,
    ApiGatewayUsagePlanKey,
    Construct,
    Wafv2WebAcl,
    Wafv2WebAclAssociation,
)
from lib.features.rest_api import RestApi
from lib.foundation.foundation import Foundation
from lib.foundation.identity import Identity
from lib.iam import waive
from payments.domain.identity import UsageGroup, usage_key
from payments.rest.http import MAX_BODY_BYTES

FLOOD_SECONDS = 60
"""The period over which the web ACL counts the calls of an address."""
FLOOD_PERCENT = 50
"""The most calls of one address, reads included, as a share of the API's throttle: two addresses are needed to use it
up. A flood that the throttle sees first turns away every other caller."""
LEAST_FLOOD = 10
"""The lowest limit that a rate-based rule of WAF accepts."""
BURST_FACTOR = 2
"""A merchant's burst, as a multiple of its rate."""

_SHARES = {UsageGroup.STAFF: 100, UsageGroup.OTHER_MERCHANTS: 100, UsageGroup.PEOPLE: 50}
"""The most calls of a group, as a percentage of the API's throttle: those who may register leave half of it."""

MANAGED_RULES: dict[str, tuple[str, ...]] = {
    "AWSManagedRulesAmazonIpReputationList": (),
    # anonymous proxies are blocked; merchants' machines and Stripe call from hosting providers
    "AWSManagedRulesAnonymousIpList": ("HostingProviderIPList",),
    "AWSManagedRulesKnownBadInputsRuleSet": (),
    # it blocks bodies from 8 KiB: Stripe's events are larger, and `body-too-large` applies our own limit
    "AWSManagedRulesCommonRuleSet": ("SizeRestrictions_BODY",),
}
"""AWS's managed rule groups → the rules in each that only count."""

_THROTTLED = {
    "type": "urn:problem:payment-api:throttled",
    "title": "Too many requests",
    "status": 429,
    "detail": "too many requests from your address; wait a minute, then send the same request again",
}
_TOO_LARGE = {
    "type": "urn:problem:payment-api:invalid-request",
    "title": "Request too large",
    "status": 413,
    "detail": f"the body is larger than {MAX_BODY_BYTES} bytes; send one payment at a time",
}


class RateLimits(Construct):
    """The web ACL of the API's stage, and the usage plans of callers with tokens.

    A usage plan counts the calls of an API key. The authorizer returns the key of each call: see `usage_key`. The key's
    value is not a secret, because the API accepts it only from the authorizer.
    """

    def __init__(self, foundation: Foundation, api: RestApi, identity: Identity | None) -> None:
        super().__init__(foundation.scope, "limits")
        self._settings = settings = foundation.settings
        self._stages = [ApiGatewayUsagePlanApiStages(api_id=api.rest_api.id, stage=api.stage.stage_name)]
        self._web_acl(api.stage)
        if not identity:
            return  # without an authorizer calls have no key
        effective, suffix = settings.effective, settings.environment_suffix
        for merchant, client in identity.merchant_clients.items():
            rate = effective.merchant_rate_per_second
            self._plan(
                f"merchant-{merchant}",
                usage_key(suffix, client.id),
                throttle_settings={"rate_limit": rate, "burst_limit": BURST_FACTOR * rate},
                quota_settings={"limit": effective.merchant_quota_per_day, "period": "DAY"},
            )
        for group, percent in _SHARES.items():
            rate, burst = (
                max(1, most * percent // 100) for most in (effective.api_rate_per_second, effective.api_burst)
            )
            throttle = {"rate_limit": rate, "burst_limit": burst}
            self._plan(group, usage_key(suffix, group=group), throttle_settings=throttle)

    def _plan(self, who: str, value: str, **limits: Any) -> None:
        name = self._settings.name(f"payment-{who}")
        plan = ApiGatewayUsagePlan(self, f"{who}_plan", name=name, api_stages=self._stages, **limits)
        key = ApiGatewayApiKey(self, f"{who}_key", name=name, value=value)
        ApiGatewayUsagePlanKey(self, f"{who}_plan_key", usage_plan_id=plan.id, key_id=key.id, key_type="API_KEY")

    def _web_acl(self, stage: ApiGatewayStage) -> None:
        most = max(LEAST_FLOOD, self._settings.effective.api_rate_per_second * FLOOD_SECONDS * FLOOD_PERCENT // 100)
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
                        # the web ACL sees only the first part of an oversized body: such a body is too large
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
        # overrides in Terraform's JSON: the bindings have a class for each block, but none for a rule's statement
        acl.add_override("rule", [{**rule, "priority": priority} for priority, rule in enumerate(rules)])
        acl.add_override(
            "custom_response_body",
            [
                {"key": key, "content_type": "APPLICATION_JSON", "content": json.dumps(problem)}
                for key, problem in (("throttled", _THROTTLED), ("too-large", _TOO_LARGE))
            ],
        )
        # by default API Gateway passes 16 KiB of a body to a web ACL
        inspected = {"default_size_inspection_limit": "KB_64"}
        acl.add_override("association_config", {"request_body": {"api_gateway": inspected}})
        # samples contain the requests of all callers, with tokens and the e-mail addresses of customer searches
        hidden = [{"field_type": "SINGLE_HEADER", "field_keys": ["authorization"]}, {"field_type": "QUERY_STRING"}]
        protected = [{"action": "SUBSTITUTION", "field": field} for field in hidden]
        acl.add_override("data_protection_config", {"data_protection": protected})
        waive(
            acl,
            CKV2_AWS_31="metrics and samples show the blocked requests; the function logs every request with its id",
        )
        Wafv2WebAclAssociation(self, "web_acl_association", resource_arn=stage.arn, web_acl_arn=acl.arn)


def _rule(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "visibility_config": _visible(name), **more}


def _refuse(status: int, body: str, *, retry_after_seconds: int = 0) -> dict[str, Any]:
    headers = [{"name": "Retry-After", "value": str(retry_after_seconds)}] if retry_after_seconds else []
    response = {"response_code": status, "custom_response_body_key": body, "response_header": headers}
    return {"block": {"custom_response": response}}


def _visible(name: str) -> dict[str, Any]:
    return {"cloudwatch_metrics_enabled": True, "sampled_requests_enabled": True, "metric_name": name}
