"""Records the requests of each role and the decisions, one JSON line each, in the file PERMISSIONS_FILE.

    {"role": "payment-charge-dev", "action": "dynamodb:GetItem", "resource": "arn:aws:…", "allowed": true}

A repeated request is recorded once. Requests of users and root are not recorded.
"""

import json
import os
from pathlib import Path
from typing import Any, Final

from ministack import app
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam, sts

from local.ministack.fixes.patching import wrap

type Policy = dict[str, Any]

_path = os.environ.get("PERMISSIONS_FILE", "")
_known: Final[set[tuple[str, str, str, bool]]] = set()


def start() -> None:
    """Record every signed request, if PERMISSIONS_FILE is set."""
    if _path:
        wrap(iam_evaluator, "enforce", _record_decision)


def role_of(access_key: str) -> str:
    """The name of the role whose session has this key. "" for the key of a user, the key of root, or no key."""
    session = sts._sessions.get(access_key) or {}
    kind, _, rest = session.get("Arn", "").rpartition(":")[2].partition("/")
    return str(rest.partition("/")[0]) if kind == "assumed-role" else ""


def service_may(service: str, role_arn: str, action: str, resource: str) -> bool:
    """Whether the role allows a service to do this under the role. Evaluated and recorded like a signed request.

    MiniStack does not check this for a service that works under a role. Always true without AUTH.
    """
    if not app.AUTH:
        return True
    account, role = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    request = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{account}:assumed-role/{role}/{service}",
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=get_region(),
        secure_transport=True,
    )
    answer = iam_evaluator.evaluate(request, iam_evaluator._gather_role_policies(role, account))
    policy = iam_evaluator._resource_policy(action.partition(":")[0], resource)
    if policy is not None:
        answer = iam_evaluator.combine_resource_policy(answer, request, *policy)
    allowed = bool(answer.decision == "Allow")
    _record(role, action, resource, allowed)
    return allowed


def role_lets_service(role_arn: str, service: str, source_arn: str) -> bool:
    """Whether the role's trust policy allows a service (`scheduler.amazonaws.com`) to assume it for `source_arn`.

    Always true without AUTH.
    """
    role = iam._roles.get(role_arn.rpartition("/")[2]) or {}
    return policy_lets_service(role.get("AssumeRolePolicyDocument"), service, "sts:AssumeRole", role_arn, source_arn)


def policy_lets_service(policy: str | Policy | None, service: str, action: str, resource: str, source_arn: str) -> bool:
    """Whether a resource policy allows a service to do this on behalf of `source_arn`. Always true without AUTH."""
    if not app.AUTH:
        return True
    account = get_account_id()
    request = iam_evaluator.EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=get_region(),
        secure_transport=True,
        service_context={"aws:sourcearn": source_arn, "aws:sourceaccount": account},
    )
    document = json.loads(policy) if isinstance(policy, str) else policy or {}
    statements = document.get("Statement", [])
    # a trust policy names no resource: it applies to its own role
    whole = [
        {"Resource": "*", **statement} for statement in ([statements] if isinstance(statements, dict) else statements)
    ]
    answer = iam_evaluator.evaluate_resource_policy({"Statement": whole}, request, service)
    return bool(answer.decision == "Allow")


def _record_decision(
    enforce: Any, access_key: str, action: str, service: str, region: str, resource_arn: str = "*", **context: Any
) -> Any:
    refusal = enforce(access_key, action, service, region, resource_arn=resource_arn, **context)
    if role := role_of(access_key):
        _record(role, action, resource_arn, refusal is None)
    return refusal


def _record(role: str, action: str, resource: str, allowed: bool) -> None:
    decision = (role, action, resource, allowed)
    if not _path or decision in _known:
        return
    _known.add(decision)
    line = {"role": role, "action": action, "resource": resource, "allowed": allowed}
    with Path(_path).open("a") as file:
        file.write(json.dumps(line) + "\n")
