"""Mfa: leave the groups that need a second factor out of the tokens of a user who has none.

Cognito calls it before it makes the tokens of a person, at a login and at each renewal.
"""

from typing import Any

from payments.adapters import aws_clients as aws
from payments.adapters.second_factor import has_second_factor
from payments.config import setting
from payments.domain.identity import groups_without_second_factor
from payments.observability.logs import invocation, logger

REQUIRED = setting("REQUIRE_SECOND_FACTOR") == "true"
cognito = aws.cognito()
log = logger()


@invocation
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Cognito's event in, the same event with the groups of the tokens out (trigger of version 2).

    An error ends the login: no token is issued with a group that may not be in it.
    """
    request = event["request"].get("groupConfiguration") or {}
    groups = list(request.get("groupsToOverride") or [])
    kept = groups_without_second_factor(groups) if REQUIRED else groups
    if kept != groups and not has_second_factor(cognito, event["userPoolId"], event["userName"]):
        log.warning("groups left out: the user has no second factor", subject=event["userName"])
        overrides = {"groupsToOverride": kept, "iamRolesToOverride": [], "preferredRole": ""}
        event["response"]["claimsAndScopeOverrideDetails"] = {"groupOverrideDetails": overrides}
    return event
