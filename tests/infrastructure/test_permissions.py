"""Least privilege, read from the synthesised policies. tests/e2e shows which permissions are used."""

from fnmatch import fnmatchcase

from tests.infrastructure.synth import MAPPING_ID, Stack

EVERYWHERE = {
    # traces belong to the account: X-Ray has no resource to name
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
}
"""The actions that may be allowed on every resource, each with its reason."""

EVERYWHERE_FOR_EXPRESS = {
    # the delivery of execution logs has no resource to name (Step Functions Developer Guide, "Logging")
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
}
"""The same, for the state machine of an EXPRESS workflow."""

ONLY = {
    ("secretsmanager:GetSecretValue", "*:secret:payment-gateway-stripe-*"): {"api", "charge", "refund", "sweep"},
    ("secretsmanager:GetSecretValue", "*:secret:payment-webhook-stripe-*"): {"webhook"},
    ("states:StartExecution", "*:stateMachine:payment-processor-*"): {"api", "dispatch", "webhook", "sweep"},
    ("states:StartExecution", "*:stateMachine:payment-refund-processor-*"): {"api", "refund", "webhook", "sweep"},
    ("dynamodb:PutItem", "*:table/payment-refunds-*"): {"api", "refund"},
    ("dynamodb:UpdateItem", "*:table/payment-refunds-*"): {"api", "refund", "sweep"},
    ("dynamodb:PutItem", "*:table/payments-*"): set(),  # a put replaces a row with all its marks
    ("dynamodb:UpdateItem", "*:table/payments-*"): {
        *("api", "split", "charge", "record", "audit", "report", "sweep", "refund")
    },
    ("dynamodb:PutItem", "*:table/payment-gateway-events-*"): {"webhook"},
    ("dynamodb:UpdateItem", "*:table/payment-gateway-events-*"): {"record", "sweep"},
    ("dynamodb:UpdateItem", "*:table/payment-controls-*"): {"charge", "refund", "sweep"},
    ("dynamodb:PutItem", "*:table/payment-controls-*"): set(),
    ("dynamodb:*", "*:table/payment-audit-log-*"): {"api", "audit", "backup"},
    ("dynamodb:PutItem", "*:table/payment-audit-log-*"): {"audit"},
    ("dynamodb:*", "*:table/payment-denied-attempts-*"): {"api", "backup"},
    ("sqs:SendMessage", "*:payment-queue-*"): {"dispatch", "split", "sweep"},
    ("sqs:DeleteMessage", "*:payment-queue-*"): {"dispatch"},
    ("s3:PutObject", "*:::payment-batch-files-*/results/*"): {"report"},
    ("s3:*", "*:::payment-batch-files-*/reporting/*"): {"report"},
    ("s3:GetObject*", "*:::payment-batch-files-*/incoming/*"): {"split", "report"},
    ("sns:Publish", "*:payment-events-*"): {"report", "processor", "refund-processor"},
    ("lambda:UpdateEventSourceMapping", "*"): {"sweep"},
    ("lambda:InvokeFunction", "*:function:payment-split-*"): {"split", "sweep"},
    ("lambda:InvokeFunction", "*:function:payment-report-*"): {"split", "audit", "sweep"},
    ("lambda:InvokeFunction", "*:function:payment-audit-*"): {"processor", "refund-processor", "report"},
    ("lambda:InvokeFunction", "*:function:payment-refund-*"): {"refund-processor"},
    ("lambda:InvokeFunction", "*:function:payment-sweep-*"): {"sweep-schedule"},
    ("lambda:InvokeFunction", "*:function:payment-backup-*"): {"backup", "backup-schedule"},
    ("dynamodb:Scan", "*"): {"backup"},
    ("lambda:InvokeFunction", "*:function:payment-anchor-*"): {"anchor", "anchor-schedule"},
    ("s3:*", "*:::payment-anchors-*"): {"anchor", "audit"},
    ("s3:PutObject", "*:::payment-anchors-*"): {"anchor"},
    ("kms:VerifyMac", "*"): {"anchor", "audit"},
    ("kms:GenerateMac", "*:key/encryption_audit_key_*"): {"audit"},
    ("kms:*", "*:key/encryption_audit_key_*"): {"audit"},
    ("kms:GenerateMac", "*:key/encryption_anchor_key_*"): {"anchor"},
    ("kms:*", "*:key/encryption_anchor_key_*"): {"anchor", "audit"},
    ("s3:*", "*:::payment-backups-*/backups/*"): {"backup"},
    ("s3:*", "*:::payment-backups-*/erasures/*"): {"api"},
    ("s3:List*", "*:::payment-backups-*"): {"backup"},
    ("lambda:InvokeFunction", "*:function:payment-charge-*"): {"processor"},
    ("kms:GenerateDataKey", "*:key/encryption_key_*"): {"api", "charge", "split", "sweep", "webhook"},
    ("kms:Decrypt", "*:key/encryption_key_*"): {"api", "charge", "refund", "report", "sweep"},
    ("kms:GenerateMac", "*:key/encryption_lookup_key_*"): {"api", "split"},
    ("kms:*", "*:key/encryption_lookup_key_*"): {"api", "split"},
}
"""The most important permissions and their only holders: (action, resource) → functions, the state machine
`processor`, or the schedule `sweep-schedule`."""

