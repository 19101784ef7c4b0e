"""Where Terraform keeps its state, which provider it uses, and the outputs of a stack."""

from pathlib import Path

from lib.features.api_gateway import load_contract
from lib.settings import Settings
from tests.infrastructure.synth import Stack, synthesise

OUTPUTS = {
    "api_url",
    "batch_bucket",
    "payments_table",
    "processing_status_table",
    "audit_table",
    "denied_table",
    "payment_queue_url",
    "dead_letter_queue_url",
    "payment_events_topic_arn",
    "alarms_topic_arn",
    "state_machine_arn",
    "gateway_secret_arn",
    "webhook_secret_arn",
    "webhook_url",
    "gateway_events_table",
    "controls_table",
    "dispatch_mapping_id",
    "stripe_api_base",
    "region",
    "environment_suffix",
}
"""What operators and payctl rely on."""


def test_state_bucket_is_used_encrypted_locked_and_under_the_suffix(tmp_path: Path) -> None:
    stack = synthesise(
        Settings(
            environment_suffix="pr-7",
            aws_region="eu-west-1",
            terraform_state_bucket="our-state",
            terraform_state_bucket_region="us-east-2",
        ),
        tmp_path,
    )

    assert stack.document["terraform"]["backend"] == {
        "s3": {
            "bucket": "our-state",
            "key": "payment-backend/pr-7.tfstate",
            "region": "us-east-2",
            "encrypt": True,
            "use_lockfile": True,
        }
    }


def test_state_bucket_is_in_the_stacks_region_unless_set(tmp_path: Path) -> None:
    stack = synthesise(Settings(aws_region="eu-west-1", terraform_state_bucket="our-state"), tmp_path)

    assert stack.document["terraform"]["backend"]["s3"]["region"] == "eu-west-1"


def test_state_when_no_bucket_is_set_then_a_file_of_the_suffix(stack: Stack) -> None:
    backend = stack.document["terraform"]["backend"]

    assert backend.keys() == {"local"}
    assert backend["local"]["path"].endswith(f"/terraform.{stack.suffix}.tfstate")


def test_provider_takes_the_aws_releases_that_were_seen_to_work(stack: Stack) -> None:
    assert stack.document["terraform"]["required_providers"] == {"aws": {"source": "aws", "version": ">= 5.100, < 7"}}
    assert stack.document["provider"]["aws"][0]["region"] == stack.settings.aws_region


def test_outputs_have_all_that_operators_rely_on_and_no_secret(stack: Stack) -> None:
    outputs = stack.document["output"]

    assert outputs.keys() >= OUTPUTS
    assert not any("secret_string" in output["value"] or output.get("sensitive") for output in outputs.values())


def test_webhook_url_is_the_route_of_the_contract(stack: Stack) -> None:
    stage, _ = stack.only("aws_api_gateway_stage")
    outputs = stack.document["output"]

    assert outputs["webhook_url"]["value"] == f"${{{stage}.invoke_url}}/webhooks/stripe"
    assert outputs["webhook_url"]["value"].removeprefix(outputs["api_url"]["value"]) in load_contract()["paths"]


def test_dispatch_mapping_output_is_the_queues_own_mapping(stack: Stack) -> None:
    mapping, _ = stack.only("aws_lambda_event_source_mapping")

    assert stack.document["output"]["dispatch_mapping_id"]["value"] == f"${{{mapping}.id}}"
