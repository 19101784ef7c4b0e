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
from payments.application.review import decision_on, occasion_of
from payments.domain.audit_chain import AuditBroken, AuditEntry, verify
from payments.domain.batch_breaker import LaneState
from payments.domain.clock import iso, parse_iso, utc_now
from payments.domain.gateway_event import EventState, GatewayEvent
from payments.domain.payment import Change, Payment

LOG_FIELDS = ("status", "version", "wait_seconds", "code", "reason", "type", "state", "replayed")
"""What a log line is shown with, beside its message."""
AFTERWARDS = timedelta(hours=1)
"""How long after its last change log lines of a payment are looked for: searching costs time and money."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened, or stands so now: when (UTC), where, what."""

    at: str
    where: str
    what: str


@dataclass
class Story:
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
    lane: LaneState = field(default_factory=LaneState)
    says: GatewaySays | None = None
    moments: list[Moment] = field(default_factory=list)
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
                ports.patience(self.stack),
                self.lane,
                self.dead_letter,
                self.started,
                self.says,
                self.audit_problem,
                any(event.state is EventState.CONTRADICTS for event in self.events),
            )
        )


def told(stack: Stack, payment_id: str, *, ask_gateway: bool) -> Story:
    """Ask every source. What fails at one is noted, with what it told before."""
    story = Story(stack, payment_id)
    sources = {name: source for name, source in SOURCES.items() if ask_gateway or name != "gateway"}
    for name in show.progress("asking everywhere", list(sources)):
        try:
            story.moments += sources[name](story)
        except Failure as failure:
            story.unavailable[name] = failure.message
        except Exception as error:
            problem = from_boto3(error)
            if problem is None:
                raise
            story.unavailable[name] = problem.message
    story.moments.sort(key=lambda moment: moment.at)
    return story


def _row(story: Story) -> Iterator[Moment]:
    story.payment = payment = ports.payments(story.stack).get(story.payment_id)
    for change in payment.history if payment else ():
        yield Moment(change.at, "payments table", f"{change.status} by {change.actor}{_reason(change)}")
    if payment and payment.restarted_at:
        yield Moment(payment.restarted_at, "payments table", f"taken up again, {payment.restarts} times so far")
    story.reference = at_gateway.reference(story.stack, payment)


def _audit(story: Story) -> Iterator[Moment]:
    story.entries = entries = ports.audit_log(story.stack).entries(story.payment_id)
    if story.payment:
        try:
            verify(story.payment, entries)
        except AuditBroken as broken:
            story.audit_problem = str(broken)
    elif entries:
        story.audit_problem = f"it holds {len(entries)} entries, and the payments table no row"
    checked = "" if story.audit_problem else ", verified"
    for entry in entries:
        yield Moment(entry.at, "audit log", f"entry {entry.sequence}: {entry.status} by {entry.actor}{checked}")
    if story.audit_problem:
        yield Moment(_now(), "audit log", f"does not verify: {story.audit_problem}")


def _webhooks(story: Story) -> Iterator[Moment]:
    story.events = ports.events(story.stack).of_payment(story.payment_id)
    for event in story.events:
        happened = f", happened {event.occurred_at}" if event.occurred_at else ""
        yield Moment(event.received_at, "webhook", f"{event.type} ({event.event_id}): {event.state}{happened}")


def _workflow(story: Story) -> Iterator[Moment]:
    client = story.stack.client("stepfunctions")
    restarts = story.payment.restarts if story.payment else 0
    decision = decision_on(story.payment) if story.payment else None
    decided = [f"{story.payment_id}.{occasion_of(decision)}"] if decision else []
    for name in (*executions.names(story.payment_id, restarts, story.events), *decided):
        for at, what in executions.history(story.stack, client, name):
            story.started = True
            yield Moment(iso(at.astimezone(UTC)), "workflow", what)


def _batch(story: Story) -> Iterator[Moment]:
    payment = story.payment
    if payment is None or not payment.batch_id:
        return
    closed = "closed" if payment.batch_row_closed else "not closed"
    batch = batch_files.get(story.stack, payment.batch_id)
    file = f"{batch.source.key}, which is {batch.status}" if batch else "which is not there"
    what = f"line {payment.batch_line} of batch {payment.batch_id}: {file}; the row is {closed}"
    yield Moment(payment.created_at, "batch", what)


def _dead_letters(story: Story) -> Iterator[Moment]:
    if story.payment is None or story.payment.source != "batch":
        return  # a payment over REST never passes through the queue
    letters = [letter for letter in DeadLetterQueue(story.stack).take() if letter.payment_id == story.payment_id]
    why = reasons(story.stack, letters)
    story.dead_letter = bool(letters)
    for letter in letters:
        yield Moment(letter.sent_at, "queue", f"message {letter.message_id} was sent")
        reason = why.get(letter.message_id, "no log found")
        yield Moment(_now(), "queue", f"message {letter.message_id} lies in the dead-letter queue: {reason}")


def _lane(story: Story) -> Iterator[Moment]:
    story.lane = lane = ports.lane(story.stack).state()
    if lane.paused:
        yield Moment(lane.since, "lane", f"paused by the {lane.paused_by}, until now: {lane.reason}")


def _gateway(story: Story) -> Iterator[Moment]:
    gateway = at_gateway.gateway(story.stack)
    story.says = at_gateway.says(gateway, story.payment_id, story.reference)
    yield Moment(_now(), "gateway", f"says now: {story.says}")


def _logs(story: Story) -> Iterator[Moment]:
    payment = story.payment
    if payment is None:
        return  # nothing tells in which of all days to look
    since = parse_iso(payment.created_at) - timedelta(minutes=1)
    until = parse_iso(max(payment.updated_at, payment.restarted_at)) + AFTERWARDS
    cut = []
    for function in logs.functions(story.stack):
        found = logs.search(story.stack, function, story.payment_id, since, until)
        cut += [] if found.complete else [function]
        for line in found.lines:
            if line.values.get("payment_id") == story.payment_id:
                yield Moment(line.at, f"log of {function}", _line(line.values))
    if cut:
        raise Failure(f"there is too much to search in the logs of {', '.join(cut)}; use CloudWatch Logs Insights")


SOURCES: dict[str, Callable[[Story], Iterator[Moment]]] = {
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


def as_json(story: Story) -> dict[str, Any]:
    """The story as scripts read it."""
    return {
        "payment_id": story.payment_id,
        "environment": story.stack.name,
        "status": story.payment.status.value if story.payment else None,
        "audit_verified": bool(story.payment and story.entries) and not story.audit_problem,
        "in_dead_letter_queue": story.dead_letter,
        "gateway": str(story.says) if story.says else None,
        "timeline": [{"at": moment.at, "where": moment.where, "what": moment.what} for moment in story.moments],
        "what_now": story.what_now(),
        "unavailable": story.unavailable,
    }
