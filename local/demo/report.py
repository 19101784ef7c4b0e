"""Prints the findings of the demonstration."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from local.demo.findings import Answered, Findings, RowOutcome
from local.demo.scenario import REFUSED, Run
from payctl import show as style
from payments.domain.money import Money

SHOWN_LINES = 4
"""The number of lines printed of each result file."""


def show(console: Console, this: Run, found: Findings, *, total_seconds: float, applied: Mapping[str, float]) -> None:
    """Print all tables, in order of time."""
    console.print()
    console.print(_requests(this, found))
    console.print(_rows(found))
    _files(console, found)
    console.print(_events(found))
    console.print(_charges(found))
    for payment_id, method in found.authenticated.items():
        done = f"{payment_id} required action, and its customer authenticated with its next_action ({method})"
        console.print(f"3-D Secure: {done}.", soft_wrap=True)
    proven = sum(not fault for fault in found.audited.values())
    console.print(f"Audit log: {proven} of {len(found.audited)} payments verify up to their last change.")
    times = ", ".join(f"{title} {seconds:.0f} s" for title, seconds in applied.items() if seconds >= 1)
    console.print(f"Time: {total_seconds:.0f} s ({times}).", style="dim", soft_wrap=True)


def verdict(console: Console, mismatches: Sequence[str]) -> None:
    """Print one line if everything is as expected, else one line per mismatch."""
    if not mismatches:
        console.print("\n✓ All results are as expected.", style="bold green")
        return
    console.print(f"\n✗ {len(mismatches)} results are not as expected:", style="bold red")
    for mismatch in mismatches:
        console.print(f"  {mismatch}", markup=False, soft_wrap=True)


def _table(title: str, **columns: str) -> Table:
    """A table. The value of each column is its alignment."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for name, justify in columns.items():
        table.add_column(name.replace("_", " "), justify=justify, overflow="fold")  # type: ignore[arg-type]
    return table


def _requests(this: Run, found: Findings) -> Table:
    table = _table(
        "Payments over REST", what="left", payment="left", amount="right", answer="left", status="left", reason="left"
    )
    for answered in found.answered:
        body = this.body(answered.call)
        payment = found.payments.get(body["payment_id"]) if answered.http_status == 202 else None
        table.add_row(
            answered.call.what,
            body["payment_id"],
            f"{body['amount']} {body['currency']}",
            _answer(answered),
            style.status(payment["status"]) if payment else Text("rejected", "red"),
            Text(style.reason(payment) if payment else answered.reason),
        )
    return table


def _answer(answered: Answered) -> str:
    return f"{answered.http_status} replayed" if answered.replayed else str(answered.http_status)


def _rows(found: Findings) -> Table:
    batch = found.batch
    name = f" {batch.source.key}: {batch.status}" if batch else ""
    table = _table(
        f"Rows of the file{name}", line="right", payment="left", amount="right", outcome="left", reason="left"
    )
    for row in found.rows:
        table.add_row(
            str(row.line),
            row.payment_id,
            row.amount,
            Text(REFUSED, "red") if row.outcome == REFUSED else style.status(row.outcome),
            Text(_reason(row)),
        )
    return table


def _reason(row: RowOutcome) -> str:
    submitted = f"already submitted, {row.already_submitted}" if row.already_submitted else ""
    return "; ".join(filter(None, (submitted, row.reason)))


def _files(console: Console, found: Findings) -> None:
    for name, content in found.result_files.items():
        lines = content.splitlines()
        key = found.batch.source.result_key(name) if found.batch else name
        console.print(Text(key, "bold"))
        for line in lines[:SHOWN_LINES]:
            console.print(Text(f"  {line}", "dim"), no_wrap=True, overflow="ellipsis")
        if len(lines) > SHOWN_LINES:
            console.print(Text(f"  … and {len(lines) - SHOWN_LINES} more lines", "dim"))


def _events(found: Findings) -> Table:
    table = _table("Events and alarms sent to subscribers", what="left", count="right")
    counts = Counter(event.get("event") or f"payment {event['status']}" for event in found.events)
    for what, count in sorted(counts.items()):
        table.add_row(what, str(count))
    for alarm in found.alarms:
        table.add_row(Text(f"{alarm['AlarmName']}: {alarm['NewStateValue']}", "yellow"), "1")
    return table


def _charges(found: Findings) -> Table:
    table = _table("Charged at the gateway", currency="left", charges="right", amount="right")
    by_currency: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for charge in found.charges:
        by_currency[charge["currency"].upper()].append(charge)
    for currency, charges in sorted(by_currency.items()):
        total = sum(charge["amount"] for charge in charges)
        table.add_row(currency, str(len(charges)), str(Money(total, currency)))
    return table
