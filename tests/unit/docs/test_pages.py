"""README and docs match the code: a comparison of their tables, links, commands and limits."""

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta
from itertools import chain, groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import ValidationError

from lib.dispatch_rate import dispatch_rate
from lib.monitoring.alarms import OLDEST_MESSAGE_SECONDS
from lib.settings import ENVIRONMENTS, MOST_MERCHANTS, RETENTION_DAYS, Environment, Settings
from payctl import show
from payctl.app import app
from payctl.exit_codes import OF_STATUS, PRECEDENCE
from payctl.failures import MEANING, Exit
from payments.adapters.dynamodb.events import KEPT
from payments.adapters.dynamodb.tables import (
    AUDIT_LOG,
    CONTROLS,
    CUSTOMERS,
    DENIED_ATTEMPTS,
    GATEWAY_EVENTS,
    LIMITS,
    PAYMENTS,
    PROCESSING_STATUS,
    REFUNDS,
    TOKENS,
    Key,
)
from payments.application.batch.csv_decoding import MAX_FILE_BYTES
from payments.application.batch.dispatch import LONGEST_BACKLOG_SECONDS
from payments.application.batch.file import MAX_ROWS
from payments.application.batch.records import MAX_LINES, MAX_RECORD_BYTES
from payments.application.batch.result_files import ERRORS, RESUBMIT, RESULTS
from payments.application.batch_breaker import PAYMENTS_UNTIL_PAUSE, REFUSALS_WINDOW
from payments.application.gateway_rate_limiter import LONGEST_SLEEP_SECONDS
from payments.application.replay import decide, decide_file
from payments.application.webhooks import KEPT_PARKED
from payments.domain.batch.state import Batch, BatchStatus, ResultRow, Source
from payments.domain.batch_breaker import BreakerState, PausedBy
from payments.domain.clock import iso
from payments.domain.errors import POLICIES, SUSPICIOUS_DECLINE_CODES, UNEXPECTED
from payments.domain.gateway_event import HANDLED
from payments.domain.gateway_slots import slot_length
from payments.domain.money import HIGHER_MAXIMUM, Money
from payments.domain.payment import FIELDS, MAX_DESCRIPTION, REQUIRED_FIELDS
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.statuses import TRANSITIONS, Status
from tests.infrastructure.test_boundaries import LAYERS
from tests.unit.builders import NOON, after, batch_payment

ROOT = Path(__file__).parents[3]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
ARCHITECTURE = DOCS / "architecture.md"
BATCH_FILES = DOCS / "batch-files.md"
GLOSSARY = DOCS / "glossary.md"
MAP = DOCS / "README.md"
PAYCTL = DOCS / "payctl.md"
RUNBOOKS = DOCS / "runbooks.md"
SETTINGS = DOCS / "settings.md"
TASKS = DOCS / "tasks.md"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
MAX_README_LINES = 220

_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_BASH = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


def table(page: Path, first_column: str, *, plain: bool = True) -> list[list[str]]:
    """The cells of the table whose header begins with this column, without the header.

    `plain` takes the outer backquotes off.
    """
    _, _, rest = page.read_text().partition(f"| {first_column} |")
    assert rest, f"{page.name} has no table that begins with {first_column}"
    rows = [
        [cell.strip() for cell in row.strip()[1:-1].split("|")] for row in rest.partition("\n\n")[0].splitlines()[2:]
    ]
    return [[cell.strip("`") for cell in row] for row in rows] if plain else rows


def words(cell: str) -> set[str]:
    """The backquoted texts in a cell without its outer backquotes."""
    return set(re.findall(r"[a-z_]{3,}", cell.replace("`", "")))


def bash(page: Path) -> str:
    """All bash blocks of a page, with continued lines joined."""
    return "\n".join(_BASH.findall(page.read_text())).replace("\\\n", " ")


# Settings ------------------------------------------------------------------------------------------------------------


