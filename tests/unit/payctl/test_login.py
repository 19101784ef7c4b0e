"""payctl login, logout, token and user: against a Cognito with prepared answers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from payctl.failures import Exit
from tests.unit.payctl.scenarios import ACCEPTED, FakeApi, Payctl, fake_api, payctl_with

PAY = ("pay", "--amount", "99.99", "--currency", "USD", "--id", "pay_1", "--no-wait")
ANNA = "anna@example.com"
PASSWORD = "correct-horse-Battery-1"
SESSION = "a-session-of-twenty-letters"
HOUR = 3600


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[FakeApi, FakeApi]]:
    with fake_api() as api, fake_api() as cognito:
        yield api, cognito


@pytest.fixture
def api(servers: tuple[FakeApi, FakeApi]) -> FakeApi:
    return fresh(servers[0])


@pytest.fixture
def cognito(servers: tuple[FakeApi, FakeApi]) -> FakeApi:
    """Cognito."""
    return fresh(servers[1])


def fresh(server: FakeApi) -> FakeApi:
    server.answers.clear()
    server.received.clear()
    return server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of payctl's logins, without AWS credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    folder = tmp_path / "home"
    monkeypatch.setattr("typer.get_app_dir", lambda name: str(folder / name))
    return folder / "payctl"


@pytest.fixture
def payctl(api: FakeApi, cognito: FakeApi, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Payctl:
    """payctl on a stack on AWS that requires tokens."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", cognito.url)
    return payctl_with(tmp_path, **stack(api, cognito))


@pytest.fixture
def local(api: FakeApi, cognito: FakeApi, home: Path, tmp_path: Path) -> Payctl:
    """payctl on a local stack with its sample users."""
    users = {role: {"email": f"{role}@example.com", "password": PASSWORD} for role in ("admin", "customer")}
    (tmp_path / "users.json").write_text(json.dumps(users))
    (tmp_path / "ca.pem").write_text("")
    bundle = {"endpoint_url": cognito.url, "ca_bundle": str(tmp_path / "ca.pem")}
    return payctl_with(tmp_path, **stack(api, cognito), **bundle)


def stack(api: FakeApi, cognito: FakeApi) -> dict[str, str]:
    return {
        "api_url": api.url,
        "auth_mode": "jwt",
        "user_pool_id": "us-east-1_Pool",
        "people_client_id": "people",
        "token_url": f"{cognito.url}/oauth2/token",
    }


def tokens(access: str = "access-1", seconds: int = HOUR, **more: str) -> dict[str, Any]:
    return {"AuthenticationResult": {"AccessToken": access, "ExpiresIn": seconds, "TokenType": "Bearer", **more}}


def refused(name: str, message: str = "no") -> dict[str, str]:
    return {"__type": name, "message": message}


def asked(cognito: FakeApi) -> list[str]:
    """The names of the requests to Cognito."""
    return [request.headers["X-Amz-Target"].rpartition(".")[2] for request in cognito.received]


