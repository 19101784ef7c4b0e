"""The story of one payment: what every part of the system knows of it, in the order of time.

Each source is asked for itself. One that the operator may not read, or that does not answer, says so, and the others
go on.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import Any

from payctl import at_gateway, batch_files, executions, logs, ports, show
from payctl.at_gateway import GatewaySays
from payctl.dead_letters import DeadLetterQueue, reasons
from payctl.failures import Failure, from_boto3
from payctl.stack import Stack
from payctl.what_now import Facts, what_now
from payments.application.review import decision_on, execution_suffix_of
from payments.domain.audit_chain import AuditBroken, AuditEntry, verify
from payments.domain.batch_breaker import BreakerState
from payments.domain.clock import iso, parse_iso, utc_now
from payments.domain.gateway_event import EventState, GatewayEvent
from payments.domain.payment import Change, Payment

LOG_FIELDS = ("status", "version", "wait_seconds", "code", "reason", "type", "state", "replayed")
"""What a log line is shown with, beside its message."""
AFTERWARDS = timedelta(hours=1)
"""How long after its last change log lines of a payment are looked for: searching costs time and money."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened, or stands so now: when (UTC), where, what."""

    at: str
    where: str
    what: str


@dataclass
class Timeline:
    """All that was found about a payment. `unavailable` says which source did not tell, and why."""

    stack: Stack
    payment_id: str
    payment: Payment | None = None
    reference: str = ""
    entries: list[AuditEntry] = field(default_factory=list)
    audit_problem: str = ""
    events: list[GatewayEvent] = field(default_factory=list)
    dead_letter: bool = False
    started: bool = False
    lane: BreakerState = field(default_factory=BreakerState)
    says: GatewaySays | None = None
    timeline_entries: list[Entry] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)

    def what_now(self) -> list[str]:
        """What happens next, and what a person has to do."""
        if self.payment is None:
            if "payments table" in self.unavailable:
                return ["The payments table could not be read: how the payment stands is not known."]
            return ["It has no row: it was never accepted here, or its row was lost. Nothing here will charge it."]
        return what_now(
            Facts(
                self.payment,
                ports.timeouts(self.stack),
                self.lane,
                self.dead_letter,
                self.started,
                self.says,
                self.audit_problem,
                any(event.state is EventState.CONTRADICTS for event in self.events),
            )
        )


def told(stack: Stack, payment_id: str, *, ask_gateway: bool) -> Timeline:
    """Ask every source. What fails at one is noted, with what it told before."""
    timeline = Timeline(stack, payment_id)
    sources = {name: source for name, source in SOURCES.items() if ask_gateway or name != "gateway"}
    for name in show.progress("asking everywhere", list(sources)):
        try:
            timeline.timeline_entries += sources[name](timeline)
        except Failure as failure:
            timeline.unavailable[name] = failure.message
        except Exception as error:
            problem = from_boto3(error)
            if problem is None:
                raise
            timeline.unavailable[name] = problem.message
    timeline.timeline_entries.sort(key=lambda entry: entry.at)
    return timeline


def _row(timeline: Timeline) -> Iterator[Entry]:
    timeline.payment = payment = ports.payments(timeline.stack).get(timeline.payment_id)
    for change in payment.history if payment else ():
        yield Entry(change.at, "payments table", f"{change.status} by {change.actor}{_reason(change)}")
    if payment and payment.restarted_at:
        yield Entry(payment.restarted_at, "payments table", f"taken up again, {payment.restarts} times so far")
    timeline.reference = at_gateway.reference(timeline.stack, payment)


def _audit(timeline: Timeline) -> Iterator[Entry]:
    timeline.entries = entries = ports.audit_log(timeline.stack).entries(timeline.payment_id)
    if timeline.payment:
        try:
            verify(timeline.payment, entries)
        except AuditBroken as broken:
            timeline.audit_problem = str(broken)
    elif entries:
        timeline.audit_problem = f"it holds {len(entries)} entries, and the payments table no row"
    checked = "" if timeline.audit_problem else ", verified"
    for entry in entries:
        yield Entry(entry.at, "audit log", f"entry {entry.sequence}: {entry.status} by {entry.actor}{checked}")
    if timeline.audit_problem:
        yield Entry(_now(), "audit log", f"does not verify: {timeline.audit_problem}")


def _webhooks(timeline: Timeline) -> Iterator[Entry]:
    timeline.events = ports.events(timeline.stack).of_payment(timeline.payment_id)
    for event in timeline.events:
        happened = f", happened {event.occurred_at}" if event.occurred_at else ""
        yield Entry(event.received_at, "webhook", f"{event.type} ({event.event_id}): {event.state}{happened}")