def test_settings_table_lists_exactly_the_settings_with_their_defaults() -> None:
    documented = {row[0]: row[1] for row in table(SETTINGS, "Variable")}
    by_environment = {field.name for field in fields(Environment)}

    assert documented == {
        name.upper(): "by environment" if name in by_environment else str(field.default or "none")
        for name, field in Settings.model_fields.items()
    }
    assert all(field.default is None for name, field in Settings.model_fields.items() if name in by_environment)


def test_environments_table_when_read_then_it_is_the_one_of_the_code() -> None:
    header = "| By environment | " + " | ".join(ENVIRONMENTS) + " |"
    assert header in SETTINGS.read_text()

    assert table(SETTINGS, "By environment") == [
        [field.name.upper(), *(_shown(getattr(row, field.name)) for row in ENVIRONMENTS.values())]
        for field in fields(Environment)
    ]


def test_allowed_values_in_the_settings_table_are_those_of_the_code() -> None:
    allowed = {row[0]: row[2] for row in table(SETTINGS, "Variable")}
    ranges = {name: found[0] for name, cell in allowed.items() if (found := re.match(r"\d+ to \d+", cell))}
    choices = {name: cell for name, cell in allowed.items() if "`, `" in cell and cell != "true`, `false"}
    assert len(ranges) > 8
    assert len(choices) > 2

    for name, numbers in ranges.items():
        assert numbers in re.findall(r"\d+ to \d+", _refusal(name)), f"{name} accepts {_refusal(name)}"
    first, _, last = allowed["LOG_RETENTION_DAYS"].partition(" … ")
    assert (first, int(last)) == (", ".join(map(str, RETENTION_DAYS[:6])), RETENTION_DAYS[-1])
    for name, cell in choices.items():
        assert cell.split("`, `") == re.findall(r"'(\w+)'", _refusal(name).partition("[")[0])
    assert allowed["MERCHANTS"].startswith(f"up to {MOST_MERCHANTS} names")


def _refusal(name: str) -> str:
    """What the code says about a value that this setting never accepts."""
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({name.lower(): "?"})
    (problem,) = refused.value.errors()
    return problem["msg"]


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) or "none"


# Statuses, errors, tables --------------------------------------------------------------------------------------------


def test_statuses_table_matches_statuses_meanings_and_moves_in_the_code() -> None:
    meanings = _status_docstrings()
    rows = table(ARCHITECTURE, "Status")

    assert [row[0] for row in rows] == [status.value for status in Status]
    assert {row[0]: row[1] for row in rows} == meanings
    for status, _, moves in rows:
        targets = TRANSITIONS[Status(status)]
        assert moves == "none: final" if not targets else words(moves) == {target.value for target in targets}


def _status_docstrings() -> dict[str, str]:
    """Status → the sentence below it in the code."""
    tree = ast.parse((ROOT / "lambda_src" / "payments" / "domain" / "statuses.py").read_text())
    (body,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef)]
    return {
        ast.literal_eval(member.value): ast.literal_eval(prose.value)
        for member, prose in pairwise(body)
        if isinstance(member, ast.Assign) and isinstance(prose, ast.Expr)
    }


def test_error_table_matches_the_one_the_workflow_is_built_from() -> None:
    named = [(error.__name__, policy) for error, policy in POLICIES.items()] + [("anything else", UNEXPECTED)]

    assert table(ARCHITECTURE, "Error") == [
        [name, "none: an answer", "", policy.status.value]
        if policy.is_answer
        else [
            name,
            f"for {int(RecoveryTimeouts().deadline / timedelta(hours=1))} hours"
            if policy.waits_as_requested
            else str(policy.max_attempts),
            f"as Stripe asks, at least from {policy.interval_seconds} s to {policy.max_delay_seconds} s"
            if policy.waits_as_requested
            else f"from {policy.interval_seconds} s, at most {policy.max_delay_seconds} s",
            policy.status.value,
        ]
        for name, policy in named
    ]


