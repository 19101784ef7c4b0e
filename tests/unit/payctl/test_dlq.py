"""payctl dlq, on moto: reading removes no message, and no needed message is deleted."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from fakes.gateway import Fault, FaultKind, MemoryGateway
from payctl import adapters, dead_letters, logs, prompts
from payctl.failures import Exit
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.tables import PAYMENTS, PROCESSING_STATUS
from payments.domain.batch.state import Batch, BatchStatus, Source
from payments.domain.batch_breaker import PausedBy
from payments.domain.clock import iso
from payments.domain.errors import Misconfigured
from payments.domain.money import Money
from payments.domain.statuses import Status
from payments.ports.batch_store import Claim
from payments.ports.payment_gateway import ChargeRequest
from payments.ports.payment_store import require
from tests.unit.builders import NOON, after, batch_payment
from tests.unit.payctl.scenarios import PayctlScenario, payctl_scenario

LOOKUP = "NotStored: payment pay_9 is not in the payments table"
THROTTLED = "ClientError: An error occurred (ThrottlingException) when calling the StartExecution operation: slow"
SETTLED = after(batch_payment("pay_settled"), Status.PROCESSING, Status.SUCCEEDED)
UNKNOWN = after(batch_payment("pay_unknown"), Status.PROCESSING, Status.UNKNOWN)


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> MemoryGateway:
    gateway = MemoryGateway()
    monkeypatch.setattr(adapters, "gateway", lambda stack: gateway)
    return gateway


@pytest.fixture
def scenario(tmp_path: Path, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[PayctlScenario]:
    monkeypatch.setattr(dead_letters, "WAIT_SECONDS", 0)
    with payctl_scenario(tmp_path) as scenario:
        yield scenario


def listed(scenario: PayctlScenario, *options: str) -> dict[str, Any]:
    """Payment id → what `dlq list` says."""
    result = scenario.payctl("dlq", "list", "--json", *options)
    assert result.exit_code == Exit.DONE, result.output
    return {letter["payment_id"]: letter for letter in json.loads(result.stdout)}


def in_dead_letters(scenario: PayctlScenario) -> int:
    return len(scenario.queued("dead_letter_queue_url"))


# list ----------------------------------------------------------------------------------------------------------------


def test_list_shows_reason_status_gateway_answer_and_action_per_message(
    scenario: PayctlScenario, gateway: MemoryGateway
) -> None:
    gateway.charge(ChargeRequest("pay_unknown", Money(9999, "USD"), "pm_card_visa"))
    scenario.dead_letter(scenario.stored(UNKNOWN), THROTTLED)
    scenario.dead_letter(scenario.stored(batch_payment("pay_new")))
    scenario.dead_letter("not JSON", "MalformedMessage: the message is not a JSON object with a payment_id")
    scenario.dead_letter(batch_payment("pay_9"), LOOKUP)
    entries = listed(scenario)
    assert entries["pay_unknown"]["reason"] == THROTTLED
    assert entries["pay_unknown"]["reason_class"] == "ThrottlingException"
    assert entries["pay_unknown"]["status"] == "unknown"
    assert entries["pay_unknown"]["gateway"] == "succeeded 99.99 USD (mem_1)"
    assert entries["pay_unknown"]["action"] == "restart"
    assert entries["pay_new"]["reason"] == "no log found"
    assert entries["pay_new"]["gateway"] == "no charge"
    assert entries["pay_new"]["action"] == "requeue"
    assert (entries[""]["reason_class"], entries[""]["gateway"]) == ("MalformedMessage", None)
    assert (entries["pay_9"]["status"], entries["pay_9"]["discardable"]) == ("", True)


def test_list_marks_malformed_messages_and_counts_errors(scenario: PayctlScenario) -> None:
    message = scenario.dead_letter("not JSON", "MalformedMessage: no")
    scenario.dead_letter(batch_payment("pay_9"), LOOKUP)
    shown = scenario.payctl("dlq", "list")
    assert "malformed" in shown.stdout
    assert f"payctl dlq discard --message {message}" in shown.stderr
    assert "NotStored 1" in shown.stderr


def test_list_reads_more_than_one_request_returns_and_consumes_nothing(
    scenario: PayctlScenario,
) -> None:
    for number in range(23):
        scenario.dead_letter(batch_payment(f"pay_{number}"))
    assert len(listed(scenario, "--no-gateway")) == 23
    assert len(listed(scenario, "--no-gateway", "--limit", "12")) == 12
    url = scenario.outputs["dead_letter_queue_url"]
    counts = boto3.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (counts["ApproximateNumberOfMessages"], counts["ApproximateNumberOfMessagesNotVisible"]) == ("23", "0")


def test_list_when_the_queue_is_empty_then_says_so(scenario: PayctlScenario) -> None:
    assert "is empty" in scenario.payctl("dlq", "list").stderr
    assert listed(scenario) == {}


def test_list_when_a_message_failed_twice_then_tells_the_last_reason(scenario: PayctlScenario) -> None:
    message = scenario.dead_letter(batch_payment("pay_9"), THROTTLED)
    scenario.logged("dispatch", {"message": "not dispatched", "message_id": message, "reason": LOOKUP})
    assert listed(scenario)["pay_9"]["reason"] == LOOKUP


def test_list_when_the_gateway_refuses_then_shows_that(scenario: PayctlScenario, gateway: MemoryGateway) -> None:
    gateway.fail(Fault(FaultKind.SERVER_ERROR, call="find"))
    scenario.dead_letter(batch_payment("pay_9"))
    assert listed(scenario)["pay_9"]["gateway"] == "no answer gateway_error"


REFUSED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not you"}}, "GetSecretValue")


@pytest.mark.parametrize("error", [Misconfigured("gateway_key_missing", "set it"), REFUSED])
def test_list_works_and_says_why_when_the_gateway_cannot_be_asked(
    error: Exception, scenario: PayctlScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(stack: object) -> None:
        raise error

    monkeypatch.setattr(adapters, "gateway", refused)
    scenario.dead_letter(batch_payment("pay_9"))
    result = scenario.payctl("dlq", "list", "--json")
    assert json.loads(result.stdout)[0]["gateway"] is None
    assert "the gateway was not queried" in result.stderr
    assert "the gateway was not queried" not in scenario.payctl("dlq", "list", "--no-gateway").stderr


def test_list_works_and_says_so_when_the_log_cannot_be_read(
    scenario: PayctlScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not you"}}, "FilterLogEvents")

    monkeypatch.setattr(logs, "search", refused)
    scenario.dead_letter(batch_payment("pay_9"), LOOKUP)
    result = scenario.payctl("dlq", "list", "--json")
    assert json.loads(result.stdout)[0]["reason"] == "no log found"
    assert "AWS rejected FilterLogEvents: not you" in result.stderr


# replay --------------------------------------------------------------------------------------------------------------


def test_replay_requeues_the_same_message_of_a_payment_never_started(
    scenario: PayctlScenario,
) -> None:
    scenario.dead_letter(scenario.stored(batch_payment("pay_new")))
    [body] = scenario.queued("dead_letter_queue_url")
    result = scenario.payctl("dlq", "replay", "--id", "pay_new", "--yes", "--json")
    assert result.exit_code == Exit.DONE, result.output
    assert [case["done"] for case in json.loads(result.stdout)] == ["requeued"]
    assert scenario.queued() == [body]
    assert in_dead_letters(scenario) == 0
    assert scenario.executions() == set()


@pytest.mark.parametrize("payment", [UNKNOWN, batch_payment("pay_unknown")])
def test_replay_when_the_execution_was_used_up_then_another_one_starts(payment: Any, scenario: PayctlScenario) -> None:
    scenario.executed("pay_unknown")
    scenario.dead_letter(scenario.stored(payment))
    result = scenario.payctl("dlq", "replay", "--all", "--yes")
    assert result.exit_code == Exit.DONE, result.output
    assert "execution pay_unknown.2 started" in result.stdout
    assert scenario.executions() == {"pay_unknown", "pay_unknown.2"}
    assert (scenario.queued(), in_dead_letters(scenario)) == ([], 0)


def test_replay_when_some_are_refused_then_says_why_keeps_them_and_exits_5(scenario: PayctlScenario) -> None:
    scenario.dead_letter(scenario.stored(batch_payment("pay_new")))
    scenario.dead_letter(scenario.stored(SETTLED))
    scenario.dead_letter("not JSON")
    result = scenario.payctl("dlq", "replay", "--all", "--yes")
    assert result.exit_code == Exit.SOME_REFUSED
    for text in ("succeeded: already settled", "names no payment"):
        assert text in " ".join(result.stdout.split())
    assert "payctl dlq discard" in result.stderr
    assert len(scenario.queued()) == 1
    assert in_dead_letters(scenario) == 2


def test_replay_refuses_while_the_breaker_is_paused_and_says_why(scenario: PayctlScenario) -> None:
    scenario.breaker.pause(PausedBy.OPERATOR, "the bank is down", NOON)
    scenario.dead_letter(scenario.stored(batch_payment("pay_new")))
    result = scenario.payctl("dlq", "replay", "--all", "--yes", "--json")
    assert result.exit_code == Exit.SOME_REFUSED
    assert "the bank is down" in json.loads(result.stdout)[0]["why"]
    assert in_dead_letters(scenario) == 1


def test_replay_when_chosen_by_error_then_leaves_the_others(scenario: PayctlScenario) -> None:
    scenario.dead_letter(scenario.stored(batch_payment("pay_new")), THROTTLED)
    scenario.dead_letter(scenario.stored(batch_payment("pay_other")), LOOKUP)
    result = scenario.payctl("dlq", "replay", "--reason", "throttlingexception", "--yes")
    assert result.exit_code == Exit.DONE, result.output
    assert [json.loads(body)["payment_id"] for body in scenario.queued()] == ["pay_new"]
    assert in_dead_letters(scenario) == 1


@pytest.mark.parametrize("which", [("--id", "pay_8"), ("--reason", "KeyError")])
def test_replay_when_none_is_meant_then_names_the_errors_that_are_there(
    which: tuple[str, ...], scenario: PayctlScenario
) -> None:
    scenario.dead_letter(scenario.stored(batch_payment("pay_new")), LOOKUP)
    result = scenario.payctl("dlq", "replay", *which, "--yes")
    assert result.exit_code == Exit.NONE_FOUND
    assert "NotStored" in result.stderr


@pytest.mark.parametrize("which", [(), ("--all", "--id", "pay_1"), ("--id", "pay_1", "--reason", "x")])
def test_replay_when_not_exactly_one_choice_is_given_then_exits_2(
    which: tuple[str, ...], scenario: PayctlScenario
) -> None:
    assert scenario.payctl("dlq", "replay", *which, "--yes").exit_code == Exit.USAGE


@pytest.mark.parametrize(("more", "code"), [((), Exit.DONE), ((SETTLED,), Exit.SOME_REFUSED)])
def test_replay_dry_run_changes_nothing_and_exits_like_a_real_run(
    more: tuple[Any, ...], code: Exit, scenario: PayctlScenario
) -> None:
    for payment in (batch_payment("pay_new"), UNKNOWN, *more):
        scenario.dead_letter(scenario.stored(payment))
    result = scenario.payctl("dlq", "replay", "--all", "--dry-run")
    assert result.exit_code == code
    assert "requeue" in result.stdout
    assert scenario.queued() == []
    assert scenario.executions() == set()
    assert in_dead_letters(scenario) == 2 + len(more)


def test_replay_changes_nothing_without_a_terminal_or_yes(scenario: PayctlScenario) -> None:
    scenario.dead_letter(scenario.stored(batch_payment("pay_new")))
    result = scenario.payctl("dlq", "replay", "--all")
    assert result.exit_code == Exit.USAGE
    assert "1 to requeue in test" in result.stderr
    assert (scenario.queued(), in_dead_letters(scenario)) == ([], 1)


@pytest.mark.parametrize(("answer", "sent"), [("y", 1), ("n", 0)])
def test_replay_when_at_a_terminal_then_asks(
    answer: str, sent: int, scenario: PayctlScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "at_a_terminal", lambda: True)
    scenario.dead_letter(scenario.stored(batch_payment("pay_new")))
    scenario.payctl("dlq", "replay", "--all", stdin=f"{answer}\n")
    assert len(scenario.queued()) == sent
    assert in_dead_letters(scenario) == 1 - sent


def while_asked(scenario: PayctlScenario, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Run a change between the plan and its execution."""
    monkeypatch.setattr(prompts, "confirm", lambda *_, **__: happens())


