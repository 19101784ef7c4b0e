"""Data at rest: encrypted with our key, never public, over TLS only, and recoverable."""

from typing import Any

import pytest

from payments.adapters.dynamodb.tables import (
    AUDIT_LOG,
    CONTROLS,
    CUSTOMERS,
    DENIED_ATTEMPTS,
    GATEWAY_EVENTS,
    LIMITS,
    PAYMENTS,
    PROCESSING_STATUS,
    REFUNDS,
    TOKENS,
    Key,
    Table,
)
from tests.infrastructure.synth import Resource, Stack, arn, keys_of_data_and_alarms

TABLES = [
    PAYMENTS,
    PROCESSING_STATUS,
    AUDIT_LOG,
    DENIED_ATTEMPTS,
    CUSTOMERS,
    GATEWAY_EVENTS,
    CONTROLS,
    TOKENS,
    LIMITS,
    REFUNDS,
]
KEPT_BY_ADDRESS = {
    "aws_dynamodb_table.tables_customers_table_94F6516F",
    "aws_dynamodb_table.tables_payment-audit-log_table_7F49584A",
    "aws_dynamodb_table.tables_payment-controls_table_B1C4C609",
    "aws_dynamodb_table.tables_payment-denied-attempts_table_27269E84",
    "aws_dynamodb_table.tables_payment-gateway-events_table_775CC8F7",
    "aws_dynamodb_table.tables_payment-limits_table_8AC728C4",
    "aws_dynamodb_table.tables_payment-processing-status_table_507E6E3F",
    "aws_dynamodb_table.tables_payment-refunds_table_1728755E",
    "aws_dynamodb_table.tables_payment-tokens_table_E34585D4",
    "aws_dynamodb_table.tables_payments_table_CC7F6E60",
    "aws_kms_key.encryption_alarms_key_7E0E835C",
    "aws_kms_key.encryption_anchor_key_13B65112",
    "aws_kms_key.encryption_audit_key_A31B22DF",
    "aws_kms_key.encryption_key_EEB70057",
    "aws_kms_key.encryption_lookup_key_4642FF5E",
    "aws_s3_bucket.payment-anchors_bucket_86D9EA9E",
    "aws_s3_bucket.payment-artifacts_bucket_813FF2FB",
    "aws_s3_bucket.payment-backups_bucket_5E0928C6",
    "aws_s3_bucket.payment-batch-files_bucket_8EE8C623",
    "aws_secretsmanager_secret.gateway_secret",
    "aws_secretsmanager_secret.webhook_secret",
    "aws_sqs_queue.queue_dead_letters_8990C0AD",
    "aws_sqs_queue.queue_payments_561B0853",
}
"""The resources whose data cannot be recreated, by their address in Terraform's state."""


def _of_bucket(stack: Stack, kind: str, bucket: str) -> Resource:
    return stack.only(kind, bucket=f"${{{bucket}.id}}")[1]


def _hash_and_range(key: Key) -> dict[str, str]:
    return {"hash_key": key.partition} | ({"range_key": key.sort} if key.sort else {})


def test_tables_when_synthesised_then_they_are_those_of_the_stores(stack: Stack) -> None:
    names = {table["name"] for table in stack.all("aws_dynamodb_table").values()}

    assert names == {f"{table.name}-{stack.suffix}" for table in TABLES}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_table_has_the_keys_and_indexes_that_the_stores_use(stack: Stack, table: Table) -> None:
    _, resource = stack.named("aws_dynamodb_table", table.name)
    attributes = {attribute["name"]: attribute["type"] for attribute in resource["attribute"]}
    indexes = {index["name"]: index for index in resource.get("global_secondary_index", [])}

    assert _hash_and_range(table.key).items() <= resource.items()
    assert attributes == table.attributes
    assert indexes.keys() == table.indexes.keys()
    for name, key in table.indexes.items():
        assert _hash_and_range(key).items() <= indexes[name].items()
        assert indexes[name]["projection_type"] == ("KEYS_ONLY" if name in table.keys_only else "ALL")


def test_resources_with_data_keep_their_terraform_addresses(
    stack: Stack,
) -> None:
    kinds = {address.partition(".")[0] for address in KEPT_BY_ADDRESS}

    # under another address Terraform would destroy it with its data and create an empty one
    assert {address for kind in kinds for address in stack.all(kind)} == KEPT_BY_ADDRESS


def test_only_events_tokens_counters_and_denied_attempts_expire(stack: Stack) -> None:
    expiring = {
        table["name"].removesuffix(f"-{stack.suffix}"): table["ttl"]
        for table in stack.all("aws_dynamodb_table").values()
        if "ttl" in table
    }

    assert expiring == {
        "payment-gateway-events": {"attribute_name": "expires_at", "enabled": True},
        "payment-denied-attempts": {"attribute_name": "purge_at", "enabled": True},
        "payment-tokens": {"attribute_name": "purge_at", "enabled": True},
        "payment-limits": {"attribute_name": "purge_at", "enabled": True},
    }


