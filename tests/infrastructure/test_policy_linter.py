"""parliament, a linter that knows every IAM action and its resources."""

import json
from typing import Any

from tests.infrastructure import linters
from tests.infrastructure.synth import Stack

RESOURCE_POLICIES = ("aws_s3_bucket_policy", "aws_sns_topic_policy", "aws_sqs_queue_policy")
"""All but the key's: in a key policy "*" is the key itself, which parliament does not know."""


def _policies(stack: Stack) -> dict[str, Any]:
    of_resources = {
        address: policy["policy"] for kind in RESOURCE_POLICIES for address, policy in stack.all(kind).items()
    }
    return {name: json.loads(stack.resolve(text)) for name, text in (stack.role_policies() | of_resources).items()}


def test_policies_when_linted_then_nothing_is_found(stacks: dict[str, Stack]) -> None:
    policies = {f"{suffix}: {name}": policy for suffix, s in stacks.items() for name, policy in _policies(s).items()}

    assert len(policies) > 50
    assert linters.parliament(policies) == []


def test_parliament_when_faults_are_planted_then_each_is_found() -> None:
    table = "arn:aws:dynamodb:us-east-1:123456789012:table/payments"
    planted = {
        "no such action": {"Action": ["dynamodb:GetItems"], "Resource": [table]},
        "of another service": {"Action": ["s3:GetObject"], "Resource": [table]},
        "a star for no reason": {"Action": ["dynamodb:GetItem"], "Resource": ["*"]},
    }

    found = linters.parliament(
        {
            name: {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}
            for name, statement in planted.items()
        }
    )

    assert {(name, issue) for name, issue, _, _ in found} == {
        ("no such action", "UNKNOWN_ACTION"),
        ("of another service", "RESOURCE_MISMATCH"),
        ("a star for no reason", "RESOURCE_STAR"),
    }
