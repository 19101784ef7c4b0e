"""The invariants, which hold under all faults: some are checked after every write, the others once the system rests."""

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from io import StringIO

from payments.application.batch.result_files import ERRORS, RESUBMIT, RESULTS
from payments.application.batch_breaker import PAYMENTS_UNTIL_PAUSE
from payments.domain.audit_chain import AuditBroken, verify
from payments.domain.batch.state import Batch, BatchStatus
from payments.domain.cancellation import is_canceled
from payments.domain.clock import parse_iso
from payments.domain.deadline import first_refused_at
from payments.domain.errors import PaymentError
from payments.domain.gateway_event import REFUNDS, EventState, GatewayEvent
from payments.domain.outcome import NOT_CHARGED as PROVEN
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.retry import RETRY_REFUSED, former_id_of, is_retry_of
from payments.domain.statuses import CAPTURED, FINAL, SETTLED, Status, may_move
from payments.ports.payment_gateway import GatewayCharge
from simulation.work import source_of
from simulation.world import World

NOT_CHARGED = FINAL - CAPTURED
LOST_AFTER = 2 * RecoveryTimeouts().unit - timedelta(seconds=1)
"""How long a row of a batch waits at least before it is queued again. Times of rows are whole milliseconds."""
SEEN_WITHIN = timedelta(minutes=3)
"""How long after a switch was set a function may still write what it decided before: its time limit, and a stall."""
Broken = Iterator[tuple[str, str]]
"""The violations of an invariant: the payment or object, and what is wrong."""


# After every write -------------------------------------------------------------------------------------------------


def watch(world: World) -> None:
    """Run the cheap checks after every write of a row and every change at the gateway."""

    def row_written(before: Payment | None, after: Payment) -> None:
        for invariant, check in AT_EVERY_WRITE.items():
            problem = check(world, before, after)
            if problem:
                world.break_(invariant, after.payment_id, problem)

    tell = world.on_gateway_event

    def gateway_event(kind: str, payment_id: str, reference: str) -> None:
        tell(kind, payment_id, reference)
        row = world.payments.rows.get(payment_id)
        if row is None or row.status is Status.PENDING:
            world.break_("intent before effect", payment_id, f"{kind} while the row is {row and row.status.value}")
        if kind != "payment_intent.succeeded":
            return
        world.captures[payment_id] += 1
        charges = world.captures[payment_id]
        if charges > 1:
            world.break_("charged once", payment_id, f"the gateway captured {charges} charges")
        if row and is_canceled(row):
            world.break_("canceled is never charged", payment_id, "captured after its cancellation")
        if row and row.status in NOT_CHARGED:
            world.break_("no charge after a no", payment_id, f"captured while the row says {row.status}")

    world.on_row_written = row_written  # type: ignore[method-assign]
    world.on_gateway_event = gateway_event  # type: ignore[method-assign]


def _history_grows(_: World, before: Payment | None, after: Payment) -> str:
    if before is None:
        return "" if after.version == 1 else f"created at version {after.version}"
    if after.version == before.version:
        return "" if (after.history, after.status) == (before.history, before.status) else "a version was rewritten"
    if after.version != before.version + 1 or after.history[:-1] != before.history:
        return f"version {after.version} does not follow version {before.version}"
    return ""


def _legal_move(_: World, before: Payment | None, after: Payment) -> str:
    if before is None or before.version == after.version or may_move(before.status, after.status):
        return ""
    return f"moved from {before.status} to {after.status}"


def _no_charge_after_a_no(world: World, before: Payment | None, after: Payment) -> str:
    if after.status not in NOT_CHARGED or (before and before.status is after.status):
        return ""
    return f"the row says {after.status} and the gateway captured a charge" if world.captures[after.payment_id] else ""


def _canceled_is_never_charged(world: World, _: Payment | None, after: Payment) -> str:
    charged = is_canceled(after) and world.captures[after.payment_id]
    return "canceled, and the gateway captured a charge" if charged else ""


def _pending_is_proof(world: World, _: Payment | None, after: Payment) -> str:
    charged = after.status is Status.PENDING and world.captures[after.payment_id]
    return "back to pending, and the gateway captured a charge" if charged else ""


def _failed_at_the_deadline(world: World, before: Payment | None, after: Payment) -> str:
    """A payment fails by the gateway's proof, or at its deadline, and not because its attempts are used up."""
    if after.status is not Status.FAILED or (before and before.status is after.status) or after.code == PROVEN:
        return ""
    since = first_refused_at(after)
    if since is None:
        return f"failed ({after.code}), although the gateway was never out of reach"
    waited = world.clock() - since - _paused_since(world, after, since)
    return f"failed ({after.code}) after {waited}" if waited < RecoveryTimeouts().deadline else ""


