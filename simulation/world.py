"""The world of a run: the domain's own code, wired as in the handlers, with fakes of AWS and the gateway."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any
from unittest.mock import patch

from fakes.audit import MemoryAuditStore
from fakes.batch_breaker import MemoryBreakerStore
from fakes.batches import MemoryBatchStore
from fakes.chain_signer import MemoryChainSigner
from fakes.customers import MemoryCustomerStore
from fakes.events import MemoryEventStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.gateway import Captured, Fault, FaultKind, MemoryGateway
from fakes.lease import MemoryLease
from fakes.slots import MemorySlotStore
from fakes.tokens import MemoryTokenStore
from lib.features.state_machine import Step, definition
from payments.adapters.step_functions import StepFunctionsWorkflow
from payments.adapters.stripe.amounts import refusal
from payments.application.accept import OtherPayment, accept
from payments.application.audit import audit
from payments.application.batch import cancel_rows, result_files
from payments.application.batch import report as batch_report
from payments.application.batch import split as batch_split
from payments.application.batch.cancel_rows import BatchCanceler
from payments.application.batch.close_rows import BatchRows
from payments.application.batch.dispatch import BatchHeld, Dispatcher, ShortOfTime
from payments.application.batch.report import Reporter
from payments.application.batch.row_rules import rules_of
from payments.application.batch.split import Splitter, sources_in
from payments.application.batch.switch_batch import switch_batch
from payments.application.batch.switches import Switches
from payments.application.batch_breaker import BatchBreaker
from payments.application.cancel import NotPending, cancel
from payments.application.chain_heads import ChainHeads
from payments.application.charge import Charging
from payments.application.charge_list import SLOTS_A_PAGE, ChargeList
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.application.guarded_gateway import GuardedGateway
from payments.application.hold import Hold
from payments.application.id_rules import IdRules
from payments.application.recover import PaymentRecovery
from payments.application.retry import Retries, RetryRefused
from payments.application.steps import audit_step, charge_step, record_step, validate_step
from payments.application.validate import PaymentMethods
from payments.application.webhooks import Webhooks
from payments.domain.batch.state import Source
from payments.domain.batch.switch import SwitchState
from payments.domain.clock import iso
from payments.domain.errors import PaymentError
from payments.domain.gateway_event import GatewayEvent
from payments.domain.gateway_slots import slot_length
from payments.domain.merchants import Merchants
from payments.domain.money import Money
from payments.domain.payment import Payment, parse_request
from payments.domain.recovery_timeouts import RecoveryTimeouts
from simulation.cloud import LEAST_PART_BYTES, Context, Delivery, Files, Functions, Queue, StepFunctionsClient, error_of
from simulation.effects import Effects
from simulation.faults import Chaos, Fate, Mishap
from simulation.machine import Machine
from simulation.scheduler import Scheduler, Task
from simulation.tables import LaggingPayments
from simulation.work import CUSTOMERS, Work

TIMEOUT_SECONDS = {
    "validate": 15.0,
    "charge": 80.0,
    "record": 15.0,
    "audit": 15.0,
    "split": 900.0,
    "dispatch": 60.0,
    "report": 900.0,
    "api": 20.0,
    "webhook": 15.0,
    "sweep": 316.0,
}
"""The functions' limits, as in `lib/features/`, which needs cdktf."""
ENVIRONMENT_ID, OTHER_ENVIRONMENT_ID = "0123456789abcdef", "fedcba9876543210"
"""This environment, and another one on the same account of the gateway."""
PUBLISH = "arn:aws:states:::sns:publish"
_CRASHES = (Fate.CRASH_BEFORE, Fate.CRASH_AFTER)


