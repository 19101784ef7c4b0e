"""payctl payment explain, on moto: one timeline of all sources that answer."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from fakes.events import MemoryEventStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.gateway import Fault, FaultKind, MemoryGateway
from fakes.payments import MemoryPaymentStore
from fakes.workflow import MemoryWorkflow
from payctl import adapters, at_gateway, dead_letters, executions, logs
from payctl.at_gateway import GatewaySays
from payctl.failures import Exit, Failure
from payctl.stack import Stack
from payments.adapters.dynamodb.tables import AUDIT_LOG
from payments.application.audit import audit
from payments.application.webhooks import Webhooks
from payments.domain.batch_breaker import PausedBy
from payments.domain.clock import iso
from payments.domain.errors import PaymentError
from payments.domain.gateway_event import ASK_AGAIN, EventState
from payments.domain.money import Money
from payments.domain.payment import Payment
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest
from tests.unit.builders import NOON, FixedClock, after, batch_payment, gateway_event, payment
from tests.unit.chain_heads import heads_of
from tests.unit.payctl.scenarios import PayctlScenario, payctl_scenario

LATER = NOON + timedelta(seconds=2)
CHARGED = after(payment(), Status.PROCESSING, Status.SUCCEEDED, at=LATER, gateway_reference="mem_1")


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PayctlScenario]:
    gateway = MemoryGateway()
    gateway.charge(ChargeRequest("pay_1", Money(9999, "USD"), "pm_card_visa"))
    monkeypatch.setattr(adapters, "gateway", lambda stack: gateway)
    monkeypatch.setattr(dead_letters, "WAIT_SECONDS", 0)
    with payctl_scenario(tmp_path) as scenario:
        yield scenario


def charged(scenario: PayctlScenario) -> Payment:
    """A charged and audited payment."""
    scenario.stored(CHARGED)
    audit(CHARGED, log=scenario.audit_log, heads=heads_of(scenario.audit_log))
    return CHARGED


def explained(scenario: PayctlScenario, payment_id: str = "pay_1", *options: str) -> Any:
    result = scenario.payctl("payment", "explain", payment_id, "--json", *options)
    timeline = json.loads(result.stdout)
    assert result.exit_code == timeline["exit_code"], result.output
    return timeline


def whats(timeline: Any, where: str) -> list[str]:
    return [entry["what"] for entry in timeline["timeline"] if entry["where"] == where]


def test_explain_merges_all_sources_of_a_payment_into_one_timeline(scenario: PayctlScenario) -> None:
    charged(scenario)
    scenario.executed("pay_1")
    scenario.events.add(gateway_event(at=LATER + timedelta(seconds=3)))
    scenario.logged(
        "charge",
        {"message": "charged", "payment_id": "pay_1", "status": "succeeded", "timestamp": iso(LATER)},
        {"message": "charged", "payment_id": "pay_11", "status": "declined", "timestamp": iso(LATER)},
    )
    timeline = explained(scenario)
    assert timeline["status"] == "succeeded"
    assert whats(timeline, "payments table") == ["pending by rest", "processing by test", "succeeded by test"]
    assert whats(timeline, "audit log") == [
        "entry 1: pending by rest, verified",
        "entry 2: processing by test, verified",
        "entry 3: succeeded by test, verified",
    ]
    assert whats(timeline, "webhook")[0].startswith("payment_intent.succeeded (evt_1): parked, happened 2026-11-21")
    assert "pay_1 started" in whats(timeline, "workflow")
    assert whats(timeline, "log of charge") == ["charged: status succeeded"]
    assert whats(timeline, "gateway") == ["says now: succeeded 99.99 USD (mem_1)"]
    times = [entry["at"] for entry in timeline["timeline"]]
    assert times == sorted(times)
    assert (timeline["audit_verified"], timeline["unavailable"]) == (True, {})
    assert "captured the money" in timeline["what_now"][0]


def test_explain_of_a_refund_that_our_row_lacks_says_so_and_exits_7(
    scenario: PayctlScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    charged(scenario)
    refunded = GatewaySays("refunded", "99.99 USD", "mem_1", charged=CHARGED.money, refunded=9999)
    monkeypatch.setattr(at_gateway, "says", lambda *_, **__: refunded)
    timeline = explained(scenario)
    assert (timeline["differs"], timeline["exit_code"]) == (True, Exit.NOT_SETTLED)
    assert "payctl payment recheck pay_1" in timeline["what_now"][0]
    assert "Nothing is left" not in " ".join(timeline["what_now"])


def test_explain_when_shown_then_has_the_timeline_and_the_next_steps(scenario: PayctlScenario) -> None:
    charged(scenario)
    shown = scenario.payctl("payment", "explain", "pay_1").stdout
    for text in ("99.99 USD", "entry 3: succeeded by test, verified", "next steps", "captured the money"):
        assert text in shown


def test_explain_reports_an_edited_audit_entry_first(scenario: PayctlScenario) -> None:
    charged(scenario)
    boto3.client("dynamodb").update_item(
        TableName=AUDIT_LOG.name,
        Key={"payment_id": {"S": "pay_1"}, "sequence": {"N": "2"}},
        UpdateExpression="SET minor_units = :less",
        ExpressionAttributeValues={":less": {"N": "1"}},
    )
    timeline = explained(scenario)
    assert timeline["audit_verified"] is False
    assert "pay_1, entry 2 was changed" in whats(timeline, "audit log")[-1]
    assert "entry 2 was changed" in timeline["what_now"][0]


def test_explain_shows_a_started_batch_payment_as_no_longer_queued(
    scenario: PayctlScenario,
) -> None:
    scenario.stored(batch_payment())
    assert "waits in the queue" in " ".join(explained(scenario)["what_now"])
    scenario.executed("pay_1")
    assert "Its workflow started" in " ".join(explained(scenario)["what_now"])


def test_explain_gives_the_dead_letter_reason_and_offers_the_replay(scenario: PayctlScenario) -> None:
    waiting = scenario.stored(batch_payment())
    scenario.dead_letter(batch_payment("pay_2"))
    scenario.dead_letter(waiting, "NotStored: payment pay_1 is not in the payments table")
    timeline = explained(scenario)
    assert timeline["in_dead_letter_queue"] is True
    assert "is in the dead-letter queue: NotStored" in whats(timeline, "queue")[-1]
    assert "line 2 of batch b1" in whats(timeline, "batch")[0]
    assert "payctl dlq replay --id pay_1" in " ".join(timeline["what_now"])
    assert len(scenario.queued("dead_letter_queue_url")) == 2


def test_explain_shows_the_breaker_pause_in_the_timeline(scenario: PayctlScenario) -> None:
    scenario.stored(batch_payment())
    scenario.breaker.pause(PausedBy.OPERATOR, "the bank is down", NOON)
    timeline = explained(scenario)
    assert whats(timeline, "lane") == ["paused by the operator, until now: the bank is down"]
    assert "payctl breaker resume" in " ".join(timeline["what_now"])


def test_explain_includes_executions_of_restarts_and_webhooks(
    scenario: PayctlScenario,
) -> None:
    unknown = scenario.stored(after(payment(), Status.PROCESSING, Status.UNKNOWN))
    scenario.payments.claim_restart(unknown, NOON)
    event = gateway_event()
    scenario.events.add(event)
    woken = executions.names("pay_1", 0, [event])[1]
    for name in ("pay_1", "pay_1.2", woken, "pay_2"):
        scenario.executed(name)
    workflow = " ".join(whats(explained(scenario), "workflow"))
    for name in ("pay_1", "pay_1.2", woken):
        assert f"{name} started" in workflow
    assert "pay_2" not in workflow


def test_explain_shows_every_charge_that_a_search_finds_under_the_id() -> None:
    clock = FixedClock()
    gateway = MemoryGateway(clock)
    asked = ChargeRequest("pay_1", payment().money, "pm_card_visa")
    first = gateway.charge(asked)
    clock.wait(timedelta(hours=25))
    gateway.charge(asked)
    answer = at_gateway.says(gateway, "pay_1", first.reference, environment_id="")
    answer = at_gateway.with_others(gateway, answer, "pay_1", environment_id="")
    assert (answer.status, answer.reference, answer.others) == ("succeeded", "mem_1", ("mem_2: captured",))
    assert answer.captured_others
    assert at_gateway.says(gateway, "pay_1", environment_id="").status == "several_charges"


@pytest.mark.parametrize(
    ("status", "said"),
    [("requires_capture", at_gateway.STRANGE), ("requires_payment_method", at_gateway.PAYABLE)],
)
def test_explain_shows_what_the_gateway_reports_of_an_open_charge(status: str, said: str) -> None:
    gateway = MemoryGateway(FixedClock())
    with suppress(PaymentError):
        gateway.charge(ChargeRequest("pay_1", payment().money, "pm_card_visa_chargeDeclinedLostCard"))
    gateway.fail(Fault(FaultKind.ALTERED, status=status))
    answer = at_gateway.says(gateway, "pay_1", environment_id="")
    assert (answer.status, answer.reference) == (said, "mem_1")
    assert (status if said == at_gateway.STRANGE else "lost_card") in str(answer)


def test_explain_shows_the_other_charge_of_a_contradicting_event(scenario: PayctlScenario) -> None:
    charged(scenario)
    scenario.events.add(replace(gateway_event(reference="pi_other"), state=EventState.CONTRADICTS))
    timeline = explained(scenario)
    assert "about pi_other" in " ".join(whats(timeline, "webhook"))
    assert "another charge" in " ".join(timeline["what_now"])


def test_names_match_the_executions_that_webhooks_start_for_an_event() -> None:
    payments, events, workflow, clock = MemoryPaymentStore(), MemoryEventStore(), MemoryWorkflow(), FixedClock()
    event, webhooks = gateway_event(), Webhooks(events, payments, workflow, clock, MemoryFieldEncryptor())
    payments.create(after(payment(), Status.PROCESSING, Status.UNKNOWN))
    webhooks.receive(event)
    while clock.now < NOON + 2 ** (executions.EVENT_ATTEMPTS - 1) * ASK_AGAIN - timedelta(minutes=1):
        clock.wait(timedelta(minutes=1))
        webhooks.apply(event)
    assert workflow.started == executions.names("pay_1", 0, [event])[1:]


def test_explain_names_unavailable_sources_and_shows_the_others(
    scenario: PayctlScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not you"}}, "Query")

    charged(scenario)
    monkeypatch.setattr(adapters, "audit_log", refused)
    monkeypatch.setattr(adapters, "gateway", refused)
    monkeypatch.setattr(logs, "functions", refused)
    timeline = explained(scenario)
    assert set(timeline["unavailable"]) == {"audit log", "gateway", "logs"}
    assert "not you" in timeline["unavailable"]["audit log"]
    assert len(whats(timeline, "payments table")) == 3
    assert "audit log: AWS rejected Query: not you" in scenario.payctl("payment", "explain", "pay_1").stderr


def test_explain_says_the_payments_table_could_not_be_read(
    scenario: PayctlScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise Failure("no output")

    monkeypatch.setattr(adapters, "payments", refused)
    timeline = explained(scenario)
    assert "could not be read" in timeline["what_now"][0]
    assert timeline["exit_code"] == Exit.FAILED


def test_explain_when_the_gateway_is_not_to_be_asked_then_it_is_not(
    scenario: PayctlScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    charged(scenario)
    monkeypatch.setattr(at_gateway, "gateway", lambda _: pytest.fail("asked"))
    assert explained(scenario, "pay_1", "--no-gateway")["gateway"] is None


def test_explain_reports_an_event_whose_payment_has_no_row(scenario: PayctlScenario) -> None:
    scenario.events.add(gateway_event(payment_id="pay_5"))
    timeline = explained(scenario, "pay_5")
    assert (timeline["status"], len(whats(timeline, "webhook"))) == (None, 1)
    assert "no row" in timeline["what_now"][0]


def test_explain_of_an_unknown_payment_exits_1(scenario: PayctlScenario) -> None:
    result = scenario.payctl("payment", "explain", "pay_8", "--no-gateway")
    assert result.exit_code == Exit.FAILED
    assert "there is no trace of a payment pay_8 in test" in result.stderr


def test_explain_when_it_is_no_payment_id_then_exits_2(scenario: PayctlScenario) -> None:
    assert scenario.payctl("payment", "explain", "../x").exit_code == Exit.USAGE


def test_explain_shows_incomplete_logs_and_points_to_logs_insights(
    scenario: PayctlScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    charged(scenario)
    scenario.logged("charge", {"message": "charged", "payment_id": "pay_1", "timestamp": iso(LATER)})
    search = logs.search
    monkeypatch.setattr(logs, "search", lambda *arguments: logs.Found(search(*arguments).lines, complete=False))
    timeline = explained(scenario)
    assert whats(timeline, "log of charge") == ["charged"]
    assert "Logs Insights" in timeline["unavailable"]["logs"]


# Step Functions' history ---------------------------------------------------------------------------------------------


class StepFunctions:
    """Answers with one history."""

    class exceptions:  # noqa: N801 - as boto3 names it
        class ExecutionDoesNotExist(Exception):
            """No such execution."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self._events = events

    def get_execution_history(self, **_: Any) -> dict[str, Any]:
        if not self._events:
            raise self.exceptions.ExecutionDoesNotExist
        return {"events": [{"timestamp": datetime(2026, 11, 21, tzinfo=UTC), **event} for event in self._events]}


