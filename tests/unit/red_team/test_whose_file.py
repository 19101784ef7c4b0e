"""Whose a file is: a merchant's file does what the merchant's requests may do, and nothing else."""

import csv
import io
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from fakes.batch_files import MemoryBatchFiles
from fakes.batches import MemoryBatchStore
from fakes.payment_queue import MemoryPaymentQueue
from payments.application.batch.close_rows import BatchRows
from payments.application.batch.report import Reporter
from payments.application.batch.row_rules import rules_of
from payments.application.batch.split import MOST_OF_A_PRINCIPAL, Splitter, sources_in
from payments.application.id_rules import IdRules
from payments.application.validate import PaymentMethods
from payments.domain.audit_chain import missing_entries
from payments.domain.batch.state import Batch, BatchStatus, Source
from payments.domain.errors import InvalidPayment
from payments.domain.identity import Caller, Role
from payments.domain.merchants import Merchant, Merchants
from payments.domain.retry import retry_id_of
from payments.domain.statuses import Status
from tests.unit.builders import NOON, after
from tests.unit.rest.scenario import ADMIN, OTHER_SHOP, SHOP, RestScenario

MERCHANTS = Merchants(
    [Merchant("shop", "sh_", SHOP.subject), Merchant("partner", "", "sub_partner"), Merchant("gone", "go_", "")]
)
PARTNER = Caller("sub_partner", frozenset({Role.MERCHANT}))
UPLOADER = "AWS:AROAEXAMPLE:jo"


@dataclass
class FileScenario:
    """REST and the splitter on the same fakes."""

    rest: RestScenario = field(default_factory=lambda: RestScenario(merchants=MERCHANTS))
    files: MemoryBatchFiles = field(default_factory=MemoryBatchFiles)
    queue: MemoryPaymentQueue = field(default_factory=MemoryPaymentQueue)
    uploads: int = 0

    def __post_init__(self) -> None:
        self.batches: MemoryBatchStore = self.rest.batches
        self.rows = BatchRows(self.batches, lambda _: None)

    def upload(self, *rows: str, folder: str = "merchants/shop/", header: str = "customer_id") -> Batch:
        """Upload rows of `payment_id,amount,currency,<header>`, and read them."""
        self.uploads += 1
        content = "\n".join((f"payment_id,amount,currency,{header}", *rows)).encode()
        stored = self.files.upload(f"incoming/{folder}file.csv", content, f"v{self.uploads}")
        return self.split(Source(stored.bucket, stored.key, stored.version_id, "etag", stored.size_bytes, UPLOADER))

    def split(self, source: Source) -> Batch:
        """One run of the splitter."""
        splitter = Splitter(
            payments=self.rest.payments,
            batches=self.batches,
            queue=self.queue,
            files=self.files,
            rows=self.rows,
            continue_later=lambda _: None,
            rules_of=partial(
                rules_of, ids=IdRules(MERCHANTS, self.rest.payments, self.rest.customers, self.batches.former_of)
            ),
            clock=lambda: NOON,
            workers=2,
        )
        batch = splitter.split(source, owner="run", seconds_left=lambda: 900)
        assert batch
        return batch

    def refused(self, batch: Batch) -> dict[int, tuple[str, str]]:
        """Line → column and reason of its first error."""
        rows = [row for row in self.batches.rows(batch.batch_id) if hasattr(row, "errors")]
        return {row.line: (row.errors[0].column, row.errors[0].reason) for row in rows}

    def report(self, batch: Batch) -> dict[str, list[dict[str, str]]]:
        """The result files, once every payment has succeeded."""
        for payment in list(self.rest.payments.of_batch(batch.batch_id)):
            ended = after(payment, Status.PROCESSING, Status.SUCCEEDED)
            self.rest.payments.rows[payment.payment_id] = ended
            self.rows.close(ended)
        reporter = Reporter(
            payments=self.rest.payments,
            batches=self.batches,
            files=self.files,
            publish=lambda _: None,
            clock=lambda: NOON,
            sleep=lambda _: None,
            encryptor=self.rest.encryptor,
        )
        done = reporter.report(batch.batch_id, owner="report", seconds_left=lambda: 900)
        assert done
        texts = {name: self.files.versions[done.result_file(name)].decode() for name in done.report.results}
        return {name: list(csv.DictReader(io.StringIO(text))) for name, text in texts.items()}


@pytest.fixture
def scenario() -> FileScenario:
    return FileScenario()


