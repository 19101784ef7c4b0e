"""A user pool as in the stack, the real authorizer before a route, and every kind of token that it rejects."""

import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from ssl import create_default_context
from typing import Any

import jwt
import pytest

from lib.foundation.identity import AUTHORIZER_CACHE_SECONDS, BEARER_PATTERN
from lib.package import code_archive
from local.ministack.server import LocalAws
from local.users import make_users
from payctl import session
from payctl.stack import Stack
from payments.adapters.cognito import CognitoUsers
from payments.domain.identity import Caller, Role, usage_key
from tests.local.ministack.conftest import Deploy, active, function_arn
from tests.unit.issuers import rsa_key, signed, unsigned

SCOPES = ("merchant", "operator", "admin")


@dataclass
class Pool:
    """A user pool with its sample users, a client for users and one for a merchant's machine."""

    aws: LocalAws
    folder: Path

    def __post_init__(self) -> None:
        self.cognito = self.aws.client("cognito-idp")
        self.id = self.cognito.create_user_pool(PoolName="users", UsernameAttributes=["email"])["UserPool"]["Id"]
        for role in Role:
            self.cognito.create_group(UserPoolId=self.id, GroupName=role)
        scopes = [{"ScopeName": scope, "ScopeDescription": scope} for scope in SCOPES]
        api = "payment-api-test"
        self.cognito.create_resource_server(UserPoolId=self.id, Identifier=api, Name=api, Scopes=scopes)
        flows = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
        self.people = self.client(ExplicitAuthFlows=flows)["ClientId"]
        machine = {
            "GenerateSecret": True,
            "ExplicitAuthFlows": ["ALLOW_REFRESH_TOKEN_AUTH"],
            "AllowedOAuthFlowsUserPoolClient": True,
            "AllowedOAuthFlows": ["client_credentials"],
            "AllowedOAuthScopes": [f"{api}/merchant"],
        }
        self.shop = self.client(**machine)
        make_users(self.cognito, self.id, self.folder)

    def client(self, **settings: Any) -> dict[str, Any]:
        """Another app client."""
        made = self.cognito.create_user_pool_client(UserPoolId=self.id, ClientName="client", **settings)
        client: dict[str, Any] = made["UserPoolClient"]
        return client

    @property
    def stack(self) -> Stack:
        """The pool as payctl finds it."""
        outputs = {
            "environment_suffix": "test",
            "region": "us-east-1",
            "auth_mode": "jwt",
            "endpoint_url": self.aws.endpoint_url,
            "ca_bundle": str(self.aws.ca_bundle),
            "user_pool_id": self.id,
            "people_client_id": self.people,
            "token_url": f"{self.aws.endpoint_url}/oauth2/token",
        }
        return Stack(outputs, self.folder / "outputs.json")

    def token(self, role: str) -> str:
        """An access token of the sample user of a role."""
        return session.sample(self.stack, role).access_token


class Api:
    """GET /webhooks behind the authorizer. It answers with its event."""

    def __init__(self, aws: LocalAws, authorizer: str, function: str) -> None:
        client = aws.client("apigateway")
        api = client.create_rest_api(name="guarded")["id"]
        root = client.get_resources(restApiId=api)["items"][0]["id"]
        guard = client.create_authorizer(
            restApiId=api,
            name="bearer",
            type="TOKEN",
            authorizerUri=_uri(authorizer),
            identitySource="method.request.header.Authorization",
            identityValidationExpression=BEARER_PATTERN,
            authorizerResultTtlInSeconds=AUTHORIZER_CACHE_SECONDS,
        )["id"]
        resource = client.create_resource(restApiId=api, parentId=root, pathPart="webhooks")["id"]
        where = {"restApiId": api, "resourceId": resource, "httpMethod": "GET"}
        client.put_method(**where, authorizationType="CUSTOM", authorizerId=guard)
        client.put_integration(**where, type="AWS_PROXY", integrationHttpMethod="POST", uri=_uri(function))
        client.create_deployment(restApiId=api, stageName="dev")
        for name in (authorizer, function):
            aws.client("lambda").add_permission(
                FunctionName=name,
                StatementId=api,
                Action="lambda:InvokeFunction",
                Principal="apigateway.amazonaws.com",
                SourceArn=f"arn:aws:execute-api:us-east-1:000000000000:{api}/*",
            )
        self._path = f"/_aws/execute-api/{api}/dev/webhooks"
        self._trust = create_default_context(cafile=str(aws.ca_bundle))
        self._port = aws.port

    def get(self, authorization: str | None) -> tuple[int, dict[str, Any]]:
        """Status and JSON for an Authorization header."""
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._trust, timeout=30)
        connection.request("GET", self._path, headers={"Authorization": authorization} if authorization else {})
        answer = connection.getresponse()
        try:
            return answer.status, json.load(answer)
        finally:
            connection.close()

    def caller(self, token: str) -> dict[str, Any]:
        """The caller of a valid token, as the function behind the authorizer receives it."""
        status, event = self.get(f"Bearer {token}")
        assert status == 200, event
        authorizer: dict[str, Any] = event["requestContext"]["authorizer"]
        return authorizer