class World:
    """Everything in a run. Parts of AWS and of the gateway are reached only through effects."""

    def __init__(self, random: Random, work: Work) -> None:
        self.random = random
        self.work = work
        self.chaos = Chaos(random)
        self.scheduler = Scheduler(error_of)
        self.effects = Effects(self.scheduler, self.chaos)
        self.published: list[dict[str, Any]] = []
        self.altered: set[str] = set()
        """The payments for which the gateway reported an altered amount."""
        self.asked_to_cancel: set[str] = set()
        """The payments, and the batches, that someone asked to cancel."""
        self.acknowledged_cancels: set[str] = set()
        """The payments, and the batches, whose cancellation was acknowledged."""
        self.answered: list[tuple[str, int, str]] = []
        """The answers to clients: payment id, HTTP status, fingerprint of the request."""
        self.captures: Counter[str] = Counter()
        """The number of charges that the gateway captured, by payment id."""
        self.refused: set[str] = set()
        """The payments for which the gateway rejected our key."""
        self.evidence: list[int] = []
        """The number of refused payments each time the batch breaker was paused."""
        self.redriven = False
        """Whether an operator redrove failed executions and messages after the last fault."""
        self.acknowledged: list[GatewayEvent] = []
        """The gateway events that we acknowledged."""
        self.broken: list[tuple[str, str, str]] = []
        """Violated invariants: name, payment id or object, and how."""
        clock, sleep, effects = self.scheduler.clock, self.scheduler.sleep, self.effects

        # parts that outlive every function: tables, bucket, queue, gateway
        self.encryptor = MemoryFieldEncryptor()
        self.payments = LaggingPayments(
            self._row_written, self.scheduler.monotonic, self.chaos.index_lag_seconds, self.encryptor
        )
        self.batches = MemoryBatchStore(self.payments)
        self.audit_log = MemoryAuditStore(self.payments, most_entries=2)  # so small that a payment needs several
        self.events = MemoryEventStore()
        self.breaker = MemoryBreakerStore()
        self.files = Files()
        self.functions = Functions(self.scheduler, self.chaos)
        self.queue = Queue(self.scheduler, self.chaos, self.functions)
        self.delivery = Delivery(self.queue, self.scheduler)
        self.gateway = MemoryGateway(
            clock,
            search_lag=timedelta(seconds=self.chaos.search_lag_seconds),
            tell=self._gateway_tells,
            # half of the worlds store references clear, the others sealed, as on rows from before
            prefix="pi_" if len(work.over_rest) % 2 else "mem_",
        )
        self.machine = self._machine()
        self.latest: dict[str, GatewayEvent] = {}
        """The gateway's last event about each payment, delivered or not."""

        # the same parts as functions see them: through effects
        payments = effects.of("payments", self.payments)
        batches = effects.of("batches", self.batches, once=("close_row",))
        events = effects.of("events", self.events)
        breaker = effects.of("breaker", self.breaker)
        queue = effects.of("queue", self.queue)
        self.put_back = queue.put_back
        files = effects.of("files", self.files)
        gateway = effects.of("gateway", self.gateway, fates=_CRASHES, prepare=self._gateway_misbehaves)
        encryptor = effects.of("encryptor", self.encryptor)
        invoke = effects.of("lambda", self.functions)
        client = StepFunctionsClient(self.machine)
        workflow = StepFunctionsWorkflow(effects.of("workflow", client), "arn")
        rate_limiter = GatewayRateLimiter(effects.of("slots", MemorySlotStore()), slot_length(25, 8), clock, sleep)
        page_slot = SLOTS_A_PAGE * slot_length(25, 8)
        page_limiter = GatewayRateLimiter(effects.of("slots", MemorySlotStore()), page_slot, clock, sleep)
        timeouts = RecoveryTimeouts()
        self.customers = MemoryCustomerStore(*CUSTOMERS)
        customers = effects.of("customers", self.customers)
        methods = PaymentMethods(customers, "", effects.of("tokens", MemoryTokenStore()), clock, encryptor)

        guard = BatchBreaker(breaker, clock)

        def refused(payment_id: str, error: PaymentError) -> None:
            self.refused.update(filter(None, [payment_id]))
            if guard.refused(payment_id, error):
                self.evidence.append(len(self.refused))

        def start_report(batch_id: str) -> None:
            invoke.start("report", {"batch_id": batch_id}, batch_id)

        def start_split(source: Source) -> None:
            invoke.start("split", {"resume": asdict(source)}, source.key)

        rows = BatchRows(batches, start_report)
        self.store, self.clock, self.workflow = payments, clock, workflow
        self.webhooks = Webhooks(events, payments, workflow, clock, encryptor, ENVIRONMENT_ID)
        guarded = GuardedGateway(gateway, refused, guard.answered)
        self.charging = Charging(guarded, methods, payments, clock, timeouts, ENVIRONMENT_ID, self.batches.former_of)
        self.retries = Retries(payments, gateway, encryptor, workflow, ENVIRONMENT_ID, clock=clock)
        # the switch only saves work: no other actor needs a moment between its read and the row's conditional write.
        # every simulated environment is open; a read more would shift the random draws of every seed
        hold = Hold(breaker, clock, timeouts, Switches(self.batches, clock).of, is_open=lambda: True)
        self.dispatcher = Dispatcher(
            payments, workflow, breaker, rate_limiter, 0.1, self.scheduler.monotonic, sleep, Switches(batches, clock)
        )
        rules = partial(rules_of, ids=IdRules(Merchants(), payments, customers))
        self.splitter = Splitter(payments, batches, queue, files, rows, start_split, rules, clock, workers=2)
        self.reporter = Reporter(payments, batches, files, effects.of("sns", self).publish, clock, sleep, encryptor)
        self.recovery = PaymentRecovery(
            payments,
            batches,
            events,
            queue,
            workflow,
            self.webhooks,
            gateway,
            ChargeList(gateway, payments, encryptor, page_limiter, clock, timeouts),
            breaker,
            effects.of("delivery", self.delivery),
            rows,
            effects.of("lease", _DoubtfulLease(self.chaos)),
            start_split,
            start_report,
            clock,
            sleep,
            timeouts,
            slot_length(25, 8),
        )
        log = effects.of("audit_log", self.audit_log, once=("append",))
        # not through effects: it reads entries that never change, and computes
        heads = ChainHeads(MemoryChainSigner(), self.audit_log.entry)

        def finish(payment: Payment) -> None:
            audit(payment, log=log, heads=heads)
            batches.close_row(payment)

        self.canceler = BatchCanceler(payments, batches, finish, effects.of("sns", self).publish, clock)

        def jitter(most: int) -> int:
            return random.randint(0, most)

        handlers: dict[str, Any] = {
            "validate": lambda event, _: validate_step(event, store=payments, methods=methods, refusal=refusal),
            "charge": lambda event, _: charge_step(
                event,
                charging=self.charging,
                encryptor=encryptor,
                rate_limiter=rate_limiter,
                jitter=jitter,
                hold=hold,
            ),
            "record": lambda event, _: {
                "payment_id": record_step(event, store=payments, events=events, clock=clock).payment_id
            },
            "audit": lambda event, _: audit_step(event, store=payments, log=log, heads=heads, rows=rows),
            "split": self.split,
            "dispatch": self.dispatch,
            "report": self.report,
            "api": self.post_payment,
            "cancel": self.cancel_payment,
            "retry": self.retry_payment,
            "switch": lambda event, _: switch_batch(
                event["batch_id"], SwitchState(event["state"]), by="admin:sub", batches=batches, clock=clock
            ),
            "webhook": self.take_event,
            "sweep": lambda _, context: dict(self.recovery.recover(context.seconds_left, context.request_id)),
        }
        short = random.choice((0.0, 0.0, 2.0))  # 2: hardly more than the reserve, so that they hand over
        seconds = dict(TIMEOUT_SECONDS) | dict.fromkeys(("cancel", "retry", "switch"), TIMEOUT_SECONDS["api"])
        if short:
            seconds |= {
                "split": batch_split.RESERVE_SECONDS + short,
                "report": batch_report.RESERVE_SECONDS + short,
            }
        for name, handler in handlers.items():
            self.functions.add(name, handler, seconds[name])

    # The handlers, as thin as in lambda_src/handlers ---------------------------------------------------------------

    def post_payment(self, body: dict[str, Any], context: Context) -> dict[str, Any]:
        """POST /payments."""
        request = parse_request(body)
        answer = {"status": 202, "fingerprint": request.fingerprint}
        try:
            accept(
                request, store=self.store, workflow=self.workflow, at=self.clock(), correlation_id=context.request_id
            )
        except OtherPayment:
            return answer | {"status": 409}
        return answer

    def cancel_payment(self, event: dict[str, Any], _: Context) -> dict[str, Any]:
        """POST /payments/{payment_id}/cancel."""
        try:
            cancel(event["payment_id"], by="admin:sub", store=self.store, workflow=self.workflow, clock=self.clock)
        except NotPending:
            return {"status": 409}
        except LookupError:
            return {"status": 404}
        return {"status": 200}

    def retry_payment(self, event: dict[str, Any], context: Context) -> dict[str, Any]:
        """POST /payments/{payment_id}/retry."""
        try:
            self.retries.retry(event["payment_id"], by="admin:sub", at=self.clock(), correlation_id=context.request_id)
        except RetryRefused:
            return {"status": 409}
        return {"status": 202}

    def take_event(self, event: dict[str, Any], _: Context) -> dict[str, Any]:
        """POST /webhooks/stripe, with a verified signature."""
        self.webhooks.receive(GatewayEvent(**event, received_at=iso(self.clock())))
        return {"status": 200}

    def dispatch(self, event: dict[str, Any], context: Context) -> dict[str, Any]:
        """Process messages of the queue."""
        records = event["Records"]
        failed = []
        for record in records:
            try:
                try:
                    self.dispatcher.dispatch(record["body"], context.seconds_left)
                except ShortOfTime as back:
                    self.put_back(record["body"], back.seconds)
                except BatchHeld:
                    continue
            except Exception:  # noqa: BLE001 - as in the handler: only this message returns
                failed.append(record["messageId"])
        return {"batchItemFailures": [{"itemIdentifier": number} for number in failed]}

    def split(self, event: dict[str, Any], context: Context) -> None:
        """Process a notification of S3, or continue an earlier run."""
        for source in sources_in(event):
            self.splitter.split(source, owner=context.request_id, seconds_left=context.seconds_left)

    def report(self, event: dict[str, Any], context: Context) -> None:
        """Report a batch whose rows are closed. Before, end those of a canceled batch."""
        self.canceler.cancel(event["batch_id"], owner=context.request_id, seconds_left=context.seconds_left)
        self.reporter.report(event["batch_id"], owner=context.request_id, seconds_left=context.seconds_left)

    # AWS and the gateway -------------------------------------------------------------------------------------------

    def publish(self, event: dict[str, Any]) -> None:
        """Accept an event, as SNS does."""
        self.published.append(event)

    def _machine(self) -> Machine:
        names = ("validate", "charge", "record", "audit")
        steps = [Step(name, int(TIMEOUT_SECONDS[name])) for name in names]

        def function(name: str) -> Any:
            return lambda event: self.functions.call(name, event, about=event["payment_id"])

        resources: dict[str, Any] = {name: function(name) for name in names}
        resources[PUBLISH] = self._publish_step
        return Machine(
            definition(steps[0], steps[1], steps[2], steps[3], "topic"),
            resources,
            self.scheduler,
            self.random,
            self.effects.note,
        )

    def _publish_step(self, parameters: dict[str, Any]) -> Task:
        event = json.loads(parameters["Message"])
        sns = self.effects.of("sns", self, fates=(Fate.REFUSED, Fate.ANSWER_LOST, Fate.REPEATED))
        return self.scheduler.spawn(f"publish {event['payment_id']}", lambda: sns.publish(event))

    def _gateway_misbehaves(self, call: str, arguments: tuple[Any, ...]) -> None:
        """Let a fault strike the gateway's next call."""
        if call not in ("charge", "find", "listed", "ids_of", "cancel", "check_account"):
            return
        chaos, about = self.chaos, arguments[0] if arguments else ""
        payment_id = str(getattr(about, "payment_id", about)) if call in ("charge", "find") else ""
        kind = chaos.gateway_fault(self.scheduler.monotonic())
        if kind is None:
            return
        chaos.struck[f"gateway {kind.value}"] += 1
        fault = Fault(kind, payment_id, "", executes=self.random.random() < 0.5)
        if kind is FaultKind.RATE_LIMITED:
            fault.retry_after_seconds = self.random.randint(0, 20)
            fault.account_wide = fault.retry_after_seconds % 2 == 1
        if kind is FaultKind.ALTERED:
            self.altered.add(payment_id)
            fault.money = Money(4711, "CHF")
        self.gateway.fail(fault)

    @property
    def captured(self) -> list[Captured]:
        """The charges of this environment that the gateway captured."""
        return [charge for charge in self.gateway.captured if charge.environment_id == ENVIRONMENT_ID]

    def _gateway_tells(self, kind: str, payment_id: str, reference: str) -> None:
        self.effects.note("gateway", kind, payment_id, reference)
        if self.gateway.environment_of(reference) != ENVIRONMENT_ID:
            self.on_event_of_other_environment(kind, payment_id, reference)
            return
        self.on_gateway_event(kind, payment_id, reference)

    def on_event_of_other_environment(self, kind: str, payment_id: str, reference: str) -> None:
        """Replaced by the actor that delivers the gateway's events."""

    def on_gateway_event(self, kind: str, payment_id: str, reference: str) -> None:
        """Replaced by the actor that delivers the gateway's events."""

    def _row_written(self, before: Payment | None, after: Payment) -> None:
        self.on_row_written(before, after)

    def on_row_written(self, before: Payment | None, after: Payment) -> None:
        """Replaced by the invariants that watch the rows."""

    def break_(self, invariant: str, about: str, how: str) -> None:
        """Record a violated invariant, and stop."""
        self.broken.append((invariant, about, how))
        self.scheduler.halted = True


