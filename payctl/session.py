"""The login at a stack: tokens in a file that only the owner can read, renewed before they expire."""

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
"""The file of sample users that `make up` writes beside the outputs: {role: {"email", "password"}}."""
EARLY_SECONDS = 60
"""A token is renewed this long before it expires, to keep it valid during the request."""
TIMEOUT_SECONDS = 10
LOG_IN = "log in with: payctl login"

MFA_SETUP = "MFA_SETUP"
TOTP = "SOFTWARE_TOKEN_MFA"
TOTP_CODE = "SOFTWARE_TOKEN_MFA_CODE"
Ask = Callable[[str], Mapping[str, str]]
"""Answers a Cognito challenge (`NEW_PASSWORD_REQUIRED`, …) with the required responses."""
Enrol = Callable[[str], str]
"""Shows the user the secret of an authenticator, and returns the code that it gives."""


@dataclass(frozen=True)
class Session:
    """A login: the user, the expiry (in seconds since 1970) and the refresh token. A machine has no refresh token."""

    who: str
    access_token: str
    expires_at: int
    refresh_token: str = ""

    @property
    def runs_out(self) -> bool:
        """True if the token must be renewed before the next request."""
        return time.time() > self.expires_at - EARLY_SECONDS


def need_tokens(stack: Stack) -> None:
    """Raise Failure if the stack does not use tokens."""
    if stack.outputs.get("auth_mode") != "jwt":
        raise Failure(f"{stack.name} uses no tokens: its AUTH_MODE is none", code=Exit.USAGE)


def current(stack: Stack) -> Session:
    """The login with a valid token, renewed if necessary. Raises Failure with the command to log in.

    At a local stack without a login, this logs in the sample admin and prints a note.
    """
    need_tokens(stack)
    session = _read(stack)
    if session is None:
        if not stack.is_local:
            raise Failure(f"no user is logged in at {stack.name}", details=[LOG_IN])
        show.note(f"logged in as {Role.ADMIN} of the local stack; change with: payctl login --as {Role.CUSTOMER}")
        return keep(stack, sample(stack, Role.ADMIN))
    if not session.runs_out:
        return session
    if not session.refresh_token:
        raise Failure(f"the token of {session.who} has expired", details=[f"{LOG_IN} --client-id {session.who}"])
    return keep(stack, _renewed(stack, session))


def sign_in(stack: Stack, username: str, password: str, ask: Ask, enrol: Enrol | None = None) -> Session:
    """Log in a user. `enrol` sets up a second factor where Cognito asks for one. Raises Cognito's errors."""
    client, client_id = stack.client("cognito-idp"), stack["people_client_id"]
    answer = client.initiate_auth(
        ClientId=client_id,
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": username, "PASSWORD": password},
    )
    while challenge := answer.get("ChallengeName"):
        name = answer.get("ChallengeParameters", {}).get("USER_ID_FOR_SRP", username)
        session = answer["Session"]
        if challenge == MFA_SETUP:  # a pool in which every user needs a second factor
            session, responses = set_up(client, enrol, Session=session), {}
        else:
            responses = dict(ask(challenge))
        answer = client.respond_to_auth_challenge(
            ClientId=client_id,
            ChallengeName=challenge,
            Session=session,
            ChallengeResponses={"USERNAME": name, **responses},
        )
    return _session(username, answer["AuthenticationResult"])


def needs_second_factor(stack: Stack, session: Session) -> bool:
    """Whether the stack leaves out the roles of staff because this user has no second factor."""
    if stack.outputs.get("second_factor") != "required":
        return False
    user = stack.client("cognito-idp").get_user(AccessToken=session.access_token)
    return TOTP not in user.get("UserMFASettingList", [])


def with_second_factor(stack: Stack, session: Session, enrol: Enrol) -> Session:
    """Set up an authenticator for the user, and renew the tokens: the new ones have the roles of staff.

    Raises Cognito's errors.
    """
    client = stack.client("cognito-idp")
    set_up(client, enrol, AccessToken=session.access_token)
    client.set_user_mfa_preference(
        AccessToken=session.access_token, SoftwareTokenMfaSettings={"Enabled": True, "PreferredMfa": True}
    )
    return _renewed(stack, session)


def set_up(client: Any, enrol: Enrol | None, **proof: str) -> str:
    """Tie an authenticator to the user. `proof` is an AccessToken or a Session. Returns the next Session, if any."""
    if enrol is None:
        return str(_no_challenge(MFA_SETUP))
    given = client.associate_software_token(**proof)
    proof = {"Session": given["Session"]} if "Session" in proof else proof
    verified = client.verify_software_token(**proof, UserCode=enrol(given["SecretCode"]), FriendlyDeviceName="payctl")
    return str(verified.get("Session", ""))


def sign_in_machine(stack: Stack, client_id: str, secret: str) -> Session:
    """Get a token for a machine. The secret is not stored. Raises Failure."""
    import requests

    http = requests.Session()
    if stack.is_local:
        http.trust_env = False  # the operator's proxies and certificates do not apply to loopback
        http.verify = stack["ca_bundle"]
    url = stack["token_url"]
    form = {"grant_type": "client_credentials"}
    try:
        answer = http.post(url, data=form, auth=(client_id, secret), timeout=TIMEOUT_SECONDS)
        content = answer.json()
    except requests.RequestException as error:
        raise Failure(f"{url} returned no token: {error}") from None
    if not answer.ok:
        raise Failure(f"{url} rejected the client: {content.get('error', answer.status_code)}")
    return Session(client_id, content["access_token"], _end(content["expires_in"]))


def sample(stack: Stack, role: str) -> Session:
    """Log in the local stack's sample user of a role. Raises Failure if the stack has no sample users."""
    path = stack.path.parent / SAMPLE_USERS
    if not stack.is_local or not path.exists():
        raise Failure("only the local stack has sample users; start it with `make up`", code=Exit.USAGE)
    user = json.loads(path.read_text())[role]
    return sign_in(stack, user["email"], user["password"], _no_challenge)


def keep(stack: Stack, session: Session) -> Session:
    """Store a login for the next commands."""
    write_private(_path(stack), json.dumps(asdict(session)))
    return session


def end(stack: Stack) -> str:
    """Revoke and delete the login. Returns its user, "" if no user was logged in."""
    session = _read(stack)
    if session is None:
        return ""
    if session.refresh_token:
        stack.client("cognito-idp").revoke_token(Token=session.refresh_token, ClientId=stack["people_client_id"])
    _path(stack).unlink(missing_ok=True)
    return session.who


def write_private(path: Path, text: str) -> None:
    """Atomically write a file that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_suffix(f".{os.getpid()}")
    with open(unfinished, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    unfinished.replace(path)


def _path(stack: Stack) -> Path:
    """The path of a stack's login file. The login of a local stack is deleted with the stack."""
    if stack.is_local:
        return stack.path.parent / "login.json"
    return Path(typer.get_app_dir("payctl")) / f"{stack['user_pool_id']}.json"


def _read(stack: Stack) -> Session | None:
    try:
        return Session(**json.loads(_path(stack).read_text()))
    except (FileNotFoundError, ValueError, TypeError):  # the latter two: another version of payctl wrote it
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
    raise Failure(f"Cognito asks the sample user for {challenge}; recreate the stack with `make down` and `make up`")