def _workflow(timeline: Timeline) -> Iterator[Entry]:
    client = timeline.stack.client("stepfunctions")
    restarts = timeline.payment.restarts if timeline.payment else 0
    decision = decision_on(timeline.payment) if timeline.payment else None
    decided = [f"{timeline.payment_id}.{execution_suffix_of(decision)}"] if decision else []
    for name in (*executions.names(timeline.payment_id, restarts, timeline.events), *decided):
        for at, what in executions.history(timeline.stack, client, name):
            timeline.started = True
            yield Entry(iso(at.astimezone(UTC)), "workflow", what)


def _batch(timeline: Timeline) -> Iterator[Entry]:
    payment = timeline.payment
    if payment is None or not payment.batch_id:
        return
    closed = "closed" if payment.batch_row_closed else "not closed"
    batch = batch_files.get(timeline.stack, payment.batch_id)
    file = f"{batch.source.key}, which is {batch.status}" if batch else "which is not there"
    what = f"line {payment.batch_line} of batch {payment.batch_id}: {file}; the row is {closed}"
    yield Entry(payment.created_at, "batch", what)


def _dead_letters(timeline: Timeline) -> Iterator[Entry]:
    if timeline.payment is None or timeline.payment.source != "batch":
        return  # a payment over REST never passes through the queue
    letters = [letter for letter in DeadLetterQueue(timeline.stack).take() if letter.payment_id == timeline.payment_id]
    why = reasons(timeline.stack, letters)
    timeline.dead_letter = bool(letters)
    for letter in letters:
        yield Entry(letter.sent_at, "queue", f"message {letter.message_id} was sent")
        reason = why.get(letter.message_id, "no log found")
        yield Entry(_now(), "queue", f"message {letter.message_id} lies in the dead-letter queue: {reason}")


def _lane(timeline: Timeline) -> Iterator[Entry]:
    timeline.lane = lane = ports.lane(timeline.stack).state()
    if lane.paused:
        yield Entry(lane.since, "lane", f"paused by the {lane.paused_by}, until now: {lane.reason}")


def _gateway(timeline: Timeline) -> Iterator[Entry]:
    gateway = at_gateway.gateway(timeline.stack)
    timeline.says = at_gateway.says(gateway, timeline.payment_id, timeline.reference)
    yield Entry(_now(), "gateway", f"says now: {timeline.says}")


def _logs(timeline: Timeline) -> Iterator[Entry]:
    payment = timeline.payment
    if payment is None:
        return  # nothing tells in which of all days to look
    since = parse_iso(payment.created_at) - timedelta(minutes=1)
    until = parse_iso(max(payment.updated_at, payment.restarted_at)) + AFTERWARDS
    cut = []
    for function in logs.functions(timeline.stack):
        found = logs.search(timeline.stack, function, timeline.payment_id, since, until)
        cut += [] if found.complete else [function]
        for line in found.lines:
            if line.values.get("payment_id") == timeline.payment_id:
                yield Entry(line.at, f"log of {function}", _line(line.values))
    if cut:
        raise Failure(f"there is too much to search in the logs of {', '.join(cut)}; use CloudWatch Logs Insights")


SOURCES: dict[str, Callable[[Timeline], Iterator[Entry]]] = {
    "payments table": _row,
    "audit log": _audit,
    "webhooks": _webhooks,
    "workflow": _workflow,
    "batch": _batch,
    "queue": _dead_letters,
    "lane": _lane,
    "gateway": _gateway,
    "logs": _logs,
}
"""In this order: what the row and the events say tells where else to look."""


def _line(values: dict[str, Any]) -> str:
    more = ", ".join(f"{name} {values[name]}" for name in LOG_FIELDS if values.get(name) not in (None, ""))
    return f"{values.get('message', '')}{': ' if more else ''}{more}"


def _reason(change: Change) -> str:
    return f": {change.message} ({change.code})" if change.code else ""


def _now() -> str:
    return iso(utc_now())


def as_json(timeline: Timeline) -> dict[str, Any]:
    """The story as scripts read it."""
    return {
        "payment_id": timeline.payment_id,
        "environment": timeline.stack.name,
        "status": timeline.payment.status.value if timeline.payment else None,
        "audit_verified": bool(timeline.payment and timeline.entries) and not timeline.audit_problem,
        "in_dead_letter_queue": timeline.dead_letter,
        "gateway": str(timeline.says) if timeline.says else None,
        "timeline": [{"at": entry.at, "where": entry.where, "what": entry.what} for entry in timeline.timeline_entries],
        "what_now": timeline.what_now(),
        "unavailable": timeline.unavailable,
    }
