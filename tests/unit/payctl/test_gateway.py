"""payctl gateway, on moto."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from payctl import prompts
from payctl.failures import Exit
from payments.adapters.dynamodb.slots import DynamoSlotStore
from payments.adapters.dynamodb.tables import CONTROLS
from payments.domain.clock import utc_now
from tests.moto_tables import aws_in_memory, create_table
from tests.unit.payctl.scenarios import OUTPUTS, Payctl, payctl_with

KEY = "sk_test_51AbCdEf"


@pytest.fixture
def payctl(tmp_path: Path) -> Iterator[Payctl]:
    with aws_in_memory():
        yield payctl_with(tmp_path)


@pytest.fixture
def secrets(payctl: Payctl) -> Any:
    """Secrets Manager with the stack's secret, which has no value yet."""
    client = boto3.client("secretsmanager")
    client.create_secret(Name=OUTPUTS["gateway_secret_arn"])
    return client


@pytest.mark.fault(65)
@pytest.mark.parametrize(("backlog", "says"), [(0, "are accepted"), (120, "are accepted"), (400, "get 429")])
def test_status_shows_the_backlog_and_whether_new_payments_are_taken(payctl: Payctl, backlog: int, says: str) -> None:
    slots = DynamoSlotStore(create_table(CONTROLS), CONTROLS.name, timedelta(milliseconds=50))
    now = int(utc_now().timestamp() / 0.05)
    slots.take_slot(now, now, backlog * 20 or 1)
    assert f"new payments {says}" in " ".join(payctl("gateway", "status").stdout.split())
    shown = json.loads(payctl("gateway", "status", "--json").stdout)
    assert backlog - 30 <= shown["backlog_seconds"] <= backlog
    assert (shown["refuses_new_payments"], shown["backlog_limit_seconds"]) == (backlog == 400, 300)
    assert shown["requests_a_second"] == 20


def _value(secrets: Any) -> str:
    return str(secrets.get_secret_value(SecretId=OUTPUTS["gateway_secret_arn"])["SecretString"])


def test_set_key_when_read_from_stdin_then_stores_it_and_never_prints_it(payctl: Payctl, secrets: Any) -> None:
    result = payctl("gateway", "set-key", stdin=f"{KEY}\n")
    assert result.exit_code == Exit.DONE
    assert _value(secrets) == KEY
    assert KEY not in result.output


def test_set_key_when_one_is_set_then_replaces_it_only_with_yes(payctl: Payctl, secrets: Any) -> None:
    payctl("gateway", "set-key", stdin=KEY)
    refused = payctl("gateway", "set-key", stdin="rk_live_new")
    assert refused.exit_code == Exit.USAGE
    assert "--yes" in refused.stderr
    assert _value(secrets) == KEY
    replaced = payctl("gateway", "set-key", "--yes", "--json", stdin="rk_live_new")
    assert json.loads(replaced.stdout)["replaced"] is True
    assert _value(secrets) == "rk_live_new"


@pytest.mark.parametrize(("mode", "key"), [("live", KEY), ("test", "rk_live_51AbCdEf")])
def test_set_key_of_the_other_mode_changes_nothing(
    tmp_path: Path, secrets: Any, monkeypatch: pytest.MonkeyPatch, mode: str, key: str
) -> None:
    monkeypatch.setitem(OUTPUTS, "gateway_mode", mode)
    result = payctl_with(tmp_path)("gateway", "set-key", stdin=key)
    assert result.exit_code == Exit.USAGE
    assert f"needs a {mode} key" in result.stderr
    assert key not in result.output
    assert "VersionIdsToStages" not in secrets.describe_secret(SecretId=OUTPUTS["gateway_secret_arn"])


@pytest.mark.parametrize("key", ["", "pk_test_51AbCd", "sk_test_one sk_test_two", "sk_test_\x07"])
def test_set_key_when_it_is_no_secret_key_then_changes_nothing(key: str, payctl: Payctl, secrets: Any) -> None:
    result = payctl("gateway", "set-key", stdin=key)
    assert result.exit_code == Exit.USAGE
    assert "not a secret key of Stripe" in result.stderr
    assert not key or key not in result.output
    assert not secrets.describe_secret(SecretId=OUTPUTS["gateway_secret_arn"]).get("VersionIdsToStages")


