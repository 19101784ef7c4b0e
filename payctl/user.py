"""payctl user: users of the user pool, managed with the operator's AWS credentials."""

import secrets
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from payctl import show
from payctl.failures import Exit, Failure
from payctl.options import Json, stack_of
from payctl.session import need_tokens
from payctl.stack import Stack
from payments.domain.identity import Role

app = typer.Typer(help="Users and their roles.", no_args_is_help=True)

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The e-mail address that the user logs in with.")]


@app.command()
def add(
    context: typer.Context,
    email: Email,
    role: Annotated[list[Role], typer.Option(help="A role to give. May be repeated.")],
    json: Json = False,
) -> None:
    """Add a user, or give roles to an existing user. A new user receives a first password by e-mail."""
    if "@" not in email.strip("@"):
        raise Failure("the e-mail address is not valid; give one such as anna@example.com", code=Exit.USAGE)
    stack, client = _pool(context)
    whose = {"UserPoolId": stack["user_pool_id"], "Username": email}
    # the local AWS sends no e-mail
    password = f"{secrets.token_urlsafe(12)}-aA1" if stack.is_local else ""
    first = {"TemporaryPassword": password} if password else {"DesiredDeliveryMediums": ["EMAIL"]}
    try:
        attributes = [{"Name": "email", "Value": email}, {"Name": "email_verified", "Value": "true"}]
        client.admin_create_user(**whose, UserAttributes=attributes, **first)
        is_new = True
    except client.exceptions.UsernameExistsException:
        is_new = False
        _refuse_unproven(stack, client.admin_get_user(**whose)["UserStatus"], email)
    for name in role:
        client.admin_add_user_to_group(**whose, GroupName=name)
    if json:
        show.as_json({"environment": stack.name, "email": email, "roles": role, "new": is_new})
    else:
        facts = [("user", email), ("roles given", ", ".join(role)), ("environment", stack.name)]
        show.facts([*facts, ("already existed", "" if is_new else "yes")])
    if is_new and password:
        show.note(f"the local stack sends no e-mail; the first password is {password}")


@app.command("list")
def list_users(context: typer.Context, json: Json = False) -> None:
    """List the users, their roles, and whether they may log in."""
    stack, client = _pool(context)
    pool = {"UserPoolId": stack["user_pool_id"]}
    roles: dict[str, list[str]] = {}
    for role in Role:
        for page in client.get_paginator("list_users_in_group").paginate(**pool, GroupName=role):
            for user in page["Users"]:
                roles.setdefault(user["Username"], []).append(role)
    people = [
        {
            "email": _attribute(user, "email"),
            "subject": _attribute(user, "sub"),
            "roles": roles.get(user["Username"], [Role.CUSTOMER]),
            "status": user["UserStatus"].lower() if user["Enabled"] else "disabled",
        }
        for user in _users(client, pool)
    ]
    if json:
        show.as_json(people)
        return
    rows = [(user["email"], ", ".join(user["roles"]), user["status"], user["subject"]) for user in people]
    show.table(f"users of {stack.name}", ("e-mail", "roles", "status", "subject"), rows)


@app.command()
def disable(context: typer.Context, email: Email, json: Json = False) -> None:
    """Disable a user and end their logins. An issued access token stays valid for at most one hour."""
    stack, client = _pool(context)
    whose = {"UserPoolId": stack["user_pool_id"], "Username": email}
    client.admin_disable_user(**whose)
    client.admin_user_global_sign_out(**whose)
    if json:
        show.as_json({"environment": stack.name, "email": email, "status": "disabled"})
        return
    show.out.print(f"{email} can no longer log in to {stack.name}.", markup=False)


def _refuse_unproven(stack: Stack, status: str, email: str) -> None:
    """Refuse a role to a user who signed up with an unconfirmed address: it may belong to another person."""
    if status == "UNCONFIRMED":
        remove = f"aws cognito-idp admin-delete-user --user-pool-id {stack['user_pool_id']} --username {email}"
        raise Failure(
            f"{email} signed up and has not confirmed the address: no role was given",
            details=["ask the user to confirm it; if they did not sign up, delete it and add them again:", remove],
        )


def _pool(context: typer.Context) -> tuple[Stack, Any]:
    stack = stack_of(context)
    need_tokens(stack)
    return stack, stack.client("cognito-idp")


def _users(client: Any, pool: dict[str, str]) -> Iterator[dict[str, Any]]:
    for page in client.get_paginator("list_users").paginate(**pool):
        yield from page["Users"]


def _attribute(user: dict[str, Any], name: str) -> str:
    return next((attribute["Value"] for attribute in user["Attributes"] if attribute["Name"] == name), "")
