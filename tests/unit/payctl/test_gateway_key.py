"""payctl gateway set-key, on moto and the fake Stripe: a key is asked about before it is stored."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from fakes.field_encryptor import MemoryFieldEncryptor
from local.fake_stripe.app import FakeStripe
from local.fake_stripe.faults import Fault, Kind
from local.fake_stripe.server import in_process
from payctl import prompts
from payctl.failures import Exit
from payctl.stack import Stack
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.tables import CONTROLS, PAYMENTS, PROCESSING_STATUS
from payments.domain.batch.state import Batch, BatchStatus, Source
from payments.domain.clock import iso
from payments.domain.statuses import Status
from payments.ports.batch_store import Claim
from tests.moto_tables import aws_in_memory, create_table
from tests.unit.builders import NOON, after, payment
from tests.unit.payctl.scenarios import OUTPUTS, Payctl, payctl_with

KEY, NEW = "sk_test_51AbCdEf", "sk_test_51NewKey"
OTHER, RESTRICTED = "sk_test_of_other_1", "rk_test_51Restricted"
SECRET = OUTPUTS["gateway_secret_arn"]


@dataclass
class KeyScenario:
    """The stack's secret and its tables on moto, and a fake Stripe."""

    payctl: Payctl
    secrets: Any
    fake_stripe: FakeStripe
    folder: Path
    url: str

    def set(self, key: str, *options: str, code: int = Exit.DONE) -> str:
        """Set a key without a terminal. Returns what was printed, which never has a part of the key."""
        result = self.payctl("gateway", "set-key", "--yes", *options, stdin=key)
        assert result.exit_code == code, result.output
        assert not key or key[8:] not in result.output
        return " ".join(result.output.split())

    def value(self, stage: str = "AWSCURRENT") -> str:
        return str(self.secrets.get_secret_value(SecretId=SECRET, VersionStage=stage)["SecretString"])

    def opened(self) -> None:
        """Store a payment whose charge may be running."""
        table = DynamoPaymentStore(boto3.client("dynamodb"), PAYMENTS.name, MemoryFieldEncryptor())
        table.create(after(payment(), Status.PROCESSING))

    def splitting(self) -> None:
        """Store a batch whose file is being read."""
        source = Source("files", "incoming/a.csv", "v1", "", 1)
        batch = Batch(source.batch_id, source, BatchStatus.SPLITTING, iso(NOON), iso(NOON))
        DynamoBatchStore(boto3.client("dynamodb"), PROCESSING_STATUS.name, PAYMENTS.name).claim_split(
            batch, Claim("me", NOON, NOON)
        )

    def nothing_is_set(self) -> bool:
        return "VersionIdsToStages" not in self.secrets.describe_secret(SecretId=SECRET)


@pytest.fixture(scope="module")
def stripe() -> Iterator[tuple[str, FakeStripe]]:
    with in_process() as served:
        yield served


@pytest.fixture
def scenario(tmp_path: Path, stripe: tuple[str, FakeStripe]) -> Iterator[KeyScenario]:
    url, fake_stripe = stripe
    fake_stripe.reset()
    with aws_in_memory():
        for table in (CONTROLS, PAYMENTS, PROCESSING_STATUS):
            create_table(table)
        secrets = boto3.client("secretsmanager")
        secrets.create_secret(Name=SECRET)
        yield KeyScenario(payctl_with(tmp_path, gateway_url=url), secrets, fake_stripe, tmp_path, url)


def test_set_key_asks_the_gateway_shows_the_account_and_stores_it(scenario: KeyScenario) -> None:
    printed = scenario.set(f"{KEY}\n")
    assert scenario.value() == KEY
    assert "is set: Fake Stripe (acct_fake_stripe)" in printed
    assert [entry["path"] for entry in scenario.fake_stripe.log.entries()] == ["/v1/account"]


