"""payctl audit, on moto: show, verify with its exit codes, and anchor."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from payctl import adapters
from payctl.failures import Exit
from payments.adapters.dynamodb.listing import DynamoPaymentListing
from payments.adapters.dynamodb.tables import AUDIT_LOG, PAYMENTS
from payments.adapters.kms import KmsChainSigner
from payments.adapters.s3_anchors import S3AnchorStore
from payments.application.anchor import AnchorRun
from payments.application.audit import audit
from payments.application.chain_heads import ChainHeads
from payments.domain.anchor import key_of
from payments.domain.clock import utc_now
from payments.domain.statuses import Status
from tests.unit.builders import after, payment
from tests.unit.payctl.scenarios import PayctlScenario, payctl_scenario


class Audited:
    """A stack with audited payments and their anchors."""

    def __init__(self, scenario: PayctlScenario, outputs: Path, keys: list[str]) -> None:
        self.scenario = scenario
        self._outputs = outputs
        self.add_outputs(anchor_bucket="anchors", audit_key_arn=keys[0], anchor_key_arn=keys[1], audit_keep_days="400")
        self.signer, anchor_signer = (KmsChainSigner(boto3.client("kms"), key) for key in keys)
        self.anchors = S3AnchorStore(boto3.client("s3"), "anchors")
        listing = DynamoPaymentListing(boto3.client("dynamodb"), PAYMENTS.name)
        self._run = AnchorRun(listing, self.anchors, anchor_signer, "env1", utc_now, lambda: None)

    def add_outputs(self, **outputs: str) -> None:
        """Outputs that the stack has, beside those of the scenario."""
        self._outputs.write_text(json.dumps(json.loads(self._outputs.read_text()) | outputs))

    def anchor(self, _: object = None) -> None:
        self._run.run("run", lambda: 900)

    def charged(self, *payment_ids: str) -> None:
        for payment_id in payment_ids:
            row = after(payment(payment_id), Status.PROCESSING, Status.SUCCEEDED)
            self.scenario.stored(row)
            log = self.scenario.audit_log
            audit(row, log=log, heads=ChainHeads(self.signer, log.entry))

    def payctl(self, *arguments: str) -> Any:
        return self.scenario.payctl("audit", *arguments)

    def verified(self, *arguments: str) -> tuple[int, Any]:
        result = self.payctl("verify", *arguments, "--json")
        return result.exit_code, json.loads(result.stdout)

    def edit(self, payment_id: str, sequence: int, name: str = "actor") -> None:
        boto3.client("dynamodb").update_item(
            TableName=AUDIT_LOG.name,
            Key={"payment_id": {"S": payment_id}, "sequence": {"N": str(sequence)}},
            UpdateExpression="SET #name = :eve",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":eve": {"S": "operator:eve"}},
        )


@pytest.fixture
def audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Audited]:
    with payctl_scenario(tmp_path) as scenario:
        boto3.client("s3").create_bucket(Bucket="anchors")
        kms = boto3.client("kms")
        keys = [
            kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["Arn"] for _ in range(2)
        ]
        made = Audited(scenario, tmp_path / "outputs.json", keys)
        starts: Callable[[object], object] = lambda _: made.anchor  # noqa: E731
        monkeypatch.setattr(adapters, "anchor", starts)
        yield made


def test_show_says_who_did_what_and_the_outcome_in_words(audited: Audited) -> None:
    audited.charged("pay_1")

    entries = json.loads(audited.payctl("show", "pay_1", "--json").stdout)["entries"]

    assert [entry["outcome"] for entry in entries] == ["Payment Pending", "Payment Processing", "Payment Successful"]
    assert [entry["before"] for entry in entries] == ["", "pending", "processing"]
    assert "Payment Successful" in audited.payctl("show", "pay_1").stdout
    assert audited.payctl("show", "pay_9").exit_code == Exit.FAILED


@pytest.mark.parametrize("arguments", [("pay_1", "pay_2"), ("--all",), ("--since", "2026-11-01")])
def test_verify_of_untouched_payments_ends_with_0(audited: Audited, arguments: tuple[str, ...]) -> None:
    audited.charged("pay_1", "pay_2")
    audited.anchor()

    assert audited.verified(*arguments) == (
        Exit.DONE,
        {"environment": "test", "checked": 2, "faults": [], "verified": True},
    )


@pytest.mark.fault(24)
@pytest.mark.parametrize("arguments", [("pay_1", "pay_2"), ("--all",), ("--since", "2026-11-01")])
def test_verify_names_the_edited_entry_and_ends_with_6(audited: Audited, arguments: tuple[str, ...]) -> None:
    audited.charged("pay_1", "pay_2")
    audited.anchor()
    audited.edit("pay_2", 2)

    code, said = audited.verified(*arguments)

    assert code == Exit.TAMPERED
    assert int(Exit.TAMPERED) == 6
    (fault,) = said["faults"]
    assert (fault["payment_id"], fault["entry"], fault["kind"]) == ("pay_2", 2, "edited")
    assert "pay_2, entry 2 was changed" in audited.payctl("verify", *arguments).stdout.replace("\n", "")


def test_verify_names_the_replaced_anchor_and_ends_with_6(audited: Audited) -> None:
    audited.charged("pay_1")
    audited.anchor()
    content = audited.anchors.get(key_of(0))
    audited.anchors.put(key_of(0), content.replace(b"2026-01-01", b"2026-01-02"))

    code, said = audited.verified("--all")

    assert code == Exit.TAMPERED
    assert [fault["text"] for fault in said["faults"]] == ["anchor 0 was replaced: its signature is not valid"]


def test_verify_without_an_anchor_or_a_key_cannot_check_and_ends_with_1(audited: Audited) -> None:
    audited.charged("pay_1")
    no_anchor = audited.payctl("verify", "pay_1")
    audited.anchor()
    audited.add_outputs(audit_key_arn="arn:aws:kms:us-east-1:123456789012:key/gone")
    no_key = audited.payctl("verify", "pay_1")

    for result in (no_anchor, no_key):
        assert result.exit_code == Exit.FAILED
        assert "the audit log could not be checked" in result.stderr


@pytest.mark.parametrize("arguments", [(), ("pay_1", "--all"), ("--all", "--since", "2026-11-01")])
def test_verify_of_nothing_or_of_two_things_is_wrong_usage(audited: Audited, arguments: tuple[str, ...]) -> None:
    assert audited.payctl("verify", *arguments).exit_code == Exit.USAGE


def test_anchor_waits_until_the_next_one_is_written(audited: Audited) -> None:
    for number in range(2):
        assert json.loads(audited.payctl("anchor", "--json").stdout) == {"environment": "test", "anchor": number}
