"""IAM policy documents, the Grantee protocol, and the reviewed waivers of the security scanner's rules."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lib.bindings import TerraformResource

Statement = dict[str, Any]
Condition = Mapping[str, str | Sequence[str]]
"""Condition key → value or values, for one operator."""


class Grantee(Protocol):
    """A resource whose role takes permissions, such as a Lambda function. Tables, keys and queues grant to it."""

    def allow(self, actions: list[str], resources: list[str], **conditions: Condition) -> None:
        """Add a permission to the role."""


def document(*statements: Statement) -> str:
    """A policy document of these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(actions: list[str], resources: list[str], **conditions: Condition) -> Statement:
    """A statement of an identity-based policy."""
    statement: Statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return statement | ({"Condition": conditions} if conditions else {})


def assumed_by(service: str) -> str:
    """The trust policy of a role that one AWS service assumes."""
    return document({"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"})


def waive(resource: TerraformResource, **reasons: str) -> None:
    """State why a scanner's rule does not apply to a resource: waive(bucket, CKV_AWS_18="…").

    The reason is in the synthesised JSON beside the resource. A test rejects findings without a reason, and reasons
    without a finding.
    """
    for rule, reason in reasons.items():
        resource.add_override(f"//.waived.{rule}", reason)