def test_first_key_over_a_version_without_a_value_is_the_first(scenario: KeyScenario) -> None:
    """The local AWS makes such a version with the secret."""
    scenario.secrets.put_secret_value(SecretId=SECRET, SecretBinary=b"no text")
    assert "is set: Fake Stripe" in scenario.set(KEY)
    assert scenario.value() == KEY


def test_set_key_without_a_terminal_needs_yes_and_names_the_account(scenario: KeyScenario) -> None:
    refused = scenario.payctl("gateway", "set-key", stdin=KEY)
    assert refused.exit_code == Exit.USAGE
    assert "this is a test key of Fake Stripe (acct_fake_stripe); use it in test with --yes" in refused.stderr
    assert scenario.nothing_is_set()


@pytest.mark.parametrize(("answer", "stored"), [("y", NEW), ("n", KEY)])
def test_set_key_at_a_terminal_confirms_the_account_and_does_not_echo(
    answer: str, stored: str, scenario: KeyScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario.set(KEY)
    monkeypatch.setattr(prompts, "at_a_terminal", lambda: True)
    result = scenario.payctl("gateway", "set-key", stdin=f"{NEW}\n{answer}\n")
    assert "This is a test key of Fake Stripe (acct_fake_stripe). Replace the key of test with it?" in result.stderr
    assert NEW not in result.output
    assert scenario.value() == stored


def test_set_key_that_the_gateway_rejects_changes_nothing(scenario: KeyScenario) -> None:
    assert "Stripe rejects this key" in scenario.set("sk_live_51AbCdEf", code=Exit.FAILED)
    assert scenario.nothing_is_set()


def test_set_key_when_the_gateway_does_not_answer_changes_nothing(scenario: KeyScenario) -> None:
    scenario.fake_stripe.faults.add(Fault(Kind.SERVER_ERROR))
    printed = scenario.set(KEY, code=Exit.FAILED)
    assert "could not be asked" in printed
    assert "run the command again when Stripe answers" in printed
    assert scenario.nothing_is_set()


@pytest.mark.parametrize(("mode", "key"), [("live", KEY), ("test", "rk_live_51AbCdEf")])
def test_set_key_of_the_other_mode_changes_nothing(scenario: KeyScenario, mode: str, key: str) -> None:
    payctl = payctl_with(scenario.folder, gateway_url=scenario.url, gateway_mode=mode)
    result = payctl("gateway", "set-key", "--yes", stdin=key)
    assert result.exit_code == Exit.USAGE
    assert f"needs a {mode} key" in result.stderr
    assert scenario.nothing_is_set()
    assert scenario.fake_stripe.log.entries() == []


@pytest.mark.parametrize("key", ["", "pk_test_51AbCd", "sk_test_one sk_test_two", "sk_test_\x07"])
def test_set_key_when_it_is_no_secret_key_then_changes_nothing(key: str, scenario: KeyScenario) -> None:
    assert "not a secret key of Stripe" in scenario.set(key, code=Exit.USAGE)
    assert scenario.nothing_is_set()


def test_set_key_keeps_the_one_before_and_goes_back_and_forth(scenario: KeyScenario) -> None:
    scenario.set(KEY)
    assert "payctl gateway set-key --previous" in scenario.set(NEW)
    assert (scenario.value(), scenario.value("AWSPREVIOUS")) == (NEW, KEY)
    for current, before in ((KEY, NEW), (NEW, KEY)):
        printed = json.loads(scenario.payctl("gateway", "set-key", "--previous", "--yes", "--json").stdout)
        assert (printed["replaced"], printed["account_id"]) == (True, "acct_fake_stripe")
        assert (scenario.value(), scenario.value("AWSPREVIOUS")) == (current, before)


def test_set_key_sent_twice_keeps_the_real_one_before(scenario: KeyScenario) -> None:
    for key in (KEY, NEW, NEW):
        printed = scenario.set(key)
    assert "is unchanged" in printed
    assert (scenario.value(), scenario.value("AWSPREVIOUS")) == (NEW, KEY)


def test_previous_when_there_is_none_then_says_so(scenario: KeyScenario) -> None:
    scenario.set(KEY)
    assert "has no gateway key before the current one" in scenario.set("", "--previous", code=Exit.FAILED)


def test_previous_that_the_gateway_rejects_meanwhile_changes_nothing(scenario: KeyScenario) -> None:
    for key in (KEY, NEW):
        scenario.set(key)
    scenario.fake_stripe.faults.add(Fault(Kind.UNAUTHORIZED))
    assert "Stripe rejects this key" in scenario.set("", "--previous", code=Exit.FAILED)
    assert scenario.value() == NEW


@pytest.mark.parametrize("open_work", ["opened", "splitting"])
def test_key_of_another_account_is_refused_while_work_is_open(scenario: KeyScenario, open_work: str) -> None:
    scenario.set(KEY)
    getattr(scenario, open_work)()
    printed = scenario.set(OTHER, code=Exit.FAILED)
    assert "belongs to Other (acct_other), and the current one to Fake Stripe (acct_fake_stripe)" in printed
    assert "a key of another account shows none of their charges; nothing was changed" in printed
    assert scenario.value() == KEY
    assert "shows none" in scenario.set(OTHER, "--same-account", code=Exit.FAILED)
    assert "is replaced" in scenario.set(NEW)


def test_key_of_another_account_is_taken_when_nothing_is_open(scenario: KeyScenario) -> None:
    scenario.set(KEY)
    assert "payctl gateway set-webhook-secret" in scenario.set(OTHER)
    scenario.opened()
    assert "belongs to Fake Stripe" in scenario.set("", "--previous", code=Exit.FAILED)
    assert scenario.value() == OTHER


def test_account_of_a_key_from_before_is_asked_with_that_key(scenario: KeyScenario) -> None:
    scenario.secrets.put_secret_value(SecretId=SECRET, SecretString=KEY)
    scenario.opened()
    assert "shows none" in scenario.set(OTHER, code=Exit.FAILED)
    scenario.set(NEW)


@pytest.mark.parametrize("names_it", [True, False])
def test_restricted_key_that_may_not_read_its_account(scenario: KeyScenario, names_it: bool) -> None:
    scenario.fake_stripe.settings.change({"permission_error_names_account": int(names_it)})
    scenario.set(KEY)
    scenario.opened()
    if names_it:
        assert "is replaced: acct_fake_stripe" in scenario.set(RESTRICTED)
        return
    printed = scenario.set(RESTRICTED, code=Exit.FAILED)
    assert "it is not known whether this key belongs to the account of the current one" in printed
    assert "rak_accounts_kyc_basic_read" in printed
    assert "is replaced: an account that the key may not read" in scenario.set(RESTRICTED, "--same-account")
    assert scenario.value() == RESTRICTED


def test_restricted_key_with_the_permission_tells_its_account(scenario: KeyScenario) -> None:
    scenario.fake_stripe.settings.change({"restricted_keys_read_account": 1})
    assert "Fake Stripe (acct_fake_stripe)" in scenario.set(RESTRICTED)


def test_restricted_key_that_may_not_list_charges_is_rejected(scenario: KeyScenario) -> None:
    scenario.fake_stripe.faults.add(Fault(Kind.REFUSED, code="permission", times=2))
    assert "Stripe rejects this key" in scenario.set(RESTRICTED, code=Exit.FAILED)


def test_operator_who_may_not_read_the_key_still_sets_one(
    scenario: KeyScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario.set(KEY)
    real = Stack.client

    class NotReading:
        """Secrets Manager without the right to read values."""

        def __init__(self, client: Any) -> None:
            self._client = client

        def get_secret_value(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetSecretValue")

        def __getattr__(self, name: str) -> Any:
            return getattr(self._client, name)

    def client(stack: Stack, service: str) -> Any:
        made = real(stack, service)
        return NotReading(made) if service == "secretsmanager" else made

    monkeypatch.setattr(Stack, "client", client)
    scenario.opened()
    assert "is replaced" in scenario.set(NEW)
    assert "cannot be read" in scenario.set("", "--previous", code=Exit.FAILED)
