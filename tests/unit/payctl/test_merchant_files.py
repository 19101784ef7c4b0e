"""payctl batch upload --merchant, on moto: the merchant's role, its folder, and its results without any table."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from payctl import merchant_files
from payctl.failures import Exit
from payctl.merchant_files import MerchantResults
from payctl.stack import Credentials, Stack
from payments.domain.batch.state import Source
from tests.moto_tables import aws_in_memory
from tests.unit.payctl.scenarios import OUTPUTS, Payctl, payctl_with

BUCKET = OUTPUTS["batch_bucket"]
ROLE = "arn:aws:iam::123456789012:role/payment-files-shop-dev"
RESULTS = "line,payment_id,status\n2,sh_1,succeeded\n3,sh_2,{}\n"
ERRORS = "line,column,payment_id,value,reason,what_to_do\n"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(merchant_files, "POLL_SECONDS", 0.01)
    with aws_in_memory():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield client


@pytest.fixture
def payctl(tmp_path: Path) -> Payctl:
    return payctl_with(tmp_path, merchant_role_arns=f"shop={ROLE}")


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "may.csv"
    path.write_text("payment_id,amount,currency\nsh_1,1.00,USD\n")
    return str(path)


def test_upload_for_a_merchant_goes_to_its_folder_under_its_role(
    s3: Any, payctl: Payctl, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stacks: list[Stack] = []
    upload = merchant_files.upload

    def noted(stack: Stack, merchant: str, path: Path) -> Source:
        stacks.append(stack)
        return upload(stack, merchant, path)

    monkeypatch.setattr(merchant_files, "upload", noted)
    printed = json.loads(payctl("batch", "upload", file, "--merchant", "shop", "--json").stdout)
    assert printed["key"] == "incoming/merchants/shop/may.csv"
    assert s3.get_object(Bucket=BUCKET, Key=printed["key"])["Body"].read().startswith(b"payment_id")
    (stack,) = stacks
    assert stack.credentials
    assert stack.credentials.secret_access_key not in repr(stack)


class Sts:
    """Answers as STS to a caller, and notes which role is assumed under which name."""

    def __init__(self, caller: str) -> None:
        self.caller, self.assumed = caller, []  # type: tuple[str, list[tuple[str, str]]]

    def get_caller_identity(self) -> dict[str, str]:
        """The caller."""
        return {"Arn": f"arn:aws:sts::123456789012:{self.caller}"}

    def assume_role(self, *, RoleArn: str, RoleSessionName: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        """A session."""
        self.assumed.append((RoleArn, RoleSessionName))
        return {"Credentials": {"AccessKeyId": "id", "SecretAccessKey": "secret", "SessionToken": "token"}}


@pytest.mark.parametrize(
    ("caller", "session"),
    [
        ("assumed-role/payment-files-shop-dev/machine", ""),
        ("assumed-role/payment-files-partner-dev/machine", "machine"),
        ("user/ops/jo lee@example.com", "jo-lee@example.com"),
        ("root", "root"),
    ],
)
def test_session_has_the_callers_name_unless_they_have_the_role_already(
    caller: str, session: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sts = Sts(caller)
    monkeypatch.setattr(Stack, "client", lambda self, service: sts)
    stack = Stack(OUTPUTS | {"merchant_role_arns": f"shop={ROLE}"}, tmp_path)
    under_role = merchant_files.stack_of_merchant(stack, "shop")
    assert sts.assumed == ([(ROLE, session)] if session else [])
    assert under_role.credentials == (Credentials("id", "secret", "token") if session else None)


def test_unknown_merchant_is_refused_with_those_that_exist(s3: Any, payctl: Payctl, file: str) -> None:
    refused = payctl("batch", "upload", file, "--merchant", "ghost")
    assert refused.exit_code == Exit.USAGE
    assert "it has shop" in refused.stderr
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)


def results(s3: Any, source: Source, status: str, errors: str = ERRORS) -> None:
    """Write the result files as the report does."""
    for name, text in (("results.csv", RESULTS.format(status)), ("errors.csv", errors), ("resubmit.csv", "a\n")):
        s3.put_object(Bucket=BUCKET, Key=source.result_key(name), Body=text.encode())


@pytest.mark.parametrize(
    ("status", "errors", "code"),
    [
        ("succeeded", "", Exit.DONE),
        ("succeeded", "4,payment_id,pt_1,pt_1,reserved,use another\n", Exit.NOT_CHARGED),
        ("declined", "", Exit.NOT_CHARGED),
        ("in_review", "4,payment_id,pt_1,pt_1,reserved,use another\n", Exit.NOT_SETTLED),
    ],
)
def test_download_waits_for_a_merchants_results_and_ends_with_their_code(
    s3: Any, payctl: Payctl, file: str, tmp_path: Path, status: str, errors: str, code: Exit
) -> None:
    def report() -> None:
        uploaded = s3.list_object_versions(Bucket=BUCKET, Prefix="incoming/").get("Versions")
        if not uploaded:
            threading.Timer(0.01, report).start()
            return
        (version,) = uploaded
        results(s3, Source(BUCKET, version["Key"], version["VersionId"], "", 0), status, ERRORS + errors)

    threading.Timer(0.01, report).start()
    folder = tmp_path / "results"
    ended = payctl("batch", "upload", file, "--merchant", "shop", "--download", str(folder), "--json")
    assert ended.exit_code == code, ended.stderr
    printed = json.loads(ended.stdout)
    assert printed["by_status"] == ({"succeeded": 2} if status == "succeeded" else {"succeeded": 1, status: 1})
    assert [error["line"] for error in printed["errors"]] == (["4"] if errors else [])
    assert (folder / "results.csv").read_text() == RESULTS.format(status)
    assert {path.name for path in folder.iterdir()} == {"results.csv", "errors.csv", "resubmit.csv"}


def test_watch_that_sees_no_results_in_time_says_where_they_will_be(s3: Any, payctl: Payctl, file: str) -> None:
    ended = payctl("batch", "upload", file, "--merchant", "shop", "--watch", "--timeout", "0.1")
    assert ended.exit_code == Exit.STILL_OPEN
    assert "results/merchants/shop/may.csv/" in ended.stderr.replace("\n", "")


def test_results_without_rows_are_those_of_a_rejected_file() -> None:
    rejected = MerchantResults({"results.csv": "line,payment_id,status\n", "errors.csv": ERRORS + "1,,,,empty,fill\n"})
    assert (rejected.by_status, rejected.exit_code) == ({}, Exit.NOT_CHARGED)
