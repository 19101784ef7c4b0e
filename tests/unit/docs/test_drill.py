"""The drill against the runbooks and the table of alarms: every alarm has an incident, or a reason why not."""

import re
from types import SimpleNamespace
from typing import Any

from lib.monitoring.alarms import Alarm, alarms
from lib.package import ROOT
from lib.settings import Settings
from payments.domain.deadline import MISSED
from payments.domain.outcome import NOT_CHARGED, TOO_MANY_ATTEMPTS
from tests.e2e.oncall.incidents import CUSTOMER, INCIDENTS, NOT_DRILLED, OTHER_PAYMENT, PAYMENT
from tests.e2e.oncall.scene import RUNBOOKS, commands_of

ANY: Any = SimpleNamespace(name="a-name", arn="an-arn")
TABLE: list[Alarm] = alarms(
    Settings(),
    [SimpleNamespace(label=label, name=label) for label in ("api", "charge", "sweep")],  # type: ignore[misc]
    SimpleNamespace(queue=ANY, dead_letters=ANY),  # type: ignore[arg-type]
    ANY,
    SimpleNamespace(rest_api=ANY),  # type: ignore[arg-type]
)
ENTRIES = {alarm.runbook or alarm.name for alarm in TABLE}


def test_alarm_when_in_the_table_then_it_has_an_incident_or_a_reason() -> None:
    drilled = [incident.heading for incident in INCIDENTS]

    assert sorted([*drilled, *NOT_DRILLED]) == sorted(ENTRIES)
    assert {incident.alarm for incident in INCIDENTS} <= {alarm.name for alarm in TABLE}
    assert all(NOT_DRILLED.values())


def test_entries_of_the_runbooks_are_those_of_the_alarms() -> None:
    _, _, entries = RUNBOOKS.read_text().partition("\n## Alarms\n")

    assert sorted(re.findall(r"^### (.+)$", entries, re.MULTILINE)) == sorted(ENTRIES)


def test_entry_of_failed_payments_names_each_code_that_they_may_have() -> None:
    _, _, entry = RUNBOOKS.read_text().partition("\n### payments-failed\n")
    named = re.findall(r"^- \*([a-z_]+)\*:", entry.partition("\n### ")[0], re.MULTILINE)

    assert sorted(named) == sorted([MISSED, NOT_CHARGED, TOO_MANY_ATTEMPTS])


def test_code_of_a_failed_payment_is_decided_in_these_places_only() -> None:
    steps = {path.name: path.read_text() for path in (ROOT / "lambda_src/payments/application").rglob("*.py")}
    decided = re.compile(r"Status\.FAILED,\n *([A-Z_]+),|else Status\.FAILED\n *return Outcome\(\n *status, ([A-Z_]+)")
    codes = {name: ["".join(found) for found in decided.findall(text)] for name, text in steps.items()}

    assert {name: found for name, found in codes.items() if found} == {
        "charge.py": ["TOO_MANY_ATTEMPTS", "NOT_CHARGED"],
        "hold.py": ["MISSED"],
    }


def test_alarm_when_its_threshold_is_shortened_then_to_a_tenth() -> None:
    thresholds = {alarm.name: alarm.threshold for alarm in TABLE}

    for incident in INCIDENTS:
        assert incident.threshold in (None, thresholds[incident.alarm] / 10), incident.alarm


def test_placeholders_in_the_entries_are_those_that_incidents_name() -> None:
    for heading in ENTRIES:
        for block in commands_of(heading):
            named = set(re.findall(r"\b(?:pay|cus)_\w*\d\w*", block.script))
            assert named <= {PAYMENT, OTHER_PAYMENT, CUSTOMER}, heading


def test_short_form_has_two_to_four_incidents() -> None:
    assert 2 <= len([incident for incident in INCIDENTS if incident.short]) <= 4