def history(*events: dict[str, Any]) -> list[str]:
    stack = Stack({"state_machine_arn": "arn:aws:states:r:1:stateMachine:m"}, Path("outputs.json"))
    return [what for _, what in executions.history(stack, StepFunctions(*events), "pay_1")]


def entered(state: str, kind: str = "Task") -> dict[str, Any]:
    return {"type": f"{kind}StateEntered", "stateEnteredEventDetails": {"name": state}}


def test_history_of_a_retried_step_names_errors_without_their_causes() -> None:
    failed = {"error": "NotSent", "cause": "a long text that is not ours to show"}
    assert history(
        {"type": "ExecutionStarted", "executionStartedEventDetails": {"input": "{}"}},
        entered("Charge"),
        {"type": "LambdaFunctionScheduled"},
        {"type": "LambdaFunctionFailed", "lambdaFunctionFailedEventDetails": failed},
        {"type": "LambdaFunctionScheduled"},
        {"type": "LambdaFunctionTimedOut", "lambdaFunctionTimedOutEventDetails": {"error": "States.Timeout"}},
        entered("MustItWait", "Choice"),
        entered("Wait", "Wait"),
        entered("Record"),
        {"type": "LambdaFunctionScheduled"},
        {"type": "ExecutionTimedOut", "executionTimedOutEventDetails": {}},
    ) == [
        "pay_1 started",
        "pay_1: Charge",
        "pay_1: Charge failed: NotSent",
        "pay_1: Charge, attempt 2",
        "pay_1: Charge timed out: States.Timeout",
        "pay_1: Wait",
        "pay_1: Record",
        "pay_1 timed out",
    ]


def test_history_when_there_is_no_such_execution_then_is_empty() -> None:
    assert history() == []