def test_tables_when_read_then_keys_and_indexes_are_those_of_the_code() -> None:
    def shown(key: Key) -> str:
        return ", ".join(f"`{name}`" for name in key.attributes)

    documented = {row[0]: (row[1], row[2]) for row in table(ARCHITECTURE, "Table", plain=False)}
    assert documented == {
        f"`{known.name}`": (
            shown(known.key),
            ", ".join(
                f"`{name}` ({shown(key)}{'; keys only' if name in known.keys_only else ''})"
                for name, key in known.indexes.items()
            ),
        )
        for known in (
            PAYMENTS,
            REFUNDS,
            PROCESSING_STATUS,
            AUDIT_LOG,
            DENIED_ATTEMPTS,
            CUSTOMERS,
            GATEWAY_EVENTS,
            TOKENS,
            LIMITS,
            CONTROLS,
        )
    }
    assert f"dropped after {KEPT.days} days (`{GATEWAY_EVENTS.expires}`)" in ARCHITECTURE.read_text()


# Recovery ------------------------------------------------------------------------------------------------------------


def test_waits_when_read_then_they_are_those_of_the_code() -> None:
    rows = table(ARCHITECTURE, "Wait")
    restarted = [_units_until_due(status, restarts=0) for status in ("unknown", "processing", "requires_action")]
    longest = [_units_until_due(status, restarts=9) for status in ("unknown", "requires_action")]
    one = RecoveryTimeouts(timedelta(seconds=1))
    ends = [int(wait.total_seconds()) for wait in (one.proof, one.authentication, one.overdue, one.pause_reminder)]

    assert [int(units) for _, units, _ in rows] == [*restarted, *longest, *ends]
    assert all(_duration(wait) == int(units) * RecoveryTimeouts().unit for _, units, wait in rows)
    assert {row.patience_seconds for name, row in ENVIRONMENTS.items() if name != "local"} == {300}
    assert RecoveryTimeouts().unit == timedelta(seconds=300)


def _units_until_due(status: str, *, restarts: int) -> int:
    """The units after which recovery restarts a payment in a status."""
    payment = replace(after(batch_payment(), Status.PROCESSING, Status(status)), restarts=restarts)
    one = RecoveryTimeouts(timedelta(minutes=1))
    return next(units for units in range(100) if one.is_due(payment, NOON + units * one.unit))


def _duration(text: str) -> timedelta:
    number, unit = text.replace("an hour", "1 hours").replace("a day", "1 days").split()
    return timedelta(**{unit: int(number)})


def test_event_types_in_the_docs_are_those_that_are_handled() -> None:
    assert [row[0] for row in table(TASKS, "Event type")] == [*HANDLED]


NUMBERS = {1: "one", 2: "two", 3: "three", 5: "five", 7: "seven", 8: "eight"}
ORDINALS = {3: "third"}


def test_backpressure_and_breaker_numbers_match_the_code() -> None:
    architecture, runbooks = (" ".join(page.read_text().split()) for page in (ARCHITECTURE, RUNBOOKS))
    minutes = NUMBERS[int(REFUSALS_WINDOW / timedelta(minutes=1))]

    third = f"With the {ORDINALS[PAYMENTS_UNTIL_PAUSE]} refused payment in {minutes} minutes"
    assert f"{third} it pauses the breaker" in architecture
    assert f"{third} the batch breaker pauses" in runbooks
    assert f"more than {NUMBERS[int(LONGEST_SLEEP_SECONDS)]} seconds off" in architecture
    assert f"more than {LONGEST_BACKLOG_SECONDS} seconds ahead" in architecture
    assert f"given up after {NUMBERS[KEPT_PARKED.days]} days" in architecture
    assert set(re.findall(r"`(\w+)`", runbooks)) >= SUSPICIOUS_DECLINE_CODES


