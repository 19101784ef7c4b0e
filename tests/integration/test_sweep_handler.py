"""The sweep function on moto: it restarts stopped work, and counts what an operator must know."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any
from unittest.mock import ANY, patch

import boto3
import pytest

from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.events import DynamoEventStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.tables import CONTROLS, GATEWAY_EVENTS, PROCESSING_STATUS, REFUNDS
from payments.adapters.lambda_functions import FunctionStarter
from payments.adapters.stripe.gateway import StripeGateway
from payments.domain.batch.state import Batch, BatchStatus, Progress, Source
from payments.domain.batch_breaker import PausedBy
from payments.domain.clock import iso, utc_now
from payments.domain.gateway_event import EventState
from payments.domain.payment import Payment, accepted
from payments.domain.sealed_fields import reference_digest
from payments.domain.statuses import Status
from payments.ports.batch_store import Claim
from payments.ports.payment_gateway import Listed, ListedCharge
from payments.ports.payment_store import require
from tests.integration.executions import Executions
from tests.integration.functions import Context, load, metrics_in
from tests.moto_mapping import event_source_mapping
from tests.moto_tables import create_table
from tests.unit.builders import after, gateway_event, request

LONG_AGO = utc_now() - timedelta(minutes=11)
"""Twice the PATIENCE_SECONDS of these tests, and a minute."""
SOURCE = Source("batch", "incoming/a.csv", "v1", "e", 100)


@dataclass
class RecoveryScenario:
    """The stack around the sweep function, as far as moto supports it."""

    function: ModuleType
    payments: DynamoPaymentStore
    batches: DynamoBatchStore
    events: DynamoEventStore
    breaker: DynamoBreakerStore
    mapping_id: str
    queue_url: str
    invoked: list[tuple[str, dict[str, Any]]]

    def recover(self, context: Context | None = None) -> dict[str, int]:
        """One run. Returns its findings, without zeros."""
        found: dict[str, int] = self.function.handler({}, context or Context())
        return {name: number for name, number in found.items() if number}

    def add(
        self, payment_id: str, *statuses: Status, at: datetime = LONG_AGO, batch_id: str = "", **changes: Any
    ) -> Payment:
        """Store a payment that went through these statuses at the same time."""
        asked = request(payment_id, payment_method="pm_card_visa")
        row = accepted(asked, at=at, source="batch" if batch_id else "rest", batch_id=batch_id, batch_line=2)
        self.payments.create(row)
        for place, status in enumerate(statuses, 1):
            row = after(row, status, at=at, **(changes if place == len(statuses) else {}))
            self.payments.save(row)
        return row

    @property
    def delivery(self) -> str:
        """The state of the event source mapping."""
        return str(boto3.client("lambda").get_event_source_mapping(UUID=self.mapping_id)["State"])

    def queued(self) -> list[str]:
        """The payments in the queue."""
        found = boto3.client("sqs").receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)
        return [json.loads(message["Body"])["payment_id"] for message in found.get("Messages", [])]


@pytest.fixture
def scenario(payments: DynamoPaymentStore, executions: Executions) -> Iterator[RecoveryScenario]:
    """Empty tables, an empty queue whose messages are delivered, and a function that calls no gateway."""
    for table in (PROCESSING_STATUS, GATEWAY_EVENTS, CONTROLS, REFUNDS):
        create_table(table)
    queue_url = boto3.client("sqs").create_queue(QueueName="payments")["QueueUrl"]
    mapping_id = event_source_mapping()
    key_arn = boto3.client("secretsmanager").create_secret(Name="payment-gateway-stripe", SecretString="sk_x")["ARN"]
    invoked: list[tuple[str, dict[str, Any]]] = []

    def invoke(starter: FunctionStarter, event: dict[str, Any]) -> None:
        invoked.append((starter._function_name, json.loads(json.dumps(event))))

    # moto runs functions only in Docker
    with patch.object(FunctionStarter, "__call__", invoke):
        function = load(
            "sweep",
            PAYMENTS_TABLE="payments",
            PROCESSING_STATUS_TABLE=PROCESSING_STATUS.name,
            REFUNDS_TABLE=REFUNDS.name,
            GATEWAY_EVENTS_TABLE=GATEWAY_EVENTS.name,
            CONTROLS_TABLE=CONTROLS.name,
            STATE_MACHINE_ARN=executions.arn,
            PAYMENT_QUEUE_URL=queue_url,
            DISPATCH_MAPPING_ID=mapping_id,
            REPORT_FUNCTION="report",
            SPLIT_FUNCTION="split",
            ENVIRONMENT_ID="0123456789abcdef",
            VAULT_KEY_ARN=boto3.client("kms").create_key()["KeyMetadata"]["Arn"],
            SLOT_MICROSECONDS="43479",
            GATEWAY_MODE="test",
            GATEWAY_SECRET_ARN=key_arn,
            STRIPE_API_BASE="http://127.0.0.1:9",
            PATIENCE_SECONDS="300",
            GATEWAY_DEADLINE_SECONDS="86400",
            FRAUD_HOLD_HOURS="72",
            FRAUD_HOLD_OUTCOME="reject",
        )
        client = boto3.client("dynamodb")
        yield RecoveryScenario(
            function,
            payments,
            DynamoBatchStore(client, PROCESSING_STATUS.name, "payments"),
            DynamoEventStore(client, GATEWAY_EVENTS.name),
            DynamoBreakerStore(client, CONTROLS.name),
            mapping_id,
            queue_url,
            invoked,
        )


def test_recovery_with_nothing_left_behind_does_and_counts_nothing(
    scenario: RecoveryScenario, executions: Executions, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario.add("p_new", at=utc_now())

    assert scenario.recover() == {}
    assert executions.started() == {}
    assert (scenario.delivery, scenario.invoked, scenario.queued()) == ("Enabled", [], [])
    assert metrics_in(capsys.readouterr().out) == {}


def test_recovery_of_a_closed_environment_stands_still(scenario: RecoveryScenario, executions: Executions) -> None:
    scenario.add("p_pending")
    scenario.breaker.close()

    assert scenario.recover() == {"closed": 1}
    assert executions.started() == {}


def test_recovery_restarts_each_payment_left_behind_once(
    scenario: RecoveryScenario,
    executions: Executions,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(StripeGateway, "listed", lambda *_: Listed(()))
    scenario.add("p_pending")
    scenario.add("p_unknown", Status.PROCESSING, Status.UNKNOWN)
    scenario.add("p_unaudited", Status.PROCESSING, Status.SUCCEEDED)

    assert scenario.recover() == {"taken_up": 3}
    assert metrics_in(capsys.readouterr().out) == {"RecoveryDue": 3, "RecoveryOverdue": ANY}
    assert scenario.recover() == {}
    assert executions.started() == {
        "p_pending": {"payment_id": "p_pending"},
        "p_unknown.2": {"payment_id": "p_unknown"},
        "p_unaudited.2": {"payment_id": "p_unaudited"},
    }
    assert require(scenario.payments, "p_unknown").is_proven_absent


def test_recovery_keeps_the_reference_that_the_list_shows(
    scenario: RecoveryScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge = ListedCharge("pi_1", "p_unknown", "", utc_now())
    monkeypatch.setattr(StripeGateway, "listed", lambda *_: Listed((charge,)))
    scenario.add("p_unknown", Status.PROCESSING, Status.UNKNOWN)
    assert scenario.recover() == {"taken_up": 1}
    row = require(scenario.payments, "p_unknown")
    assert row.gateway_reference == "pi_1"
    assert row.reference_digest == reference_digest("p_unknown", "pi_1")


def test_recovery_short_of_time_stops_and_the_next_run_continues(
    scenario: RecoveryScenario, executions: Executions
) -> None:
    for number in range(3):
        scenario.add(f"p{number}")

    assert scenario.recover(Context(milliseconds=19_000)) == {"taken_up": 1}
    assert scenario.recover() == {"taken_up": 2}
    assert executions.started().keys() == {"p0", "p1", "p2"}


@pytest.mark.parametrize(
    ("found", "metric", "statuses", "minutes"),
    [
        ("overdue", "PaymentsOverdue", (Status.PROCESSING, Status.UNKNOWN), 61),
        ("in_review", "PaymentsInReview", (Status.PROCESSING, Status.IN_REVIEW), 6),
    ],
)
def test_recovery_counts_payments_needing_an_operator_in_every_run(
    scenario: RecoveryScenario,
    capsys: pytest.CaptureFixture[str],
    found: str,
    metric: str,
    statuses: tuple[Status, ...],
    minutes: int,
) -> None:
    at = utc_now() - timedelta(minutes=minutes)
    scenario.add("p1", *statuses, at=at)
    scenario.add("p2", *statuses, at=at)

    for _ in range(2):
        assert scenario.recover()[found] == 2
        assert metrics_in(capsys.readouterr().out)[metric] == 2


def test_recovery_asks_about_a_payment_whose_event_came_first(
    scenario: RecoveryScenario, executions: Executions
) -> None:
    event = gateway_event(at=utc_now())
    scenario.events.add(event)
    assert scenario.recover() == {}
    scenario.events.look_again(event, LONG_AGO)  # the next look is a minute later

    scenario.add("pay_1", Status.PROCESSING, Status.UNKNOWN, at=utc_now())
    scenario.recover()

    asks = {"payment_id": "pay_1", "ask": True, "event_id": "evt_1", "gateway_reference": "mem_1"}
    assert list(executions.started().values()) == [asks]
    assert [event.state for event in scenario.events.of_payment("pay_1")] == [EventState.PARKED]  # until it is answered


def test_recovery_counts_a_money_event_for_an_uncharged_payment_once(
    scenario: RecoveryScenario, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario.events.add(gateway_event(at=utc_now()))
    scenario.add("pay_1", Status.REJECTED, at=utc_now())

    assert scenario.recover() == {"contradicting_events": 1}
    assert metrics_in(capsys.readouterr().out) == {"ContradictingEvents": 1, "RecoveryDue": 1, "RecoveryOverdue": ANY}
    assert scenario.recover() == {}


def _batch(scenario: RecoveryScenario, *, payments: int) -> str:
    """A batch of this many payments whose file was read long ago."""
    started = Batch(SOURCE.batch_id, SOURCE, BatchStatus.SPLITTING, iso(LONG_AGO), iso(LONG_AGO))
    scenario.batches.claim_split(started, Claim("run-1", LONG_AGO, LONG_AGO + timedelta(minutes=1)))
    scenario.batches.finish_split(started.batch_id, "run-1", Progress(payments, payments, payments), LONG_AGO)
    return started.batch_id


def test_recovery_resumes_an_abandoned_split_with_its_file(scenario: RecoveryScenario) -> None:
    started = Batch(SOURCE.batch_id, SOURCE, BatchStatus.SPLITTING, iso(LONG_AGO), iso(LONG_AGO))
    scenario.batches.claim_split(started, Claim("run-1", LONG_AGO, LONG_AGO + timedelta(minutes=1)))

    assert scenario.recover() == {"batches_resumed": 1}
    ((function, event),) = scenario.invoked
    assert function == "split"
    assert Source(**event["resume"]) == SOURCE


def test_recovery_makes_a_missing_report_once_all_rows_are_closed(scenario: RecoveryScenario) -> None:
    batch_id = _batch(scenario, payments=0)

    assert scenario.recover() == {"batches_resumed": 1}
    assert scenario.invoked == [("report", {"batch_id": batch_id})]


def test_recovery_queues_lost_batch_payments_again_and_counts_closed_rows(scenario: RecoveryScenario) -> None:
    batch_id = _batch(scenario, payments=2)
    scenario.add("p_lost", batch_id=batch_id)
    scenario.add("p_done", Status.PROCESSING, Status.SUCCEEDED, at=utc_now(), batch_id=batch_id)

    assert scenario.recover() == {"requeued": 1, "rows_closed": 1}
    assert scenario.queued() == ["p_lost"]


def test_recovery_holds_messages_and_batch_payments_while_paused(
    scenario: RecoveryScenario, executions: Executions, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario.add("p_batch", Status.PROCESSING, Status.PENDING, batch_id="b1")
    scenario.breaker.pause(PausedBy.OPERATOR, "maintenance", utc_now())

    assert scenario.recover() == {"paused_by_operator": 1}
    assert (scenario.delivery, executions.started()) == ("Disabled", {})
    metrics = metrics_in(capsys.readouterr().out)
    assert metrics == {"BatchesPausedByOperator": 1, "RecoveryDue": 1, "RecoveryOverdue": ANY}

    scenario.breaker.resume(utc_now())
    assert scenario.recover() == {"taken_up": 1}
    assert (scenario.delivery, list(executions.started())) == ("Enabled", ["p_batch.2"])


def test_recovery_stays_paused_while_the_gateway_still_fails(
    scenario: RecoveryScenario, executions: Executions
) -> None:
    scenario.add("p1")
    scenario.breaker.pause(PausedBy.GATEWAY, "key_refused: no", utc_now())

    assert scenario.recover() == {"gateway_unreachable": 1}  # nothing listens at its address
    assert (scenario.breaker.state().probe, scenario.delivery, executions.started()) == ("", "Disabled", {})


def test_recovery_probes_an_answering_gateway_with_one_payment_and_resumes(
    scenario: RecoveryScenario, executions: Executions
) -> None:
    scenario.add("p1")
    scenario.breaker.pause(PausedBy.GATEWAY, "key_refused: no", utc_now())
    with patch.object(StripeGateway, "check_account", lambda self: None):
        assert scenario.recover() == {"lane_paused": 1}
        assert list(executions.started()) == ["p1"]
        row = scenario.payments.get("p1")
        assert row
        for status in (Status.PROCESSING, Status.SUCCEEDED):
            row = after(row, status, at=utc_now())
            scenario.payments.save(row)

        assert scenario.recover() == {}
    assert not scenario.breaker.state().paused
    assert scenario.delivery == "Enabled"
