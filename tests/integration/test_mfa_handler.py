"""The mfa function as Lambda loads it: which groups are in a person's tokens."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from tests.integration.functions import load

ANNA = "anna@example.com"
GROUPS = ["admin", "auditor", "merchant", "operator"]


def event(groups: list[str] | None) -> dict[str, Any]:
    """What Cognito sends to a pre-token-generation trigger of version 2 (Cognito Developer Guide)."""
    return {
        "version": "2",
        "triggerSource": "TokenGeneration_Authentication",
        "region": "us-east-1",
        "userPoolId": "us-east-1_Pool",
        "userName": ANNA,
        "callerContext": {"awsSdkVersion": "3", "clientId": "people"},
        "request": {
            "userAttributes": {"sub": ANNA},
            "groupConfiguration": {} if groups is None else {"groupsToOverride": groups, "iamRolesToOverride": []},
            "scopes": ["aws.cognito.signin.user.admin"],
        },
        "response": {"claimsAndScopeOverrideDetails": None},
    }


@contextmanager
def pool(function: ModuleType, *, second_factor: bool) -> Iterator[Stubber]:
    """A pool with the user, who may have a second factor. It answers one question."""
    settings = {"UserMFASettingList": ["SOFTWARE_TOKEN_MFA"]} if second_factor else {}
    user = {"Username": ANNA, **settings}
    with Stubber(function.cognito) as stub:
        stub.add_response("admin_get_user", user, {"UserPoolId": "us-east-1_Pool", "Username": ANNA})
        yield stub


def groups_in_tokens(asked: dict[str, Any], answered: dict[str, Any]) -> list[str]:
    """The groups that Cognito puts into the tokens: those of the answer, else those of the user."""
    overrides = (answered["response"]["claimsAndScopeOverrideDetails"] or {}).get("groupOverrideDetails")
    groups: list[str] = (overrides or asked["request"]["groupConfiguration"]).get("groupsToOverride", [])
    return groups


@pytest.mark.parametrize(
    ("second_factor", "groups", "kept"),
    [
        (False, GROUPS, ["merchant"]),
        (False, ["admin"], []),
        (False, ["merchant", "customer"], ["merchant", "customer"]),
        (True, GROUPS, GROUPS),
    ],
)
def test_groups_of_staff_are_left_out_without_a_second_factor(
    aws: None, second_factor: bool, groups: list[str], kept: list[str]
) -> None:
    function = load("mfa", REQUIRE_SECOND_FACTOR="true")
    asked = event(groups)

    with pool(function, second_factor=second_factor):
        answered = function.handler(copy.deepcopy(asked), None)

    assert groups_in_tokens(asked, answered) == kept
    assert {name: answered[name] for name in asked if name != "response"} == {
        name: asked[name] for name in asked if name != "response"
    }


@pytest.mark.parametrize("groups", [None, [], ["merchant"]])
def test_user_outside_staff_logs_in_without_a_look_at_the_pool(aws: None, groups: list[str] | None) -> None:
    function = load("mfa", REQUIRE_SECOND_FACTOR="true")
    asked = event(groups)
    with Stubber(function.cognito):  # a question would be an error
        assert function.handler(copy.deepcopy(asked), None) == asked


def test_staff_keep_their_groups_where_no_second_factor_is_required(aws: None) -> None:
    function = load("mfa", REQUIRE_SECOND_FACTOR="false")
    asked = event(GROUPS)
    with Stubber(function.cognito):
        assert function.handler(copy.deepcopy(asked), None) == asked


def test_login_of_staff_fails_if_the_pool_cannot_be_asked(aws: None) -> None:
    function = load("mfa", REQUIRE_SECOND_FACTOR="true")
    with Stubber(function.cognito) as stub:
        stub.add_client_error("admin_get_user", "TooManyRequestsException")
        with pytest.raises(ClientError):
            function.handler(event(GROUPS), None)