def test_tables_when_synthesised_then_on_demand_encrypted_and_recoverable(stack: Stack) -> None:
    key, _ = keys_of_data_and_alarms(stack)

    for table in stack.all("aws_dynamodb_table").values():
        assert table["billing_mode"] == "PAY_PER_REQUEST"
        assert table["server_side_encryption"] == {"enabled": True, "kms_key_arn": arn(key)}
        assert table["point_in_time_recovery"] == {"enabled": True}


def test_production_data_is_protected_from_a_destroy(prod: Stack) -> None:
    assert all(table["deletion_protection_enabled"] for table in prod.all("aws_dynamodb_table").values())
    assert not any(bucket.get("force_destroy") for bucket in prod.all("aws_s3_bucket").values())
    assert {key["deletion_window_in_days"] for key in prod.all("aws_kms_key").values()} == {30}
    assert {secret["recovery_window_in_days"] for secret in prod.all("aws_secretsmanager_secret").values()} == {30}


def test_data_outside_production_goes_with_a_destroy(dev: Stack) -> None:
    assert not any(table["deletion_protection_enabled"] for table in dev.all("aws_dynamodb_table").values())
    assert all(bucket["force_destroy"] for bucket in dev.all("aws_s3_bucket").values())
    assert {secret["recovery_window_in_days"] for secret in dev.all("aws_secretsmanager_secret").values()} == {0}


def test_buckets_are_versioned_encrypted_and_never_public(stack: Stack) -> None:
    key, _ = keys_of_data_and_alarms(stack)

    assert stack.all("aws_s3_bucket")
    for bucket in stack.all("aws_s3_bucket"):
        versioning = _of_bucket(stack, "aws_s3_bucket_versioning", bucket)
        encryption = _of_bucket(stack, "aws_s3_bucket_server_side_encryption_configuration", bucket)
        public = _of_bucket(stack, "aws_s3_bucket_public_access_block", bucket)
        (rule,) = encryption["rule"]
        assert versioning["versioning_configuration"] == {"status": "Enabled"}
        assert rule["apply_server_side_encryption_by_default"] == {
            "sse_algorithm": "aws:kms",
            "kms_master_key_id": arn(key),
        }
        for switch in ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"):
            assert public[switch] is True


def test_buckets_when_reached_without_tls_then_everything_is_denied(stack: Stack) -> None:
    for bucket in stack.all("aws_s3_bucket"):
        policy = _of_bucket(stack, "aws_s3_bucket_policy", bucket)["policy"]
        own = stack.resolve(arn(bucket))

        _assert_tls_only(stack.statements(policy)[:1], "s3:*", [own, f"{own}/*"])  # merchants' folders follow


def test_queues_when_reached_without_tls_then_everything_is_denied(stack: Stack) -> None:
    for queue in stack.all("aws_sqs_queue"):
        _, policy = stack.only("aws_sqs_queue_policy", queue_url=f"${{{queue}.url}}")

        _assert_tls_only(stack.statements(policy["policy"]), "sqs:*", stack.resolve(arn(queue)))


def _assert_tls_only(statements: list[dict[str, Any]], action: str, resource: object) -> None:
    (statement,) = statements
    assert statement["Effect"] == "Deny"
    assert statement["Principal"] == "*"
    assert statement["Action"] == action
    assert statement["Resource"] == resource
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_buckets_expire_old_versions_and_unfinished_uploads(stack: Stack) -> None:
    for bucket in stack.all("aws_s3_bucket"):
        rules = _of_bucket(stack, "aws_s3_bucket_lifecycle_configuration", bucket)["rule"]
        (everywhere,) = [rule for rule in rules if rule["filter"] == [{"prefix": ""}]]

        assert everywhere["status"] == "Enabled"
        assert everywhere["noncurrent_version_expiration"] == [{"noncurrent_days": 30}]
        assert everywhere["abort_incomplete_multipart_upload"] == [{"days_after_initiation": 1}]


def test_batch_files_when_time_passes_then_uploads_go_before_results(stack: Stack) -> None:
    bucket, _ = stack.only("aws_s3_bucket", bucket=f"payment-batch-files-{stack.suffix}-{_ACCOUNT_REFERENCE}")
    rules = _of_bucket(stack, "aws_s3_bucket_lifecycle_configuration", bucket)["rule"]
    days = {rule["filter"][0]["prefix"]: rule["expiration"][0]["days"] for rule in rules if "expiration" in rule}

    assert days == {"incoming/": 90, "results/": 365, "reporting/": 7}


_ACCOUNT_REFERENCE = "${data.aws_caller_identity.account.account_id}"
