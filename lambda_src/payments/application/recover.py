"""Recovery: find payments, events and batches that were accepted and then stopped, and resume them.

It uses only the ordinary mechanisms: another execution of the workflow, another message in the queue, another run of
the splitter or the report. All of these are safe to repeat. A recovery run may therefore fail at any point, or run at
the same time as another one.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import repeat

from payments.application.batch.close_rows import BatchRows
from payments.application.charge_list import ChargeList
from payments.application.webhooks import Webhooks
from payments.domain.batch.state import Batch, BatchStatus, Source
from payments.domain.batch_breaker import BreakerState, PausedBy
from payments.domain.clock import Clock, iso, parse_iso
from payments.domain.errors import PaymentError
from payments.domain.gateway_event import EventState, GatewayEvent
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.statuses import CAPTURED, OPEN, SETTLED, Status
from payments.ports.batch_breaker_store import BreakerStore
from payments.ports.batch_store import BatchStore, NotClaimed
from payments.ports.event_store import EventStore
from payments.ports.payment_gateway import PaymentGateway
from payments.ports.payment_queue import MESSAGES_A_REQUEST, PaymentQueue, QueuedPayment
from payments.ports.payment_store import PaymentStore, VersionConflict
from payments.ports.queue_delivery import Delivery
from payments.ports.workflow import Workflow

MOST_IDENTIFIED = 30
"""The most events of refunds for which a run asks the gateway: one in two seconds, beside the payments' requests."""
RESERVE_SECONDS = 20
"""The remaining time at which a recovery run stops looking for more work."""
LIST_RESERVE_SECONDS = 60
"""The remaining time at which it stops reading the gateway's list."""
MOST_QUESTIONS = 1_000
"""The most payments that one reading of the list answers for."""
_ANSWERED = CAPTURED | {Status.DECLINED, Status.REQUIRES_ACTION, Status.IN_REVIEW}
"""Statuses of a probe that only an answer of the gateway can cause."""


def _raise(error: Exception) -> None:
    raise error