FIELDS = {
    "payment_id": {
        "api": {"kms:GenerateDataKey", "kms:Decrypt"},
        "charge": {"kms:GenerateDataKey", "kms:Decrypt"},
        "split": {"kms:GenerateDataKey"},
        "report": {"kms:Decrypt"},
        "refund": {"kms:Decrypt"},
        "sweep": {"kms:GenerateDataKey"},
        "webhook": {"kms:GenerateDataKey"},
    },
    "event_id": {"webhook": {"kms:GenerateDataKey"}, "sweep": {"kms:Decrypt"}},
    "customer_id": {
        "api": {"kms:GenerateDataKey", "kms:Decrypt"},
        "charge": {"kms:Decrypt"},
        "webhook": {"kms:GenerateDataKey"},
    },
}
"""Owner of the fields → the functions that encrypt and decrypt them. All other encrypted data is used through the
service that holds it, which the key's own policy allows."""

ATTRIBUTES = {
    "audit_hash": {"audit"},
    "audited_version": {"audit", "sweep"},  # recovery only reads it, in a condition; IAM does not tell these apart
    "batch_row_closed": {"audit", "sweep"},
    "minor_units": {"api", "split"},
    "currency": {"api", "split"},
    "customer_id": {"api", "split"},
    "fingerprint": {"api", "split"},
    "submitted_by": {"api", "split"},
    "not_before": {"charge"},
    "restarts": {"sweep"},
    "absent_version": {"sweep"},
    "retried_as": {"api", "charge"},
    "history": {"api", "split", "charge", "record", "report", "sweep", "refund"},
    "reserved_minor_units": {"api", "refund"},
}
"""The attributes of a payment's row that matter most, and the functions whose updates may name them."""

NEVER = (
    "dynamodb:DeleteItem",
    "dynamodb:DeleteTable",
    "s3:DeleteObject",
    "s3:PutBucketPolicy",
    "kms:Encrypt",
    "kms:ReEncryptFrom",  # text that is encrypted for one payment never becomes another's
    "kms:ReEncryptTo",
    "kms:CreateGrant",
    "kms:DisableKey",
    "kms:ScheduleKeyDeletion",
    "iam:PassRole",
    "sts:AssumeRole",
    "secretsmanager:PutSecretValue",
    "logs:CreateLogGroup",
    "lambda:CreateEventSourceMapping",
    "lambda:DeleteEventSourceMapping",
    "lambda:UpdateFunctionCode",
    "lambda:UpdateFunctionConfiguration",
)
"""Actions that no function needs: no function ever deletes a payment, audit entry, file or log."""