@pytest.mark.parametrize(("answer", "stored"), [("y", "sk_test_new"), ("n", KEY)])
def test_set_key_at_a_terminal_confirms_a_replacement_and_does_not_echo(
    answer: str, stored: str, payctl: Payctl, secrets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    payctl("gateway", "set-key", stdin=KEY)
    monkeypatch.setattr(prompts, "at_a_terminal", lambda: True)
    result = payctl("gateway", "set-key", stdin=f"{answer}\nsk_test_new\n")
    assert "already has a gateway key. Replace it?" in result.stderr
    assert "sk_test_new" not in result.output
    assert _value(secrets) == stored


@pytest.fixture
def webhook_secret(payctl: Payctl) -> Any:
    """Returns the stored webhook secret."""
    client = boto3.client("secretsmanager")
    client.create_secret(Name=OUTPUTS["webhook_secret_arn"])
    return lambda: json.loads(client.get_secret_value(SecretId=OUTPUTS["webhook_secret_arn"])["SecretString"])


def test_set_webhook_secret_stores_the_first_one_and_never_prints_it(payctl: Payctl, webhook_secret: Any) -> None:
    result = payctl("gateway", "set-webhook-secret", stdin="whsec_one\n")
    assert result.exit_code == Exit.DONE
    assert webhook_secret() == {"current": "whsec_one"}
    assert "whsec_" not in result.output


def test_set_webhook_secret_rotation_keeps_the_previous_until_forgotten(payctl: Payctl, webhook_secret: Any) -> None:
    for secret in ("whsec_one", "whsec_two", "whsec_three"):
        result = payctl("gateway", "set-webhook-secret", "--yes", "--json", stdin=secret)
    assert json.loads(result.stdout)["previous_accepted"] is True
    assert webhook_secret() == {"current": "whsec_three", "previous": "whsec_two"}
    assert payctl("gateway", "set-webhook-secret", "--forget-previous").exit_code == Exit.USAGE
    assert "previous" in webhook_secret()
    result = payctl("gateway", "set-webhook-secret", "--forget-previous", "--yes", "--json")
    assert json.loads(result.stdout)["previous_accepted"] is False
    assert webhook_secret() == {"current": "whsec_three"}


def test_set_webhook_secret_sent_twice_keeps_the_previous_one(payctl: Payctl, webhook_secret: Any) -> None:
    for secret in ("whsec_one", "whsec_two", "whsec_two"):
        result = payctl("gateway", "set-webhook-secret", "--yes", stdin=secret)
    assert "is unchanged" in result.stdout
    assert webhook_secret() == {"current": "whsec_two", "previous": "whsec_one"}


def test_set_webhook_secret_replaces_nothing_without_a_terminal_or_yes(payctl: Payctl, webhook_secret: Any) -> None:
    payctl("gateway", "set-webhook-secret", stdin="whsec_one")
    result = payctl("gateway", "set-webhook-secret", stdin="whsec_two")
    assert result.exit_code == Exit.USAGE
    assert "--yes" in result.stderr
    assert webhook_secret() == {"current": "whsec_one"}


@pytest.mark.parametrize("secret", ["", "sk_test_51AbCd", "whsec_one whsec_two", "whsec_\x07"])
def test_set_webhook_secret_refuses_an_invalid_one_without_repeating_it(
    secret: str, payctl: Payctl, webhook_secret: Any
) -> None:
    result = payctl("gateway", "set-webhook-secret", "--yes", stdin=secret)
    assert result.exit_code == Exit.USAGE
    assert not secret or secret not in result.output


def test_forget_previous_when_no_secret_is_set_then_says_how_to_set_one(payctl: Payctl, webhook_secret: Any) -> None:
    result = payctl("gateway", "set-webhook-secret", "--forget-previous", "--yes")
    assert result.exit_code == Exit.FAILED
    assert "has no webhook secret yet" in result.stderr
