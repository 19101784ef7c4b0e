"""Recovery: find payments, events and batches that were accepted and then stopped, and resume them.

It reads the indexes of what is due, the oldest first, and uses only the ordinary mechanisms: another execution of the
workflow, another message in the queue, another run of the splitter or the report. All of these are safe to repeat. A
recovery run may therefore fail at any point, or run at the same time as another one.
"""

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, islice

from payments.application.batch.close_rows import BatchRows
from payments.application.batch.switches import Switches
from payments.application.charge_list import ChargeList
from payments.application.recover_refunds import KINDS as REFUND_KINDS
from payments.application.recover_refunds import RefundRecovery
from payments.application.review import NotHeld, decide, execution_suffix_of
from payments.application.webhooks import Webhooks
from payments.domain.batch.state import UNREPORTED, Batch, BatchStatus, Source
from payments.domain.batch_breaker import BreakerState, PausedBy
from payments.domain.clock import Clock, iso, parse_iso
from payments.domain.deadline import is_missed
from payments.domain.due import OF_PAYMENTS, Backlog, Due, Kind
from payments.domain.errors import Misconfigured, PaymentError
from payments.domain.fraud_hold import Verdict, is_held
from payments.domain.gateway_event import EventState
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.statuses import CAPTURED, OPEN, Status
from payments.ports.batch_breaker_store import BreakerStore
from payments.ports.batch_store import BatchStore, NotClaimed
from payments.ports.due_index import DueIndex
from payments.ports.event_store import EventStore
from payments.ports.lease import Lease
from payments.ports.payment_gateway import PaymentGateway
from payments.ports.payment_queue import MESSAGES_A_REQUEST, PaymentQueue, QueuedPayment
from payments.ports.payment_store import PaymentStore, VersionConflict
from payments.ports.queue_delivery import Delivery
from payments.ports.slot_counter import NoFreeSlot
from payments.ports.workflow import Workflow

SLICE_SECONDS = 5
"""How long a kind of work is processed before it is the next one's turn."""
LEASE_SECONDS = 60
"""How long the next run waits for one that shows no sign of life: a killed run must not stop recovery until its time
limit."""
RESERVE_SECONDS = 20
"""The remaining time at which a recovery run stops looking for more work."""
LIST_SHARE = 0.33
"""The share of a run that is kept for the gateway's list while payments wait for its answer."""
LIST_RESERVE_SECONDS = 60
"""The remaining time at which it stops reading the gateway's list."""
MOST_QUESTIONS = 1_000
"""The most payments that one reading of the list answers for."""
MOST_CANDIDATES = 200
"""The most rows of a kind that are read to find a probe."""
_ANSWERED = CAPTURED | {Status.DECLINED, Status.REQUIRES_ACTION, Status.IN_REVIEW}
"""Statuses of a probe that only an answer of the gateway can cause."""
_PAUSES: dict[str, str] = {PausedBy.OUTAGE: "gateway_unreachable", PausedBy.OPERATOR: "paused_by_operator"}
_Steps = Generator[None]
"""Work that can be interrupted after each step."""


def _raise(error: Exception) -> None:
    raise error


def _ignore(*_: object) -> None:
    pass


@dataclass
class _Run:
    """One recovery run. `may_start_at` is when it may start the next execution. `cause` is why the gateway takes no
    payment now, if it was asked."""

    owner: str
    leased_until: datetime
    seconds_left: Callable[[], float]
    on_found: Callable[[str, int], None]
    breaker: BreakerState
    switches: Switches
    may_start_at: datetime
    list_seconds: float
    found: Counter[str] = field(default_factory=Counter)
    unknown: list[Payment] = field(default_factory=list)
    gateway_answers: bool = True
    cause: str = ""
    queue_length: int | None = None

    def add(self, name: str, number: int = 1) -> None:
        """Count a finding."""
        if number:
            self.found[name] += number
            self.on_found(name, number)

    @property
    def is_over(self) -> bool:
        """Whether its time is used up, except for what the gateway's list needs."""
        return self.seconds_left() < RESERVE_SECONDS + (self.list_seconds if self.unknown else 0)


