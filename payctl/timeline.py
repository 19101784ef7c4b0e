"""The timeline of one payment: what each component recorded about it, in order of time.

Each source is read independently. If the operator may not read a source, or the source does not answer, the timeline
names the problem and continues with the other sources.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import Any

from payctl import adapters, at_gateway, batch_files, executions, exit_codes, logs, show
from payctl.at_gateway import GatewaySays
from payctl.both_sides import difference
from payctl.dead_letters import DeadLetterQueue, reasons
from payctl.failures import Exit, Failure, from_boto3
from payctl.stack import Stack
from payctl.what_now import Facts, what_now
from payments.application.cancel import execution_suffix_of as suffix_of_cancel
from payments.application.review import execution_suffix_of
from payments.domain.audit_chain import AuditBroken, AuditEntry, verify
from payments.domain.batch.switch import Switch
from payments.domain.batch_breaker import BreakerState
from payments.domain.cancellation import is_canceled
from payments.domain.clock import iso, parse_iso, utc_now
from payments.domain.fraud_hold import decision_on
from payments.domain.gateway_event import EventState, GatewayEvent
from payments.domain.payment import Change, Payment

LOG_FIELDS = ("status", "version", "wait_seconds", "code", "reason", "type", "state", "replayed")
"""The fields of a log line that are shown after its message."""
LOG_MARGIN = timedelta(hours=1)
"""Log lines are searched until this long after the payment's last change. A search costs time and money."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event, or a current state: when (UTC), where, what."""

    at: str
    where: str
    what: str


@dataclass
class Timeline:
    """Everything found about a payment. `unavailable` names each source that could not be read, and why."""

    stack: Stack
    payment_id: str
    payment: Payment | None = None
    reference: str = ""
    entries: list[AuditEntry] = field(default_factory=list)
    audit_problem: str = ""
    events: list[GatewayEvent] = field(default_factory=list)
    dead_letter: bool = False
    started: bool = False
    breaker: BreakerState = field(default_factory=BreakerState)
    says: GatewaySays | None = None
    switch: Switch = field(default_factory=Switch)
    timeline_entries: list[Entry] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)

    @property
    def differs(self) -> bool:
        """Whether our row and the gateway's answer differ."""
        return self.payment is not None and difference(self.payment, self.says) is not None

    @property
    def exit_code(self) -> Exit:
        """The exit code of the payment's status, if the gateway does not say otherwise. Without its row, nothing is
        said about the payment."""
        if self.payment is None:
            return Exit.FAILED
        facts = self._facts(self.payment)
        return Exit.NOT_SETTLED if facts.differs or facts.contradicted else exit_codes.of_payment(self.payment.status)

    def what_now(self) -> list[str]:
        """What happens next, and what the operator must do."""
        if self.payment is None:
            if "payments table" in self.unavailable:
                return ["The payments table could not be read: the payment's status is not known."]
            return ["It has no row: it was never accepted here, or its row was lost. It will not be charged here."]
        return what_now(self._facts(self.payment))

    def _facts(self, payment: Payment) -> Facts:
        return Facts(
            payment,
            adapters.timeouts(self.stack),
            self.breaker,
            self.dead_letter,
            self.started,
            self.says,
            self.audit_problem,
            any(event.state is EventState.CONTRADICTS for event in self.events),
            self.switch,
            now=utc_now(),
        )


def collect(stack: Stack, payment_id: str, *, ask_gateway: bool) -> Timeline:
    """Read every source. If a source fails, the error is noted and the entries it gave before are kept."""
    timeline = Timeline(stack, payment_id)
    sources = {name: source for name, source in SOURCES.items() if ask_gateway or name != "gateway"}
    for name in show.progress("reading all sources", list(sources)):
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
    timeline.payment = payment = adapters.payments(timeline.stack).get(timeline.payment_id)
    for change in payment.history if payment else ():
        yield Entry(change.at, "payments table", f"{change.status} by {change.actor}{_reason(change)}")
    if payment and payment.restarted_at:
        yield Entry(payment.restarted_at, "payments table", f"restarted, {payment.restarts} times so far")
    timeline.reference = at_gateway.reference(timeline.stack, payment)


def _audit(timeline: Timeline) -> Iterator[Entry]:
    timeline.entries = entries = adapters.audit_log(timeline.stack).entries(timeline.payment_id)
    if timeline.payment:
        try:
            verify(timeline.payment, entries)
        except AuditBroken as broken:
            timeline.audit_problem = str(broken)
    elif entries:
        timeline.audit_problem = f"it holds {len(entries)} entries, but the payments table has no row"
    checked = "" if timeline.audit_problem else ", verified"
    for entry in entries:
        yield Entry(entry.at, "audit log", f"entry {entry.sequence}: {entry.status} by {entry.actor}{checked}")
    if timeline.audit_problem:
        yield Entry(_now(), "audit log", f"does not verify: {timeline.audit_problem}")


