"""What a taken-over function may do, asked of the synthesised policies through the local AWS's evaluator of IAM."""

import json
from typing import Any

import pytest
from ministack.core import iam_evaluator

from payments.adapters.dynamodb.payment_writes import NAMED, Write
from tests.infrastructure.synth import Stack

TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/{}-{}"
WRITES = ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "PartiQLInsert", "PartiQLUpdate", "PartiQLDelete")
READS = ("GetItem", "BatchGetItem", "Query", "Scan", "PartiQLSelect", "ExportTableToPointInTime")
SERVE_THE_INTERNET = ("api", "authorize", "webhook")
AUDIT_LOG, DENIED, PAYMENTS = "payment-audit-log", "payment-denied-attempts", "payments"


def may(stack: Stack, function: str, action: str, table: str, attributes: frozenset[str] = frozenset()) -> bool:
    """Whether the role of a function may do this with a table, in a request that names these attributes."""
    role = f"payment-{function}-{stack.suffix}"
    statements = stack.statements(stack.role_policies()[role])
    context: dict[str, Any] = {"dynamodb:attributes": sorted(attributes)} if attributes else {}
    request = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::123456789012:assumed-role/{role}/{function}",
        principal_type="AssumedRole",
        principal_account="123456789012",
        action=f"dynamodb:{action}",
        resource_arn=_arn(statements, table, stack),
        region="us-east-1",
        secure_transport=True,
        service_context=context,
    )
    policy = iam_evaluator.parse_policy_document(json.dumps({"Version": "2012-10-17", "Statement": statements}))
    return bool(iam_evaluator.evaluate(request, [policy]).decision == "Allow")


def _arn(statements: list[dict[str, Any]], table: str, stack: Stack) -> str:
    name = f":table/{table}-{stack.suffix}"
    known = (resource for statement in statements for resource in statement["Resource"] if resource.endswith(name))
    return next(known, TABLE.format(table, stack.suffix))


def functions(stack: Stack) -> list[str]:
    """All functions of the stack."""
    names = (function["function_name"] for function in stack.all("aws_lambda_function").values())
    return [name.removeprefix("payment-").removesuffix(f"-{stack.suffix}") for name in names]


def test_only_audit_may_write_the_audit_log_and_only_a_backup_reads_it_all(stack: Stack) -> None:
    allowed = {
        (function, action)
        for function in functions(stack)
        for action in (*WRITES, *READS)
        if may(stack, function, action, AUDIT_LOG)
    }

    assert allowed == {("audit", "PutItem"), ("audit", "GetItem"), ("api", "Query"), ("backup", "Scan")}


def test_denied_attempts_are_only_added_by_the_api_and_backed_up(stack: Stack) -> None:
    allowed = {
        (function, action)
        for function in functions(stack)
        for action in (*WRITES, *READS)
        if may(stack, function, action, DENIED)
    }

    assert allowed == {("api", "PutItem"), ("backup", "Scan")}


def test_no_function_may_replace_or_delete_a_payment(stack: Stack) -> None:
    whole_rows = {"PutItem", "DeleteItem", "BatchWriteItem", "PartiQLInsert", "PartiQLUpdate", "PartiQLDelete"}

    assert not [
        (function, action)
        for function in functions(stack)
        for action in whole_rows
        if may(stack, function, action, PAYMENTS, frozenset({"payment_id"}))
    ]


@pytest.mark.parametrize("function", SERVE_THE_INTERNET)
@pytest.mark.parametrize("mark", ["audited_version", "audit_hash", "batch_row_closed", "restarts", "not_before"])
def test_who_serves_the_internet_may_not_name_a_mark(stack: Stack, function: str, mark: str) -> None:
    if function not in functions(stack):
        pytest.skip("this environment checks no tokens")
    named = frozenset({"payment_id", "version", mark})

    assert not may(stack, function, "UpdateItem", PAYMENTS, named)


@pytest.mark.parametrize("write", [Write.CREATE, Write.SAVE, Write.MARK_RETRIED])
def test_api_may_make_the_writes_that_it_needs(stack: Stack, write: Write) -> None:
    assert may(stack, "api", "UpdateItem", PAYMENTS, NAMED[write])
    assert not may(stack, "api", "UpdateItem", PAYMENTS, NAMED[write] | {"anything_else"})


def test_webhook_and_authorizer_may_write_no_payment(stack: Stack) -> None:
    for function in ("webhook", "authorize"):
        if function in functions(stack):
            assert not [action for action in WRITES if may(stack, function, action, PAYMENTS, NAMED[Write.SAVE])]