def _uri(function: str) -> str:
    return f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{function_arn(function)}/invocations"


@pytest.fixture(scope="module")
def pool(aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return Pool(aws, tmp_path_factory.mktemp("pool"))


def deploy_authorizer(aws: LocalAws, role: str, pool: Pool, name: str, jwks_uri: str) -> str:
    client = aws.client("lambda")
    client.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="handlers.authorize.handler",
        Role=role,
        Code={"ZipFile": code_archive().read_bytes()},
        Timeout=10,
        Environment={
            "Variables": {
                "ENVIRONMENT_SUFFIX": "test",
                "USER_POOL_ISSUER": f"https://cognito-idp.us-east-1.amazonaws.com/{pool.id}",
                "USER_POOL_JWKS_URI": jwks_uri,
                "CLIENT_IDS": pool.people,
                "MERCHANT_CLIENT_IDS": pool.shop["ClientId"],
                "OIDC_ISSUER": "",
                "OIDC_AUDIENCE": "",
                "OIDC_ROLES_CLAIM": "groups",
                "OIDC_ROLES_PREFIX": "payment-api-",
            }
        },
    )
    active(client, name)
    return name


@pytest.fixture(scope="module")
def api(aws: LocalAws, role: str, deploy: Deploy, pool: Pool) -> Api:
    keys = f"{aws.endpoint_url}/{pool.id}/.well-known/jwks.json"
    return Api(aws, deploy_authorizer(aws, role, pool, "authorize", keys), deploy())


@pytest.mark.parametrize("sample", Role)
def test_sample_user_login_passes_its_role_to_the_function(sample: Role, api: Api, pool: Pool) -> None:
    caller = api.caller(pool.token(sample))
    assert caller["roles"] == sample
    assert caller["subject"] == caller["principalId"]
    assert caller["expires_at"].isdigit()
    assert "@" not in caller["subject"]


def test_machine_when_it_shows_its_secret_then_its_scope_is_its_role(api: Api, pool: Pool) -> None:
    shop = pool.shop["ClientId"]
    machine = session.sign_in_machine(pool.stack, shop, pool.shop["ClientSecret"])
    caller = api.caller(machine.access_token)
    assert (caller["subject"], caller["roles"]) == (shop, "merchant")
    assert usage_key("test", shop).endswith(shop)


def test_sample_users_made_again_keep_their_subjects_and_passwords(api: Api, pool: Pool) -> None:
    before = (pool.folder / session.SAMPLE_USERS).read_text()
    subject = api.caller(pool.token("merchant"))["subject"]
    make_users(pool.cognito, pool.id, pool.folder)
    assert (pool.folder / session.SAMPLE_USERS).read_text() == before
    assert (pool.folder / session.SAMPLE_USERS).stat().st_mode & 0o777 == 0o600
    assert api.caller(pool.token("merchant"))["subject"] == subject


def test_somebody_when_they_sign_up_by_themselves_then_they_are_a_customer(api: Api, pool: Pool) -> None:
    who, password = "cleo@example.com", "correct-horse-Battery-1"
    email = [{"Name": "email", "Value": who}]
    pool.cognito.sign_up(ClientId=pool.people, Username=who, Password=password, UserAttributes=email)
    pool.cognito.admin_confirm_sign_up(UserPoolId=pool.id, Username=who)
    token = session.sign_in(pool.stack, who, password, ask=lambda _: {}).access_token
    assert api.caller(token)["roles"] == "customer"