def _grants(stack: Stack) -> set[tuple[str, str, str]]:
    """All permissions of roles: (role without prefix and suffix, action, resource)."""
    return {
        (role.removeprefix("payment-").removesuffix(f"-{stack.suffix}"), action, resource)
        for role, policy in stack.role_policies().items()
        for statement in stack.statements(policy)
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


def test_each_role_has_one_inline_policy_without_deny_or_inversion(stack: Stack) -> None:
    assert len(stack.role_policies()) == len(stack.all("aws_iam_role")) == len(stack.all("aws_iam_role_policy"))
    for policy in stack.role_policies().values():
        for statement in stack.statements(policy):
            assert statement.keys() - {"Condition"} == {"Effect", "Action", "Resource"}
            assert statement["Effect"] == "Allow"


def test_roles_use_the_key_only_for_fields_whose_owner_they_name(stack: Stack) -> None:
    found: dict[str, dict[str, set[str]]] = {}
    for role, policy in stack.role_policies().items():
        who = role.removeprefix("payment-").removesuffix(f"-{stack.suffix}")
        for statement in stack.statements(policy):
            if statement["Action"] == ["s3:ListBucket"]:
                continue  # of a merchant's own results
            if {"kms:Decrypt", "kms:GenerateDataKey"} & set(statement["Action"]):
                ((context_key, absent),) = statement["Condition"]["Null"].items()
                assert absent == "false"
                assert statement["Condition"].keys() == {"Null"}
                owner = context_key.removeprefix("kms:EncryptionContext:")
                found.setdefault(owner, {})[who] = set(statement["Action"])

    assert found == FIELDS


def test_actions_when_allowed_then_none_has_a_wildcard(stack: Stack) -> None:
    assert [grant for grant in _grants(stack) if "*" in grant[1]] == []


def test_resources_when_a_star_then_only_for_the_reviewed_actions(stack: Stack) -> None:
    reviewed = EVERYWHERE | (EVERYWHERE_FOR_EXPRESS if stack.suffix == "express" else set())

    assert {action for _, action, resource in _grants(stack) if resource == "*"} == reviewed


def test_resources_carry_the_suffix_and_end_in_a_wildcard_at_most(stack: Stack) -> None:
    for who, action, resource in _grants(stack):
        if resource != "*" and not resource.endswith(f":event-source-mapping:{MAPPING_ID}") and ":key/" not in resource:
            name, _, below = resource.partition(f"-{stack.suffix}")
            assert resource.startswith("arn:aws:"), (who, action, resource)
            assert "*" not in name, (who, action, resource)
            assert stack.suffix in resource, (who, action, resource)
            assert "*" not in below.removesuffix("*"), (who, action, resource)


def test_what_matters_most_when_allowed_then_only_to_those_in_the_table(stack: Stack) -> None:
    grants = _grants(stack)
    allowed = {
        (action, pattern): {
            who for who, does, what in grants if fnmatchcase(does, action) and fnmatchcase(what, pattern)
        }
        for action, pattern in ONLY
    }

    assert allowed == ONLY


def test_what_nothing_needs_when_looked_for_then_no_role_has_it(stack: Stack) -> None:
    assert [grant for grant in _grants(stack) if grant[1] in NEVER] == []


def test_audit_log_when_written_then_entries_are_only_ever_added(stack: Stack) -> None:
    logs = ("payment-audit-log", "payment-denied-attempts")
    actions = {action for _, action, resource in _grants(stack) if any(log in resource for log in logs)}

    assert actions - {"dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"} == {"dynamodb:PutItem"}


def test_payment_rows_are_updated_only_in_attributes_that_are_named(stack: Stack) -> None:
    writers: dict[str, set[str]] = {}
    for role, policy in stack.role_policies().items():
        for statement in stack.statements(policy):
            of_payments = any(fnmatchcase(resource, "*:table/payments-*") for resource in statement["Resource"])
            if of_payments and "dynamodb:UpdateItem" in statement["Action"]:
                assert statement["Action"] == ["dynamodb:UpdateItem"]
                ((operator, condition),) = statement["Condition"].items()
                assert operator == "ForAllValues:StringEquals"
                for name in condition["dynamodb:Attributes"]:
                    writers.setdefault(name, set()).add(role.removeprefix("payment-").removesuffix(f"-{stack.suffix}"))

    assert {name: writers[name] for name in ATTRIBUTES} == ATTRIBUTES


def test_delivery_can_be_switched_only_for_the_payment_queue(stack: Stack) -> None:
    stack.only("aws_lambda_event_source_mapping")  # so the mapping that a policy names is this one
    switches = {what for _, action, what in _grants(stack) if action.endswith("EventSourceMapping")}

    assert [what.rpartition(":")[2] for what in switches] == [MAPPING_ID]


def test_services_may_invoke_functions_only_from_a_named_source(stack: Stack) -> None:
    permissions = stack.all("aws_lambda_permission").values()

    assert {permission["principal"] for permission in permissions} == {
        "apigateway.amazonaws.com",
        "cognito-idp.amazonaws.com",
        "s3.amazonaws.com",
    }
    assert all(permission["source_arn"] for permission in permissions)
