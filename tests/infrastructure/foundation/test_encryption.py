"""The keys, and the secrets whose values Terraform never has."""

import json

import pytest

from tests.infrastructure.synth import ACCOUNT, Resource, Stack, arn, keys_of_data_and_alarms

ENCRYPTED = {
    "aws_cloudwatch_log_group": "kms_key_id",
    "aws_secretsmanager_secret": "kms_key_id",
    "aws_sns_topic": "kms_master_key_id",
    "aws_sqs_queue": "kms_master_key_id",
}
"""Kinds that name the key by one attribute. Tables and buckets: see test_storage.py."""


def _hmac_key(stack: Stack, purpose: str) -> tuple[str, Resource]:
    """The HMAC key whose description ends like this."""
    keys = stack.all("aws_kms_key").items()
    (found,) = [(at, key) for at, key in keys if "HMAC" in str(key) and key["description"].endswith(purpose)]
    return found


def test_keys_are_two_rotated_and_three_only_for_hashes(stack: Stack) -> None:
    data, alarms = keys_of_data_and_alarms(stack)
    hashes, key = _hmac_key(stack, "keyed hashes of e-mails")
    audit, _ = _hmac_key(stack, "heads of the audit log")
    anchor, _ = _hmac_key(stack, "anchors of the audit log")

    assert stack.all("aws_kms_key").keys() == {data, alarms, hashes, audit, anchor}
    assert all(stack.all("aws_kms_key")[rotated]["enable_key_rotation"] for rotated in (data, alarms))
    assert key["key_usage"] == "GENERATE_VERIFY_MAC"
    assert {alias["name"]: alias["target_key_id"] for alias in stack.all("aws_kms_alias").values()} == {
        f"alias/payments-{stack.suffix}": f"${{{data}.key_id}}",
        f"alias/payments-alarms-{stack.suffix}": f"${{{alarms}.key_id}}",
        f"alias/payments-lookup-{stack.suffix}": f"${{{hashes}.key_id}}",
        f"alias/payments-audit-{stack.suffix}": f"${{{audit}.key_id}}",
        f"alias/payments-anchor-{stack.suffix}": f"${{{anchor}.key_id}}",
    }


def test_everything_at_rest_when_synthesised_then_encrypted_with_the_key(stack: Stack) -> None:
    key, alarms_key = keys_of_data_and_alarms(stack)
    alarms_topic, _ = stack.named("aws_sns_topic", "payment-alarms")

    for kind, attribute in ENCRYPTED.items():
        resources = stack.all(kind)
        assert resources
        for address, resource in resources.items():
            assert resource[attribute] == arn(alarms_key if address == alarms_topic else key)


def test_key_of_the_alarms_topic_is_its_own_and_only_alarms_use_it(stack: Stack) -> None:
    """The loss of the other key is what an alarm must be able to announce."""
    data, alarms = (stack.all("aws_kms_key")[key] for key in keys_of_data_and_alarms(stack))

    assert "cloudwatch" not in data["policy"]
    _, use = stack.statements(alarms["policy"])
    assert use["Principal"] == {"Service": "cloudwatch.amazonaws.com"}


def test_key_policies_allow_no_use_from_outside_the_account(stack: Stack) -> None:
    statements = [s for key in stack.all("aws_kms_key").values() for s in stack.statements(key["policy"])]

    for statement in statements:
        by_root_of_the_account = statement["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
        assert by_root_of_the_account or ACCOUNT in json.dumps(statement["Condition"]), statement["Sid"]


def test_key_policies_let_only_the_account_itself_manage_a_key(stack: Stack) -> None:
    use = {"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:DescribeKey"}
    for key in stack.all("aws_kms_key").values():
        first, *others = stack.statements(key["policy"])

        assert first["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
        assert all(set(statement["Action"]) <= use for statement in others if statement["Effect"] == "Allow")


@pytest.mark.parametrize("function", ["audit", "anchor"])
def test_key_that_signs_lets_only_its_function_sign(stack: Stack, function: str) -> None:
    purpose = {"audit": "heads of the audit log", "anchor": "anchors of the audit log"}[function]
    _, key = _hmac_key(stack, purpose)

    _, denial = stack.statements(key["policy"])

    assert (denial["Effect"], denial["Action"]) == ("Deny", "kms:GenerateMac")
    role = f"arn:aws:iam::{ACCOUNT}:role/payment-{function}-{stack.suffix}"
    assert denial["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": role}}


def test_lookup_key_policy_lets_no_service_use_it(stack: Stack) -> None:
    _, key = _hmac_key(stack, "keyed hashes of e-mails")

    assert len(stack.statements(key["policy"])) == 1


def test_terraform_creates_secrets_without_their_values(stack: Stack) -> None:
    secrets = stack.all("aws_secretsmanager_secret").values()

    assert {secret["name"]: secret["description"].partition("set it with: ")[2] for secret in secrets} == {
        f"payment-gateway-stripe-{stack.suffix}": "payctl gateway set-key",
        f"payment-webhook-stripe-{stack.suffix}": "payctl gateway set-webhook-secret",
    }
    assert stack.all("aws_secretsmanager_secret_version") == {}
    assert "variable" not in stack.document


def test_synthesised_json_contains_no_gateway_secret(stack: Stack) -> None:
    text = stack.path.read_text()

    assert not any(prefix in text for prefix in ("sk_live", "sk_test", "rk_live", "rk_test", "whsec_"))
