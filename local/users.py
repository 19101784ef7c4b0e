"""Sample users of the local stack, one per role: the stack can be tried without a sign-up."""

import json
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from payctl.session import SAMPLE_USERS, write_private
from payments.domain.identity import Role


def make_users(cognito: Any, user_pool_id: str, directory: Path) -> None:
    """Create the users in the pool if they do not exist, and store them in `<directory>/users.json`.

    `cognito` is a client of the pool's AWS. Existing users keep their passwords.
    """
    path = directory / SAMPLE_USERS
    known: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}
    users = _new_users() | known
    write_private(path, json.dumps(users, indent=2))
    for role, user in users.items():
        whose = {"UserPoolId": user_pool_id, "Username": user["email"]}
        attributes = [{"Name": "email", "Value": user["email"]}, {"Name": "email_verified", "Value": "true"}]
        with suppress(cognito.exceptions.UsernameExistsException):
            cognito.admin_create_user(**whose, UserAttributes=attributes, MessageAction="SUPPRESS")
        cognito.admin_set_user_password(**whose, Password=user["password"], Permanent=True)
        cognito.admin_add_user_to_group(**whose, GroupName=role)


def _new_users() -> dict[str, dict[str, str]]:
    # the suffix satisfies the pool's password rules other than length
    return {role: {"email": f"{role}@example.com", "password": f"{secrets.token_urlsafe(24)}-aA1"} for role in Role}
