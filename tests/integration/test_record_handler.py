"""The record function on moto: the payment's row, and the gateway event that caused the query."""

import json
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from payments.adapters.dynamodb.events import DynamoEventStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.tables import GATEWAY_EVENTS
from payments.domain.errors import Conflict, OutcomeUnknown
from payments.domain.outcome import Outcome
from payments.domain.statuses import Status
from payments.observability.metrics import OUTCOMES
from tests.integration.functions import Context, load, metrics_in
from tests.moto_tables import create_table
from tests.unit.builders import after, gateway_event, payment, waiting

REFERENCE = "sealed.v1.wrapped.text"
"""As charge passes it on: record has no key and needs none."""
SUCCEEDED = Outcome(Status.SUCCEEDED, gateway="stripe", gateway_reference=REFERENCE).as_json()
REFUNDED = Outcome(Status.REFUNDED, gateway="stripe", gateway_reference=REFERENCE, seen_version=3).as_json()
CONFLICT = Outcome(Status.IN_REVIEW, Conflict("amount_differs", "").code).as_json()
NO_ANSWER = {
    "Error": "OutcomeUnknown",
    "Cause": json.dumps({"errorMessage": str(OutcomeUnknown("no_answer", "the gateway gave no answer"))}),
}


@dataclass
class RecordScenario:
    """The function and the tables that it writes."""

    function: ModuleType
    payments: DynamoPaymentStore
    events: DynamoEventStore

    def record(self, **state: Any) -> Status:
        """Record the payment's outcome. Returns its status in the table."""
        given = {"payment_id": "pay_1", **state}
        assert self.function.handler(given, Context()) == {"payment_id": "pay_1"}
        row = self.payments.get("pay_1")
        assert row
        return row.status


@pytest.fixture
def scenario(payments: DynamoPaymentStore) -> RecordScenario:
    """The function, a payment that is being charged, and a parked event about it."""
    events = DynamoEventStore(create_table(GATEWAY_EVENTS), GATEWAY_EVENTS.name)
    payments.create(payment())
    payments.save(after(payment(), Status.PROCESSING))
    events.add(gateway_event("charge.refunded"))
    return RecordScenario(
        load("record", PAYMENTS_TABLE="payments", GATEWAY_EVENTS_TABLE=GATEWAY_EVENTS.name, PATIENCE_SECONDS="300"),
        payments,
        events,
    )


def test_record_of_a_charge_updates_its_row_and_leaves_events_parked(scenario: RecordScenario) -> None:
    assert scenario.record(outcome=SUCCEEDED) is Status.SUCCEEDED
    assert waiting(scenario.events) == ["evt_1"]


def test_record_of_the_answer_to_an_event_applies_the_event(scenario: RecordScenario) -> None:
    scenario.record(outcome=SUCCEEDED)

    assert scenario.record(outcome=REFUNDED, ask=True, event_id="evt_1") is Status.REFUNDED
    assert waiting(scenario.events) == []
    assert [event.state for event in scenario.events.of_payment("pay_1")] == ["applied"]


@pytest.mark.parametrize(
    "came", [{"outcome": CONFLICT}, {"error": NO_ANSWER}], ids=["other money", "no answer of the gateway"]
)
def test_record_without_a_valid_answer_keeps_row_and_event_uncounted(
    scenario: RecordScenario, came: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    scenario.record(outcome=SUCCEEDED)
    assert metrics_in(capsys.readouterr().out) == {OUTCOMES[Status.SUCCEEDED]: 1}

    assert scenario.record(ask=True, event_id="evt_1", **came) is Status.SUCCEEDED
    assert waiting(scenario.events) == ["evt_1"]
    assert metrics_in(capsys.readouterr().out) == {}