def test_replay_skips_a_payment_that_changes_during_the_confirmation(
    scenario: PayctlScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario.dead_letter(scenario.stored(batch_payment("pay_new")))
    moved_on = after(require(scenario.payments, "pay_new"), Status.PROCESSING)
    while_asked(scenario, monkeypatch, lambda: scenario.payments.save(moved_on))
    result = scenario.payctl("dlq", "replay", "--all")
    assert result.exit_code == Exit.SOME_REFUSED
    assert "changed in the meantime" in result.stdout
    assert (scenario.queued(), in_dead_letters(scenario), scenario.executions()) == ([], 1, set())


def test_replay_says_that_another_operator_already_took_the_message(
    scenario: PayctlScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario.dead_letter(scenario.stored(batch_payment("pay_new")))
    url = scenario.outputs["dead_letter_queue_url"]
    while_asked(scenario, monkeypatch, lambda: boto3.client("sqs").purge_queue(QueueUrl=url))
    result = scenario.payctl("dlq", "replay", "--all")
    assert result.exit_code == Exit.SOME_REFUSED
    assert "gone" in result.stdout
    assert scenario.queued() == []


# discard -------------------------------------------------------------------------------------------------------------


def test_discard_when_the_payment_is_settled_then_deletes_its_message_only(scenario: PayctlScenario) -> None:
    scenario.dead_letter(scenario.stored(SETTLED))
    scenario.dead_letter(scenario.stored(batch_payment("pay_new")))
    result = scenario.payctl("dlq", "discard", "--id", "pay_settled", "--yes", "--json")
    assert result.exit_code == Exit.DONE, result.output
    assert [case["done"] for case in json.loads(result.stdout)] == ["deleted"]
    assert [json.loads(body)["payment_id"] for body in scenario.queued("dead_letter_queue_url")] == ["pay_new"]


def test_discard_of_all_keeps_what_is_still_needed(scenario: PayctlScenario) -> None:
    for body in (scenario.stored(SETTLED), scenario.stored(batch_payment("pay_new")), "not JSON"):
        scenario.dead_letter(body)
    result = scenario.payctl("dlq", "discard", "--all", "--yes")
    assert result.exit_code == Exit.DONE, result.output
    assert "1 of 3 messages are still needed; run: payctl dlq replay --all" in result.stderr
    assert [json.loads(body)["payment_id"] for body in scenario.queued("dead_letter_queue_url")] == ["pay_new"]
    assert scenario.payctl("dlq", "discard", "--all", "--yes").exit_code == Exit.DONE


def test_discard_when_malformed_then_deletes_it_by_its_own_id(scenario: PayctlScenario) -> None:
    message = scenario.dead_letter("not JSON")
    assert scenario.payctl("dlq", "discard", "--message", message).exit_code == Exit.USAGE
    assert in_dead_letters(scenario) == 1
    assert scenario.payctl("dlq", "discard", "--message", message, "--yes").exit_code == Exit.DONE
    assert in_dead_letters(scenario) == 0


@pytest.mark.parametrize("payment", [batch_payment("pay_unknown"), UNKNOWN])
def test_discard_refuses_an_open_payment_and_offers_the_replay(payment: Any, scenario: PayctlScenario) -> None:
    scenario.dead_letter(scenario.stored(payment))
    result = scenario.payctl("dlq", "discard", "--id", "pay_unknown", "--yes")
    assert result.exit_code == Exit.SOME_REFUSED
    assert "payctl dlq replay --id pay_unknown" in " ".join(result.stdout.split())
    assert in_dead_letters(scenario) == 1


@pytest.mark.parametrize("which", [(), ("--id", "pay_1", "--message", "m"), ("--all", "--id", "pay_1")])
def test_discard_when_not_exactly_one_choice_is_given_then_exits_2(
    which: tuple[str, ...], scenario: PayctlScenario
) -> None:
    assert scenario.payctl("dlq", "discard", *which, "--yes").exit_code == Exit.USAGE


# A file that split failed on -----------------------------------------------------------------------------------------

UPLOADED = {"key": "incoming/may+pay.csv", "versionId": "v1", "eTag": "e", "size": 9}
NOTIFICATION = {"Records": [{"s3": {"bucket": {"name": "files"}, "object": UPLOADED}}]}
FILE = Source("files", "incoming/may pay.csv", "v1", "e", 9)
CRASHED = {"errorType": "Runtime.ExitError", "errorMessage": "RequestId: 1 Error: Runtime exited"}


def failed(event: Any = NOTIFICATION, response: Any = CRASHED) -> str:
    """Lambda's record of an event that failed permanently."""
    return json.dumps(
        {
            "version": "1.0",
            "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 3},
            "requestPayload": event,
            "responsePayload": response,
        }
    )


@pytest.fixture
def given_to_split(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The events that split is called with. moto runs functions only in Docker."""
    called: list[dict[str, Any]] = []
    monkeypatch.setattr(adapters, "split", lambda stack: called.append)
    return called


def split_began(until: timedelta = timedelta(minutes=16)) -> None:
    batch = Batch(FILE.batch_id, FILE, BatchStatus.SPLITTING, iso(NOON), iso(NOON))
    store = DynamoBatchStore(boto3.client("dynamodb"), PROCESSING_STATUS.name, PAYMENTS.name)
    store.claim_split(batch, Claim("run-1", NOON, NOON + until))


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (CRASHED, "Runtime.ExitError: RequestId: 1 Error: Runtime exited"),
        ({"errorMessage": "Task timed out after 900.00 seconds"}, "RetriesExhausted: Task timed out after"),
        (None, "RetriesExhausted"),
    ],
)
def test_list_when_split_failed_of_a_file_then_names_the_file_and_why(
    response: Any, reason: str, scenario: PayctlScenario
) -> None:
    scenario.dead_letter(failed(response=response))
    [letter] = json.loads(scenario.payctl("dlq", "list", "--json").stdout)
    assert (letter["file"], letter["payment_id"], letter["action"]) == (FILE.key, "", "split")
    assert letter["reason"].startswith(reason)
    shown = scenario.payctl("dlq", "list")
    assert FILE.key in shown.stdout
    assert "malformed" not in shown.output


def test_list_gives_each_dead_file_and_payment_its_reason(scenario: PayctlScenario) -> None:
    scenario.dead_letter(failed())
    scenario.dead_letter(batch_payment("pay_9"), LOOKUP)
    reasons = {letter["reason"] for letter in json.loads(scenario.payctl("dlq", "list", "--json").stdout)}
    assert reasons == {LOOKUP, f"{CRASHED['errorType']}: {CRASHED['errorMessage']}"}


@pytest.mark.fault(30)
def test_replay_sends_split_the_same_event_when_no_line_was_ingested(
    scenario: PayctlScenario, given_to_split: list[dict[str, Any]]
) -> None:
    scenario.dead_letter(failed())
    result = scenario.payctl("dlq", "replay", "--reason", "Runtime.ExitError", "--yes")
    assert result.exit_code == Exit.DONE, result.output
    assert given_to_split == [NOTIFICATION]
    assert f"{FILE.key}: sent to the split function" in result.stdout
    assert in_dead_letters(scenario) == 0


def test_replay_refuses_a_file_split_has_begun_and_offers_to_discard(
    scenario: PayctlScenario, given_to_split: list[dict[str, Any]]
) -> None:
    split_began()
    message = scenario.dead_letter(failed({"resume": asdict(FILE)}))
    result = scenario.payctl("dlq", "replay", "--all", "--yes")
    assert result.exit_code == Exit.SOME_REFUSED
    assert given_to_split == []
    assert f"{FILE.key} is no longer needed; delete it with: payctl dlq discard --message {message}" in result.stderr
    assert scenario.payctl("dlq", "discard", "--message", message, "--yes").exit_code == Exit.DONE
    assert in_dead_letters(scenario) == 0


@pytest.mark.fault(30)
def test_discard_refuses_a_file_not_ingested_and_offers_the_replay(
    scenario: PayctlScenario,
) -> None:
    message = scenario.dead_letter(failed())
    result = scenario.payctl("dlq", "discard", "--message", message, "--yes")
    assert result.exit_code == Exit.SOME_REFUSED
    assert "payctl dlq replay --all" in " ".join(result.stdout.split())
    assert in_dead_letters(scenario) == 1


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    ("began", "until", "recovery"),
    [
        (False, None, "does not know the file: only a replay reads it"),
        (True, timedelta(minutes=16), "starts split again in its next run, within minutes, after line 0"),
        (True, timedelta(days=36500), "starts split again after 2126-"),
    ],
)
def test_list_of_a_failed_split_says_what_recovery_will_do_and_when(
    scenario: PayctlScenario, began: bool, until: timedelta | None, recovery: str
) -> None:
    if began and until:
        split_began(until)
    scenario.dead_letter(failed())
    [letter] = json.loads(scenario.payctl("dlq", "list", "--json").stdout)
    assert letter["recovery"].startswith(recovery)
    assert letter["recovery"].split()[0] in scenario.payctl("dlq", "list").stdout


def test_discard_says_what_it_deletes_and_what_stays(scenario: PayctlScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    split_began()
    message = scenario.dead_letter(failed())
    monkeypatch.setattr(prompts, "at_a_terminal", lambda: True)
    result = scenario.payctl("dlq", "discard", "--message", message, stdin="n\n")
    said = " ".join(result.stderr.split())
    assert f"the file {FILE.key} stays in the bucket, and recovery starts split again" in said
    assert "1 of 1 messages to delete permanently in test, and nothing else. Continue?" in said
    assert in_dead_letters(scenario) == 1


@pytest.mark.parametrize("body", [failed({"batch_id": "b"}), failed("text"), failed({"Records": [{}]}), "[]", "{}"])
def test_list_when_a_message_is_no_event_about_a_file_then_it_is_malformed(body: str, scenario: PayctlScenario) -> None:
    scenario.dead_letter(body)
    [letter] = json.loads(scenario.payctl("dlq", "list", "--json").stdout)
    assert (letter["file"], letter["payment_id"], letter["discardable"]) == ("", "", True)
