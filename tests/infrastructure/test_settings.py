"""The settings of a deployment: the table of environments, and one clear line for a wrong value."""

import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from lib.package import ROOT
from lib.settings import ENVIRONMENTS, RETENTION_DAYS, Settings, SettingsError, kind_of, load

WRONG = [
    ("ENVIRONMENT_SUFFIX", "Prod_1", "1 to 20 lower-case letters"),
    ("ENVIRONMENT_SUFFIX", "-dev", "not at an end"),
    ("ENVIRONMENT_SUFFIX", "a" * 21, "1 to 20"),
    ("ENVIRONMENT_KIND", "production", "'dev', 'staging', 'prod' or 'local'"),
    ("AWS_REGION", "virginia", "us-east-1"),
    ("TERRAFORM_STATE_BUCKET", "My_State", "an S3 bucket"),
    ("TERRAFORM_STATE_BUCKET_REGION", "EU", "us-east-1"),
    ("AWS_ENDPOINT_URL", "localhost:4566", "https://"),
    ("STRIPE_API_BASE", "https://api.stripe.com/v1", "without a path"),
    ("TAGS", "Team", "Team=payments"),
    ("LAMBDA_MEMORY_MB", "64", "from 128 to 10240"),
    ("LAMBDA_MEMORY_MB", "1 GB", "a whole number"),
    ("LAMBDA_ARCHITECTURE", "arm", "'arm64' or 'x86_64'"),
    ("LOG_RETENTION_DAYS", "8", "one of 1, 3, 5, 7, 14"),
    ("API_RATE_PER_SECOND", "0", "from 1 to 10000"),
    ("API_BURST", "9999", "from 1 to 5000"),
    ("WORKFLOW_TYPE", "express", "'STANDARD' or 'EXPRESS'"),
    ("SEARCHABLE_METADATA", "order:id", "one key of the metadata"),
    ("GATEWAY_MODE", "sandbox", "'test' or 'live'"),
    ("GATEWAY_RATE_PER_SECOND", "0", "from 1 to 1000"),
    ("GATEWAY_RESERVE_PERCENT", "95", "from 0 to 90"),
    ("GATEWAY_BACKLOG_LIMIT_SECONDS", "9", "from 10 to 1800"),
    ("DEFAULT_PAYMENT_METHOD", "pm card", "a payment method of the gateway"),
    ("FORCE_DESTROY", "perhaps", "true or false"),
    ("AUTH_MODE", "open", "'none' or 'jwt'"),
    ("AUTH_MODE", "iam", "'none' or 'jwt'"),
    ("MERCHANTS", "My_Shop", "names such as shop,partner"),
    ("MERCHANTS", "shop:", "names such as shop,partner"),
    ("MERCHANTS", "shop:sh", "which end in '_' or '-'"),
    ("MERCHANTS", "shop:_", "which end in '_' or '-'"),
    ("CARDS_PER_MERCHANT", "120", "two numbers such as 120/24"),
    ("MERCHANT_CARDS", "shop=many", "a list such as shop=1200/240"),
    ("REFUND_APPROVAL_ABOVE", "EUR", "such as EUR=500,USD=500"),
    ("REFUND_APPROVAL_ABOVE", "EUR=500,EUR=600", "each currency once"),
    ("REFUND_APPROVAL_ABOVE", "EUR=500,", "such as EUR=500,USD=500"),
    ("REFUND_APPROVAL_ABOVE", "EUX=500", "'EUX' is not an ISO 4217 currency code"),
    ("REFUND_APPROVAL_ABOVE", "eur=500", "three capital letters"),
    ("REFUND_APPROVAL_ABOVE", "JPY=10.5", "JPY takes no decimal digits"),
    ("REFUND_APPROVAL_ABOVE", "EUR=-1", "not a plain decimal number"),
    ("FRAUD_HOLD_HOURS", "0", "a whole number from 1 to 720"),
    ("FRAUD_HOLD_OUTCOME", "charge", "'reject' or 'approve'"),
    ("SETTLEMENT_CURRENCIES", "usd", "such as USD,EUR, in capital letters"),
    ("SETTLEMENT_CURRENCIES", "USX", "currencies that Stripe charges in"),
    ("OIDC_ISSUER", "http://login.example.com", "an https address"),
    ("OIDC_AUDIENCE", "payment api", "without spaces"),
    ("OIDC_ROLES_CLAIM", "my roles", "without spaces"),
    ("GATEWAY_DEADLINE_SECONDS", "59", "a whole number from 60 to 604800"),
    ("GATEWAY_OUTAGE_LIMIT", "-1", "a whole number from 0 to 1000000"),
    ("OIDC_ROLES_PREFIX", "my -", "without spaces"),
    ("DENIED_RETENTION_DAYS", "364", "from 365 to 3653"),
    ("EMAIL_SENDER", "payments", "of a domain that SES has verified"),
    ("SELF_SIGN_UP", "open", "true or false"),
    ("REQUIRE_SECOND_FACTOR", "always", "true or false"),
    ("PATIENCE_SECONDS", "0", "from 120 to 3600, or from 1 on a local AWS"),
    ("PATIENCE_SECONDS", "4000", "from 120 to 3600"),
    ("RATE_PER_IP_PER_MINUTE", "0", "from 1 to 100000"),
    ("RATE_PER_CUSTOMER_PER_MINUTE", "0", "from 1 to 100000"),
    ("READS_PER_CUSTOMER_PER_MINUTE", "0", "from 1 to 100000"),
    ("MERCHANT_RATE_PER_SECOND", "0", "from 1 to 10000"),
    ("MERCHANT_QUOTA_PER_DAY", "0", "from 1 to 1000000000"),
    ("BACKUP_EVERY_HOURS", "0", "from 1 to 144"),
    ("BACKUP_READ_UNITS_PER_SECOND", "99", "from 100 to 1000000"),
    ("BACKUP_COLD_DAYS", "0", "from 1 to 3650"),
    ("BACKUP_KEEP_DAYS", "0", "from 1 to 3650"),
    ("BACKUP_LOCK_DAYS", "-1", "from 0 to 3650"),
    ("AUDIT_KEEP_DAYS", "364", "from 365 to 3650"),
    ("AUDIT_LOCK_DAYS", "0", "from 1 to 3650"),
]
"""Variable, a value that it must reject, and a part of the text that says what is allowed."""


