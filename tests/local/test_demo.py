"""The demonstration's sample and checks: the table of outcomes holds, and every fault is named."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from local.demo import checks
from local.demo.findings import Answered, Findings, RowOutcome
from local.demo.scenario import CALLS, REFUSED, ROWS, Run
from payments.adapters.stripe.amounts import stripe_amount
from payments.application.batch.file import BatchFile
from payments.application.batch.result_files import ERRORS, RESUBMIT, RESULTS
from payments.domain.batch.errors import RejectedRow
from payments.domain.batch.state import Batch, BatchStatus, Progress, Source
from payments.domain.money import Money
from payments.domain.statuses import CAPTURED

RUN = Run("1121-120000")
DUPLICATE_LINE = 19  # its id is taken only in the payments table
AMOUNTS = {"succeeded": ("99.99", "USD"), "declined": ("20.00", "USD"), "requires_action": ("45.00", "EUR")}


def test_sample_rejects_the_expected_rows_for_the_expected_reasons() -> None:
    rows = {row.line: row for row in BatchFile([RUN.csv.encode()]).rows()}
    assert rows.keys() == ROWS.keys()
    refused = {
        line: "; ".join(": ".join(filter(None, (error.column, error.reason))) for error in row.errors)
        for line, row in rows.items()
        if isinstance(row, RejectedRow)
    }
    expected = {line for line, row in ROWS.items() if row.outcome == REFUSED}
    assert refused.keys() == expected - {DUPLICATE_LINE}
    for line, message in refused.items():
        assert ROWS[line].says in message


def test_a_run_when_it_renames_the_sample_then_leaves_no_id_of_the_sample() -> None:
    assert "pay_sample" not in RUN.csv
    assert f"pay_{RUN.id}_usd" in RUN.csv


def perfect() -> Findings:
    """The findings on a stack without a fault."""
    found = Findings()
    for call in CALLS:
        payment_id = RUN.body(call)["payment_id"]
        message = "" if call.http_status == 202 else call.expected.says
        found.answered.append(Answered(call, call.http_status, call.replayed, message))
        if call.expected.outcome:
            reason = {"reason": {"message": call.expected.says, "code": "code"}}
            found.payments[payment_id] = _payment(call.expected.outcome) | reason
        if call.authenticates:
            found.authenticated[payment_id] = "use_stripe_sdk"
    for line, expected in ROWS.items():
        accepted = expected.outcome != REFUSED
        found.rows.append(RowOutcome(line, f"pay_{line}", "", expected.outcome, expected.says, accepted))
        if accepted:
            found.payments[f"pay_{line}"] = _payment(expected.outcome)
    refused = sum(row.outcome == REFUSED for row in ROWS.values())
    progress = Progress(99, len(ROWS), len(ROWS) - refused, refused)
    source = Source("files", "incoming/demo.csv", "v1", "etag", 1)
    found.batch = Batch(source.batch_id, source, BatchStatus.COMPLETED, "", "", progress)
    found.result_files = {RESULTS: "", ERRORS: "", RESUBMIT: "header\n" + "row\n" * refused}
    found.charges = [
        {"payment_id": payment_id, "amount": stripe_amount(Money.parse(payment["amount"], payment["currency"]))}
        for payment_id, payment in found.payments.items()
        if payment["status"] in CAPTURED
    ]
    found.events = [
        {"event_type": "payment", "payment_id": payment_id, "status": payment["status"]}
        for payment_id, payment in found.payments.items()
    ] + [{"event_type": "batch", "batch_id": source.batch_id, "status": "completed"}]
    found.alarms = [{"AlarmName": "payment-dead-letters-local", "NewStateValue": "ALARM"}]
    found.audited = dict.fromkeys(found.payments, "")
    return found


def _payment(status: str) -> dict[str, Any]:
    amount, currency = AMOUNTS.get(status, ("1.00", "USD"))
    return {"status": status, "amount": amount, "currency": currency}


def test_checks_when_all_is_well_then_name_nothing() -> None:
    assert checks.mismatches(RUN, perfect()) == []


def _charged_twice(found: Findings) -> None:
    found.charges = [*found.charges, found.charges[0]]


def _charged_too_much(found: Findings) -> None:
    found.charges = [dict(charge, amount=charge["amount"] + 1) for charge in found.charges]


def _stray_charge(found: Findings) -> None:
    found.charges = [*found.charges, {"payment_id": "pay_stray", "amount": 1}]


def _declined_is_charged(found: Findings) -> None:
    found.charges = [*found.charges, {"payment_id": "pay_9", "amount": 2000}]


def _row_missing(found: Findings) -> None:
    found.rows = [row for row in found.rows if row.line != 2]


def _other_outcome(found: Findings) -> None:
    found.rows = [replace(row, outcome="failed") if row.line == 3 else row for row in found.rows]


def _other_reason(found: Findings) -> None:
    found.rows = [replace(row, reason="no idea") if row.line == 17 else row for row in found.rows]


def _other_answer(found: Findings) -> None:
    found.answered[2] = replace(found.answered[2], http_status=202)


def _not_replayed(found: Findings) -> None:
    found.answered[1] = replace(found.answered[1], replayed=False)


def _no_batch(found: Findings) -> None:
    found.batch = None


def _card_number_repeated(found: Findings) -> None:
    found.result_files[ERRORS] = "4242 4242 4242 4242"


def _row_not_resubmitted(found: Findings) -> None:
    found.result_files[RESUBMIT] = "header\n"


def _audit_broken(found: Findings) -> None:
    found.audited["pay_2"] = "payment pay_2, entry 1 was changed"


def _event_missing(found: Findings) -> None:
    found.events = [event for event in found.events if event.get("payment_id") != "pay_2"]


def _batch_event_twice(found: Findings) -> None:
    found.events = [*found.events, found.events[-1]]


def _no_alarm(found: Findings) -> None:
    found.alarms = ()


def _not_authenticated(found: Findings) -> None:
    found.authenticated.clear()


def _only_the_event_before_it_authenticated(found: Findings) -> None:
    found.events = [
        dict(event, status="requires_action") if event.get("payment_id") == RUN.payment_id("auth") else event
        for event in found.events
    ]


def _gave_up(found: Findings) -> None:
    found.gave_up.append("gave up waiting for an outcome of pay_2")


def _another_alarm(found: Findings) -> None:
    found.alarms = [*found.alarms, {"AlarmName": "payment-api-5xx-local", "NewStateValue": "ALARM"}]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (_charged_twice, "charged 2 times"),
        (_charged_too_much, "charged 10000, submitted 99.99"),
        (_stray_charge, "pay_stray: charged at the gateway"),
        (_declined_is_charged, "pay_9: declined, but charged 1 times"),
        (_row_missing, "line 2: missing in the result files"),
        (_other_outcome, "line 3: failed"),
        (_other_reason, "line 17: the reason is 'no idea'"),
        (_other_answer, "answered 202, expected 409"),
        (_not_replayed, "not marked as replayed"),
        (_no_batch, "did not start"),
        (_card_number_repeated, "errors.csv contains a card number"),
        (_row_not_resubmitted, "resubmit.csv has 1 lines"),
        (_audit_broken, "entry 1 was changed"),
        (_event_missing, "pay_2: its event has status none"),
        (_batch_event_twice, "not received exactly once"),
        (_not_authenticated, "it had no next action"),
        (_only_the_event_before_it_authenticated, "its event has status requires_action, not succeeded"),
        (_no_alarm, "did not fire"),
        (_gave_up, "gave up waiting for an outcome of pay_2"),
        (_another_alarm, "payment-api-5xx-local fired"),
    ],
)
def test_checks_when_something_is_wrong_then_name_it(break_it: Callable[[Findings], None], message: str) -> None:
    found = perfect()
    break_it(found)
    assert any(message in mismatch for mismatch in checks.mismatches(RUN, found))
