"""The user pool: roles, lifetimes of tokens, and the issuers and clients that the authorizer trusts."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lib.foundation.identity import BEARER_PATTERN
from lib.settings import MOST_MERCHANTS, Settings
from payments.domain.identity import Role
from tests.infrastructure.synth import ACCOUNT, Resource, Stack
from tests.unit.issuers import signed, user

LAMBDA_ENVIRONMENT_BYTES = 4096
CLIENT_ID_LETTERS = 26
"""How long Cognito's client ids are."""
OTHER = {
    "oidc_issuer": "https://login.example.com/",
    "oidc_audience": "payments",
    "oidc_roles_claim": "roles",
    "oidc_roles_prefix": "pay:",
}
LOCAL = {"environment_suffix": "local", "aws_endpoint_url": "https://127.0.0.1:4566"}


class Pool(Stack):
    """The identity of one environment, synthesised alone."""

    @property
    def pool(self) -> Resource:
        return self.only("aws_cognito_user_pool")[1]

    @property
    def clients(self) -> dict[str, Resource]:
        """App clients by their names."""
        return {client["name"]: client for client in self.all("aws_cognito_user_pool_client").values()}

    @property
    def outputs(self) -> dict[str, str]:
        return {name: self.resolve(output["value"]) for name, output in self.document["output"].items()}


def synthesised(folder: Path, **settings: Any) -> Pool:
    """Identity for these settings, its environment and outputs as outputs of the stack."""
    from lib.bindings import App, TerraformOutput, TerraformStack
    from lib.foundation.identity import Identity

    own = Settings(**settings)
    app = App(outdir=str(folder), skip_validation=True)  # it has no provider
    stack = TerraformStack(app, "identity-alone")
    identity = Identity(stack, own, ACCOUNT)
    for name, value in (identity.outputs | identity.environment).items():
        TerraformOutput(stack, name, value=value)
    app.synth()
    path = folder / "stacks" / "identity-alone" / "cdk.tf.json"
    return Pool(own, path, json.loads(path.read_text()))


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return synthesised(tmp_path_factory.mktemp("dev"), merchants=["shop", "partner"], **OTHER)


def test_pool_when_synthesised_then_its_names_carry_the_suffix(dev: Pool) -> None:
    assert dev.pool["name"] == "payment-users-dev"
    assert dev.only("aws_cognito_resource_server")[1]["identifier"] == "payment-api-dev"
    assert dev.only("aws_cognito_user_pool_domain")[1]["domain"] == f"payment-dev-{ACCOUNT}"
    assert all(name.endswith("-dev") for name in dev.clients)


@pytest.mark.parametrize(("suffix", "protection"), [("dev", "INACTIVE"), ("prod", "ACTIVE")])
def test_user_pool_is_protected_from_deletion_only_in_production(suffix: str, protection: str, tmp_path: Path) -> None:
    assert synthesised(tmp_path, environment_suffix=suffix).pool["deletion_protection"] == protection


def test_sign_up_needs_a_verified_address_and_a_strong_password(dev: Pool) -> None:
    pool = dev.pool
    assert pool["username_attributes"] == pool["auto_verified_attributes"] == ["email"]
    assert pool["user_attribute_update_settings"] == {"attributes_require_verification_before_update": ["email"]}
    assert pool["account_recovery_setting"] == {"recovery_mechanism": [{"name": "verified_email", "priority": 1}]}
    assert pool["mfa_configuration"] == "OPTIONAL"
    policy = pool["password_policy"]
    assert policy["minimum_length"] >= 12
    assert all(policy[f"require_{kind}"] for kind in ("lowercase", "uppercase", "numbers", "symbols"))


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    ("settings", "closed"),
    [
        ({"environment_suffix": "dev"}, False),
        ({"environment_suffix": "pr-7"}, False),
        ({"environment_suffix": "staging"}, True),
        ({"environment_suffix": "prod"}, True),
        ({"environment_suffix": "eu-live"}, True),
        ({"environment_suffix": "prod", "self_sign_up": True}, False),
        ({"environment_suffix": "dev", "self_sign_up": False}, True),
    ],
)
def test_sign_up_is_closed_outside_dev_unless_a_setting_opens_it(
    settings: dict[str, Any], closed: bool, tmp_path: Path
) -> None:
    pool = synthesised(tmp_path, **settings).pool
    assert pool["admin_create_user_config"] == {"allow_admin_create_user_only": closed}


