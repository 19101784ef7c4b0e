"""Backups: which tables they have, who reads them, how long the bucket keeps them, and when they are made."""

from typing import Any

import pytest

from lib.settings import Settings
from payments.adapters.dynamodb.backed_up import BACKED_UP, LEFT_OUT
from tests.infrastructure.synth import ACCOUNT, REGION, Resource, Stack, arn, synthesise

LOCK = "aws_s3_bucket_object_lock_configuration"


def _bucket(stack: Stack) -> tuple[str, Resource]:
    (found,) = [(at, one) for at, one in stack.all("aws_s3_bucket").items() if "payment-backups" in one["bucket"]]
    return found


def _locks(stack: Stack) -> list[Resource]:
    address, _ = _bucket(stack)
    return [lock for lock in stack.all(LOCK).values() if lock["bucket"] == f"${{{address}.id}}"]


def _rules(stack: Stack) -> dict[str, Any]:
    address, _ = _bucket(stack)
    (lifecycle,) = [
        one
        for one in stack.all("aws_s3_bucket_lifecycle_configuration").values()
        if one["bucket"] == f"${{{address}.id}}"
    ]
    return {rule["id"]: rule for rule in lifecycle["rule"]}


def _scanned(stack: Stack) -> set[str]:
    policy = stack.role_policies()[f"payment-backup-{stack.suffix}"]
    return {
        resource.rpartition("table/")[2].removesuffix(f"-{stack.suffix}")
        for statement in stack.statements(policy)
        if "dynamodb:Scan" in statement["Action"]
        for resource in statement["Resource"]
    }


def test_every_table_is_backed_up_or_left_out_with_a_reason(stack: Stack) -> None:
    tables = {table["name"].removesuffix(f"-{stack.suffix}") for table in stack.all("aws_dynamodb_table").values()}
    backed_up = {table.name for table in BACKED_UP}

    assert tables == backed_up | LEFT_OUT.keys(), "add a new table to BACKED_UP or, with the reason, to LEFT_OUT"
    assert not backed_up & LEFT_OUT.keys()
    assert all(len(reason.split()) > 5 for reason in LEFT_OUT.values())


def test_function_may_scan_exactly_the_tables_that_are_backed_up(stack: Stack) -> None:
    assert _scanned(stack) == {table.name for table in BACKED_UP}


def test_backup_role_can_change_no_table_and_delete_no_backup(stack: Stack) -> None:
    policy = stack.role_policies()[f"payment-backup-{stack.suffix}"]
    actions = {action for statement in stack.statements(policy) for action in statement["Action"]}

    assert {action for action in actions if action.startswith("dynamodb:")} == {"dynamodb:Scan"}
    assert {action for action in actions if action.startswith("s3:")} == {
        "s3:PutObject",
        "s3:GetObject",
        "s3:ListBucket",
    }
    assert not {action for action in actions if action.startswith("kms:")}  # sealed fields stay sealed


def test_backups_become_cold_and_end(stack: Stack) -> None:
    rules, effective = _rules(stack), stack.settings.effective

    (cold,) = rules["cold-backups"]["transition"]
    assert cold == {"days": effective.backup_cold_days, "storage_class": "GLACIER_IR"}
    assert rules["expire-backups"]["expiration"] == [{"days": effective.backup_keep_days}]
    assert {rules[name]["filter"][0]["prefix"] for name in ("cold-backups", "expire-backups")} == {"backups/"}


def test_backups_of_production_are_locked_for_everybody(prod: Stack) -> None:
    _, bucket = _bucket(prod)
    (lock,) = _locks(prod)

    assert bucket["object_lock_enabled"] is True
    assert lock["rule"]["default_retention"] == {"mode": "COMPLIANCE", "days": 30}


def test_backups_of_dev_are_not_locked_but_can_be(dev: Stack) -> None:
    assert _bucket(dev)[1]["object_lock_enabled"] is True
    assert not _locks(dev)


def test_locked_backups_outside_production_can_be_freed(tmp_path: Any) -> None:
    stack = synthesise(Settings(environment_suffix="dev", backup_lock_days=1), tmp_path)

    (lock,) = _locks(stack)
    assert lock["rule"]["default_retention"] == {"mode": "GOVERNANCE", "days": 1}


@pytest.mark.parametrize(("hours", "expression"), [(1, "rate(1 hour)"), (24, "rate(24 hours)")])
def test_backup_runs_at_the_rate_of_the_setting(hours: int, expression: str, tmp_path: Any) -> None:
    stack = synthesise(Settings(environment_suffix="dev", backup_every_hours=hours), tmp_path)
    backup, _ = stack.named("aws_lambda_function", "payment-backup")

    _, schedule = stack.named("aws_scheduler_schedule", "payment-backup-schedule")
    assert schedule["schedule_expression"] == expression
    assert schedule["target"]["arn"] == arn(backup)
    assert schedule["target"]["input"] == "{}"


def test_schedule_of_backups_may_only_call_the_backup_function(stack: Stack) -> None:
    policy = stack.role_policies()[f"payment-backup-schedule-{stack.suffix}"]

    assert stack.statements(policy) == [
        {
            "Effect": "Allow",
            "Action": ["lambda:InvokeFunction"],
            "Resource": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:payment-backup-{stack.suffix}"],
        }
    ]


def test_backup_may_call_itself_beyond_lambdas_loop_guard(stack: Stack) -> None:
    backup, _ = stack.named("aws_lambda_function", "payment-backup")
    _, recursion = stack.only("aws_lambda_function_recursion_config", function_name=f"${{{backup}.function_name}}")

    assert recursion["recursive_loop"] == "Allow"