@dataclass(frozen=True)
class PaymentRecovery:
    """`resume_split` and `start_report` start those functions. `on_error` receives the error of a single item, and may
    raise it to end the run. `on_found` receives each finding at once, and `on_backlog` what is due of each kind at the
    beginning. `slot` is the least time between two executions that it starts: recovery asks the gateway no faster than
    the gateway allows. `at_end_of_hold` is the decision on payments that a fraud rule holds, if no operator decides.
    `refunds` recovers refunds, if it is given. All other arguments are ports."""

    payments: PaymentStore
    batches: BatchStore
    events: EventStore
    queue: PaymentQueue
    workflow: Workflow
    webhooks: Webhooks
    gateway: PaymentGateway
    charge_list: ChargeList
    breaker: BreakerStore
    delivery: Delivery
    rows: BatchRows
    lease: Lease
    resume_split: Callable[[Source], None]
    start_report: Callable[[str], None]
    clock: Clock
    sleep: Callable[[float], None]
    timeouts: RecoveryTimeouts = field(default_factory=RecoveryTimeouts)
    slot: timedelta = timedelta(0)
    on_error: Callable[[Exception], None] = _raise
    on_found: Callable[[str, int], None] = _ignore
    on_backlog: Callable[[Kind, Backlog], None] = _ignore
    at_end_of_hold: Verdict = Verdict.EXPIRED
    refunds: RefundRecovery | None = None

    def recover(self, seconds_left: Callable[[], float], owner: str = "") -> Counter[str]:
        """Recover what is due, the oldest first, and count what was found.

        Every run measures what is due. One run at a time works on it: `owner` takes a lease, which only saves work.
        Each kind of work gets its slices of the run, and every kind is served in each run. The run stops before its
        time limit; what it did not reach stays due, and is first in the next one. In a closed environment,
        nothing is done.
        """
        now = self.clock()
        run = _Run(
            owner=owner,
            leased_until=now,
            seconds_left=seconds_left,
            on_found=self.on_found,
            breaker=self.breaker.state(),
            switches=Switches(self.batches, self.clock),
            may_start_at=now,
            list_seconds=seconds_left() * LIST_SHARE,
        )
        if not run.breaker.is_open:
            run.add("closed")
            return run.found
        due = self._measured(run, now)
        if not self._holds_lease(run):
            _add_pauses(run)
            return run.found
        try:
            with self._apart():
                run.breaker = self._recover_breaker(run)
            _add_pauses(run)
            self._take_turns(run, due)
            with self._apart():
                self._ask_the_list(run)
        finally:
            self.lease.release(owner)
        return run.found

    def _holds_lease(self, run: _Run) -> bool:
        """Take or extend the lease. False if another run has it."""
        now = self.clock()
        if 2 * (run.leased_until - now) < timedelta(seconds=LEASE_SECONDS):
            until = now + timedelta(seconds=LEASE_SECONDS)
            if not self.lease.take(run.owner, now, until):
                return False
            run.leased_until = until
        return True

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Isolate the errors of one item, so that the other items are still processed."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - every error is passed on
            self.on_error(error)

    # What is due -----------------------------------------------------------------------------------------------------

    def _measured(self, run: _Run, now: datetime) -> dict[Kind, Iterator[str]]:
        """The ids of the due rows of each kind. Counts them, and the payments that an operator must know."""
        due = {kind: self._measure(self.payments, kind, now) for kind in OF_PAYMENTS}
        due |= {kind: self._measure(self.events, kind, now) for kind in (Kind.EVENT, Kind.REFUND)}
        if self.refunds:
            due |= {kind: self._measure(self.refunds.refunds, kind, now) for kind in REFUND_KINDS}
            with self._apart():
                run.add("refunds_to_look_at", self.refunds.needing_attention(now))
        due[Kind.BATCH] = self._measure(self.batches, Kind.BATCH, now)
        for kind, name in ((Kind.LATE, "overdue"), (Kind.REVIEW, "in_review")):
            with self._apart():
                run.add(name, self.payments.count(kind, datetime.max.replace(tzinfo=now.tzinfo)))
        return due

    def _measure(self, index: DueIndex, kind: Kind, now: datetime) -> Iterator[str]:
        with self._apart():
            rows = index.due(kind, now)
            first = next(rows, None)
            if first:
                late = now - 2 * self.timeouts.unit
                overdue = index.count(kind, late) if first[1].at <= iso(late) else 0
                self.on_backlog(kind, Backlog(index.count(kind, now), overdue, first[1].at))
                return (row_id for row_id, _ in chain([first], rows))
        return iter(())

    def _take_turns(self, run: _Run, due: dict[Kind, Iterator[str]]) -> None:
        """Process all kinds in turns. The first round serves every kind, however little time there is."""
        turns: deque[_Steps] = deque(self._adopt(run, index) for index in (self.payments, self.events, self.batches))
        turns += [self._steps(due[kind], partial(self._recover_payment, run, kind)) for kind in OF_PAYMENTS]
        turns += [self._steps(due[kind], partial(self._recover_event, run)) for kind in (Kind.EVENT, Kind.REFUND)]
        turns += [self._steps(due[kind], partial(self._recover_refund, run)) for kind in REFUND_KINDS if kind in due]
        turns.append(self._steps(due[Kind.BATCH], partial(self._recover_batch, run)))
        first_round = len(turns)
        while turns and (first_round > 0 or not run.is_over) and self._holds_lease(run):
            first_round -= 1
            steps = turns.popleft()
            ends = run.seconds_left() - SLICE_SECONDS
            with self._apart():
                for _ in steps:
                    if run.is_over or run.seconds_left() <= ends:
                        turns.append(steps)
                        break
        for steps in turns:
            with self._apart():
                steps.close()

    def _steps(self, ids: Iterator[str], recover: Callable[[str], Iterable[None]]) -> _Steps:
        for row_id in ids:
            with self._apart():
                yield from recover(row_id)
            yield

    def _adopt(self, run: _Run, index: DueIndex) -> _Steps:
        """Enter the rows of before the index existed. They are due in the next run."""
        for _ in index.adopt():
            run.add("adopted")
            yield

    # The gateway's events --------------------------------------------------------------------------------------------

    def _recover_event(self, run: _Run, event_id: str) -> Iterable[None]:
        """Apply a parked event. One that names no payment needs a question to the gateway first."""
        event = self.events.get(event_id)
        if event is None or event.state is not EventState.PARKED:
            return ()  # the index is behind the table
        about = event
        if not event.payment_id:
            if not run.gateway_answers:
                return ()
            try:
                self.charge_list.rate_limiter.take()()
                run.add("refund_events")
                known = self.webhooks.identify(event, self.gateway.ids_of)
            except NoFreeSlot:
                return ()
            except PaymentError:  # a later run asks again; this one asks for no other event
                run.gateway_answers = False
                self.events.look_again(event, self.clock())
                return ()
            if known is None:
                return ()
            about = known
        state = self.webhooks.apply(about)
        if state is EventState.CONTRADICTS:
            run.add("contradicting_events")
        elif state is EventState.PARKED:
            self.events.look_again(about, self.clock())
        return ()

    def _recover_refund(self, run: _Run, refund_id: str) -> Iterable[None]:
        if self.refunds:
            run.add("refunds_restarted", self.refunds.recover(refund_id))
        return ()

    # Payments --------------------------------------------------------------------------------------------------------

    def _recover_payment(self, run: _Run, kind: Kind, payment_id: str) -> Iterable[None]:
        """Restart a payment if it is due, else set when it is. Adds it to `run.unknown` instead if the gateway's list
        can answer for it."""
        now = self.clock()
        payment = self.payments.get(payment_id)
        if payment is None:
            return ()
        due = self.timeouts.due(payment, now)
        if due and due.kind is Kind.LATE and kind is not Kind.LATE:
            run.add("overdue")
        if due is None or due.at > iso(now):
            self.payments.look_again(payment, due)
        elif is_held(payment) and now >= self.timeouts.hold_ends(payment):
            run.add("holds_ended", self._end_hold(payment, now))
        elif self._is_held(run, payment, now):
            if kind is Kind.LATE:  # the others are few writes: they stay due until the breaker resumes
                self._look_later(payment, due, now + self.timeouts.unit)
        elif (
            len(run.unknown) < MOST_QUESTIONS
            and run.breaker.paused_by != PausedBy.GATEWAY
            and self.charge_list.can_answer(payment)
        ):
            run.unknown.append(payment)
        elif self.timeouts.is_due(payment, now):
            run.add("taken_up", self._restart(run, payment))
        else:
            self._look_later(payment, due, now + self.timeouts.next_run)
        return ()

    def _end_hold(self, payment: Payment, now: datetime) -> bool:
        """Decide on a payment that a fraud rule holds for too long. False if an operator decided at the same moment."""
        message = f"no operator decided within {self.timeouts.fraud_hold // timedelta(hours=1)} hours"
        try:
            decided = decide(payment, self.at_end_of_hold, by="recovery", message=message, store=self.payments, at=now)
        except (NotHeld, VersionConflict):
            return False
        self.workflow.restart(payment.payment_id, execution_suffix_of(decided.history[-1]))
        return True

    def _is_held(self, run: _Run, payment: Payment, now: datetime) -> bool:
        """Whether the breaker or the switch of its batch keeps the payment from being sent."""
        switch = run.switches.of(payment)
        if switch.holds:
            return True
        return run.breaker.holds(payment) and not is_missed(payment, self.timeouts.deadline, run.breaker, now, switch)

    def _look_later(self, payment: Payment, due: Due, at: datetime) -> None:
        self.payments.look_again(payment, replace(due, at=iso(at)))

    def _ask_the_list(self, run: _Run) -> None:
        """Read the gateway's list once for all these payments, and restart each with its answer written to its row.

        A payment without an answer is restarted as usual: the workflow then searches for its charge.
        """
        unanswered = {payment.payment_id: payment for payment in run.unknown}

        def has_time() -> bool:
            return run.seconds_left() >= LIST_RESERVE_SECONDS and self._holds_lease(run)

        try:
            for payment in self.charge_list.answer(run.unknown, has_time):
                del unanswered[payment.payment_id]
                run.add("taken_up", self._restart(run, payment))
        except PaymentError:
            run.add("lists_not_read")  # the gateway does not answer, or asks us to slow down
        for payment in unanswered.values():
            now = self.clock()
            if run.seconds_left() < RESERVE_SECONDS:
                return  # the others stay due
            if self.timeouts.is_due(payment, now):
                run.add("taken_up", self._restart(run, payment))
            elif due := self.timeouts.due(payment, now):
                self._look_later(payment, due, now + self.timeouts.next_run)

    def _restart(self, run: _Run, payment: Payment) -> bool:
        """Claim a restart and start the execution, no faster than one in a slot. False if another run claimed it."""
        wait = run.may_start_at - self.clock()
        if wait > timedelta(0) and self.slot:
            self.sleep(wait.total_seconds())
        claimed = self._claim(payment)
        if claimed is None:
            return False
        run.may_start_at = max(run.may_start_at, parse_iso(claimed.restarted_at)) + self.slot
        if claimed.version == 1 and claimed.restarts == 1:
            self.workflow.start(payment.payment_id)  # if it was started after all, this call changes nothing
        else:
            self.workflow.restart(payment.payment_id, str(claimed.restarts + 1))
        return True

    def _claim(self, payment: Payment) -> Payment | None:
        """Count a restart. None if another recovery run claimed it or the payment moved on."""
        try:
            return self.payments.claim_restart(payment, self.clock())
        except VersionConflict:
            return None

    # Batches ---------------------------------------------------------------------------------------------------------

    def _recover_batch(self, run: _Run, batch_id: str) -> _Steps:
        now = self.clock()
        batch = self.batches.get(batch_id)
        if batch is None:
            return
        look = batch.look
        if look.seen != batch.how_far or run.breaker.paused or batch.switch.is_paused:
            look = replace(look, seen=batch.how_far, seen_since=iso(now))
        if now - parse_iso(look.seen_since) >= max(self.timeouts.overdue, self._queue_wait(run)):
            run.add("batches_stuck")
        if batch.switch.is_paused and now - parse_iso(batch.switch.at) >= self.timeouts.pause_reminder:
            run.add("batches_held")
        check_at = self._check_at(batch)
        checks = batch.status is BatchStatus.PROCESSING and not run.breaker.paused
        due = now + self.timeouts.next_run
        try:
            batch = self.batches.look(batch, look, min(due, check_at) if now < check_at and checks else due)
        except NotClaimed:
            return
        if batch.is_abandoned(iso(now)):
            if batch.status is BatchStatus.SPLITTING:
                self.resume_split(batch.source)
            else:
                self.start_report(batch.batch_id)
            run.add("batches_resumed")
        elif batch.ready_to_report or self._cancel_is_due(batch, now):
            self.start_report(batch.batch_id)
            run.add("batches_resumed")
        elif checks and (look.checked_line or now >= check_at):
            yield from self._check_rows(run, batch, now)

    def _check_at(self, batch: Batch) -> datetime:
        """When the rows of a batch are checked next: at once after it was resumed."""
        last = batch.look.checked_at or batch.updated_at
        return parse_iso(last) + (timedelta(0) if batch.switch.resumed_after(last) else 2 * self.timeouts.unit)

    def _cancel_is_due(self, batch: Batch, now: datetime) -> bool:
        """Whether the report function must end more payments of a canceled batch."""
        ends_rows = batch.switch.is_canceled and batch.status in UNREPORTED
        return ends_rows and batch.cancel_pass.is_due(iso(now), 2 * self.timeouts.unit)

    def _queue_wait(self, run: _Run) -> timedelta:
        """How long a message may wait in the queue: twice the time in which the gateway's rate empties it."""
        if run.queue_length is None:
            run.queue_length = self.queue.length()
        return 2 * run.queue_length * self.slot

    def _check_rows(self, run: _Run, batch: Batch, now: datetime) -> _Steps:
        """Queue payments that were never started for longer than a message may wait, and close rows that have an
        outcome. `_recover_payment` handles the running ones. Rows of a held batch are not lost. After a resume, those
        from before wait no longer than the queue needs: their messages may be gone.

        Messages are queued in groups of ten. A check that is interrupted is continued at its line by the next run.
        """
        lost: list[QueuedPayment] = []
        longest = max(2 * self.timeouts.unit, self._queue_wait(run))
        line = batch.look.checked_line
        try:
            for listed in self.payments.of_batch(batch.batch_id, after=line):
                queued_at = max(listed.created_at, listed.restarted_at)
                waits = self._queue_wait(run) if batch.switch.resumed_after(queued_at) else longest
                if self._is_lost(run, listed, now - waits):
                    lost.append(QueuedPayment(listed.payment_id, batch.batch_id, listed.batch_line))
                if len(lost) == MESSAGES_A_REQUEST:
                    self._queue_again(run, lost)
                line = listed.batch_line
                yield
            line = 0
        except GeneratorExit:  # the run is over
            pass
        self._queue_again(run, lost)
        checked = replace(batch.look, checked_line=line, checked_at=iso(now) if line == 0 else batch.look.checked_at)
        with suppress(NotClaimed):  # it moved on
            self.batches.look(batch, checked, parse_iso(batch.due_at))

    def _is_lost(self, run: _Run, listed: Payment, queued_before: datetime) -> bool:
        """Whether a payment of a batch needs another message. Closes its row instead if it has an outcome."""
        if listed.batch_row_closed:
            return False
        payment = self.payments.get(listed.payment_id) or listed  # the index may be behind the table
        if payment.status not in OPEN:
            self.rows.close(payment)
            run.add("rows_closed")
            return False
        waits = payment.status is Status.PENDING and payment.version == 1
        if not waits or max(payment.created_at, payment.restarted_at) > iso(queued_before):
            return False
        if run.switches.of(payment).holds:
            return False
        if payment.restarts:
            # queueing it did not help: its own execution may have failed before it wrote anything, and its name cannot
            # be used again
            return self._restart(run, payment)
        return self._claim(payment) is not None

    def _queue_again(self, run: _Run, lost: list[QueuedPayment]) -> None:
        if lost:
            self.queue.send(lost)
            run.add("requeued", len(lost))
            lost.clear()

    # The batch breaker -----------------------------------------------------------------------------------------------

    def _recover_breaker(self, run: _Run) -> BreakerState:
        """Resume the breaker if the gateway accepts payments again, and switch the delivery of messages accordingly."""
        breaker = run.breaker
        if breaker.by_gateway and self._gets_through(run):
            self.breaker.resume_gateway(self.clock())
            breaker = self.breaker.state()
        if self.delivery.is_on() == breaker.paused:
            self.delivery.switch(on=not breaker.paused)
        return breaker

    def _gets_through(self, run: _Run) -> bool:
        """Start one payment as a probe. A later run checks whether the gateway processed it."""
        probe = self.payments.get(run.breaker.probe) if run.breaker.probe else None
        if probe and (probe.status in _ANSWERED or probe.settles):
            return True
        if probe and (probe.status not in OPEN or self._is_no_probe(run, probe)):
            probe = None
        waiting = probe or next(self._pending(run), None)
        if waiting is None:
            return self._answers(run)
        if self._answers(run):  # send a probe only to a gateway that answers
            self.breaker.send_probe(waiting.payment_id)
            if self.timeouts.is_due(waiting, self.clock()) or not probe:
                self._restart(run, waiting)
        return False

    def _pending(self, run: _Run) -> Iterator[Payment]:
        """Payments that wait to be sent, whose own execution has ended. Reads a bounded number of rows."""
        now = self.clock()
        before = iso(now - self.timeouts.unit)
        for kind in (Kind.PENDING_BATCH, Kind.PENDING, Kind.LATE):
            waiting = self.payments.due(kind, now + self.timeouts.authentication)  # also those restarted lately
            for payment_id, _ in islice(waiting, MOST_CANDIDATES):
                payment = self.payments.get(payment_id)
                waits = payment and payment.status is Status.PENDING and payment.created_at < before
                if payment and waits and not self._is_no_probe(run, payment):
                    yield payment

    def _is_no_probe(self, run: _Run, payment: Payment) -> bool:
        """Whether an operator holds the payment, alone or with its batch."""
        return run.breaker.operator_holds(payment) or run.switches.of(payment).holds

    def _answers(self, run: _Run) -> bool:
        """Whether the gateway answers a neutral question. Its error is the cause now: an outage may follow a rejected
        key, and a rejected key an outage."""
        try:
            self.gateway.check_account()
        except PaymentError as error:
            if error.outage:
                run.cause = PausedBy.OUTAGE
            elif isinstance(error, Misconfigured):
                run.cause = PausedBy.GATEWAY
            return False
        return True


def _add_pauses(run: _Run) -> None:
    """The findings that the breaker is paused, each by its cause. Each cause has an alarm."""
    if run.breaker.by_gateway:
        run.add(_PAUSES.get(run.cause or run.breaker.paused_by, "lane_paused"), 1)
    if run.breaker.by_operator:
        run.add(_PAUSES[PausedBy.OPERATOR], 1)
