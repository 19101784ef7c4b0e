"""Who is logged in at a stack: its tokens, kept where nobody else reads them, and renewed before they expire."""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

from payctl import show
from payctl.failures import Exit, Failure
from payctl.stack import Stack
from payments.domain.identity import Role

SAMPLE_USERS = "users.json"
"""The sample users of `make up`, beside the outputs: {role: {"email", "password"}}."""
EARLY_SECONDS = 60
"""How long before its end a token is renewed, so that it does not run out on its way."""
TIMEOUT_SECONDS = 10
LOG_IN = "log in with: payctl login"

Ask = Callable[[str], Mapping[str, str]]
"""Answers a challenge of Cognito's (`NEW_PASSWORD_REQUIRED`, …) with the responses that it wants."""


@dataclass(frozen=True)
class Session:
    """A login: whose, until when (in seconds since 1970), and what a new token is got with; a machine has nothing."""

    who: str
    access_token: str
    expires_at: int
    refresh_token: str = ""

    @property
    def runs_out(self) -> bool:
        """True once its token should not be sent any more."""
        return time.time() > self.expires_at - EARLY_SECONDS


def need_tokens(stack: Stack) -> None:
    """Raise Failure if the stack asks nobody for a token."""
    if stack.outputs.get("auth_mode") != "jwt":
        raise Failure(f"{stack.name} asks for no token: its AUTH_MODE is none", code=Exit.USAGE)


def current(stack: Stack) -> Session:
    """The login with a token that is good, renewed if need be. Raises Failure saying how to log in.

    At a local stack whoever is not logged in becomes the sample admin, and is told.
    """
    need_tokens(stack)
    session = _read(stack)
    if session is None:
        if not stack.is_local:
            raise Failure(f"nobody is logged in at {stack.name}", details=[LOG_IN])
        show.note(f"logged in as {Role.ADMIN} of the local stack; be another with: payctl login --as {Role.CUSTOMER}")
        return keep(stack, sample(stack, Role.ADMIN))
    if not session.runs_out:
        return session
    if not session.refresh_token:
        raise Failure(f"the token of {session.who} has run out", details=[f"{LOG_IN} --client-id {session.who}"])
    return keep(stack, _renewed(stack, session))


def sign_in(stack: Stack, username: str, password: str, ask: Ask) -> Session:
    """Log a person in. Raises Cognito's refusals."""
    client, client_id = stack.client("cognito-idp"), stack["people_client_id"]
    answer = client.initiate_auth(
        ClientId=client_id,
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": username, "PASSWORD": password},
    )
    while challenge := answer.get("ChallengeName"):
        name = answer.get("ChallengeParameters", {}).get("USER_ID_FOR_SRP", username)
        answer = client.respond_to_auth_challenge(
            ClientId=client_id,
            ChallengeName=challenge,
            Session=answer["Session"],
            ChallengeResponses={"USERNAME": name, **ask(challenge)},
        )
    return _session(username, answer["AuthenticationResult"])


def sign_in_machine(stack: Stack, client_id: str, secret: str) -> Session:
    """Get a machine's token. The secret is not kept. Raises Failure."""
    import requests

    http = requests.Session()
    if stack.is_local:
        http.trust_env = False  # the operator's proxies and certificates are not for loopback
        http.verify = stack["ca_bundle"]
    url = stack["token_url"]
    form = {"grant_type": "client_credentials"}
    try:
        answer = http.post(url, data=form, auth=(client_id, secret), timeout=TIMEOUT_SECONDS)
        content = answer.json()
    except requests.RequestException as error:
        raise Failure(f"{url} gave no token: {error}") from None
    if not answer.ok:
        raise Failure(f"{url} refused the client: {content.get('error', answer.status_code)}")
    return Session(client_id, content["access_token"], _end(content["expires_in"]))


def sample(stack: Stack, role: str) -> Session:
    """Log the local stack's sample user of a role in. Raises Failure where there are none."""
    path = stack.path.parent / SAMPLE_USERS
    if not stack.is_local or not path.exists():
        raise Failure("sample users are those of the local stack; start it with `make up`", code=Exit.USAGE)
    user = json.loads(path.read_text())[role]
    return sign_in(stack, user["email"], user["password"], _no_challenge)


def keep(stack: Stack, session: Session) -> Session:
    """Remember a login for the next commands."""
    write_private(_path(stack), json.dumps(asdict(session)))
    return session


def end(stack: Stack) -> str:
    """Revoke the login and forget it; gives whose it was, "" if nobody was logged in."""
    session = _read(stack)
    if session is None:
        return ""
    if session.refresh_token:
        stack.client("cognito-idp").revoke_token(Token=session.refresh_token, ClientId=stack["people_client_id"])
    _path(stack).unlink(missing_ok=True)
    return session.who


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_suffix(f".{os.getpid()}")
    with open(unfinished, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    unfinished.replace(path)


def _path(stack: Stack) -> Path:
    """Where a stack's login is kept: a local one's goes with the stack."""
    if stack.is_local:
        return stack.path.parent / "login.json"
    return Path(typer.get_app_dir("payctl")) / f"{stack['user_pool_id']}.json"


def _read(stack: Stack) -> Session | None:
    try:
        return Session(**json.loads(_path(stack).read_text()))
    except (FileNotFoundError, ValueError, TypeError):  # the latter two: not written by this payctl
        return None


def _renewed(stack: Stack, session: Session) -> Session:
    client = stack.client("cognito-idp")
    try:
        answer = client.initiate_auth(
            ClientId=stack["people_client_id"],
            AuthFlow="REFRESH_TOKEN_AUTH",
            AuthParameters={"REFRESH_TOKEN": session.refresh_token},
        )
    except client.exceptions.NotAuthorizedException:
        raise Failure(f"the login of {session.who} at {stack.name} has ended", details=[LOG_IN]) from None
    return _session(session.who, {"RefreshToken": session.refresh_token, **answer["AuthenticationResult"]})


def _session(who: str, result: Mapping[str, Any]) -> Session:
    return Session(who, result["AccessToken"], _end(result["ExpiresIn"]), result.get("RefreshToken", ""))


def _end(seconds: int) -> int:
    return int(time.time()) + seconds


def _no_challenge(challenge: str) -> Mapping[str, str]:
    raise Failure(f"Cognito asks the sample user for {challenge}; start afresh with `make down` and `make up`")