class _DoubtfulLease(MemoryLease):
    """A lease that two runs may believe to hold: it guards nothing."""

    def __init__(self, chaos: Chaos) -> None:
        super().__init__()
        self._chaos = chaos

    def take(self, owner: str, at: datetime, until: datetime) -> bool:
        """Grant it, sometimes also to a second run."""
        return super().take(owner, at, until) or self._chaos.mishap(Mishap.DOUBLED)


class _OneByOne:
    """Replaces the thread pools of splitter and report: greenlets cannot change threads."""

    def __init__(self, workers: int) -> None:
        pass

    def __enter__(self) -> "_OneByOne":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, function: Any, *items: Any) -> Iterator[Any]:
        return iter([function(*some) for some in zip(*items, strict=False)])

    def submit(self, function: Any, *arguments: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(function(*arguments))
        return done


@contextmanager
def small_windows() -> Iterator[None]:
    """Make the windows, parts and pauses between checkpoints as small as the files, and replace the threads."""
    with (
        patch.object(batch_split, "ROWS_A_WINDOW", 2),
        patch.object(batch_split, "ThreadPoolExecutor", _OneByOne),
        patch.object(batch_report, "ThreadPoolExecutor", _OneByOne),
        patch.object(cancel_rows, "ROWS_A_WINDOW", 2),
        patch.object(cancel_rows, "ThreadPoolExecutor", _OneByOne),
        patch.object(batch_report, "CHECKPOINT_SECONDS", 0.5),
        patch.object(result_files, "PART_BYTES", LEAST_PART_BYTES),
    ):
        yield