def pay(scenario: FileScenario, caller: Caller, payment_id: str, **more: Any) -> dict[str, Any]:
    """POST /payments."""
    body = {"payment_id": payment_id, "amount": 5, "currency": "EUR"} | more
    return scenario.rest.call("create_payment", caller, body)


def methods(scenario: FileScenario) -> PaymentMethods:
    return PaymentMethods(
        scenario.rest.customers, "pm_default", scenario.rest.tokens, lambda: NOON, scenario.rest.encryptor
    )


@pytest.mark.fault(73)
@pytest.mark.parametrize("folder", ["merchants/shop/", "merchants/shop/2026/12/"])
def test_file_of_a_merchant_that_names_anothers_customer_is_refused(scenario: FileScenario, folder: str) -> None:
    scenario.rest.add_customer("sh_theirs", by=OTHER_SHOP, default_payment_method="pm_theirs")
    scenario.rest.add_customer("sh_own", by=SHOP, default_payment_method="pm_own")
    rows = ("sh_1,5,EUR,sh_theirs", "sh_2,5,EUR,sh_own", "sh_3,5,EUR,sh_unknown", "sh_4,5,EUR,", "sh_5,5,EUR,sh_theirs")
    batch = scenario.upload(*rows, folder=folder)
    reason = "you have no customer with this customer_id"
    assert scenario.refused(batch) == {2: ("customer_id", reason), 6: ("customer_id", reason)}
    assert (batch.progress.rows_accepted, batch.progress.rows_rejected) == (3, 2)
    assert {message.payment_id for message in scenario.queue.messages} == {"sh_2", "sh_3", "sh_4"}
    own = scenario.rest.payments.rows["sh_2"]
    assert methods(scenario).of(own).payment_method == "pm_own"


@pytest.mark.fault(73)
def test_customer_created_by_another_after_the_file_is_never_charged(scenario: FileScenario) -> None:
    scenario.upload("sh_1,5,EUR,sh_later")
    scenario.rest.add_customer("sh_later", by=OTHER_SHOP, default_payment_method="pm_theirs")
    assert methods(scenario).of(scenario.rest.payments.rows["sh_1"]).payment_method == "pm_default"


@pytest.mark.fault(73)
def test_token_of_anothers_customer_in_a_file_is_refused(scenario: FileScenario) -> None:
    scenario.rest.add_customer("sh_theirs", by=OTHER_SHOP)
    made = scenario.rest.call("create_token", OTHER_SHOP, {"customer_id": "sh_theirs", "payment_method": "pm_theirs"})
    scenario.rest.add_customer("sh_own", by=SHOP)
    token = made["body"]["token"]
    batch = scenario.upload(f"sh_1,5,EUR,sh_theirs,{token}", f"sh_2,5,EUR,sh_own,{token}", header="customer_id,token")
    assert list(scenario.refused(batch)) == [2]
    with pytest.raises(InvalidPayment, match="another customer"):
        methods(scenario).check(scenario.rest.payments.rows["sh_2"])


@pytest.mark.parametrize(
    ("folder", "payment_id", "admitted"),
    [
        ("merchants/shop/", "sh_1", True),
        ("merchants/shop/", "pay_1", False),
        ("merchants/shop/", "SH_1", False),
        ("merchants/shop/", "go_1", False),
        ("merchants/shop/", "v1_1", False),
        ("merchants/partner/", "pay_1", True),
        ("merchants/partner/", "sh_1", False),
        ("merchants/partner/", "go_1", False),
        ("", "pay_1", True),
        ("", "sh_1", True),
        ("", "v1_1", False),
        ("merchants.csv/", "sh_1", True),
    ],
)
def test_prefixes_hold_for_the_rows_of_each_folder(
    scenario: FileScenario, folder: str, payment_id: str, admitted: bool
) -> None:
    batch = scenario.upload(f"{payment_id},5,EUR,", folder=folder)
    assert [column for column, _ in scenario.refused(batch).values()] == ([] if admitted else ["payment_id"])
    assert (payment_id in scenario.rest.payments.rows) is admitted


@pytest.mark.parametrize(
    "folder", ["merchants/", "merchants/ghost/", "merchants/gone/", "merchants//", "merchants/SHOP/"]
)
def test_file_in_no_merchants_folder_is_rejected_whole(scenario: FileScenario, folder: str) -> None:
    batch = scenario.upload("sh_1,5,EUR,", folder=folder)
    assert scenario.rest.payments.rows == {}
    assert [error.reason for error in batch.file_errors] == ["the file is in no merchant's folder"]
    report = scenario.report(batch)
    assert report["errors.csv"][0]["reason"] == "the file is in no merchant's folder"
    stored = scenario.batches.get(batch.batch_id)
    assert stored
    assert stored.status is BatchStatus.REJECTED