def _paused_since(world: World, row: Payment, since: datetime) -> timedelta:
    """How long the payment's batch was paused, but for a pause that the writer could not see yet."""
    switch, seen_until = world.batches.switch_of(row.batch_id), world.clock() - SEEN_WITHIN
    pauses = [(parse_iso(pause.since), parse_iso(pause.until)) for pause in switch.pauses]
    if switch.is_paused:
        pauses.append((parse_iso(switch.at), seen_until))
    overlaps = (min(until, seen_until) - max(begin, since) for begin, until in pauses)
    return sum((one for one in overlaps if one > timedelta(0)), timedelta(0))


def _final_for_good(_: World, before: Payment | None, after: Payment) -> str:
    return f"{before.status} became {after.status}" if before and before.status in FINAL - {after.status} else ""


def _claimed_once(_: World, before: Payment | None, after: Payment) -> str:
    if before is None or after.restarted_at == before.restarted_at or after.restarts == before.restarts + 1:
        return ""
    return f"restart {after.restarts} was claimed twice"


def _repaired_by_age(world: World, before: Payment | None, after: Payment) -> str:
    if before is None or after.restarts == before.restarts or after.source != "batch" or after.version > 1:
        return ""
    queued_at = max(before.created_at, before.restarted_at)
    if world.batches.switch_of(after.batch_id).resumed_after(queued_at):
        return ""
    waited = parse_iso(after.restarted_at) - parse_iso(queued_at)
    return f"queued again after {waited}" if waited < LOST_AFTER else ""


AT_EVERY_WRITE: dict[str, Callable[[World, Payment | None, Payment], str]] = {
    "history only grows": _history_grows,
    "legal moves only": _legal_move,
    "final is final": _final_for_good,
    "no charge after a no": _no_charge_after_a_no,
    "canceled is never charged": _canceled_is_never_charged,
    "failed at the deadline": _failed_at_the_deadline,
    "pending is proof": _pending_is_proof,
    "claimed once": _claimed_once,
    "repaired by age": _repaired_by_age,
}


# At rest -----------------------------------------------------------------------------------------------------------


def check_at_rest(world: World) -> None:
    """Run all other checks."""
    for invariant, check in AT_REST.items():
        for about, problem in check(world):
            world.break_(invariant, about, problem)


def is_at_rest(world: World) -> bool:
    """Whether no task has anything left to do."""
    return (
        not world.queue.messages
        and not world.breaker.state().paused
        and world.delivery.on
        and all(_is_finished(row) for row in world.payments.rows.values())
        and not any(world.batches.unfinished())
        and not any(_is_about_ours(world, event) for event in world.events.parked())
    )


def _is_about_ours(world: World, event: GatewayEvent) -> bool:
    """True also for an event whose payment recovery has yet to find."""
    return event.payment_id in world.payments.rows or not event.payment_id


def _is_finished(row: Payment) -> bool:
    return row.status in SETTLED | {Status.IN_REVIEW} and row.audited_version == row.version


def _all_settled(world: World) -> Broken:
    for row in world.payments.rows.values():
        if row.status not in SETTLED | {Status.IN_REVIEW}:
            yield row.payment_id, f"still {row.status}"


def _accepted_is_stored(world: World) -> Broken:
    for payment_id, status, fingerprint in world.answered:
        row = world.payments.rows.get(payment_id)
        if row is None:
            yield payment_id, f"the client got {status}, but there is no row"
        elif (row.fingerprint == fingerprint) is not (status == 202):
            yield (
                payment_id,
                f"the client received {status}, and the row is {'' if status == 409 else 'not '}its payment",
            )


def _charged_as_asked(world: World) -> Broken:
    charges = Counter(charge.payment_id for charge in world.captured)
    for payment_id, number in charges.items():
        if number > 1 or payment_id not in world.payments.rows:
            yield payment_id, f"the gateway captured {number} charges"
    money = {charge.payment_id: charge.money for charge in world.captured}
    for row in world.payments.rows.values():
        if row.status in CAPTURED and not charges[row.payment_id]:
            yield row.payment_id, f"the row says {row.status}, but the gateway captured nothing"
        if row.payment_id in money and money[row.payment_id] != row.money:
            yield row.payment_id, f"captured {money[row.payment_id]} instead of {row.money}"
        if charges[row.payment_id] and row.status not in CAPTURED | {Status.IN_REVIEW}:
            yield row.payment_id, f"the gateway captured a charge, and the row says {row.status}"