def test_rate_in_the_docs_is_the_one_of_the_code() -> None:
    architecture, runbooks = (" ".join(page.read_text().split()) for page in (ARCHITECTURE, RUNBOOKS))
    rates, slots, dispatchers = [], [], []
    assert ENVIRONMENTS["dev"].gateway_rate_per_second == ENVIRONMENTS["prod"].gateway_rate_per_second == 25
    for row in (ENVIRONMENTS["prod"], replace(ENVIRONMENTS["prod"], gateway_rate_per_second=100)):
        dispatchers_of_it = dispatch_rate(row)
        slot = slot_length(row.gateway_rate_per_second, row.gateway_reserve_percent)
        slots.append(round(timedelta(seconds=1) / slot))
        rates.append(round(dispatchers_of_it.concurrency / float(dispatchers_of_it.seconds)))
        dispatchers.append(dispatchers_of_it.concurrency)
    in_time = [f"{rate * OLDEST_MESSAGE_SECONDS:,}" for rate in slots]

    default, granted = slots
    assert f"{rates[0]} payments a second by {dispatchers[0]} dispatchers" in architecture
    assert f"{rates[1]} a second, if Stripe grants that, by {dispatchers[1]}" in architecture
    assert f"more than there are slots, {default} and {granted} a second" in architecture
    assert f"{default} payments a second by default, and {granted} with a rate of 100" in runbooks
    assert f"{' and '.join(in_time)} rows" in runbooks
    settings = " ".join(SETTINGS.read_text().split())
    assert f"a file of a million rows takes {1_000_000 // (default * 3600)} hours" in settings
    assert f"with {rates[1]} the file takes {1_000_000 // (granted * 3600)} hours" in settings


def test_breaker_states_in_the_docs_are_those_that_payctl_prints() -> None:
    running = show.breaker(BreakerState()).plain
    paused = show.breaker(BreakerState(PausedBy.GATEWAY)).plain

    assert f"`payctl breaker status` says `{running}`" in RUNBOOKS.read_text()
    assert f"It is either `{paused}` or `{running}`" in GLOSSARY.read_text()


A_FILE = Source("files", "incoming/may.csv", "v1", "etag", 9)

REFUSALS = {
    decide(payment_id, payment, breaker, started=True).why
    for payment_id, payment, breaker in (
        ("", None, BreakerState()),
        ("pay_1", None, BreakerState()),
        ("pay_1", batch_payment(), BreakerState(PausedBy.GATEWAY, "the key was rejected", iso(NOON))),
        *(("pay_1", replace(batch_payment(), status=status), BreakerState()) for status in Status),
    )
} | {decide_file(Batch("batch_1", A_FILE, BatchStatus.PROCESSING, iso(NOON), iso(NOON)), NOON).why}
"""Everything that a replay says about a message or a file that it does not start from the beginning."""


def test_refusals_of_a_replay_in_the_runbook_are_those_that_it_prints() -> None:
    _, _, rest = RUNBOOKS.read_text().partition("The replay says why it refuses a message:\n\n")
    quotes = [
        quote.removesuffix("…").strip()
        for line in rest.partition("\n\n")[0].splitlines()
        for quote in re.findall(r"\*([^*]+)\*", line.partition(":")[0])
    ]

    assert len(quotes) > 5
    assert [quote for quote in quotes if not any(quote in why for why in REFUSALS)] == []


# The batch file, payctl, logs ----------------------------------------------------------------------------------------


def test_columns_when_read_then_they_are_those_of_the_batch_file() -> None:
    assert [tuple(row[:2]) for row in table(BATCH_FILES, "Column")] == [
        (name, "required" if name in REQUIRED_FIELDS else "optional") for name in FIELDS
    ]


def test_result_files_when_read_then_their_columns_are_those_written() -> None:
    documented = {
        row[0]: [re.sub(r"[` ]|\(.*\)", "", cell) for cell in row[2].split(",")] for row in table(BATCH_FILES, "File")
    }

    assert documented.keys() == {RESULTS, ERRORS, RESUBMIT}
    assert documented[RESULTS] == [field.name for field in fields(ResultRow)]
    assert documented[ERRORS] == ["line", "column", "payment_id", "value", "reason", "what_to_do"]


