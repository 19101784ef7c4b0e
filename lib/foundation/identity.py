"""Callers: a Cognito user pool with people in groups, and app clients with scopes for machines."""

from collections.abc import Sequence

from lib.bindings import (
    CognitoResourceServer,
    CognitoResourceServerScope,
    CognitoUserGroup,
    CognitoUserPool,
    CognitoUserPoolClient,
    CognitoUserPoolDomain,
    Construct,
)
from lib.bindings import CognitoUserPoolAccountRecoverySettingRecoveryMechanism as RecoveryMechanism
from lib.bindings import CognitoUserPoolClientTokenValidityUnits as ValidityUnits
from lib.iam import Grantee
from lib.settings import Settings
from payments.domain.identity import Role
from payments.domain.merchants import Merchant, Merchants

AUTHORIZER_CACHE_SECONDS = 60
"""How long API Gateway caches the authorizer's answer for a token."""
BEARER_PATTERN = r"^[Bb]earer [-\w]+\.[-\w]+\.[-\w]+$"
"""API Gateway invokes the authorizer only for an Authorization header of this form. Others get 401."""

_MACHINES = (Role.MERCHANT, Role.OPERATOR, Role.AUDITOR, Role.ADMIN)
_MEANINGS = {
    Role.ADMIN: "Makes refunds and manages the system",
    Role.OPERATOR: "Reads all data and handles disputes",
    Role.AUDITOR: "Reads all data and changes nothing",
    Role.MERCHANT: "Submits payments and manages customers",
    Role.CUSTOMER: "Sees its own data",
}