def test_id_over_rest_and_in_the_merchants_file_is_one_payment(scenario: FileScenario) -> None:
    assert pay(scenario, SHOP, "sh_1")["statusCode"] == 202
    batch = scenario.upload("sh_1,5,EUR,", "sh_2,5,EUR,")
    assert (batch.progress.rows_accepted, batch.progress.already_submitted) == (2, 1)
    again = pay(scenario, SHOP, "sh_2")
    assert (again["statusCode"], again["headers"]["Idempotent-Replayed"]) == (202, "true")
    seen = scenario.rest.call("get_payment", SHOP, path={"payment_id": "sh_2"})
    assert (seen["statusCode"], seen["body"]["source"]) == (200, "batch")
    assert seen["body"]["history"][0]["actor"] == "batch"
    for stranger in (OTHER_SHOP, PARTNER):
        assert scenario.rest.call("get_payment", stranger, path={"payment_id": "sh_2"})["statusCode"] == 404
    assert len(scenario.rest.payments.rows) == 2


@pytest.mark.parametrize("row", ["pay_1,5,EUR,", "pay_1,6,EUR,"])
def test_payment_of_another_in_a_merchants_file_is_taken_without_details(scenario: FileScenario, row: str) -> None:
    assert pay(scenario, OTHER_SHOP, "pay_1", description="private")["statusCode"] == 202
    assert pay(scenario, OTHER_SHOP, "pay_2")["statusCode"] == 202
    batch = scenario.upload(row, "pay_2,5,EUR,", folder="merchants/partner/")
    assert scenario.refused(batch) == dict.fromkeys((2, 3), ("payment_id", "the payment_id is taken"))
    assert pay(scenario, PARTNER, "pay_2")["statusCode"] == 409


@pytest.mark.parametrize("row", ["inv_3,5,EUR,", "inv_3,6,USD,"])
def test_payment_of_the_admins_file_tells_a_merchant_nothing(scenario: FileScenario, row: str) -> None:
    admins = scenario.upload("inv_3,5,EUR,", folder="")
    scenario.report(admins)
    batch = scenario.upload(row, folder="merchants/partner/")
    assert scenario.refused(batch) == {2: ("payment_id", "the payment_id is taken")}
    report = scenario.report(batch)
    assert (report["results.csv"], len(report["errors.csv"])) == ([], 1)
    assert admins.batch_id not in str(report)


def test_payment_of_the_admins_file_is_taken_over_rest(scenario: FileScenario) -> None:
    scenario.upload("inv_3,5,EUR,", folder="")
    same, other = pay(scenario, PARTNER, "inv_3"), pay(scenario, PARTNER, "inv_3", description="x")
    assert (same["statusCode"], other["statusCode"]) == (409, 409)
    assert same["body"] == other["body"]
    assert pay(scenario, ADMIN, "inv_3")["statusCode"] == 202
    again = scenario.upload("inv_3,5,EUR,", folder="")
    assert again.progress.already_submitted == 1


def test_retry_id_of_anothers_payment_cannot_be_taken_by_a_file(scenario: FileScenario) -> None:
    pay(scenario, OTHER_SHOP, "pay_1")
    row = scenario.rest.payments.rows["pay_1"]
    scenario.rest.payments.rows["pay_1"] = after(row, Status.PROCESSING, Status.FAILED)
    batch = scenario.upload("pay_1_r2,5,EUR,", folder="merchants/partner/")
    assert scenario.refused(batch) == {2: ("payment_id", "the payment_id is taken")}


@pytest.mark.parametrize("retry_id", ["inv_1_r2", "inv_1_r3", "inv_1_r9", "inv_1_r77"])
def test_retry_id_of_a_payment_of_the_admins_file_cannot_be_taken(scenario: FileScenario, retry_id: str) -> None:
    scenario.upload("inv_1,5,EUR,", folder="")
    assert pay(scenario, PARTNER, retry_id)["statusCode"] == 409
    batch = scenario.upload(f"{retry_id},5,EUR,", folder="merchants/partner/")
    assert scenario.refused(batch) == {2: ("payment_id", "the payment_id is taken")}
    assert scenario.upload(f"{retry_id},5,EUR,", folder="").progress.rows_rejected == 0