@dataclass(frozen=True)
class PaymentRecovery:
    """`resume_split` and `start_report` start those functions. `on_error` receives the error of a single item, and may
    raise it to end the run. All other arguments are ports."""

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
    resume_split: Callable[[Source], None]
    start_report: Callable[[str], None]
    clock: Clock
    timeouts: RecoveryTimeouts = field(default_factory=RecoveryTimeouts)
    on_error: Callable[[Exception], None] = _raise

    def recover(self, seconds_left: Callable[[], float]) -> Counter[str]:
        """Check everything that is not finished, and count what was found.

        The run stops before its time limit. The next run begins elsewhere and continues with the rest.
        """
        found: Counter[str] = Counter()
        breaker = self.breaker.state()
        with self._apart():
            breaker = self._recover_breaker(breaker)
        unknown: list[Payment] = []
        for payment_id in self._unsettled():
            with self._apart():
                found.update(self._recover_payment(payment_id, breaker, unknown))
            if seconds_left() < RESERVE_SECONDS:
                break
        with self._apart():
            found.update(self._ask_the_list(unknown, seconds_left))
        for event in self.events.parked():
            with self._apart():
                found.update(self._apply_event(event, found["refund_events"] < MOST_IDENTIFIED))
            if seconds_left() < RESERVE_SECONDS:
                break
        for batch_id in self.batches.unfinished():
            with self._apart():
                if seconds_left() >= RESERVE_SECONDS:
                    found.update(self._recover_batch(batch_id, breaker, seconds_left))
        found["lane_paused"] = int(breaker.paused)
        return found

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Isolate the errors of one item, so that the other items are still processed."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - every error is passed on
            self.on_error(error)

    def _apply_event(self, event: GatewayEvent, may_ask: bool) -> Iterator[str]:
        about: GatewayEvent | None = event if event.payment_id else None
        if about is None and may_ask:
            yield "refund_events"
            with suppress(PaymentError):  # the gateway gave no answer; a later run asks again
                about = self.webhooks.identify(event, self.gateway.ids_of)
        if about and self.webhooks.apply(about) is EventState.CONTRADICTS:
            yield "contradicting_events"

    # Payments --------------------------------------------------------------------------------------------------------

    def _unsettled(self) -> Iterator[str]:
        return self.payments.unsettled(self.clock() - self.timeouts.unit)

    def _recover_payment(self, payment_id: str, breaker: BreakerState, unknown: list[Payment]) -> Iterator[str]:
        """Restart a payment if it is due. Adds it to `unknown` instead if the gateway's list can answer for it."""
        now = self.clock()
        payment = self.payments.get(payment_id)
        if payment is None or (payment.status in SETTLED and payment.audited_version == payment.version):
            return  # the index is behind the table
        if payment.status is Status.IN_REVIEW:
            yield "in_review"
            if payment.audited_version == payment.version:
                return
        elif self._is_overdue(payment, now):
            yield "overdue"
        breaker_pauses_it = breaker.paused_by == PausedBy.GATEWAY or (breaker.paused and payment.source == "batch")
        held_back = breaker_pauses_it and payment.status is Status.PENDING
        if (
            len(unknown) < MOST_QUESTIONS
            and breaker.paused_by != PausedBy.GATEWAY
            and self.charge_list.can_answer(payment)
        ):
            unknown.append(payment)
        elif not held_back and self.timeouts.is_due(payment, now) and self._restart(payment, now):
            yield "taken_up"

    def _ask_the_list(self, unknown: list[Payment], seconds_left: Callable[[], float]) -> Iterator[str]:
        """Read the gateway's list once for all these payments, and restart each with its answer written to its row.

        A payment without an answer is restarted as usual: the workflow then searches for its charge.
        """
        unanswered = {payment.payment_id: payment for payment in unknown}
        try:
            for payment in self.charge_list.answer(unknown, lambda: seconds_left() >= LIST_RESERVE_SECONDS):
                del unanswered[payment.payment_id]
                if self._restart(payment, self.clock()):
                    yield "taken_up"
        except PaymentError:
            yield "lists_not_read"  # the gateway does not answer, or asks us to slow down
        for payment in unanswered.values():
            if self.timeouts.is_due(payment, self.clock()) and self._restart(payment, self.clock()):
                yield "taken_up"

    def _is_overdue(self, payment: Payment, now: datetime) -> bool:
        """Open for so long that an operator must look. A customer may take a day to authenticate, and a gateway several
        days to settle."""
        if payment.settles:
            return False
        longest = self.timeouts.overdue
        if payment.status is Status.REQUIRES_ACTION:  # the first restart after that day declines it
            longest = self.timeouts.authentication + 2 * self.timeouts.overdue
        return now - parse_iso(payment.attempted_at or payment.created_at) >= longest

    def _restart(self, payment: Payment, now: datetime) -> bool:
        claimed = self._claim(payment, now)
        if claimed is None:
            return False
        if claimed.version == 1 and claimed.restarts == 1:
            self.workflow.start(payment.payment_id)  # if it was started after all, this call changes nothing
        else:
            self.workflow.restart(payment.payment_id, str(claimed.restarts + 1))
        return True

    def _claim(self, payment: Payment, now: datetime) -> Payment | None:
        """Count a restart. None if another recovery run claimed it or the payment moved on."""
        try:
            return self.payments.claim_restart(payment, now)
        except VersionConflict:
            return None

    # Batches ---------------------------------------------------------------------------------------------------------

    def _recover_batch(self, batch_id: str, breaker: BreakerState, seconds_left: Callable[[], float]) -> Iterator[str]:
        now = self.clock()
        batch = self.batches.get(batch_id)
        if batch is None:
            return
        if batch.is_abandoned(iso(now)):
            if batch.status is BatchStatus.SPLITTING:
                self.resume_split(batch.source)
            else:
                self.start_report(batch.batch_id)
            yield "batches_resumed"
        elif batch.ready_to_report:
            self.start_report(batch.batch_id)
            yield "batches_resumed"
        elif self._stands_still(batch, now) and not breaker.paused:
            try:
                self.batches.claim_repair(batch, now)
            except NotClaimed:
                return
            yield from self._repair_rows(batch, now, seconds_left)

    def _stands_still(self, batch: Batch, now: datetime) -> bool:
        """The file is read and the queue is empty, but some payments of the batch have no outcome."""
        long_ago = now - parse_iso(batch.updated_at) >= 2 * self.timeouts.unit
        return batch.status is BatchStatus.PROCESSING and long_ago and self.queue.is_empty()

    def _repair_rows(self, batch: Batch, now: datetime, seconds_left: Callable[[], float]) -> Iterator[str]:
        """Queue payments that were never started, and close rows that have an outcome. `_recover_payment` handles the
        running ones.

        Messages are queued in groups of ten, so that a run that reaches its time limit has finished what it checked.
        """
        lost: list[QueuedPayment] = []
        for listed in self.payments.of_batch(batch.batch_id):
            if listed.batch_row_closed:
                continue
            payment = self.payments.get(listed.payment_id) or listed  # the index may be behind the table
            if payment.status not in OPEN:
                self.rows.close(payment)
                yield "rows_closed"
            elif payment.status is Status.PENDING and payment.version == 1:
                lost.append(QueuedPayment(payment.payment_id, batch.batch_id, payment.batch_line))
                if payment.restarts:
                    # queueing it did not help: its own execution may have failed before it wrote anything, and its
                    # name cannot be used again
                    self._restart(payment, now)
                else:
                    self._claim(payment, now)
            if len(lost) == MESSAGES_A_REQUEST:
                yield from self._queue_again(lost)
                lost = []
            if seconds_left() < RESERVE_SECONDS:
                break
        if lost:
            yield from self._queue_again(lost)

    def _queue_again(self, lost: list[QueuedPayment]) -> Iterator[str]:
        self.queue.send(lost)
        return repeat("requeued", len(lost))

    # The batch breaker -----------------------------------------------------------------------------------------------

    def _recover_breaker(self, breaker: BreakerState) -> BreakerState:
        """Resume the breaker if the gateway accepts payments again, and switch the delivery of messages accordingly."""
        if breaker.paused_by == PausedBy.GATEWAY and self._gets_through(breaker):
            self.breaker.resume()
            breaker = self.breaker.state()
        if self.delivery.is_on() == breaker.paused:
            self.delivery.switch(on=not breaker.paused)
        return breaker

    def _gets_through(self, breaker: BreakerState) -> bool:
        """Start one payment as a probe. A later run checks whether the gateway processed it."""
        probe = self.payments.get(breaker.probe) if breaker.probe else None
        if probe and probe.status in _ANSWERED:
            return True
        if probe and probe.status not in OPEN:
            probe = None
        waiting = probe or next(self._pending(), None)
        if waiting is None:
            return self._answers()
        if self._answers():  # send a probe only to a gateway that answers
            self.breaker.send_probe(waiting.payment_id)
            if self.timeouts.is_due(waiting, self.clock()) or not probe:
                self._restart(waiting, self.clock())
        return False

    def _pending(self) -> Iterator[Payment]:
        found = (self.payments.get(payment_id) for payment_id in self._unsettled())
        return (payment for payment in found if payment and payment.status is Status.PENDING)

    def _answers(self) -> bool:
        """Whether the gateway answers a neutral question."""
        try:
            self.gateway.check_account()
        except PaymentError:
            return False
        return True
