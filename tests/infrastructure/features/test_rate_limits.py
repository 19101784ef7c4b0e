"""Limits before our code runs: the web ACL in front of the API, and a usage plan for each merchant."""

import json
from typing import Any

import pytest

from lib.settings import Settings
from payments.domain.identity import UsageGroup, usage_key
from payments.rest.http import MAX_BODY_BYTES
from tests.infrastructure.synth import Resource, Stack, synthesise, waivers

MANAGED = {
    "AWSManagedRulesCommonRuleSet",
    "AWSManagedRulesKnownBadInputsRuleSet",
    "AWSManagedRulesAmazonIpReputationList",
    "AWSManagedRulesAnonymousIpList",
}


@pytest.fixture(scope="module")
def with_merchants(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """An environment with two merchants and limits of its own."""
    settings = Settings(
        environment_suffix="pr-7",
        merchants=["shop", "partner"],
        rate_per_ip_per_minute=7,
        merchant_rate_per_second=3,
        merchant_quota_per_day=1000,
    )
    return synthesise(settings, tmp_path_factory.mktemp("merchants"))


def _rules(stack: Stack) -> dict[str, Resource]:
    _, acl = stack.only("aws_wafv2_web_acl")
    return {rule["name"]: rule for rule in acl["rule"]}


def _body(stack: Stack, key: str) -> dict[str, Any]:
    """What the web ACL answers with, by the name of the body."""
    _, acl = stack.only("aws_wafv2_web_acl")
    (content,) = [body["content"] for body in acl["custom_response_body"] if body["key"] == key]
    body: dict[str, Any] = json.loads(content)
    return body


def test_web_acl_when_synthesised_then_it_stands_before_the_stage(stack: Stack) -> None:
    address, acl = stack.only("aws_wafv2_web_acl")
    stage, resource = stack.only("aws_api_gateway_stage")
    _, association = stack.only("aws_wafv2_web_acl_association")

    assert association["resource_arn"] == f"${{{stage}.arn}}"
    assert association["web_acl_arn"] == f"${{{address}.arn}}"
    assert (acl["name"], acl["scope"]) == (f"payment-api-{stack.suffix}", "REGIONAL")
    assert "CKV2_AWS_29" not in waivers(resource)


def test_web_acl_when_a_rule_is_looked_at_then_what_it_refuses_is_seen(stack: Stack) -> None:
    _, acl = stack.only("aws_wafv2_web_acl")
    names = [visible["visibility_config"]["metric_name"] for visible in (acl, *acl["rule"])]

    assert len(set(names)) == len(names)
    for visible in (acl, *acl["rule"]):
        assert visible["visibility_config"]["cloudwatch_metrics_enabled"] is True
        assert visible["visibility_config"]["sampled_requests_enabled"] is True
    assert [rule["priority"] for rule in acl["rule"]] == list(range(len(acl["rule"])))


def test_web_acl_samples_leave_out_tokens_and_query_strings(stack: Stack) -> None:
    _, acl = stack.only("aws_wafv2_web_acl")
    protected = acl["data_protection_config"]["data_protection"]

    assert {protection["action"] for protection in protected} == {"SUBSTITUTION"}
    assert [protection["field"] for protection in protected] == [
        {"field_type": "SINGLE_HEADER", "field_keys": ["authorization"]},
        {"field_type": "QUERY_STRING"},
    ]


def test_flood_rule_blocks_an_address_at_half_of_the_throttle(stack: Stack) -> None:
    rule = _rules(stack)["flood-from-one-address"]
    rate = rule["statement"]["rate_based_statement"]
    response = rule["action"]["block"]["custom_response"]

    assert (rate["aggregate_key_type"], rate["evaluation_window_sec"]) == ("IP", 60)
    assert rate["limit"] * 2 == stack.settings.effective.api_rate_per_second * 60
    assert response["response_code"] == 429
    assert {"name": "Retry-After", "value": "60"} in response["response_header"]
    assert _body(stack, response["custom_response_body_key"])["type"] == "urn:problem:payment-api:throttled"


def test_size_rule_refuses_bodies_larger_than_the_inspected_size(stack: Stack) -> None:
    rule = _rules(stack)["body-too-large"]
    size = rule["statement"]["size_constraint_statement"]
    _, acl = stack.only("aws_wafv2_web_acl")

    assert (size["comparison_operator"], size["size"]) == ("GT", MAX_BODY_BYTES)
    # the size is that of the inspected part: a longer body must match by its length
    assert size["field_to_match"]["body"]["oversize_handling"] == "MATCH"
    assert acl["association_config"]["request_body"]["api_gateway"]["default_size_inspection_limit"] == "KB_64"
    assert MAX_BODY_BYTES == 64 * 1024
    assert rule["action"]["block"]["custom_response"]["response_code"] == 413


def test_managed_rules_block_except_for_hosting_ips_and_body_size(
    stack: Stack,
) -> None:
    groups = {
        name: rule["statement"]["managed_rule_group_statement"]
        for name, rule in _rules(stack).items()
        if "managed_rule_group_statement" in rule["statement"]
    }

    assert {group["name"] for group in groups.values()} == MANAGED
    assert all(_rules(stack)[name]["override_action"] == {"none": {}} for name in groups)
    only_counted = [override["name"] for group in groups.values() for override in group["rule_action_override"]]
    # merchants' machines and the gateway call from hosting providers, and our own rule limits the size
    assert sorted(only_counted) == ["HostingProviderIPList", "SizeRestrictions_BODY"]


def test_merchants_staff_and_people_have_usage_plans_apart(
    with_merchants: Stack,
) -> None:
    plans = {plan["name"]: plan for plan in with_merchants.all("aws_api_gateway_usage_plan").values()}
    api, _ = with_merchants.only("aws_api_gateway_rest_api")

    assert plans.keys() == {
        "payment-merchant-shop-pr-7",
        "payment-merchant-partner-pr-7",
        "payment-staff-pr-7",
        "payment-other-merchants-pr-7",
        "payment-people-and-others-pr-7",
    }
    for plan in plans.values():
        ((stage,),) = [plan["api_stages"]]
        assert stage["api_id"] == f"${{{api}.id}}"
        assert with_merchants.resolve(stage["stage"]) == "pr-7"
    shop, people = plans["payment-merchant-shop-pr-7"], plans["payment-people-and-others-pr-7"]
    assert shop["throttle_settings"] == {"rate_limit": 3, "burst_limit": 6}
    assert shop["quota_settings"] == {"limit": 1000, "period": "DAY"}
    for group in ("staff", "other-merchants"):
        others = plans[f"payment-{group}-pr-7"]
        assert others["throttle_settings"] == {"rate_limit": 50, "burst_limit": 100}
        assert "quota_settings" not in others
    # people may register: they can use up no more than half of what the API accepts
    assert people["throttle_settings"] == {"rate_limit": 25, "burst_limit": 50}


def test_api_keys_are_those_that_the_authorizer_names(with_merchants: Stack) -> None:
    clients = {
        name: address
        for address, client in with_merchants.all("aws_cognito_user_pool_client").items()
        for name in ("shop", "partner")
        if client["name"] == f"payment-merchant-{name}-pr-7"
    }
    keys = with_merchants.all("aws_api_gateway_api_key")
    values = {key["name"]: key["value"] for key in keys.values()}
    on_plans = {link["key_id"]: link["usage_plan_id"] for link in with_merchants.all(PLAN_KEY).values()}

    assert values == {
        **{f"payment-{group}-pr-7": usage_key("pr-7", group=group) for group in UsageGroup},
        **{f"payment-merchant-{name}-pr-7": usage_key("pr-7", f"${{{at}.id}}") for name, at in clients.items()},
    }
    for address, key in keys.items():
        plan = with_merchants.addresses[on_plans[f"${{{address}.id}}"].removeprefix("${").removesuffix(".id}")]
        assert plan["name"] == key["name"]
        assert 20 <= len(key["value"]) <= 128


PLAN_KEY = "aws_api_gateway_usage_plan_key"


def test_every_method_with_an_authorizer_requires_an_api_key(stack: Stack) -> None:
    methods = stack.all("aws_api_gateway_method").values()

    assert {method.get("api_key_required", False) for method in methods if method["authorization"] == "CUSTOM"} == {
        True
    }
    assert stack.only("aws_api_gateway_rest_api")[1]["api_key_source"] == "AUTHORIZER"


def test_usage_plans_when_callers_need_no_token_then_there_are_none(tmp_path_factory: pytest.TempPathFactory) -> None:
    open_to_all = synthesise(
        Settings(environment_suffix="pr-8", auth_mode="none"), tmp_path_factory.mktemp("open-to-all")
    )

    assert not open_to_all.all("aws_api_gateway_usage_plan")
    assert not open_to_all.all("aws_api_gateway_api_key")
    assert open_to_all.only("aws_wafv2_web_acl_association")
