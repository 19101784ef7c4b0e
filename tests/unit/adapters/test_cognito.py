"""What the user pool's record of a person says about their address; tests/local shows it on the local AWS."""

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from payments.adapters.cognito import CognitoUsers
from payments.domain.identity import Caller, Role
from payments.ports.user_directory import DirectoryUnavailable

CUSTOMER = frozenset({Role.CUSTOMER})
JO = Caller("sub_jo", CUSTOMER, username="name-of-jo", email="of-the-token@example.com")
ASKED = {"UserPoolId": "us-east-1_Pool", "Username": "name-of-jo"}


def pool() -> tuple[CognitoUsers, Stubber]:
    client = boto3.client("cognito-idp", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    return CognitoUsers(client, "us-east-1_Pool"), Stubber(client)


@pytest.mark.parametrize(
    ("attributes", "email"),
    [
        ({"email": "jo@example.com", "email_verified": "true"}, "jo@example.com"),
        ({"email": "jo@example.com", "email_verified": "false"}, ""),
        ({"email": "jo@example.com"}, ""),
        ({"email_verified": "true"}, ""),
        ({}, ""),
    ],
)
def test_address_is_that_of_the_record_if_the_pool_verified_it(attributes: dict[str, str], email: str) -> None:
    users, stub = pool()
    record = {"Username": "x", "UserAttributes": [{"Name": name, "Value": text} for name, text in attributes.items()]}
    stub.add_response("admin_get_user", record, ASKED)
    with stub:
        assert users.verified_email(JO) == email


def test_person_who_is_not_in_the_pool_any_more_has_no_address() -> None:
    users, stub = pool()
    stub.add_client_error("admin_get_user", "UserNotFoundException")
    with stub:
        assert users.verified_email(JO) == ""


@pytest.mark.parametrize("code", ["TooManyRequestsException", "AccessDeniedException", "InternalErrorException"])
def test_pool_that_does_not_tell_is_unavailable(code: str) -> None:
    users, stub = pool()
    stub.add_client_error("admin_get_user", code)
    with stub, pytest.raises(DirectoryUnavailable):
        users.verified_email(JO)


def test_person_of_another_issuer_has_the_address_of_the_token() -> None:
    users, stub = pool()
    with stub:
        for email in ("ann@example.com", ""):
            assert users.verified_email(Caller("oidc|ann", CUSTOMER, email=email)) == email


def test_record_is_asked_by_the_name_in_the_pool_not_by_the_subject() -> None:
    users, stub = pool()
    answer: dict[str, Any] = {"Username": "x", "UserAttributes": []}
    stub.add_response("admin_get_user", answer, ASKED)
    with stub:
        users.verified_email(JO)
    stub.assert_no_pending_responses()