class Identity(Construct):
    """The user pool of one environment. Cognito does sign-up, login, refresh and password reset."""

    def __init__(self, scope: Construct, settings: Settings, account_id: str) -> None:
        super().__init__(scope, "identity")
        self._settings = settings
        protected = not settings.effective.force_destroy
        self.pool = CognitoUserPool(
            self,
            "users",
            name=settings.name("payment-users"),
            user_pool_tier="ESSENTIALS",
            deletion_protection="ACTIVE" if protected else "INACTIVE",
            # people sign in with their e-mail address, in any case; the name in their tokens is a meaningless id
            username_attributes=["email"],
            username_configuration={"case_sensitive": False},
            auto_verified_attributes=["email"],
            user_attribute_update_settings={"attributes_require_verification_before_update": ["email"]},
            account_recovery_setting={"recovery_mechanism": [RecoveryMechanism(name="verified_email", priority=1)]},
            admin_create_user_config={"allow_admin_create_user_only": not settings.effective.self_sign_up},
            email_configuration=_sender(settings, account_id),
            mfa_configuration="OPTIONAL",
            software_token_mfa_configuration={"enabled": True},
            # PCI DSS 4.0.1, 8.3.6 and 8.3.7: twelve characters, and none of the last four passwords
            password_policy={
                "minimum_length": 12,
                "password_history_size": 4,
                "require_lowercase": True,
                "require_uppercase": True,
                "require_numbers": True,
                "require_symbols": True,
                "temporary_password_validity_days": 3,
            },
        )
        for role in Role:
            CognitoUserGroup(self, role, name=role, user_pool_id=self.pool.id, description=_MEANINGS[role])
        self._server = CognitoResourceServer(
            self,
            "api",
            identifier=settings.name("payment-api"),
            name=settings.name("payment-api"),
            user_pool_id=self.pool.id,
            scope=[
                CognitoResourceServerScope(scope_name=role, scope_description=_MEANINGS[role]) for role in _MACHINES
            ],
        )
        self._domain = CognitoUserPoolDomain(
            self, "domain", domain=f"{settings.name('payment')}-{account_id}", user_pool_id=self.pool.id
        )
        self.people_client = self._client(
            "people",
            ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
            refresh_token_validity=30,
            # the attributes that people may change themselves: they grant no permission
            read_attributes=["email", "email_verified", "name"],
            write_attributes=["email", "name"],
        )
        self.operations_client = self._machine("operations", Role.OPERATOR)
        self.merchant_clients = {
            name: self._machine(f"merchant-{name}", Role.MERCHANT) for name in settings.merchant_prefixes
        }

    def grant_users(self, function: Grantee) -> None:
        """Let a function read the record of a person, which has the verified address."""
        function.allow(["cognito-idp:AdminGetUser"], [self.pool.arn])

    @property
    def issuer(self) -> str:
        """The `iss` of the pool's tokens."""
        return f"https://cognito-idp.{self._settings.aws_region}.amazonaws.com/{self.pool.id}"

    @property
    def jwks_uri(self) -> str:
        """The URL of the pool's public keys."""
        settings = self._settings
        base = f"{settings.aws_endpoint_url}/{self.pool.id}" if settings.is_local else self.issuer
        return f"{base}/.well-known/jwks.json"

    @property
    def token_url(self) -> str:
        """The URL where machines get their tokens."""
        settings = self._settings
        domain = f"https://{self._domain.domain}.auth.{settings.aws_region}.amazoncognito.com"
        return f"{settings.aws_endpoint_url if settings.is_local else domain}/oauth2/token"

    @property
    def environment(self) -> dict[str, str]:
        """The authorizer's variables: the issuers and clients that it trusts."""
        settings = self._settings
        return {
            "ENVIRONMENT_SUFFIX": settings.environment_suffix,
            "USER_POOL_ISSUER": self.issuer,
            "USER_POOL_JWKS_URI": self.jwks_uri,
            "CLIENT_IDS": f"{self.people_client.id},{self.operations_client.id}",
            "MERCHANT_CLIENT_IDS": ",".join(client.id for client in self.merchant_clients.values()),
            "OIDC_ISSUER": settings.oidc_issuer,
            "OIDC_AUDIENCE": settings.oidc_audience,
            "OIDC_ROLES_CLAIM": settings.oidc_roles_claim,
            "OIDC_ROLES_PREFIX": settings.oidc_roles_prefix,
            "REQUIRE_SECOND_FACTOR": "true" if settings.effective.require_second_factor else "false",
        }

    @property
    def merchants(self) -> dict[str, str]:
        """The variable with the merchants: their names, the prefixes of their ids, and the subjects of their tokens."""
        prefixes = self._settings.merchant_prefixes
        merchants = (Merchant(name, prefixes[name], client.id) for name, client in self.merchant_clients.items())
        return {"MERCHANTS": str(Merchants(merchants))}

    @property
    def users(self) -> dict[str, str]:
        """The variable with the id of the user pool."""
        return {"USER_POOL_ID": self.pool.id}

    @property
    def outputs(self) -> dict[str, str]:
        """The stack outputs that callers need to get a token."""
        merchants = (f"{name}={client.id}" for name, client in self.merchant_clients.items())
        return {
            "user_pool_id": self.pool.id,
            "second_factor": "required" if self._settings.effective.require_second_factor else "optional",
            "people_client_id": self.people_client.id,
            "operations_client_id": self.operations_client.id,
            "merchant_client_ids": ",".join(merchants),
            "token_url": self.token_url,
            "issuer": self.issuer,
        }

    def _machine(self, name: str, role: Role) -> CognitoUserPoolClient:
        """An app client with a secret and the one scope of its role. People cannot sign in through it."""
        return self._client(
            name,
            ["ALLOW_REFRESH_TOKEN_AUTH"],  # Cognito rejects an empty list, and without a list it allows sign-ins
            generate_secret=True,
            allowed_oauth_flows_user_pool_client=True,
            allowed_oauth_flows=["client_credentials"],
            allowed_oauth_scopes=[f"{self._server.identifier}/{role}"],
        )

    def _client(self, name: str, flows: Sequence[str], **more: object) -> CognitoUserPoolClient:
        return CognitoUserPoolClient(
            self,
            name,
            name=self._settings.name(f"payment-{name}"),
            user_pool_id=self.pool.id,
            explicit_auth_flows=list(flows),
            access_token_validity=1,
            id_token_validity=1,
            token_validity_units=[ValidityUnits(access_token="hours", id_token="hours", refresh_token="days")],  # noqa: S106 - units
            prevent_user_existence_errors="ENABLED",
            enable_token_revocation=True,
            **more,  # type: ignore[arg-type]  # the arguments that differ between people and machines
        )


def _sender(settings: Settings, account_id: str) -> dict[str, str] | None:
    """Who sends the pool's e-mail: SES, from a verified domain of the account, or Cognito, at most 50 a day."""
    if not (sender := settings.email_sender):
        return None
    domain = sender.rpartition("@")[2]
    return {
        "email_sending_account": "DEVELOPER",
        "from_email_address": sender,
        "source_arn": f"arn:aws:ses:{settings.aws_region}:{account_id}:identity/{domain}",
    }