@pytest.mark.parametrize(("variable", "value", "allowed"), WRONG)
def test_wrong_setting_is_one_line_of_variable_value_and_what_is_allowed(
    variable: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError) as refused:
        load()

    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{variable}: '{value}' is not allowed; allowed: ")
    assert allowed in line.partition("allowed; ")[2]


def test_every_setting_has_a_tested_wrong_value() -> None:
    tested = {variable for variable, _, _ in WRONG} | {"ALARM_EMAILS"}

    assert tested == {name.upper() for name in Settings.model_fields}


def test_alarm_recipients_when_one_is_wrong_then_that_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALARM_EMAILS", "oncall@example.com, anna")

    with pytest.raises(SettingsError, match=r"^ALARM_EMAILS: 'anna' is not allowed; allowed: addresses such as .*$"):
        load()


def test_settings_when_several_are_wrong_then_each_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "here")
    monkeypatch.setenv("API_BURST", "many")

    with pytest.raises(SettingsError) as refused:
        load()

    assert [line.partition(":")[0] for line in str(refused.value).splitlines()] == ["AWS_REGION", "API_BURST"]


def test_settings_default_to_dev_in_us_east_1_with_local_state() -> None:
    settings = load()

    assert settings.environment_suffix == "dev"
    assert settings.aws_region == "us-east-1"
    assert settings.terraform_state_bucket == ""
    assert settings.effective == ENVIRONMENTS["dev"]


def test_settings_when_all_are_set_then_they_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {
        "ENVIRONMENT_SUFFIX": "staging",
        "AWS_REGION": "eu-central-1",
        "ALARM_EMAILS": "a@example.com, b@example.com",
        "TAGS": "Team=payments, CostCenter=4=2",
        "LAMBDA_MEMORY_MB": "2048",
        "WORKFLOW_TYPE": "EXPRESS",
        "FORCE_DESTROY": "false",
    }.items():
        monkeypatch.setenv(variable, value)

    settings = load()

    assert settings.aws_region == "eu-central-1"
    assert settings.alarm_emails == ["a@example.com", "b@example.com"]
    assert settings.tags == {"Team": "payments", "CostCenter": "4=2"}
    assert settings.effective.lambda_memory_mb == 2048
    assert settings.effective.workflow_type == "EXPRESS"
    assert settings.effective.force_destroy is False
    assert settings.effective.auth_mode == ENVIRONMENTS["staging"].auth_mode


def test_settings_when_a_variable_is_empty_then_it_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "")

    assert load() == Settings()


SUFFIXES = {
    "dev": ("dev", "dev-anna", "dev-e2e", "pr-1234", "test", "test-2"),
    "staging": ("staging", "staging-2"),
    "local": ("local",),
    "prod": (
        *("prod", "prod-eu", "production", "live", "prd", "eu-prod", "main", "master", "eu", "release", "demo", "qa"),
        *("dev-prod", "test-live", "staging-prd", "pr-1234-live", "preprod", "nonprod", "alive"),
        *("dev2", "develop", "device", "devil", "pr-feature", "pr", "testing", "stage", "locale", "local-2", "1"),
    ),
}
"""Kind → suffixes that mean it. What is not known is production."""


