"""People in the Cognito user pool."""

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from payments.domain.identity import Caller
from payments.ports.user_directory import DirectoryUnavailable

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient


class CognitoUsers:
    """The user pool's records, and the verified claims of another issuer's tokens, which has no records here."""

    def __init__(self, client: "CognitoIdentityProviderClient", pool_id: str) -> None:
        self._client = client
        self._pool_id = pool_id

    def verified_email(self, caller: Caller) -> str:
        """The address with `email_verified`, from the record: an access token has none. Raises DirectoryUnavailable."""
        if not caller.username:
            return caller.email
        try:
            user = self._client.admin_get_user(UserPoolId=self._pool_id, Username=caller.username)
        except self._client.exceptions.UserNotFoundException:
            return ""
        except (ClientError, BotoCoreError) as error:
            raise DirectoryUnavailable("the user pool did not answer") from error
        attributes = {one["Name"]: one.get("Value", "") for one in user["UserAttributes"]}
        return attributes.get("email", "") if attributes.get("email_verified") == "true" else ""
