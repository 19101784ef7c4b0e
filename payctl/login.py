"""payctl login, payctl logout, payctl token."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Annotated
from urllib.parse import quote

import typer

from payctl import prompts, session, show
from payctl.failures import Exit, Failure
from payctl.options import Json, stack_of
from payctl.stack import Stack
from payments.domain.clock import iso
from payments.domain.identity import STAFF, Role


def login(
    context: typer.Context,
    username: Annotated[str, typer.Option(metavar="EMAIL", help="The user to log in. Prompted for if not given.")] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    client_id: Annotated[
        str, typer.Option(metavar="ID", help="Log in a machine by its app client's secret instead.")
    ] = "",
    sample: Annotated[
        Role | None, typer.Option("--as", help="On the local stack: log in as the sample user of this role.")
    ] = None,
    json: Json = False,
) -> None:
    """Log in. Type the password or secret without echo or pass it on standard input. It is never stored.

    Where staff need a second factor, this sets one up at a terminal.
    """
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
        enrol = partial(_enrolled, stack.name, username)
        password = _secret(f"Password of {username}", password_stdin)
        new = session.sign_in(stack, username, password, _answer, enrol)
        if session.needs_second_factor(stack, new):
            new = _enrolled_or_reminded(stack, new, enrol)
    session.keep(stack, new)
    ends_at = "" if new.refresh_token else iso(datetime.fromtimestamp(new.expires_at, UTC))
    if json:
        show.as_json({"environment": stack.name, "who": new.who, "ends_at": ends_at or None})
        return
    show.facts([("logged in", new.who), ("until", ends_at or "payctl logout"), ("environment", stack.name)])


def logout(context: typer.Context, json: Json = False) -> None:
    """Log out: the tokens can no longer be renewed. An issued access token stays valid for at most one hour."""
    stack = stack_of(context)
    who = session.end(stack)
    if json:
        show.as_json({"environment": stack.name, "who": who or None})
        return
    show.out.print(f"{who} is logged out of {stack.name}." if who else f"No user was logged in at {stack.name}.")


def token(context: typer.Context, json: Json = False) -> None:
    """Print a valid access token: curl -H "Authorization: Bearer $(payctl token)" …"""
    current = session.current(stack_of(context))
    if json:
        ends_at = iso(datetime.fromtimestamp(current.expires_at, UTC))
        show.as_json({"access_token": current.access_token, "who": current.who, "expires_at": ends_at})
        return
    show.out.out(current.access_token)


def _email() -> str:
    if not prompts.at_a_terminal():
        raise Failure("give --username, --client-id or, on the local stack, --as to log in", code=Exit.USAGE)
    return str(typer.prompt("E-mail", err=True)).strip()


def _secret(prompt: str, from_stdin: bool) -> str:
    secret = sys.stdin.readline().rstrip("\r\n") if from_stdin else prompts.secret(prompt)
    if not secret:
        raise Failure("the secret is empty; type it or pass it on standard input", code=Exit.USAGE)
    return secret


def _enrolled_or_reminded(stack: Stack, new: session.Session, enrol: session.Enrol) -> session.Session:
    """Set up a second factor at a terminal. Elsewhere say what the user's tokens lack."""
    staff = ", ".join(role for role in Role if role in STAFF)
    why = f"{stack.name} leaves out the roles {staff} of a user without a second factor"
    if not prompts.at_a_terminal():
        show.note(f"{why}; to set one up, log in at a terminal")
        return new
    show.note(why)
    return session.with_second_factor(stack, new, enrol)


def _enrolled(environment: str, username: str, secret: str) -> str:
    """Show the secret of a new authenticator, and ask for its code."""
    label = quote(f"payments {environment}:{username}")
    show.note("add this account to an authenticator app, by its secret or by the address in a QR code:")
    show.note(f"  secret   {secret}")
    show.note(f"  address  otpauth://totp/{label}?secret={secret}&issuer={quote(f'payments {environment}')}")
    return _secret("Code of your authenticator", from_stdin=False)


def _answer(challenge: str) -> Mapping[str, str]:
    """The user's response to a Cognito challenge. Raises Failure for a challenge that a terminal cannot answer."""
    match challenge:
        case "NEW_PASSWORD_REQUIRED":
            show.note(
                "the first password is temporary; choose a new one of at least 12 characters, with an uppercase "
                "letter, a lowercase letter, a digit and a symbol"
            )
            return {"NEW_PASSWORD": _secret("New password", from_stdin=False)}
        case session.TOTP:
            return {session.TOTP_CODE: _secret("Code of your authenticator", from_stdin=False)}
    raise Failure(f"Cognito asks for {challenge}, which payctl cannot answer")