def test_limits_when_read_then_they_are_those_of_the_code() -> None:
    rows, lines = f"at most {MAX_ROWS:,} rows", f"{MAX_LINES:,} lines with the blank ones"
    limits = f"{rows}, {lines}, {MAX_RECORD_BYTES // 1024} KiB a row, {MAX_FILE_BYTES // 1024**3} GiB of text"

    assert limits in BATCH_FILES.read_text()
    assert f"at most {MAX_DESCRIPTION} characters" in BATCH_FILES.read_text()


def test_exit_codes_in_the_docs_are_those_of_payctl() -> None:
    documented = {int(code): (meaning, words(statuses)) for code, meaning, statuses in table(PAYCTL, "Exit code")}

    assert documented == {
        code.value: (meaning, {status for status in OF_STATUS if OF_STATUS[status] is code})
        for code, meaning in MEANING.items()
    }


def test_every_exit_code_has_a_meaning_and_stands_in_the_readme_of_payctl() -> None:
    assert [*MEANING] == [*Exit]
    order = ", ".join(str(code.value) for code in PRECEDENCE[:-1])
    assert f"the first of {order} and {PRECEDENCE[-1].value}" in PAYCTL.read_text()


def test_log_messages_table_matches_what_the_handlers_write() -> None:
    documented = {}
    for functions, messages, _ in table(RUNBOOKS, "Function"):
        for place, function in enumerate(functions.split(", ")):
            texts = [text.strip("` ") for text in re.split(r"`, `", messages)]
            # "validate, charge": the messages stand in the same order as the functions
            documented[function] = {texts[place]} if ", " in functions else set(texts)

    assert documented == {path.stem: _logged(path) for path in _handlers()}


def _handlers() -> list[Path]:
    return [path for path in (ROOT / "lambda_src" / "handlers").glob("*.py") if path.stem != "__init__"]


def _logged(handler: Path) -> set[str]:
    messages = [
        node.args[0]
        for node in ast.walk(ast.parse(handler.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"log.info", "log.warning", "log.error", "log.exception"}
    ]
    either = chain.from_iterable([m.body, m.orelse] if isinstance(m, ast.IfExp) else [m] for m in messages)
    return {str(message.value) for message in either if isinstance(message, ast.Constant)}


# Layers, runbooks, the map ------------------------------------------------------------------------------------------


def test_import_table_when_read_then_it_is_the_one_that_is_tested() -> None:
    documented = {
        layer: (set(re.findall(r"`(\w+)`", layers)), set(re.findall(r"`(\w+)`", packages)))
        for layer, layers, packages in table(ARCHITECTURE, "Layer", plain=False)
    }

    assert documented == {f"`{name}`": (set(layer.layers), set(layer.packages)) for name, layer in LAYERS.items()}


def test_runbook_of_each_alarm_has_the_parts_cause_look_do_and_over_when() -> None:
    _, _, entries = RUNBOOKS.read_text().partition("\n## Alarms\n")
    _, *alarms = re.split(r"^### ", entries, flags=re.MULTILINE)
    assert len(alarms) > 10

    for alarm in alarms:
        parts = re.findall(r"^\*\*(Cause|Look|Do|Over when)\b", alarm, re.MULTILINE)
        assert [part for part, _ in groupby(parts)] == ["Cause", "Look", "Do", "Over when"], alarm.partition("\n")[0]


def test_map_when_read_then_it_lists_every_page() -> None:
    listed = re.findall(r"^\| \[([\w-]+\.md)\]", MAP.read_text(), re.MULTILINE)

    assert sorted(listed) == [page.name for page in PAGES[1:] if page != MAP]


def test_readme_when_counted_then_it_is_short_and_links_to_every_page() -> None:
    text = README.read_text()

    assert len(text.splitlines()) <= MAX_README_LINES
    assert [page.name for page in PAGES[1:] if f"(docs/{page.name}" not in text] == []


# Links and commands --------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _CODE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_when_followed_then_file_and_heading_are_there(page: Path) -> None:
    links = [link for link in _LINK.findall(_CODE.sub("", page.read_text())) if "://" not in link]
    assert links

    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_paths_when_named_in_docs_then_they_are_there() -> None:
    folders = "api|bin|docs|fakes|lambda_src|lib|local|payctl|simulation|tests|tools"
    for page in PAGES:
        for path in re.findall(rf"`((?:{folders})/[\w./-]+)`", page.read_text()):
            assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_make_targets_when_named_then_the_makefile_has_them() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target for page in PAGES for target in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }

    assert {"demo", "test", "up", "down"} <= named <= targets


