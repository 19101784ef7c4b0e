"""payctl backup resume, migrate and the first key: who opens an environment, and what is compared before."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.fake_stripe.app import FakeStripe
from local.fake_stripe.server import in_process
from payctl import backup_resume
from payctl.failures import Exit
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.tables import CONTROLS, CUSTOMERS, PAYMENTS, PROCESSING_STATUS
from payments.adapters.s3_erasures import S3ErasureLedger
from payments.adapters.stripe.gateway import StripeGateway
from payments.domain.clock import iso, utc_now
from payments.domain.due import Kind
from payments.domain.money import Money
from payments.domain.payment import accepted
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest
from payments.ports.restore_target import RestoreProgress
from tests.moto_tables import create_table
from tests.unit.builders import request
from tests.unit.payctl.scenarios import PayctlScenario, payctl_scenario, payctl_with
from tests.unit.payctl.test_gateway_key import KEY

OURS = "0123456789abcdef"


@pytest.fixture(scope="module")
def stripe() -> Iterator[tuple[str, FakeStripe]]:
    with in_process() as served:
        yield served


class ResumeScenario:
    """A closed environment whose restore is complete, and a gateway with later charges."""

    def __init__(self, stack: PayctlScenario, url: str, folder: Path) -> None:
        self.stack = stack
        boto3.client("secretsmanager").put_secret_value(SecretId="gateway-key", SecretString=KEY)
        create_table(CUSTOMERS)
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="files")
        s3.create_bucket(Bucket="backups")
        s3.put_bucket_versioning(Bucket="files", VersioningConfiguration={"Status": "Enabled"})
        more = {"gateway_url": url, "environment_id": OURS, "backup_bucket": "backups"}
        self.payctl = payctl_with(folder, **stack.outputs, **more)
        self.gateway = StripeGateway(lambda: KEY, base_url=url)
        self.stack.breaker.close()

    def restored(self, *, is_done: bool = True) -> None:
        """Note that a backup of an hour ago was restored some minutes ago."""
        now = utc_now()
        progress = RestoreProgress(
            (now - timedelta(hours=1)).strftime("%Y-%m-%dT%H-%M-%SZ"), iso(now - timedelta(minutes=9))
        )
        item = {
            "control": {"S": "restore"},
            "timestamp": {"S": progress.timestamp},
            "began_at": {"S": progress.began_at},
            "parts": {"M": {}},
            "is_done": {"BOOL": is_done},
        }
        boto3.client("dynamodb").put_item(TableName=CONTROLS.name, Item=item)  # type: ignore[arg-type]

    def charged(self, payment_id: str) -> None:
        """Charge at the gateway, as before the tables were lost."""
        self.gateway.charge(ChargeRequest(payment_id, Money(9999, "USD"), "pm_card_visa", environment_id=OURS))

    def resume(self, *options: str, code: Exit = Exit.DONE) -> Any:
        """Run payctl backup resume."""
        done = self.payctl("backup", "resume", "--yes", *options)
        assert done.exit_code == code, done.output
        return done


@pytest.fixture
def scenario(tmp_path: Path, stripe: tuple[str, FakeStripe]) -> Iterator[ResumeScenario]:
    url, fake_stripe = stripe
    fake_stripe.reset()
    with payctl_scenario(tmp_path) as stack:
        yield ResumeScenario(stack, url, tmp_path)


@pytest.mark.fault(75)
def test_resume_recreates_what_was_charged_later_and_then_opens(scenario: ResumeScenario) -> None:
    scenario.restored()
    scenario.charged("pay_lost")
    scenario.charged("pay_pending")
    scenario.stack.payments.create(accepted(request("pay_pending"), at=utc_now(), source="rest"))

    answer = json.loads(scenario.resume("--json").stdout)

    assert answer["charges"] == {"recreated": 1, "updated": 1, "same": 0, "differs": 0, "not_ours": 0}
    for payment_id in ("pay_lost", "pay_pending"):
        row = scenario.stack.payments.get(payment_id)
        assert row
        assert (row.status, row.money) == (Status.SUCCEEDED, Money(9999, "USD"))
    assert scenario.stack.breaker.state().is_open
    assert scenario.stack.delivers()


def test_files_that_arrived_since_the_backup_are_split_again(scenario: ResumeScenario) -> None:
    scenario.restored()
    boto3.client("s3").put_object(Bucket="files", Key="incoming/a.csv", Body=b"payment_id,amount,currency\n")

    answer = json.loads(scenario.resume("--json").stdout)

    assert answer["files"] == 1
    batches = DynamoBatchStore(boto3.client("dynamodb"), PROCESSING_STATUS.name, PAYMENTS.name)
    ((batch_id, _),) = batches.due(Kind.BATCH, utc_now())
    batch = batches.get(batch_id)
    assert batch
    assert batch.source.key == "incoming/a.csv"
    assert batch.is_abandoned(iso(utc_now()))


def test_gateway_that_does_not_answer_keeps_it_closed_until_it_does(
    scenario: ResumeScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario.restored()
    scenario.charged("pay_lost")
    boto3.client("secretsmanager").put_secret_value(SecretId="gateway-key", SecretString="rk_test_wrong_key")
    listed = StripeGateway.listed
    from payments.domain.errors import NotSent

    def fails(*_: Any) -> Any:
        raise NotSent("gateway_unreachable", "no connection")

    monkeypatch.setattr(StripeGateway, "listed", fails)
    refused = scenario.resume(code=Exit.FAILED)
    assert "test stays closed" in refused.stderr
    assert not scenario.stack.breaker.state().is_open

    monkeypatch.setattr(StripeGateway, "listed", listed)
    boto3.client("secretsmanager").put_secret_value(SecretId="gateway-key", SecretString=KEY)
    scenario.resume()
    assert scenario.stack.payments.get("pay_lost")


def test_restore_that_is_not_complete_cannot_be_resumed(scenario: ResumeScenario) -> None:
    scenario.restored(is_done=False)

    assert "is not restored to its end" in scenario.resume(code=Exit.FAILED).stderr
    assert not scenario.stack.breaker.state().is_open


def test_tables_without_a_restore_need_the_time_to_compare_from(scenario: ResumeScenario) -> None:
    scenario.charged("pay_lost")
    assert "--since" in scenario.resume(code=Exit.USAGE).stderr

    scenario.resume("--since", (utc_now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert scenario.stack.payments.get("pay_lost")


def test_resume_waits_for_functions_that_may_still_send(
    scenario: ResumeScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario.restored()
    slept: list[float] = []
    monkeypatch.setattr(backup_resume, "SENDS_FOR", timedelta(minutes=10))
    monkeypatch.setattr("payctl.backup_resume.time.sleep", slept.append)

    scenario.resume()

    assert [50 < seconds <= 60 for seconds in slept] == [True]


def test_open_environment_is_not_resumed_again(scenario: ResumeScenario) -> None:
    scenario.stack.breaker.open("operator:me", utc_now())

    assert "is open already" in scenario.resume(code=Exit.FAILED).stderr


def test_migrate_opens_an_environment_of_before_with_rows(scenario: ResumeScenario) -> None:
    scenario.stack.payments.create(accepted(request("pay_1"), at=utc_now(), source="rest"))

    erased = {"customer_id": "cus_1", "erased_at": iso(utc_now())}
    for row in (erased, {"customer_id": "cus_2"}):
        item = {name: {"S": text} for name, text in row.items()}
        boto3.client("dynamodb").put_item(TableName=CUSTOMERS.name, Item=item)

    done = scenario.payctl("migrate", "--yes", "--json")

    assert json.loads(done.stdout)["erasures_noted"] == 1
    assert scenario.stack.breaker.state().is_open
    assert S3ErasureLedger(lambda: boto3.client("s3"), "backups").all().keys() == {"cus_1"}
    assert "is open already. Erased customers noted: 0." in scenario.payctl("migrate").stdout


def test_migrate_refuses_empty_tables_and_restored_ones(scenario: ResumeScenario) -> None:
    assert "has no rows" in scenario.payctl("migrate", "--yes").stderr
    scenario.stack.payments.create(accepted(request("pay_1"), at=utc_now(), source="rest"))
    scenario.restored()
    assert "payctl backup resume" in scenario.payctl("migrate", "--yes").stderr
    assert not scenario.stack.breaker.state().is_open


@contextmanager
def _secret_without_value() -> Iterator[None]:
    client = boto3.client("secretsmanager")
    client.delete_secret(SecretId="gateway-key", ForceDeleteWithoutRecovery=True)
    client.create_secret(Name="gateway-key")
    yield


def test_first_key_opens_and_a_later_one_does_not(scenario: ResumeScenario) -> None:
    with _secret_without_value():
        assert scenario.payctl("gateway", "set-key", "--yes", stdin=KEY).exit_code == Exit.DONE
    assert scenario.stack.breaker.state().is_open
    scenario.stack.breaker.close()
    assert scenario.payctl("gateway", "set-key", "--yes", stdin="sk_test_another").exit_code == Exit.DONE
    assert not scenario.stack.breaker.state().is_open


def test_first_key_of_a_restored_environment_opens_nothing(scenario: ResumeScenario) -> None:
    scenario.restored()
    with _secret_without_value():
        assert scenario.payctl("gateway", "set-key", "--yes", stdin=KEY).exit_code == Exit.DONE
    assert not scenario.stack.breaker.state().is_open