def _retries_charged_once(world: World) -> Broken:
    """Of a payment and its retries, at most one is charged. A retry is stored after the payment that it is one of."""
    rows = world.payments.rows
    for row in rows.values():
        charged: list[str] = []
        one: Payment | None = row
        while one is not None:
            charged += [one.payment_id] * world.captures[one.payment_id]
            former_id = one.retry_of or world.batches.former_of(one.payment_id) or former_id_of(one.payment_id)
            former = rows.get(former_id)
            one = former if former and is_retry_of(one, former) and former.created_at <= one.created_at else None
            if one and charged and one.retried_as not in rows:
                yield row.payment_id, f"{one.payment_id} does not name its charged retry, but {one.retried_as!r}"
        if len(charged) > 1:
            yield row.payment_id, f"the gateway captured {' and '.join(charged)}"


def _every_status_has_its_cause(world: World) -> Broken:
    for row in world.payments.rows.values():
        allowed = world.work.ends_in[row.payment_id] | {Status.FAILED}
        if is_canceled(row) and not world.asked_to_cancel.isdisjoint({row.payment_id, row.batch_id}):
            allowed |= {Status.REJECTED}
        if row.code == RETRY_REFUSED and former_id_of(row.payment_id) in world.payments.rows:
            allowed |= {Status.REJECTED}
        if row.status is Status.IN_REVIEW:
            if row.payment_id not in world.altered:
                yield row.payment_id, f"in review without a conflict: {row.code}"
        elif row.status in SETTLED and row.status not in allowed:
            yield row.payment_id, f"{row.status} ({row.code}), which its content does not allow"


def _canceled_as_acknowledged(world: World) -> Broken:
    for payment_id, row in world.payments.rows.items():
        if payment_id in world.acknowledged_cancels and not is_canceled(row):
            yield payment_id, f"its cancellation was acknowledged, and it is {row.status}"
    for upload in world.work.uploads:
        batch = world.batches.get(source_of(upload).batch_id)
        if batch and batch.batch_id in world.acknowledged_cancels and batch.status is BatchStatus.COMPLETED:
            yield batch.batch_id, "its cancellation was acknowledged, and it is completed"


def _audited(world: World) -> Broken:
    for row in world.payments.rows.values():
        entries = world.audit_log.entries(row.payment_id)
        try:
            verify(row, entries)
        except AuditBroken as broken:
            yield row.payment_id, str(broken)
        if row.status not in SETTLED | {Status.IN_REVIEW}:
            continue
        if row.audited_version != row.version or len(entries) != row.version:
            yield row.payment_id, f"{len(entries)} entries, audited to {row.audited_version}, version {row.version}"
        elif entries[-1].status != row.status:
            yield row.payment_id, f"the row says {row.status}, the audit log {entries[-1].status}"


def _published(world: World) -> Broken:
    published = {event["event_id"] for event in world.published}
    failed = {
        execution.input["payment_id"] for execution in world.machine.executions.values() if execution.status == "FAILED"
    }
    for row in world.payments.rows.values():
        if (
            row.status in SETTLED
            and f"{row.payment_id}:{row.version}" not in published
            and row.payment_id not in failed
        ):
            yield row.payment_id, f"no event was published for version {row.version}, {row.status}"


def _started_once(world: World) -> Broken:
    """Under all repetitions a payment has one first execution; all others have a suffix in their name."""
    first = Counter(e.input["payment_id"] for e in world.machine.executions.values() if "." not in e.name)
    for payment_id, number in first.items():
        if number > 1:
            yield payment_id, f"{number} first executions"