def payctl_commands() -> Iterator[list[str]]:
    """The words of every `payctl …` command in the docs, after its name."""
    for page in PAGES:
        commands = re.sub(r"\$\(date [^)]*\)", "DAY", bash(page))
        for command in re.findall(r"^(?:.*\$\()?bin/payctl ([^|;)\n]+)", commands, re.MULTILINE):
            yield shlex.split(command)
        for command in re.findall(r"`payctl ([^`]+)`", _CODE.sub("", page.read_text())):
            yield shlex.split(command)


def test_payctl_commands_when_read_then_command_and_options_exist() -> None:
    commands = list(payctl_commands())
    payctl = typer.main.get_command(app)
    assert len(commands) > 30

    for words_of_it in commands:
        command: Any = payctl
        rest = list(words_of_it)
        while hasattr(command, "commands") and rest:
            assert rest[0] in command.commands, f"payctl {' '.join(words_of_it)}"
            command = command.commands[rest.pop(0)]
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in rest if word.startswith("-")} <= known, f"payctl {' '.join(words_of_it)}"


def test_amounts_table_lists_the_currencies_with_a_higher_maximum() -> None:
    listed = {currency: row[1] for row in table(DOCS / "api.md", "In") for currency in row[0].split(", ")}

    assert listed == {currency: str(Money(most, currency).decimal) for currency, most in HIGHER_MAXIMUM.items()}


# Guarantees ----------------------------------------------------------------------------------------------------------

GUARANTEES = ROOT / "docs" / "guarantees.md"
FAULTS_OF_THIS_RELEASE = (*range(1, 49), *range(50, 77), 78, 79, *range(80, 83), 84, *range(86, 92))
"""83 and 85 are about disputes."""
_FAULT_MARK = re.compile(r"pytest\.mark\.fault\(([^()]*(?:\([^()]*\))?)\)")


def _fault_tests() -> dict[int, set[str]]:
    """Fault → the folders of tests/ that have a test marked with its number."""
    found: dict[int, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for arguments in _FAULT_MARK.findall(path.read_text()):
            begins, _, ends = arguments.removeprefix("*range(").rstrip(")").partition(", ")
            marked = arguments.startswith("*range(")
            numbers = range(int(begins), int(ends)) if marked else map(int, arguments.split(", "))
            for fault in numbers:
                found.setdefault(fault, set()).add(path.relative_to(ROOT / "tests").parts[0])
    return found


def test_fault_table_when_read_then_each_fault_has_the_tests_it_names() -> None:
    documented = {int(row[0]): set(row[3].split(", ")) for row in table(GUARANTEES, "Fault")}
    named = _fault_tests()

    assert documented == {fault: named.get(fault, set()) for fault in FAULTS_OF_THIS_RELEASE}


def test_guarantees_when_they_name_invariants_then_the_simulation_has_them() -> None:
    from simulation.invariants import AT_EVERY_WRITE, AT_REST

    page = GUARANTEES.read_text().replace("\n", " ")
    known = {*AT_EVERY_WRITE, *AT_REST, "charged once", "intent before effect"}
    documented = set(re.findall(r"`([a-z]+(?: [a-z]+)+)`", page)) - {"make bench", "payctl audit verify"}
    assert documented <= known
    assert {"charged once", "all settled", "audited"} <= {*documented, *re.findall(r"`(audited)`", page)}
