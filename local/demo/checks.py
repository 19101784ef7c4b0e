"""Compares the demonstration's findings with the scenario, and with the rules that always hold for money."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from local.demo.findings import Findings
from local.demo.scenario import CALLS, REFUSED, ROWS, Expected, Run
from payments.adapters.stripe.amounts import stripe_amount
from payments.application.batch.result_files import RESUBMIT
from payments.domain.card_data import card_number_in
from payments.domain.money import Money
from payments.domain.statuses import CAPTURED


def mismatches(this: Run, found: Findings) -> list[str]:
    """Every difference from the expected result, one sentence each. First the waits that ended without a result."""
    return [
        *found.gave_up,
        *_calls(this, found),
        *_rows(found),
        *_batch(found),
        *_charges(found),
        *_audit(found),
        *_events(found),
        *_alarm(found),
    ]


def _calls(this: Run, found: Findings) -> Iterator[str]:
    if len(found.answered) != len(CALLS):
        yield f"only {len(found.answered)} of {len(CALLS)} requests were answered"
    for answered in found.answered:
        call = answered.call
        name = f"request {call.what!r}"
        if answered.http_status != call.http_status:
            yield f"{name}: answered {answered.http_status}, expected {call.http_status}. {answered.reason}"
        if answered.replayed != call.replayed:
            yield f"{name}: {'' if answered.replayed else 'not '}marked as replayed"
        payment = found.payments.get(this.body(call)["payment_id"])
        status = payment["status"] if payment else ""
        given = payment.get("reason", {}) if payment else {}
        reason = answered.reason or f"{given.get('message', '')} ({given.get('code', '')})"
        yield from _differs(name, call.expected, status, reason)
        if call.authenticates and this.body(call)["payment_id"] not in found.authenticated:
            yield f"{name}: it had no next action for its customer"


def _rows(found: Findings) -> Iterator[str]:
    outcomes = {row.line: row for row in found.rows}
    for line in sorted(ROWS.keys() | outcomes.keys()):
        row = outcomes.get(line)
        if row is None:
            yield f"line {line}: missing in the result files"
        elif line not in ROWS:
            yield f"line {line}: this row was not uploaded, but it has a result: {row.outcome}"
        else:
            yield from _differs(f"line {line}", ROWS[line], row.outcome, row.reason)


def _differs(name: str, expected: Expected, outcome: str, reason: str) -> Iterator[str]:
    if outcome != expected.outcome:
        yield f"{name}: {outcome or 'no payment'} ({reason}), expected {expected.outcome or 'no payment'}"
    elif expected.says not in reason:
        yield f"{name}: the reason is {reason!r}, expected it to contain {expected.says!r}"


def _batch(found: Findings) -> Iterator[str]:
    if not found.batch:
        yield "processing of the uploaded file did not start"
        return
    read = found.batch.progress
    refused = sum(expected.outcome == REFUSED for expected in ROWS.values())
    if (read.rows_read, read.rows_rejected, read.rows_accepted) != (len(ROWS), refused, len(ROWS) - refused):
        yield f"the batch's totals are wrong: {read}, status {found.batch.status}"
    failed = sum(expected.outcome == "failed" for expected in ROWS.values())
    resubmit = found.result_files.get(RESUBMIT, "")
    if len(resubmit.splitlines()) != refused + failed + 1:
        yield f"resubmit.csv has {len(resubmit.splitlines())} lines, expected the header and {refused + failed} rows"
    for name, content in found.result_files.items():
        if card_number_in(content):
            yield f"{name} contains a card number"


def _charges(found: Findings) -> Iterator[str]:
    """A captured payment has exactly one charge, of its amount. No other charge exists."""
    times = Counter(charge["payment_id"] for charge in found.charges)
    for payment_id, payment in found.payments.items():
        expected = int(payment["status"] in CAPTURED)
        if times[payment_id] != expected:
            yield f"{payment_id}: {payment['status']}, but charged {times[payment_id]} times"
    for charge in found.charges:
        charged = found.payments.get(charge["payment_id"])
        if charged is None:
            yield f"{charge['payment_id']}: charged at the gateway, but this payment was not submitted"
        elif stripe_amount(Money.parse(charged["amount"], charged["currency"])) != charge["amount"]:
            yield f"{charge['payment_id']}: charged {charge['amount']}, submitted {charged['amount']}"


def _audit(found: Findings) -> Iterator[str]:
    for payment_id, fault in found.audited.items():
        if fault:
            yield f"{payment_id}: audit log: {fault}"


def _events(found: Findings) -> Iterator[str]:
    statuses: dict[str, set[str]] = defaultdict(set)  # a payment that required action has two events, in any order
    for event in found.events:
        if event["event_type"] == "payment":
            statuses[event["payment_id"]].add(event["status"])
    for payment_id, payment in found.payments.items():
        if payment["status"] not in statuses[payment_id]:
            had = ", ".join(sorted(statuses[payment_id])) or "none"
            yield f"{payment_id}: its event has status {had}, not {payment['status']}"
    batch_id = found.batch.batch_id if found.batch else ""
    if [event["batch_id"] for event in found.events if event["event_type"] == "batch"] != [batch_id]:
        yield "the batch's event with its totals was not received exactly once"


def _alarm(found: Findings) -> Iterator[str]:
    firing = [alarm["AlarmName"] for alarm in found.alarms if alarm["NewStateValue"] == "ALARM"]
    if not any(name.startswith("payment-dead-letters-") for name in firing):
        yield "the alarm for the message in the dead-letter queue did not fire"
    for name in firing:
        if not name.startswith("payment-dead-letters-"):
            yield f"the alarm {name} fired unexpectedly"