@pytest.mark.fault(74)
@pytest.mark.parametrize(("suffix", "kind"), [(suffix, kind) for kind in SUFFIXES for suffix in SUFFIXES[kind]])
def test_suffix_means_its_kind_and_production_if_unknown(suffix: str, kind: str) -> None:
    assert kind_of(suffix) == kind


@pytest.mark.fault(74)
@pytest.mark.parametrize("suffix", SUFFIXES["prod"])
def test_suffix_that_is_not_known_has_the_protections_of_production(suffix: str) -> None:
    assert Settings(environment_suffix=suffix).effective == ENVIRONMENTS["prod"]
    with pytest.raises(ValidationError, match="AUTH_MODE"):
        Settings(environment_suffix=suffix, auth_mode="none")


def test_environment_kind_decides_against_the_suffix() -> None:
    assert Settings(environment_suffix="main", environment_kind="dev").effective == ENVIRONMENTS["dev"]
    assert Settings(environment_suffix="dev", environment_kind="prod").effective == ENVIRONMENTS["prod"]


@pytest.mark.fault(74)
@pytest.mark.parametrize("suffix", ["dev", "staging", "prod"])
def test_http_gateway_is_refused_except_on_a_local_aws(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT_SUFFIX", suffix)
    monkeypatch.setenv("STRIPE_API_BASE", "http://gateway.example")
    with pytest.raises(SettingsError, match=r"^STRIPE_API_BASE: 'http://gateway.example' is not allowed"):
        load()

    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:4566")
    assert load().stripe_api_base == "http://gateway.example"


@pytest.mark.fault(74)
@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("https://127.0.0.1:4566", True),
        ("http://localhost:4566", True),
        ("http://LOCALHOST:4566", True),
        ("http://[::1]:4566", True),
        ("http://172.17.0.2:4566", True),
        ("http://ministack:4566", True),
        ("http://aws.localhost:4566", True),
        ("http://host.docker.internal:4566", True),
        ("https://dynamodb.us-east-1.amazonaws.com", False),
        ("https://localhost.example.com", False),
        ("https://127.0.0.1@dynamodb.us-east-1.amazonaws.com", False),
        ("https://localhost:1@example.com", False),
        ("https://8.8.8.8", False),
        ("https://134744072", False),
        ("https://[2001:4860:4860::8888]", False),
        ("https://0.0.0.0", False),
        ("https://localhost.", False),
    ],
)
def test_aws_is_local_only_at_an_address_of_this_network(
    endpoint: str, local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert load().is_local is local
    monkeypatch.setenv("STRIPE_API_BASE", "http://gateway.example")
    if local:
        assert load().stripe_api_base == "http://gateway.example"
        return
    for name, value in (("STRIPE_API_BASE", "http://gateway.example"), ("PATIENCE_SECONDS", "1")):
        monkeypatch.delenv("STRIPE_API_BASE")
        monkeypatch.setenv(name, value)
        with pytest.raises(SettingsError, match=f"^{name}: "):
            load()
        monkeypatch.delenv(name)
        monkeypatch.setenv("STRIPE_API_BASE", "https://gateway.example")


@pytest.mark.parametrize("suffix", ENVIRONMENTS)
def test_environments_own_values_are_allowed_as_settings(suffix: str) -> None:
    row = vars(ENVIRONMENTS[suffix])
    endpoint = "https://127.0.0.1:4566" if suffix == "local" else ""

    assert Settings(environment_suffix=suffix, aws_endpoint_url=endpoint, **row).effective == ENVIRONMENTS[suffix]
    assert row["log_retention_days"] in RETENTION_DAYS


def test_production_when_looked_up_then_it_is_protected() -> None:
    production = ENVIRONMENTS["prod"]

    assert production.force_destroy is False
    assert production.auth_mode == "jwt"
    assert production.log_retention_days >= 365
    assert production.default_payment_method == ""


def test_production_when_it_should_be_open_to_all_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT_SUFFIX", "prod")
    monkeypatch.setenv("AUTH_MODE", "none")

    with pytest.raises(SettingsError, match=r"^AUTH_MODE: 'none' is not allowed in production; allowed: jwt$"):
        load()


def test_callers_when_looked_up_then_everywhere_they_need_a_token() -> None:
    assert {environment.auth_mode for environment in ENVIRONMENTS.values()} == {"jwt"}


def test_another_issuer_when_its_audience_is_not_set_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OIDC_ISSUER", "https://login.example.com/")

    with pytest.raises(SettingsError, match=r"^OIDC_AUDIENCE: not set: the API would accept tokens"):
        load()


@pytest.mark.parametrize(
    ("merchants", "named"),
    [
        ("shop:sh_,partner:sh_", "sh_ and sh_"),
        ("shop:sh_,partner:SH_pt_", "SH_pt_ and sh_"),
        ("shop:sh_a_,partner:sh_", "sh_ and sh_a_"),
        ("shop:v1_", "v1_ and v1_"),
        ("shop:self_sh_", "self_sh_ and self_"),
    ],
)
def test_prefixes_of_which_one_begins_another_are_refused(
    merchants: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERCHANTS", merchants)

    with pytest.raises(SettingsError, match=rf"^MERCHANTS: .* allowed: prefixes of which none .*: {named}$"):
        load()


def test_merchant_is_refused_if_the_name_of_its_role_would_be_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENVIRONMENT_SUFFIX", "dev-a234567890123456")
    monkeypatch.setenv("MERCHANTS", "a" * 29)
    load()
    monkeypatch.setenv("MERCHANTS", "a" * 30)

    with pytest.raises(SettingsError, match=r"^MERCHANTS: .* allowed: at most 29 characters with this suffix$"):
        load()


@pytest.mark.parametrize(
    "names", ["shop,shop", "shop:sh_,shop:pt_", ",".join(f"shop-{number}" for number in range(51))]
)
def test_merchants_when_one_comes_twice_or_they_are_too_many_then_refused(
    names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERCHANTS", names)

    with pytest.raises(SettingsError, match=r"MERCHANTS: .* allowed: at most 50 names, each once$"):
        load()


def test_every_environment_reserves_part_of_the_gateway_rate() -> None:
    for environment in ENVIRONMENTS.values():
        assert environment.gateway_reserve_percent == 8


def test_recovery_time_outs_are_five_minutes_except_locally() -> None:
    timeouts = {kind: environment.patience_seconds for kind, environment in ENVIRONMENTS.items()}

    assert timeouts == {"dev": 300, "staging": 300, "prod": 300, "local": 5}


@pytest.mark.parametrize("seconds", ["1", "119"])
def test_recovery_time_out_shorter_than_a_running_charge_is_refused(
    seconds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATIENCE_SECONDS", seconds)

    with pytest.raises(SettingsError) as refused:
        load()

    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"PATIENCE_SECONDS: {seconds} is not allowed: a charge function runs for up to 80 seconds")
    assert line.endswith("allowed: 120 to 3600")


def test_local_recovery_time_out_is_refused_on_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT_SUFFIX", "local")

    with pytest.raises(SettingsError, match=r"^PATIENCE_SECONDS: 5 is not allowed"):
        load()


@pytest.mark.parametrize(("seconds", "endpoint"), [("120", ""), ("3600", ""), ("1", "https://127.0.0.1:4566")])
def test_recovery_time_out_is_taken_if_long_enough_or_on_a_local_aws(
    seconds: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATIENCE_SECONDS", seconds)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)

    assert load().effective.patience_seconds == int(seconds)


def test_main_prints_a_wrong_setting_and_exits_with_1() -> None:
    run = subprocess.run(
        [sys.executable, "main.py"],
        cwd=ROOT,
        env={**os.environ, "ENVIRONMENT_SUFFIX": "NOT-A-SUFFIX"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith("ENVIRONMENT_SUFFIX: 'NOT-A-SUFFIX' is not allowed; allowed: ")
    assert len(run.stderr.splitlines()) == 1


def test_approvals_need_callers_who_are_not_all_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFUND_APPROVAL_ABOVE", "EUR=500, USD=0")
    assert load().refund_approval_above == "EUR=500.00,USD=0.00"
    monkeypatch.setenv("AUTH_MODE", "none")

    with pytest.raises(SettingsError, match=r"^REFUND_APPROVAL_ABOVE: .* AUTH_MODE=none, where all callers are one;"):
        load()


def test_approvals_and_merchants_fit_into_one_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFUND_APPROVAL_ABOVE", "EUR=500")
    names = [f"m-{number:02}{'x' * 12}:{number:02}_" for number in range(50)]
    monkeypatch.setenv("MERCHANTS", ",".join(names[:48]))
    assert load().refund_approval == {"REFUND_APPROVAL_ABOVE": "EUR=500.00"}
    monkeypatch.setenv("MERCHANTS", ",".join(names))

    with pytest.raises(SettingsError, match=r"^REFUND_APPROVAL_ABOVE: 10 characters .*; allowed: at most 0 characters"):
        load()


def test_approvals_that_are_off_need_no_variable() -> None:
    assert load().refund_approval == {}