def test_mail_is_sent_by_ses_from_the_sender_that_is_set(dev: Pool, tmp_path: Path) -> None:
    assert "email_configuration" not in dev.pool
    assert synthesised(tmp_path, email_sender="payments@shop.example.com").pool["email_configuration"] == {
        "email_sending_account": "DEVELOPER",
        "from_email_address": "payments@shop.example.com",
        "source_arn": f"arn:aws:ses:us-east-1:{ACCOUNT}:identity/shop.example.com",
    }


@pytest.mark.fault(42)
def test_pool_asks_the_mfa_function_before_it_makes_tokens(stack: Stack) -> None:
    address, pool = stack.only("aws_cognito_user_pool")
    function, mfa = stack.only("aws_lambda_function", function_name=f"payment-mfa-{stack.suffix}")
    (permission,) = [
        one for one in stack.all("aws_lambda_permission").values() if one["principal"] == "cognito-idp.amazonaws.com"
    ]
    required = stack.settings.kind == "prod"

    assert pool["lambda_config"]["pre_token_generation_config"] == {
        "lambda_arn": f"${{{function}.arn}}",
        "lambda_version": "V2_0",  # version 1 changes ID tokens only
    }
    assert permission["function_name"] == f"${{{function}.function_name}}"
    assert permission["source_arn"] == f"${{{address}.arn}}"
    assert mfa["environment"]["variables"]["REQUIRE_SECOND_FACTOR"] == ("true" if required else "false")
    authorize = stack.only("aws_lambda_function", function_name=f"payment-authorize-{stack.suffix}")[1]
    assert authorize["environment"]["variables"]["REQUIRE_SECOND_FACTOR"] == ("true" if required else "false")


def test_mfa_function_may_read_people_only_where_it_is_required(stack: Stack) -> None:
    allowed = {
        action
        for statement in stack.statements(stack.role_policies()[f"payment-mfa-{stack.suffix}"])
        for action in statement["Action"]
    }
    assert ("cognito-idp:AdminGetUser" in allowed) is (stack.settings.kind == "prod")
    assert {action for action in allowed if not action.startswith(("logs:", "xray:"))} <= {"cognito-idp:AdminGetUser"}


def test_groups_and_scopes_when_synthesised_then_they_are_the_roles(dev: Pool) -> None:
    groups = {group["name"] for group in dev.all("aws_cognito_user_group").values()}
    _, server = dev.only("aws_cognito_resource_server")

    assert groups == set(Role)
    assert {scope["scope_name"] for scope in server["scope"]} == set(Role) - {Role.CUSTOMER}


@pytest.mark.fault(42)
def test_attributes_that_users_can_change_grant_no_rights(dev: Pool) -> None:
    people = dev.clients["payment-people-dev"]
    assert people["write_attributes"] == ["email", "name"]
    assert not any(attribute.startswith("custom:") for attribute in people["read_attributes"])
    assert "schema" not in dev.pool


