"""payctl user: people of the user pool, with the operator's AWS credentials."""

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

app = typer.Typer(help="Who may log in, and as what.", no_args_is_help=True)

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The person's e-mail address, which they log in with.")]


@app.command()
def add(
    context: typer.Context,
    email: Email,
    role: Annotated[list[Role], typer.Option(help="What they may do. May be repeated.")],
    json: Json = False,
) -> None:
    """Add a person, who is told their first password by e-mail, or give roles to one who is there."""
    if "@" not in email.strip("@"):
        raise Failure("the e-mail address is not one; give one such as anna@example.com", code=Exit.USAGE)
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
        show.facts([*facts, ("was there already", "" if is_new else "yes")])
    if is_new and password:
        show.note(f"no e-mail is sent on the local stack; the first password is {password}")


@app.command("list")
def list_users(context: typer.Context, json: Json = False) -> None:
    """List the people of the user pool, their roles, and whether they may log in."""
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
    """Let a person log in no more, and end their logins. A token that is out there is good for an hour at most."""
    stack, client = _pool(context)
    whose = {"UserPoolId": stack["user_pool_id"], "Username": email}
    client.admin_disable_user(**whose)
    client.admin_user_global_sign_out(**whose)
    if json:
        show.as_json({"environment": stack.name, "email": email, "status": "disabled"})
        return
    show.out.print(f"{email} cannot log in to {stack.name} any more.", markup=False)


def _refuse_unproven(stack: Stack, status: str, email: str) -> None:
    """Whoever signed up with the address chose the password, and may be anybody until the address is proven."""
    if status == "UNCONFIRMED":
        remove = f"aws cognito-idp admin-delete-user --user-pool-id {stack['user_pool_id']} --username {email}"
        raise Failure(
            f"somebody signed up as {email} and has not proven that the address is theirs: no role was given",
            details=["have the person confirm it if it was them; else remove it, and add them again:", remove],
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
