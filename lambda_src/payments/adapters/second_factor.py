"""Whether a person of the user pool has a second factor."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

TOTP = "SOFTWARE_TOKEN_MFA"
"""Codes of an authenticator: the only second factor of the pool."""


def has_second_factor(client: "CognitoIdentityProviderClient", pool_id: str, username: str) -> bool:
    """True if Cognito asks this user for a code at each login. Raises Cognito's errors."""
    user = client.admin_get_user(UserPoolId=pool_id, Username=username)
    return TOTP in user.get("UserMFASettingList", [])