@pytest.mark.fault(42)
def test_user_login_client_gives_no_scopes_and_hides_unknown_users(dev: Pool) -> None:
    people = dev.clients["payment-people-dev"]
    assert "generate_secret" not in people
    assert "allowed_oauth_flows" not in people
    assert people["prevent_user_existence_errors"] == "ENABLED"
    assert people["enable_token_revocation"] is True
    (units,) = people["token_validity_units"]
    assert (people["access_token_validity"], units["access_token"]) == (1, "hours")
    assert (people["refresh_token_validity"], units["refresh_token"]) == (30, "days")


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    ("name", "scope"),
    [("operations", Role.OPERATOR), ("merchant-shop", Role.MERCHANT), ("merchant-partner", Role.MERCHANT)],
)
def test_machine_client_has_one_scope_and_no_user_login(name: str, scope: Role, dev: Pool) -> None:
    client = dev.clients[f"payment-{name}-dev"]
    assert client["generate_secret"] is True
    assert client["allowed_oauth_flows"] == ["client_credentials"]
    assert [dev.resolve(text) for text in client["allowed_oauth_scopes"]] == [f"payment-api-dev/{scope}"]
    assert client["explicit_auth_flows"] == ["ALLOW_REFRESH_TOKEN_AUTH"]


@pytest.mark.fault(42)
def test_authorizer_trusts_this_pool_its_clients_and_the_other_issuer(
    dev: Pool,
) -> None:
    outputs = dev.outputs
    pool = outputs["user_pool_id"]

    assert outputs["USER_POOL_ISSUER"] == outputs["issuer"] == f"https://cognito-idp.us-east-1.amazonaws.com/{pool}"
    assert outputs["USER_POOL_JWKS_URI"] == f"{outputs['issuer']}/.well-known/jwks.json"
    assert outputs["CLIENT_IDS"] == f"{outputs['people_client_id']},{outputs['operations_client_id']}"
    shop, partner = outputs["MERCHANT_CLIENT_IDS"].split(",")
    assert outputs["merchant_client_ids"] == f"shop={shop},partner={partner}"
    assert {name: outputs[name.upper()] for name in OTHER} == OTHER
    assert outputs["token_url"] == f"https://payment-dev-{ACCOUNT}.auth.us-east-1.amazoncognito.com/oauth2/token"


def test_local_stack_takes_keys_and_tokens_from_the_local_aws(tmp_path: Path) -> None:
    outputs = synthesised(tmp_path, **LOCAL).outputs
    assert outputs["USER_POOL_JWKS_URI"] == f"https://127.0.0.1:4566/{outputs['user_pool_id']}/.well-known/jwks.json"
    assert outputs["token_url"] == "https://127.0.0.1:4566/oauth2/token"
    assert outputs["issuer"].startswith("https://cognito-idp.")


def test_authorizer_environment_fits_lambda_with_the_most_merchants(
    tmp_path: Path,
) -> None:
    long = dict.fromkeys(("oidc_audience", "oidc_roles_claim"), "x" * 255) | {"oidc_roles_prefix": "x" * 32}
    names = [f"merchant-{number}" for number in range(MOST_MERCHANTS)]
    outputs = synthesised(tmp_path, merchants=names, oidc_issuer=f"https://{'x' * 247}", **long).outputs
    clients = {"MERCHANT_CLIENT_IDS": MOST_MERCHANTS, "CLIENT_IDS": 2}
    sizes = {name: len(name) + len(value) for name, value in outputs.items() if name.isupper() and name not in clients}

    assert (
        sum(sizes.values()) + sum(len(name) + count * (CLIENT_ID_LETTERS + 1) for name, count in clients.items())
        < LAMBDA_ENVIRONMENT_BYTES - 200  # the function's own: service name, log level
    )


@pytest.mark.fault(42)
@pytest.mark.parametrize("header", ["Bearer", "Bearer a.b", "Basic dXNlcjpwYXNz", "Bearer a.b.c d", " Bearer a.b.c"])
def test_header_when_it_is_no_token_then_api_gateway_need_not_ask(header: str) -> None:
    assert not re.fullmatch(BEARER_PATTERN, header)


def test_header_when_it_is_a_token_then_the_authorizer_is_asked() -> None:
    assert re.fullmatch(BEARER_PATTERN, f"Bearer {signed(user())}")
