"""The trigger of the user pool that leaves groups out of the tokens of users without a second factor."""

from lib.bindings import CognitoUserPoolLambdaConfigPreTokenGenerationConfig as PreTokenGeneration
from lib.bindings import LambdaPermission
from lib.foundation.foundation import Foundation
from lib.foundation.functions import Function
from lib.foundation.identity import Identity


class SecondFactor:
    """The mfa function, which Cognito calls before it makes a person's tokens."""

    def __init__(self, foundation: Foundation, identity: Identity) -> None:
        required = foundation.settings.effective.require_second_factor
        # the pool names the function, and the function's policy the pool: the function does not wait for its policy
        self.mfa = Function(
            foundation.scope,
            "mfa",
            settings=foundation.settings,
            code=foundation.code,
            encryption=foundation.encryption,
            timeout_seconds=5,  # Cognito waits no longer
            environment={"REQUIRE_SECOND_FACTOR": "true" if required else "false"},
            after_its_policy=False,
        )
        if required:
            identity.grant_users(self.mfa)
        identity.pool.put_lambda_config(
            # version 2: the groups in access tokens
            pre_token_generation_config=PreTokenGeneration(lambda_arn=self.mfa.arn, lambda_version="V2_0")
        )
        LambdaPermission(
            foundation.scope,
            "user_pool_calls_mfa",
            action="lambda:InvokeFunction",
            function_name=self.mfa.function.function_name,
            principal="cognito-idp.amazonaws.com",
            source_arn=identity.pool.arn,
            source_account=foundation.account_id,
        )
