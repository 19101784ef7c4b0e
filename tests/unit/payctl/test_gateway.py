"""payctl gateway, on moto."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from payctl.failures import Exit
from payments.adapters.dynamodb.slots import DynamoSlotStore
from payments.adapters.dynamodb.tables import CONTROLS
from payments.domain.clock import utc_now
from tests.moto_tables import aws_in_memory, create_table
from tests.unit.payctl.scenarios import OUTPUTS, Payctl, payctl_with


@pytest.fixture
def payctl(tmp_path: Path) -> Iterator[Payctl]:
    with aws_in_memory():
        yield payctl_with(tmp_path)


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
