"""payctl login, payctl logout, payctl token."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from payctl import prompts as asking
from payctl import session, show
from payctl.failures import Exit, Failure
from payctl.options import Json, stack_of
from payments.domain.clock import iso
from payments.domain.identity import Role


def login(
    context: typer.Context,
    username: Annotated[str, typer.Option(metavar="EMAIL", help="Whom to log in; asked for without it.")] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    client_id: Annotated[
        str, typer.Option(metavar="ID", help="Log a machine in by its app client's secret instead.")
    ] = "",
    sample: Annotated[
        Role | None, typer.Option("--as", help="On the local stack: be the sample user of this role.")
    ] = None,
    json: Json = False,
) -> None:
    """Log in. The password or secret is typed without echo or read from standard input, and never kept."""
    if sum(map(bool, (username, client_id, sample))) > 1:
        raise Failure("give one of --username, --client-id and --as", code=Exit.USAGE)
    stack = stack_of(context)
    session.need_tokens(stack)
    if sample:
        new = session.sample(stack, sample)
    elif client_id:
        new = session.sign_in_machine(stack, client_id, _secret(f"Secret of {client_id}", password_stdin))
    else:
        username = username or _email()
        new = session.sign_in(stack, username, _secret(f"Password of {username}", password_stdin), _answer)
    session.keep(stack, new)
    ends_at = "" if new.refresh_token else iso(datetime.fromtimestamp(new.expires_at, UTC))
    if json:
        show.as_json({"environment": stack.name, "who": new.who, "ends_at": ends_at or None})
        return
    show.facts([("logged in", new.who), ("until", ends_at or "payctl logout"), ("environment", stack.name)])


def logout(context: typer.Context, json: Json = False) -> None:
    """End the login: its tokens cannot be renewed any more. One that is out there is good for an hour at most."""
    stack = stack_of(context)
    who = session.end(stack)
    if json:
        show.as_json({"environment": stack.name, "who": who or None})
        return
    show.out.print(f"{who} is logged out of {stack.name}." if who else f"Nobody was logged in at {stack.name}.")


def token(context: typer.Context, json: Json = False) -> None:
    """Print an access token that is good now: curl -H "Authorization: Bearer $(payctl token)" …"""
    current = session.current(stack_of(context))
    if json:
        ends_at = iso(datetime.fromtimestamp(current.expires_at, UTC))
        show.as_json({"access_token": current.access_token, "who": current.who, "expires_at": ends_at})
        return
    show.out.out(current.access_token)


def _email() -> str:
    if not asking.at_a_terminal():
        raise Failure("who is to log in? give --username, --client-id or, on the local stack, --as", code=Exit.USAGE)
    return str(typer.prompt("E-mail", err=True)).strip()


def _secret(prompt: str, from_stdin: bool) -> str:
    secret = sys.stdin.readline().rstrip("\r\n") if from_stdin else asking.secret(prompt)
    if not secret:
        raise Failure("nothing was given; type it, or pass it on standard input", code=Exit.USAGE)
    return secret


def _answer(challenge: str) -> Mapping[str, str]:
    """What a person says to a challenge of Cognito's. Raises Failure for one that is not for a terminal."""
    match challenge:
        case "NEW_PASSWORD_REQUIRED":
            show.note(
                "the password was for the first time only: at least 12 characters, with a capital letter, a "
                "small one, a digit and a symbol"
            )
            return {"NEW_PASSWORD": _secret("New password", from_stdin=False)}
        case "SOFTWARE_TOKEN_MFA":
            return {"SOFTWARE_TOKEN_MFA_CODE": _secret("Code of your authenticator", from_stdin=False)}
    raise Failure(f"Cognito asks for {challenge}, which payctl cannot answer")