def test_login_can_be_renewed_and_gives_no_tokens_once_ended(api: Api, pool: Pool) -> None:
    stack = pool.stack
    first = session.keep(stack, session.sample(stack, "operator"))
    session.keep(stack, session.Session(first.who, first.access_token, 0, first.refresh_token))
    assert api.caller(session.current(stack).access_token)["roles"] == "operator"
    session.end(stack)
    session.keep(stack, session.Session(first.who, first.access_token, 0, first.refresh_token))
    with pytest.raises(Exception, match="has ended"):
        session.current(stack)


def claims_of(pool: Pool, **more: Any) -> dict[str, Any]:
    """The claims of an admin's token of the pool."""
    return {
        "iss": f"https://cognito-idp.us-east-1.amazonaws.com/{pool.id}",
        "sub": "somebody",
        "token_use": "access",
        "client_id": pool.people,
        "username": "somebody",
        "cognito:groups": ["admin"],
        "exp": 4_000_000_000,
        **more,
    }


def id_token(pool: Pool) -> str:
    user = json.loads((pool.folder / session.SAMPLE_USERS).read_text())["admin"]
    answer = pool.cognito.initiate_auth(
        ClientId=pool.people,
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": user["email"], "PASSWORD": user["password"]},
    )
    return str(answer["AuthenticationResult"]["IdToken"])


def token_of_an_unknown_client(pool: Pool) -> str:
    user = json.loads((pool.folder / session.SAMPLE_USERS).read_text())["admin"]
    client = pool.client(ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"])["ClientId"]
    answer = pool.cognito.initiate_auth(
        ClientId=client,
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": user["email"], "PASSWORD": user["password"]},
    )
    return str(answer["AuthenticationResult"]["AccessToken"])


def token_of_another_pool(pool: Pool) -> str:
    folder = pool.folder / "another"
    folder.mkdir(exist_ok=True)
    return Pool(pool.aws, folder).token("admin")


def changed(pool: Pool) -> str:
    head, _, tail = pool.token("customer").split(".")
    return ".".join((head, unsigned(claims_of(pool)).split(".")[1], tail))


FORGED = {
    "alg none": lambda pool: f"{unsigned(claims_of(pool))}AA",
    "another key": lambda pool: signed(claims_of(pool), rsa_key("mine")),
    "other claims": changed,
    "an ID token": id_token,
    "a token of an unknown client": token_of_an_unknown_client,
    "a token of another pool": token_of_another_pool,
}


@pytest.mark.fault(42)
@pytest.mark.parametrize("attack", FORGED)
def test_token_when_forged_or_not_for_us_then_401(attack: str, api: Api, pool: Pool) -> None:
    assert api.get(f"Bearer {FORGED[attack](pool)}") == (401, {"message": "Unauthorized"})


@pytest.mark.fault(42)
@pytest.mark.parametrize("header", [None, "Bearer", "Bearer let-me-in", "Basic dXNlcjpwYXNz", "Bearer a.b.c"])
def test_header_when_it_is_no_token_then_401(header: str | None, api: Api) -> None:
    assert api.get(header) == (401, {"message": "Unauthorized"})


@pytest.mark.fault(42)
def test_unreachable_signing_keys_reject_a_valid_token(aws: LocalAws, role: str, deploy: Deploy, pool: Pool) -> None:
    nowhere = f"{aws.endpoint_url}/nowhere/.well-known/jwks.json"
    api = Api(aws, deploy_authorizer(aws, role, pool, "authorize-nowhere", nowhere), deploy())
    assert api.get(f"Bearer {pool.token('admin')}")[0] == 500


def test_address_of_a_person_is_read_from_the_pools_record(pool: Pool) -> None:
    claims = jwt.decode(pool.token("customer"), options={"verify_signature": False})
    users = CognitoUsers(pool.cognito, pool.id)
    person = Caller(claims["sub"], frozenset({Role.CUSTOMER}), username=claims["username"])
    assert users.verified_email(person) == "customer@example.com"
    assert users.verified_email(Caller("x", person.roles, username="not-there")) == ""
