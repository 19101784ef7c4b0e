"""Environments side by side in one account: no shared name, the same tags on everything."""

import re

from lib.settings import DEFAULT_TAGS
from tests.infrastructure.synth import NAMED_BY, Stack

PARTS_OF_A_NAMED_RESOURCE = {
    "aws_api_gateway_authorizer",
    "aws_api_gateway_deployment",
    "aws_api_gateway_gateway_response",
    "aws_api_gateway_integration",
    "aws_api_gateway_method",
    "aws_api_gateway_method_settings",
    "aws_api_gateway_model",
    "aws_api_gateway_request_validator",
    "aws_api_gateway_resource",
    "aws_api_gateway_usage_plan_key",
    "aws_cognito_user_group",
    "aws_cognito_user_pool_client",
    "aws_iam_role_policy",
    "aws_kms_key",
    "aws_lambda_event_source_mapping",
    "aws_lambda_function_event_invoke_config",
    "aws_lambda_function_recursion_config",
    "aws_lambda_permission",
    "aws_s3_bucket_lifecycle_configuration",
    "aws_s3_bucket_notification",
    "aws_s3_bucket_object_lock_configuration",
    "aws_s3_bucket_policy",
    "aws_s3_bucket_public_access_block",
    "aws_s3_bucket_server_side_encryption_configuration",
    "aws_s3_bucket_versioning",
    "aws_s3_object",
    "aws_sns_topic_policy",
    "aws_sns_topic_subscription",
    "aws_sqs_queue_policy",
    "aws_sqs_queue_redrive_allow_policy",
    "aws_wafv2_web_acl_association",
}
"""Kinds without their own name in the account. Add a new kind here or to NAMED_BY."""


def _names(stack: Stack) -> set[str]:
    return {
        f"{kind} {resource[attribute]}" for kind, attribute in NAMED_BY.items() for resource in stack.all(kind).values()
    }


def test_every_kind_is_known_as_named_or_part_of_a_named_one(stack: Stack) -> None:
    assert set(stack.document["resource"]) <= NAMED_BY.keys() | PARTS_OF_A_NAMED_RESOURCE


def test_names_when_synthesised_then_every_one_carries_the_suffix(stack: Stack) -> None:
    carries = re.compile(rf"(^|[ /-]){re.escape(stack.suffix)}($|-\$\{{data)")

    assert [name for name in _names(stack) if not carries.search(name)] == []


def test_names_when_synthesised_for_many_suffixes_then_none_is_shared(stacks: dict[str, Stack]) -> None:
    names = [name for stack in stacks.values() for name in _names(stack)]

    assert len(names) == len(set(names)) > 100


def test_bucket_names_carry_the_account_and_fit_s3(stack: Stack) -> None:
    for bucket in stack.all("aws_s3_bucket").values():
        assert re.fullmatch(r"[a-z0-9-]{3,63}", stack.resolve(bucket["bucket"]))
        assert bucket["bucket"].endswith("${data.aws_caller_identity.account.account_id}")


def test_state_when_there_are_many_suffixes_then_each_has_its_own(stacks: dict[str, Stack]) -> None:
    states = {str(stack.document["terraform"]["backend"]) for stack in stacks.values()}

    assert len(states) == len(stacks)


def test_provider_tags_everything_with_defaults_merged_with_settings(
    stacks: dict[str, Stack],
) -> None:
    (provider,) = stacks["pr-1234"].document["provider"]["aws"]

    assert provider["default_tags"] == [
        {
            "tags": {
                "Project": "checkout",
                "ManagedBy": DEFAULT_TAGS["ManagedBy"],
                "Environment": "pr-1234",
                "Team": "payments",
            }
        }
    ]


def test_tags_when_synthesised_then_no_resource_has_others(stack: Stack) -> None:
    assert [address for address, resource in stack.addresses.items() if "tags" in resource] == []