def _webhooks(timeline: Timeline) -> Iterator[Entry]:
    timeline.events = adapters.events(timeline.stack).of_payment(timeline.payment_id)
    for event in timeline.events:
        happened = f", happened {event.occurred_at}" if event.occurred_at else ""
        if event.state is EventState.CONTRADICTS:
            other = at_gateway.opened(timeline.stack, timeline.payment_id, event.gateway_reference)
            happened += f", about {other}" if other else ""
        yield Entry(event.received_at, "webhook", f"{event.type} ({event.event_id}): {event.state}{happened}")


def _workflow(timeline: Timeline) -> Iterator[Entry]:
    client = timeline.stack.client("stepfunctions")
    restarts = timeline.payment.restarts if timeline.payment else 0
    decision = decision_on(timeline.payment) if timeline.payment else None
    decided = [f"{timeline.payment_id}.{execution_suffix_of(decision)}"] if decision else []
    if timeline.payment and is_canceled(timeline.payment):
        decided.append(f"{timeline.payment_id}.{suffix_of_cancel(timeline.payment)}")
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
    file = f"{batch.source.key}, which is {batch.status}" if batch else "which does not exist"
    what = f"line {payment.batch_line} of batch {payment.batch_id}: {file}; the row is {closed}"
    yield Entry(payment.created_at, "batch", what)
    if batch and batch.switch.at:
        timeline.switch = switch = batch.switch
        yield Entry(switch.at, "batch", f"{switch.state} by {switch.by}")


def _dead_letters(timeline: Timeline) -> Iterator[Entry]:
    if timeline.payment is None or timeline.payment.source != "batch":
        return  # a REST payment never passes through the queue
    letters = [letter for letter in DeadLetterQueue(timeline.stack).take() if letter.payment_id == timeline.payment_id]
    why = reasons(timeline.stack, letters)
    timeline.dead_letter = bool(letters)
    for letter in letters:
        yield Entry(letter.sent_at, "queue", f"message {letter.message_id} was sent")
        reason = why.get(letter.message_id, "no log found")
        yield Entry(_now(), "queue", f"message {letter.message_id} is in the dead-letter queue: {reason}")


def _breaker(timeline: Timeline) -> Iterator[Entry]:
    timeline.breaker = breaker = adapters.breaker(timeline.stack).state()
    if breaker.paused:
        yield Entry(breaker.since, "lane", f"paused by the {breaker.paused_by}, until now: {breaker.reason}")


def _gateway(timeline: Timeline) -> Iterator[Entry]:
    gateway, payment_id = at_gateway.gateway(timeline.stack), timeline.payment_id
    environment_id = at_gateway.environment_id(timeline.stack, timeline.payment)
    answer = at_gateway.says(gateway, payment_id, timeline.reference, environment_id=environment_id)
    timeline.says = answer = at_gateway.with_others(gateway, answer, payment_id, environment_id=environment_id)
    yield Entry(_now(), "gateway", f"says now: {answer}")
    for other in answer.others:
        yield Entry(_now(), "gateway", f"another charge under this payment id: {other}")


def _logs(timeline: Timeline) -> Iterator[Entry]:
    payment = timeline.payment
    if payment is None:
        return  # without a row, the days to search are not known
    since = parse_iso(payment.created_at) - timedelta(minutes=1)
    until = parse_iso(max(payment.updated_at, payment.restarted_at)) + LOG_MARGIN
    cut = []
    for function in logs.functions(timeline.stack):
        found = logs.search(timeline.stack, function, timeline.payment_id, since, until)
        cut += [] if found.complete else [function]
        for line in found.lines:
            if line.values.get("payment_id") == timeline.payment_id:
                yield Entry(line.at, f"log of {function}", _line(line.values))
    if cut:
        raise Failure(f"the logs of {', '.join(cut)} are too long to search; use CloudWatch Logs Insights")


SOURCES: dict[str, Callable[[Timeline], Iterator[Entry]]] = {
    "payments table": _row,
    "audit log": _audit,
    "webhooks": _webhooks,
    "workflow": _workflow,
    "batch": _batch,
    "queue": _dead_letters,
    "lane": _breaker,
    "gateway": _gateway,
    "logs": _logs,
}
"""The order matters: the row and the events decide where else to look. A name is a key of the JSON output."""


def _line(values: dict[str, Any]) -> str:
    more = ", ".join(f"{name} {values[name]}" for name in LOG_FIELDS if values.get(name) not in (None, ""))
    return f"{values.get('message', '')}{': ' if more else ''}{more}"


def _reason(change: Change) -> str:
    return f": {change.message} ({change.code})" if change.code else ""


def _now() -> str:
    return iso(utc_now())


def as_json(timeline: Timeline) -> dict[str, Any]:
    """The timeline as JSON for scripts."""
    return {
        "payment_id": timeline.payment_id,
        "environment": timeline.stack.name,
        "status": timeline.payment.status.value if timeline.payment else None,
        "audit_verified": bool(timeline.payment and timeline.entries) and not timeline.audit_problem,
        "in_dead_letter_queue": timeline.dead_letter,
        "gateway": str(timeline.says) if timeline.says else None,
        "differs": timeline.differs,
        "timeline": [{"at": entry.at, "where": entry.where, "what": entry.what} for entry in timeline.timeline_entries],
        "what_now": timeline.what_now(),
        "unavailable": timeline.unavailable,
        "exit_code": timeline.exit_code.value,
    }
