"""POST /batches/{batch_id}/pause, resume and cancel."""

from datetime import timedelta
from typing import Any

import pytest

from payments.domain.batch.state import Batch, BatchStatus, Source
from payments.domain.batch.switch import SwitchState
from payments.domain.clock import iso
from payments.domain.identity import Role
from payments.ports.batch_store import Claim
from payments.rest.access import ALLOWED
from payments.rest.batches import BATCH_ID
from tests.unit.builders import NOON
from tests.unit.rest.scenario import ADMIN, RestScenario

SOURCE = Source("bucket", "incoming/pay day (2).csv", "v1", "etag", 10)
OPERATIONS = {
    "pause_batch": SwitchState.PAUSED,
    "resume_batch": SwitchState.RUNNING,
    "cancel_batch": SwitchState.CANCELED,
}


@pytest.fixture
def scenario() -> RestScenario:
    scenario = RestScenario()
    new = Batch(SOURCE.batch_id, SOURCE, BatchStatus.SPLITTING, iso(NOON), iso(NOON))
    scenario.batches.claim_split(new, Claim("a", NOON, NOON + timedelta(seconds=60)))
    return scenario


def call(scenario: RestScenario, operation: str, batch_id: str = SOURCE.batch_id) -> dict[str, Any]:
    """One of the operations, as an admin."""
    return scenario.call(operation, ADMIN, path={"batch_id": batch_id})


def test_batch_ids_have_the_form_that_the_routes_accept() -> None:
    assert BATCH_ID.fullmatch(SOURCE.batch_id)
    assert BATCH_ID.fullmatch(Source("bucket", "incoming/?.csv", "v1", "etag", 10).batch_id)


@pytest.mark.parametrize("operation", ["pause_batch", "cancel_batch"])
def test_batch_when_switched_then_shown_without_the_name_of_the_admin(scenario: RestScenario, operation: str) -> None:
    answer = call(scenario, operation)
    assert answer["statusCode"] == 200
    assert answer["body"]["switch"] == {"state": OPERATIONS[operation], "by": "admin", "at": iso(NOON)}
    assert (answer["body"]["status"], answer["body"]["rows_read"]) == ("splitting", 0)
    assert scenario.batches.switch_of(SOURCE.batch_id).by == "admin:sub_admin"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_batch_when_switched_twice_then_the_same_answer(scenario: RestScenario, operation: str) -> None:
    assert call(scenario, operation) == call(scenario, operation)


def test_batch_when_paused_and_resumed_then_running(scenario: RestScenario) -> None:
    call(scenario, "pause_batch")
    assert call(scenario, "resume_batch")["body"]["switch"]["state"] == "running"


@pytest.mark.parametrize("operation", ["pause_batch", "resume_batch"])
def test_batch_when_canceled_then_409_and_nothing_changes(scenario: RestScenario, operation: str) -> None:
    call(scenario, "cancel_batch")
    answer = call(scenario, operation)
    assert (answer["statusCode"], answer["body"]["type"]) == (409, "urn:problem:payment-api:conflict")
    assert "is canceled; this is final" in answer["body"]["detail"]
    assert scenario.batches.switch_of(SOURCE.batch_id).is_canceled


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("batch_id", ["?", "SUMMARY", "none-0123456789ab"])
def test_batch_when_unknown_then_404(scenario: RestScenario, operation: str, batch_id: str) -> None:
    assert call(scenario, operation, batch_id)["statusCode"] == 404


def test_batches_are_switched_by_admins_only() -> None:
    assert {ALLOWED[operation] for operation in OPERATIONS} == {frozenset({Role.ADMIN})}