def _batches_reported(world: World) -> Broken:
    for upload in world.work.uploads:
        source = source_of(upload)
        batch = world.batches.get(source.batch_id)
        about = f"{upload.key} {upload.version}"
        if batch is None:
            yield about, "uploaded, but there is no batch"
            continue
        progress = batch.progress
        if upload.rows_read < 0:
            if batch.status is not BatchStatus.REJECTED:
                yield about, f"unreadable, but {batch.status}"
            continue
        canceled = batch.batch_id in world.asked_to_cancel and batch.status is BatchStatus.CANCELED
        if batch.status is not BatchStatus.COMPLETED and not canceled:
            yield about, f"still {batch.status}: {batch.rows_closed} of {progress.payments} rows closed"
            continue
        counted = progress.rows_accepted + progress.rows_rejected
        # a canceled file may not be read to its end
        rows = min(progress.rows_read, upload.rows_read) if canceled else upload.rows_read
        if progress.rows_read != rows or counted != rows:
            yield about, f"{upload.rows_read} rows, and counted {progress}"
        results, errors, resubmit = (_rows_of(world, batch, name) for name in (RESULTS, ERRORS, RESUBMIT))
        lines = [result.get("line", "") for result in results]
        if len(lines) != progress.rows_accepted or len(set(lines)) != len(lines):
            yield about, f"{progress.rows_accepted} rows accepted, and results for the lines {', '.join(lines)}"
        said = {error.get("line", "") for error in errors} - {str(error.line) for error in batch.file_errors}
        failed = sum(result.get("status", "") == "failed" for result in results)
        if len(resubmit) != progress.rows_rejected + failed or len(said - set(lines)) != progress.rows_rejected:
            bad = f"{progress.rows_rejected} rows rejected, {failed} failed"
            yield about, f"{bad}, {len(resubmit)} to resubmit, errors for {said}"
        if any(result["status"] == "pending" and not result["already_submitted"] for result in results):
            yield about, "a row of its own is reported without its outcome"
        versions = [event["result_versions"] for event in world.published if event["event_id"] == source.batch_id]
        if not versions:
            yield about, "no event was published for the batch"
        # an invocation that Lambda delivers twice at the same time may write the files twice, and name both
        own = {name: file.version_id for name, file in batch.report.results.items()}
        written = {(file.key, file.version_id) for file in world.files.versions}
        named = {(batch.result_file(name).key, version) for names in versions for name, version in names.items()}
        if versions and (own not in versions or named - written):
            yield about, f"the event names {versions}, the batch {batch.report.results}"


def _rows_of(world: World, batch: Batch, name: str) -> list[dict[str, str]]:
    text = world.files.versions[batch.result_file(name)].decode()
    return list(csv.DictReader(StringIO(text, newline="")))


def _events_applied(world: World) -> Broken:
    """The row has the gateway's last acknowledged event about its payment."""
    taken = {event.event_id for event in world.acknowledged}
    for payment_id, last in world.latest.items():
        row = world.payments.rows[payment_id]
        # an operator ends a conflict, unless money was refunded since
        held = row.status is Status.IN_REVIEW and last.type not in REFUNDS
        if last.event_id not in taken or held:
            continue
        truth = _truth(world, payment_id, last.gateway_reference)
        if truth and (truth.status, truth.refunded_minor_units) != (row.status, row.refunded):
            yield (
                payment_id,
                f"we acknowledged {last.type}: the gateway says {truth}, the row {row.status} {row.refunded}",
            )
    for event in world.events.parked():
        if _is_about_ours(world, event):
            yield event.payment_id, f"the event {event.event_id} is still parked"


def _truth(world: World, payment_id: str, reference: str) -> GatewayCharge | None:
    try:
        return world.gateway.find(payment_id, reference)
    except PaymentError:
        return None


def _no_contradiction(world: World) -> Broken:
    for event in world.events.events.values():
        if event.state is EventState.CONTRADICTS and world.captures[event.payment_id]:
            yield event.payment_id, f"{event.event_id} contradicts the row"


def _dead_letters(world: World) -> Broken:
    for message in world.queue.dead_letters:
        if not message.poison and (world.redriven or not world.chaos.struck):
            yield message.body, f"a dead letter after {message.receives} deliveries"


def _breaker_resumed(world: World) -> Broken:
    state = world.breaker.state()
    if state.paused:
        yield "breaker", f"paused by {state.paused_by} since {state.since}: {state.reason}"
    if not world.delivery.on or not world.queue.delivers:
        yield "breaker", "not paused, and no messages are delivered"


def _paused_on_evidence(world: World) -> Broken:
    for payments in world.evidence:
        if payments < PAYMENTS_UNTIL_PAUSE:
            yield "breaker", f"paused after refusals of {payments} payments"


AT_REST: dict[str, Callable[[World], Broken]] = {
    "charged as asked": _charged_as_asked,
    "retries charged once": _retries_charged_once,
    "accepted is stored": _accepted_is_stored,
    "all settled": _all_settled,
    "every status has its cause": _every_status_has_its_cause,
    "canceled as acknowledged": _canceled_as_acknowledged,
    "audited": _audited,
    "published": _published,
    "started once": _started_once,
    "batches reported": _batches_reported,
    "events applied": _events_applied,
    "no contradiction": _no_contradiction,
    "dead letters": _dead_letters,
    "breaker resumed": _breaker_resumed,
    "paused on evidence": _paused_on_evidence,
}