def logged_in(payctl: Payctl, cognito: FakeApi, access: str = "access-1", seconds: int = HOUR) -> None:
    cognito.will_answer(200, tokens(access, seconds, RefreshToken="refresh-1"))
    result = payctl("login", "--username", ANNA, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert result.exit_code == Exit.DONE, result.output
    cognito.answers.clear()


# Users' logins -------------------------------------------------------------------------------------------------------


def test_login_stores_the_token_readable_by_the_owner_only_and_sends_it(
    payctl: Payctl, api: FakeApi, cognito: FakeApi, home: Path
) -> None:
    logged_in(payctl, cognito)
    api.will_answer(202, ACCEPTED)
    assert payctl(*PAY).exit_code == Exit.DONE
    assert api.received[0].headers["Authorization"] == "Bearer access-1"
    sent = cognito.received[0]
    assert sent.body["AuthParameters"] == {"USERNAME": ANNA, "PASSWORD": PASSWORD}
    assert "Authorization" not in sent.headers  # no AWS credentials are needed
    (kept,) = home.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    assert PASSWORD not in kept.read_text()


def test_login_when_the_password_is_wrong_then_says_so_and_keeps_nothing(
    payctl: Payctl, cognito: FakeApi, home: Path
) -> None:
    cognito.will_answer(400, refused("NotAuthorizedException", "Incorrect username or password."))
    result = payctl("login", "--username", ANNA, stdin=PASSWORD)
    assert result.exit_code == Exit.FAILED
    assert "Incorrect username or password." in result.stderr
    assert PASSWORD not in result.output
    assert not home.exists()


def test_login_with_a_temporary_password_asks_for_a_new_one(
    payctl: Payctl, cognito: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payctl.prompts.secret", lambda prompt: f"typed at {prompt}")
    parameters = {"USER_ID_FOR_SRP": "an-id"}
    cognito.will_answer(
        200, {"ChallengeName": "NEW_PASSWORD_REQUIRED", "Session": SESSION, "ChallengeParameters": parameters}
    )
    cognito.will_answer(200, tokens(RefreshToken="refresh-1"))
    assert payctl("login", "--username", ANNA).exit_code == Exit.DONE
    answer = cognito.received[1].body
    assert (answer["ChallengeName"], answer["Session"]) == ("NEW_PASSWORD_REQUIRED", SESSION)
    assert answer["ChallengeResponses"] == {"USERNAME": "an-id", "NEW_PASSWORD": "typed at New password"}


def test_login_when_a_second_factor_is_set_up_then_asks_for_its_code(
    payctl: Payctl, cognito: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payctl.prompts.secret", lambda prompt: "123456")
    cognito.will_answer(200, {"ChallengeName": "SOFTWARE_TOKEN_MFA", "Session": SESSION, "ChallengeParameters": {}})
    cognito.will_answer(200, tokens(RefreshToken="refresh-1"))
    assert payctl("login", "--username", ANNA).exit_code == Exit.DONE
    assert cognito.received[1].body["ChallengeResponses"] == {"USERNAME": ANNA, "SOFTWARE_TOKEN_MFA_CODE": "123456"}


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, code: str = "123456") -> None:
    monkeypatch.setattr("payctl.prompts.at_a_terminal", lambda: True)
    monkeypatch.setattr("payctl.prompts.secret", lambda prompt: code if prompt.startswith("Code") else PASSWORD)


@pytest.fixture
def strict(api: FakeApi, cognito: FakeApi, payctl: Payctl, tmp_path: Path) -> Payctl:
    """payctl on a stack whose staff need a second factor."""
    return payctl_with(tmp_path, **stack(api, cognito), second_factor="required")


def test_login_without_a_second_factor_sets_one_up_and_renews_the_tokens(
    strict: Payctl, cognito: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_a_terminal(monkeypatch)
    cognito.will_answer(200, tokens(RefreshToken="refresh-1"))
    cognito.will_answer(200, {"Username": "an-id", "UserAttributes": []})
    cognito.will_answer(200, {"SecretCode": "JBSWY3DPEHPK3PXP"})
    cognito.will_answer(200, {"Status": "SUCCESS"})
    cognito.will_answer(200, {})
    cognito.will_answer(200, tokens("with-roles"))
    result = strict("login", "--username", ANNA)
    assert result.exit_code == Exit.DONE, result.output
    assert "secret   JBSWY3DPEHPK3PXP" in result.stderr
    assert f"otpauth://totp/payments%20test%3A{ANNA.replace('@', '%40')}?secret=JBSWY3DPEHPK3PXP" in result.stderr
    assert "JBSWY3DPEHPK3PXP" not in result.stdout
    assert asked(cognito) == [
        "InitiateAuth",
        "GetUser",
        "AssociateSoftwareToken",
        "VerifySoftwareToken",
        "SetUserMFAPreference",
        "InitiateAuth",
    ]
    assert cognito.received[3].body["UserCode"] == "123456"
    assert cognito.received[4].body["SoftwareTokenMfaSettings"] == {"Enabled": True, "PreferredMfa": True}
    assert strict("token").stdout == "with-roles\n"


def test_login_with_a_second_factor_sets_nothing_up(
    strict: Payctl, cognito: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_a_terminal(monkeypatch)
    cognito.will_answer(200, {"ChallengeName": "SOFTWARE_TOKEN_MFA", "Session": SESSION, "ChallengeParameters": {}})
    cognito.will_answer(200, tokens(RefreshToken="refresh-1"))
    cognito.will_answer(200, {"Username": "an-id", "UserAttributes": [], "UserMFASettingList": ["SOFTWARE_TOKEN_MFA"]})
    assert strict("login", "--username", ANNA).exit_code == Exit.DONE
    assert asked(cognito) == ["InitiateAuth", "RespondToAuthChallenge", "GetUser"]


def test_login_without_a_terminal_says_which_roles_are_left_out(strict: Payctl, cognito: FakeApi) -> None:
    cognito.will_answer(200, tokens(RefreshToken="refresh-1"))
    cognito.will_answer(200, {"Username": "an-id", "UserAttributes": []})
    result = strict("login", "--username", ANNA, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert result.exit_code == Exit.DONE
    assert "leaves out the roles admin, operator, auditor" in result.stderr
    assert "log in at a terminal" in result.stderr


def test_login_answers_a_pool_that_demands_a_second_factor(
    payctl: Payctl, cognito: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_a_terminal(monkeypatch)
    cognito.will_answer(200, {"ChallengeName": "MFA_SETUP", "Session": SESSION, "ChallengeParameters": {}})
    cognito.will_answer(200, {"SecretCode": "JBSWY3DPEHPK3PXP", "Session": f"{SESSION}-2"})
    cognito.will_answer(200, {"Status": "SUCCESS", "Session": f"{SESSION}-3"})
    cognito.will_answer(200, tokens(RefreshToken="refresh-1"))
    assert payctl("login", "--username", ANNA).exit_code == Exit.DONE
    answer = cognito.received[3].body
    assert (answer["ChallengeName"], answer["Session"]) == ("MFA_SETUP", f"{SESSION}-3")
    assert cognito.received[2].body["Session"] == f"{SESSION}-2"


def test_login_reports_a_cognito_challenge_it_cannot_answer(payctl: Payctl, cognito: FakeApi) -> None:
    cognito.will_answer(200, {"ChallengeName": "WEB_AUTHN", "Session": SESSION, "ChallengeParameters": {}})
    result = payctl("login", "--username", ANNA, stdin=PASSWORD)
    assert result.exit_code == Exit.FAILED
    assert "WEB_AUTHN, which payctl cannot answer" in result.stderr


def test_pay_without_a_login_says_how_to_log_in_and_sends_nothing(payctl: Payctl, api: FakeApi) -> None:
    result = payctl(*PAY)
    assert result.exit_code == Exit.FAILED
    assert "log in with: payctl login" in result.stderr
    assert api.received == []


def test_pay_when_the_token_is_refused_then_says_how_to_get_another(
    payctl: Payctl, api: FakeApi, cognito: FakeApi
) -> None:
    logged_in(payctl, cognito)
    api.will_answer(401, {"title": "Unauthorized", "status": 401})
    result = payctl(*PAY)
    assert result.exit_code == Exit.FAILED
    assert "log in with: payctl login" in result.stderr


def test_token_when_it_is_about_to_expire_then_it_is_renewed_and_kept(payctl: Payctl, cognito: FakeApi) -> None:
    logged_in(payctl, cognito, seconds=59)
    cognito.will_answer(200, tokens("access-2"))
    assert payctl("token").stdout == "access-2\n"
    assert payctl("token").stdout == "access-2\n"
    assert asked(cognito) == ["InitiateAuth", "InitiateAuth"]
    assert cognito.received[1].body["AuthParameters"] == {"REFRESH_TOKEN": "refresh-1"}


def test_token_when_it_is_good_for_longer_then_cognito_is_not_asked(payctl: Payctl, cognito: FakeApi) -> None:
    logged_in(payctl, cognito, seconds=61 + HOUR)
    shown = json.loads(payctl("token", "--json").stdout)
    assert shown["access_token"] == "access-1"
    assert shown["who"] == ANNA
    assert asked(cognito) == ["InitiateAuth"]


def test_token_when_the_login_has_ended_then_says_how_to_log_in(payctl: Payctl, cognito: FakeApi) -> None:
    logged_in(payctl, cognito, seconds=0)
    cognito.will_answer(400, refused("NotAuthorizedException", "Refresh Token has been revoked"))
    result = payctl("token")
    assert result.exit_code == Exit.FAILED
    assert f"the login of {ANNA} at test has ended" in result.stderr
    assert "log in with: payctl login" in result.stderr


def test_logout_revokes_and_deletes_the_refresh_token(payctl: Payctl, cognito: FakeApi, home: Path) -> None:
    logged_in(payctl, cognito)
    cognito.will_answer(200, {})
    assert f"{ANNA} is logged out of test." in payctl("logout").stdout
    assert cognito.received[1].body == {"Token": "refresh-1", "ClientId": "people"}
    assert list(home.iterdir()) == []
    assert "No user was logged in at test." in payctl("logout").stdout


def test_login_file_in_another_format_counts_as_logged_out(payctl: Payctl, home: Path) -> None:
    home.mkdir(parents=True)
    (home / "us-east-1_Pool.json").write_text('{"something": "else"}')
    assert "no user is logged in at test" in payctl("token").stderr


# Machines ------------------------------------------------------------------------------------------------------------


def test_login_of_a_machine_sends_its_secret_to_the_token_url_only(
    payctl: Payctl, cognito: FakeApi, home: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        forms: list[dict[str, Any]] = []

        def post(_: object, url: str, **options: Any) -> Any:
            forms.append({"url": url, **options})
            return _Response(200, {"access_token": "machines", "expires_in": HOUR})

        patch.setattr("requests.Session.post", post)
        assert payctl("login", "--client-id", "shop", stdin="s3cret").exit_code == Exit.DONE
    (sent,) = forms
    assert sent["url"] == f"{cognito.url}/oauth2/token"
    assert sent["data"] == {"grant_type": "client_credentials"}
    assert sent["auth"] == ("shop", "s3cret")
    assert payctl("token").stdout == "machines\n"
    assert "s3cret" not in (home / "us-east-1_Pool.json").read_text()


class _Response:
    def __init__(self, status: int, content: dict[str, Any]) -> None:
        self.ok, self.status_code = status == 200, status
        self._content = content

    def json(self) -> dict[str, Any]:
        return self._content


def test_login_when_the_machines_secret_is_wrong_then_says_so(payctl: Payctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("requests.Session.post", lambda *_, **__: _Response(400, {"error": "invalid_client"}))
    result = payctl("login", "--client-id", "shop", stdin="wrong")
    assert result.exit_code == Exit.FAILED
    assert "rejected the client: invalid_client" in result.stderr


def test_token_when_a_machines_has_run_out_then_says_to_log_it_in_again(
    payctl: Payctl, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "requests.Session.post", lambda *_, **__: _Response(200, {"access_token": "machines", "expires_in": 10})
    )
    assert payctl("login", "--client-id", "shop", stdin="s3cret").exit_code == Exit.DONE
    result = payctl("token")
    assert result.exit_code == Exit.FAILED
    assert "log in with: payctl login --client-id shop" in result.stderr


# The local stack -----------------------------------------------------------------------------------------------------


def test_pay_at_a_local_stack_logs_in_as_admin_and_says_so_once(
    local: Payctl, api: FakeApi, cognito: FakeApi, tmp_path: Path
) -> None:
    cognito.will_answer(200, tokens(RefreshToken="refresh-1"))
    api.will_answer(202, ACCEPTED)
    first, second = local(*PAY), local(*PAY)
    assert "logged in as admin of the local stack" in first.stderr
    assert "logged in" not in second.stderr
    assert cognito.received[0].body["AuthParameters"]["USERNAME"] == "admin@example.com"
    assert [request.headers["Authorization"] for request in api.received] == ["Bearer access-1"] * 2
    assert (tmp_path / "login.json").stat().st_mode & 0o777 == 0o600  # `make down` removes it


def test_login_when_as_a_sample_user_then_is_that_one(local: Payctl, cognito: FakeApi) -> None:
    cognito.will_answer(200, tokens(RefreshToken="refresh-1"))
    result = local("login", "--as", "customer")
    assert result.exit_code == Exit.DONE
    assert "customer@example.com" in result.stdout
    assert cognito.received[0].body["AuthParameters"]["USERNAME"] == "customer@example.com"


def test_login_when_as_a_sample_user_of_a_stack_on_aws_then_refused(payctl: Payctl, cognito: FakeApi) -> None:
    result = payctl("login", "--as", "admin")
    assert result.exit_code == Exit.USAGE
    assert "make up" in result.stderr
    assert cognito.received == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--username", ANNA, "--client-id", "shop"), "give one of"),
        ((), "give --username"),
        (("--username", ANNA, "--password-stdin"), "the secret is empty"),
    ],
)
def test_login_when_it_is_not_clear_who_then_says_what_to_give(
    arguments: tuple[str, ...], message: str, payctl: Payctl
) -> None:
    result = payctl("login", *arguments)
    assert result.exit_code == Exit.USAGE
    assert message in result.stderr


def test_login_when_the_stack_asks_for_no_token_then_says_so(tmp_path: Path) -> None:
    result = payctl_with(tmp_path, auth_mode="none")("login", "--username", ANNA)
    assert result.exit_code == Exit.USAGE
    assert "uses no tokens" in result.stderr


# Users ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def _operator(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.usefixtures("_operator")
def test_user_add_emails_a_new_user_and_assigns_the_roles(payctl: Payctl, cognito: FakeApi) -> None:
    cognito.will_answer(200, {"User": {"Username": "an-id"}})
    cognito.will_answer(200, {})
    result = payctl("user", "add", ANNA, "--role", "merchant", "--role", "operator")
    assert result.exit_code == Exit.DONE, result.output
    create, *groups = [request.body for request in cognito.received]
    assert create["DesiredDeliveryMediums"] == ["EMAIL"]
    assert "TemporaryPassword" not in create
    assert [group["GroupName"] for group in groups] == ["merchant", "operator"]
    assert "AKIDEXAMPLE" in cognito.received[0].headers["Authorization"]


@pytest.mark.usefixtures("_operator")
def test_user_add_when_there_already_then_is_given_the_role(payctl: Payctl, cognito: FakeApi) -> None:
    cognito.will_answer(400, refused("UsernameExistsException"))
    cognito.will_answer(200, {"UserStatus": "CONFIRMED"})
    cognito.will_answer(200, {})
    result = payctl("user", "add", ANNA, "--role", "admin", "--json")
    assert json.loads(result.stdout) == {"environment": "test", "email": ANNA, "roles": ["admin"], "new": False}
    assert asked(cognito) == ["AdminCreateUser", "AdminGetUser", "AdminAddUserToGroup"]


@pytest.mark.usefixtures("_operator")
def test_user_add_gives_no_role_to_a_user_with_an_unconfirmed_address(payctl: Payctl, cognito: FakeApi) -> None:
    cognito.will_answer(400, refused("UsernameExistsException"))
    cognito.will_answer(200, {"UserStatus": "UNCONFIRMED"})
    result = payctl("user", "add", ANNA, "--role", "admin")
    assert result.exit_code == Exit.FAILED
    assert "admin-delete-user" in result.stderr
    assert asked(cognito) == ["AdminCreateUser", "AdminGetUser"]


def test_user_add_on_the_local_stack_prints_the_temporary_password(local: Payctl, cognito: FakeApi) -> None:
    cognito.will_answer(200, {"User": {"Username": "an-id"}})
    cognito.will_answer(200, {})
    result = local("user", "add", ANNA, "--role", "merchant")
    assert cognito.received[0].body["TemporaryPassword"] in result.stderr


def test_user_add_when_it_is_no_address_then_refused(payctl: Payctl, cognito: FakeApi) -> None:
    assert payctl("user", "add", "anna", "--role", "admin").exit_code == Exit.USAGE
    assert cognito.received == []


@pytest.mark.usefixtures("_operator")
def test_user_list_when_asked_then_shows_roles_and_who_is_disabled(payctl: Payctl, cognito: FakeApi) -> None:
    def user(name: str, enabled: bool = True) -> dict[str, Any]:
        attributes = [{"Name": "sub", "Value": f"{name}-id"}, {"Name": "email", "Value": f"{name}@example.com"}]
        return {"Username": f"{name}-id", "Attributes": attributes, "Enabled": enabled, "UserStatus": "CONFIRMED"}

    for members in ([user("anna")], [], [], [user("bert", enabled=False), user("anna")], []):
        cognito.will_answer(200, {"Users": members})
    cognito.will_answer(200, {"Users": [user("anna")], "PaginationToken": "next"})
    cognito.will_answer(200, {"Users": [user("bert", enabled=False), user("cleo")]})
    people = json.loads(payctl("user", "list", "--json").stdout)
    assert [(person["email"], person["roles"], person["status"]) for person in people] == [
        ("anna@example.com", ["admin", "merchant"], "confirmed"),
        ("bert@example.com", ["merchant"], "disabled"),
        ("cleo@example.com", ["customer"], "confirmed"),
    ]


@pytest.mark.usefixtures("_operator")
def test_user_disable_when_asked_then_the_logins_end_as_well(payctl: Payctl, cognito: FakeApi) -> None:
    cognito.will_answer(200, {})
    assert payctl("user", "disable", ANNA).exit_code == Exit.DONE
    assert asked(cognito) == ["AdminDisableUser", "AdminUserGlobalSignOut"]
