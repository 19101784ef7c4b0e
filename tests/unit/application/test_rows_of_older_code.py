"""Rows that older code stored, in every status, go on correctly: nothing is lost, and nothing is charged twice.

`rows_of_november_2026.json` was made with the code of November 2026, before environments had ids: its steps ran on the
in-memory gateway up to the given status. Each case has the stored item, the requests that its gateway had received, and
the status that the payment must reach.
"""

import json
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fakes.gateway import Fault, FaultKind
from payments.adapters.dynamodb.items import to_item
from payments.adapters.dynamodb.payments import payment_of, payment_values
from payments.application.charge import MOST_VERSIONS
from payments.domain.clock import parse_iso
from payments.domain.errors import PaymentError
from payments.domain.money import Money
from payments.domain.statuses import CAPTURED, Status
from payments.ports.payment_gateway import ChargeRequest
from tests.unit.application.test_steps import StepScenario
from tests.unit.builders import NOON
from tests.unit.charge_lists import charge_list, read_the_list

ROWS: dict[str, Any] = json.loads(Path(__file__).with_name("rows_of_november_2026.json").read_text())
UNSETTLED = (Status.PENDING, Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION)


def scenario_of(case: dict[str, Any]) -> StepScenario:
    """The row and its gateway, as the older code left them."""
    row = payment_of(case["item"])
    scenario = StepScenario(row)
    scenario.store.rows = {row.payment_id: row}
    history = case["gateway"]
    for fault in history["faults"]:
        money = Money(**fault["money"]) if "money" in fault else None
        scenario.gateway.fail(Fault(FaultKind(fault["kind"]), executes=fault.get("executes", True), money=money))
    for _ in range(history["requests"]):
        with suppress(PaymentError):
            scenario.gateway.charge(
                ChargeRequest(row.payment_id, row.money, history["method"], row.description, history["metadata"])
            )
    for change in history["then"]:
        assert scenario.gateway.refund("mem_1", change["refund"])
    scenario.clock.now = max(scenario.clock.now, parse_iso(case["at"]))
    return scenario


def test_rows_of_older_code_cover_every_status_that_it_could_store() -> None:
    assert {case["status"] for case in ROWS.values()} == set(Status) - {Status.DISPUTED, Status.DISPUTE_LOST}


@pytest.mark.parametrize("case", ROWS.values(), ids=ROWS)
def test_row_of_older_code_is_read_and_written_back_unchanged(case: dict[str, Any]) -> None:
    kept = {name: value for name, value in case["item"].items() if name != "unsettled"}  # its index has a successor
    if kept["audited_version"] == {"N": "0"}:
        del kept["audited_version"]  # a row without the mark is not audited either
    assert to_item(payment_values(payment_of(case["item"]))) == kept


@pytest.mark.parametrize("case", ROWS.values(), ids=ROWS)
def test_row_of_older_code_ends_as_it_must_and_is_charged_once(case: dict[str, Any]) -> None:
    scenario = scenario_of(case)
    [payment_id] = scenario.store.rows
    listing = charge_list(scenario.gateway, scenario.store, scenario.encryptor, scenario.clock)
    for _ in range(20):
        row = scenario.store.rows[payment_id]
        if row.status not in UNSETTLED:
            break
        for status in ("requires_action", "processing"):
            for waiting in scenario.gateway.waiting(status):
                scenario.gateway.finish(waiting.reference, well=True)
        scenario.clock.wait(timedelta(minutes=11))
        read_the_list(listing, row)
        scenario.record(scenario.charge_until_it_ends({"payment_id": payment_id}))
    row = scenario.store.rows[payment_id]
    assert row.status == case["ends"]
    took_money = row.status in CAPTURED or row.code == "amount_differs"
    assert len(scenario.gateway.captured) == took_money
    assert row.version < MOST_VERSIONS
    assert scenario.clock.now > NOON
