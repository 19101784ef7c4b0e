"""The metrics of functions: lines in CloudWatch's embedded format, one an invocation."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from payments.adapters.dynamodb.instrumented_payments import InstrumentedPaymentStore
from payments.adapters.dynamodb.tables import PAYMENTS
from payments.application.record import record
from payments.domain.outcome import Outcome
from payments.domain.statuses import Status
from payments.observability import metrics
from payments.observability.metrics import (
    ENTRANCES,
    NAMESPACE,
    OUTCOMES,
    PAYMENT_LATENCY,
    PAYMENTS_ACCEPTED,
    PAYMENTS_HELD,
    PAYMENTS_OVERDUE,
    STEP_LATENCY,
    STEPS,
    count,
    note_outcome,
    timed,
)
from tests.moto_tables import aws_in_memory, create_table
from tests.unit.builders import NOON, after, payment

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """The environment that metrics are counted for."""
    metrics._metrics.cache_clear()
    with patch.dict("os.environ", {"ENVIRONMENT_SUFFIX": "test"}):
        yield
    metrics._metrics.cache_clear()


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines that were printed, parsed."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def definitions(line: dict[str, Any]) -> tuple[dict[str, str], list[str], set[str]]:
    """Metric → unit, the names of its dimensions, and the namespaces of a line."""
    groups = line["_aws"]["CloudWatchMetrics"]
    ((dimensions,),) = [group["Dimensions"] for group in groups]
    units = {metric["Name"]: metric["Unit"] for group in groups for metric in group["Metrics"]}
    return units, dimensions, {group["Namespace"] for group in groups}


def test_count_without_a_step_has_only_the_environment_dimension(
    capsys: pytest.CaptureFixture[str],
) -> None:
    count(PAYMENTS_OVERDUE, 3)

    (line,) = printed(capsys)
    assert (line[PAYMENTS_OVERDUE], line["service"]) == ([3], "test")
    assert definitions(line) == ({PAYMENTS_OVERDUE: "Count"}, ["service"], {NAMESPACE})


def test_count_with_a_step_does_not_leak_it_into_the_next_count(
    capsys: pytest.CaptureFixture[str],
) -> None:
    count(PAYMENTS_ACCEPTED, 2, step="split")
    count(PAYMENTS_OVERDUE)

    accepted, overdue = printed(capsys)
    assert (accepted[PAYMENTS_ACCEPTED], accepted["step"]) == ([2], "split")
    assert "step" not in overdue
    assert definitions(overdue)[1] == ["service"]


def test_step_writes_one_line_with_its_latency_and_noted_outcome(
    capsys: pytest.CaptureFixture[str],
) -> None:
    times = iter([10.0, 10.25])
    with timed("record", lambda: next(times)):
        note_outcome(
            after(payment(), Status.PROCESSING, Status.SUCCEEDED, at=NOON + timedelta(seconds=2, milliseconds=5))
        )

    (line,) = printed(capsys)
    assert (line[STEP_LATENCY], line["step"]) == ([250], "record")
    assert (line[OUTCOMES[Status.SUCCEEDED]], line[PAYMENT_LATENCY]) == ([1], [2005])
    units, dimensions, _ = definitions(line)
    assert (units[STEP_LATENCY], units[PAYMENT_LATENCY]) == ("Milliseconds", "Milliseconds")
    assert set(dimensions) == {"service", "step"}


def test_step_when_it_fails_then_its_time_is_printed_nevertheless(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LookupError), timed("charge"):
        raise LookupError

    (line,) = printed(capsys)
    assert line[STEP_LATENCY][0] >= 0


@pytest.mark.parametrize("status", OUTCOMES)
def test_outcome_is_counted_once_and_timed_unless_unknown(status: Status, capsys: pytest.CaptureFixture[str]) -> None:
    with timed("record"):
        before = [] if status is Status.REJECTED else [Status.PROCESSING]
        note_outcome(after(payment(), *before, status))

    (line,) = printed(capsys)
    assert {name: line[name] for name in OUTCOMES.values() if name in line} == {OUTCOMES[status]: [1]}
    assert (PAYMENT_LATENCY in line) is (status is not Status.UNKNOWN)


@pytest.mark.parametrize(
    "way",
    [
        [Status.PROCESSING],
        [Status.PROCESSING, Status.PENDING],
        [Status.PROCESSING, Status.REQUIRES_ACTION],
        [Status.PROCESSING, Status.IN_REVIEW],
        [Status.PROCESSING, Status.SUCCEEDED, Status.REFUNDED],
        [Status.PROCESSING, Status.SUCCEEDED, Status.DISPUTED, Status.SUCCEEDED],
    ],
    ids=lambda way: way[-1] if len(way) < 4 else "dispute won",
)
def test_outcome_is_not_counted_when_absent_or_counted_before(
    way: list[Status], capsys: pytest.CaptureFixture[str]
) -> None:
    with timed("record"):
        note_outcome(after(payment(), *way))

    (line,) = printed(capsys)
    assert set(definitions(line)[0]) == {STEP_LATENCY}


def test_outcome_when_it_is_recorded_twice_then_it_is_counted_once(capsys: pytest.CaptureFixture[str]) -> None:
    with aws_in_memory():
        store = InstrumentedPaymentStore(create_table(PAYMENTS), PAYMENTS.name, saved=note_outcome)
        store.create(payment(method=""))
        store.save(after(payment(method=""), Status.PROCESSING))
        for _ in range(2):
            with timed("record"):
                record("pay_1", Outcome(Status.DECLINED, "card_declined"), store=store, clock=lambda: NOON)

    first, second = printed(capsys)
    assert first[OUTCOMES[Status.DECLINED]] == [1]
    assert OUTCOMES[Status.DECLINED] not in second


def test_accepted_counts_a_repeated_payment_once() -> None:
    counted: list[str] = []
    with aws_in_memory():
        store = InstrumentedPaymentStore(
            create_table(PAYMENTS), PAYMENTS.name, created=lambda row: counted.append(row.payment_id)
        )
        store.create(payment(method=""))
        with pytest.raises(Exception, match="exists"):
            store.create(payment(method=""))

    assert counted == ["pay_1"]


def test_costs_page_states_the_number_of_metrics_in_the_code() -> None:
    page = " ".join((ROOT / "docs" / "costs.md").read_text().split())
    numbers = {2: "two", 4: "four", 5: "five", 21: "twenty-one"}
    of_alarms = {value for name, value in vars(metrics).items() if name.isupper() and isinstance(value, str)} - {
        NAMESPACE,
        PAYMENTS_ACCEPTED,
        STEP_LATENCY,
        PAYMENT_LATENCY,
    }

    assert (
        f"{numbers[len(ENTRANCES)]} for accepted payments, {numbers[len(OUTCOMES)]} for outcomes, "
        f"{numbers[len(STEPS)]} for the steps' latencies, one from accepted to outcome, "
        f"and {numbers[len(of_alarms)]} that alarms watch"
    ) in page


def test_hold_of_a_fraud_rule_is_counted_once_and_a_conflict_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    row = replace(payment(), hold="card_testing")
    held = after(row, Status.IN_REVIEW, code="card_testing")
    for seen in (held, after(held, Status.PENDING), after(payment(), Status.IN_REVIEW, code="amount_differs")):
        with timed("record"):
            note_outcome(seen)

    assert [line.get(PAYMENTS_HELD) for line in printed(capsys)] == [[1], None, None]