def test_shortened_retry_id_is_that_of_the_submitter_of_its_payment(scenario: FileScenario) -> None:
    first = f"p{'0x' * 30}y"
    retry_id = retry_id_of(first)
    scenario.upload(f"{first},5,EUR,", folder="merchants/partner/")
    for caller in (OTHER_SHOP, PARTNER):  # not known as the retry of a payment
        assert pay(scenario, caller, retry_id)["statusCode"] == 409
    scenario.batches.link_retry(retry_id, first)
    assert pay(scenario, OTHER_SHOP, retry_id)["statusCode"] == 409
    assert pay(scenario, PARTNER, retry_id)["statusCode"] == 202
    assert pay(scenario, PARTNER, retry_id)["statusCode"] == 202
    assert pay(scenario, OTHER_SHOP, retry_id_of(retry_id))["statusCode"] == 409
    assert pay(scenario, PARTNER, retry_id_of(retry_id))["statusCode"] == 202
    assert scenario.upload(f"{retry_id},5,EUR,", folder="merchants/partner/").progress.already_submitted == 1


def test_old_id_of_the_merchant_and_its_retry_keep_working_in_a_file(scenario: FileScenario) -> None:
    object.__setattr__(
        scenario.rest.services, "ids", IdRules(Merchants(), scenario.rest.payments, scenario.rest.customers)
    )
    pay(scenario, SHOP, "pay_old")
    row = scenario.rest.payments.rows["pay_old"]
    scenario.rest.payments.rows["pay_old"] = after(row, Status.PROCESSING, Status.FAILED)
    batch = scenario.upload("pay_old,5,EUR,", "pay_old_r2,5,EUR,", "pay_new,5,EUR,")
    assert list(scenario.refused(batch)) == [4]


def test_results_of_a_merchants_file_are_below_its_own_folder(scenario: FileScenario) -> None:
    batch = scenario.upload("sh_1,5,EUR,", "pay_1,5,EUR,")
    report = scenario.report(batch)
    assert [row["payment_id"] for row in report["results.csv"]] == ["sh_1"]
    assert [row["column"] for row in report["errors.csv"]] == ["payment_id"]
    done = scenario.batches.get(batch.batch_id)
    assert done
    assert all(file.key.startswith("results/merchants/shop/file.csv/") for file in done.report.results.values())


def test_row_stored_before_a_rule_refused_it_stays_accepted(scenario: FileScenario) -> None:
    batch = scenario.upload("sh_1,5,EUR,sh_later")
    scenario.rest.add_customer("sh_later", by=OTHER_SHOP)
    entry = scenario.batches._entries[batch.batch_id]
    entry.batch = Batch(batch.batch_id, batch.source, BatchStatus.SPLITTING, "", "")  # before its first checkpoint
    again = scenario.split(batch.source)
    assert (again.progress.rows_accepted, again.progress.rows_rejected) == (1, 0)
    assert scenario.refused(again) == {}


@pytest.mark.parametrize("folder", ["", "merchants/shop/"])
def test_uploader_is_in_the_batch_and_in_the_first_audit_entry(scenario: FileScenario, folder: str) -> None:
    batch = scenario.upload("sh_1,5,EUR,", folder=folder)
    row = scenario.rest.payments.rows["sh_1"]
    assert batch.source.uploaded_by == UPLOADER
    assert missing_entries(row)[0].actor == f"batch:{UPLOADER}"
    assert row.submitted_by == (SHOP.subject if folder else "")
    seen = scenario.rest.call("get_payment", ADMIN, path={"payment_id": "sh_1"})["body"]
    assert UPLOADER not in str(seen)


@pytest.mark.parametrize(
    ("record", "principal"),
    [
        ({"userIdentity": {"principalId": "AWS:AROAX:a.b@c"}}, "AWS:AROAX:a.b@c"),
        ({"userIdentity": {"principalId": "AWS:\u202e\n=1"}}, "AWS:??=1"),
        ({"userIdentity": {"principalId": "x" * 500}}, "x" * MOST_OF_A_PRINCIPAL),
        ({"userIdentity": {}}, ""),
        ({}, ""),
    ],
)
def test_uploader_is_that_of_the_notification_in_plain_characters(record: dict[str, Any], principal: str) -> None:
    uploaded = {"bucket": {"name": "b"}, "object": {"key": "incoming/a.csv", "size": 1}}
    (source,) = sources_in({"Records": [{"s3": uploaded} | record]})
    assert source.uploaded_by == principal
