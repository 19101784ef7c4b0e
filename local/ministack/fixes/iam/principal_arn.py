"""For the session of a role, the condition key `aws:PrincipalArn` is the ARN of the role.

MiniStack compares the ARN of the session.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn

Probe: `principal_arn` in tests/local/ministack/test_upstream.py.
"""

from typing import Any

from ministack.core import iam_evaluator
from ministack.services import iam

from local.ministack.fixes.patching import wrap


def apply() -> None:
    wrap(iam_evaluator, "_resolve_condition_key", _of_the_role)


def _of_the_role(resolve: Any, key: str, context: Any) -> Any:
    found = resolve(key, context)
    if key.lower() != "aws:principalarn" or ":assumed-role/" not in str(found):
        return found
    account, name = found.split(":")[4], found.split("/")[1]
    role = iam._roles.get_scoped(account, None, name) or {}
    return role.get("Arn") or f"arn:aws:iam::{account}:role/{name}"
