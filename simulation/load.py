"""Load in virtual time: REST payments and a batch, at a gateway that answers 429 above its rate.

It runs the same steps, dispatchers and state machine as the simulation, without random faults. Each part takes as long
as measured: `docs/costs.py` has the functions' own milliseconds; a warm payment is final after a quarter of a second
(docs/benchmarks.md).
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

from fakes.audit import MemoryAuditStore
from fakes.batch_breaker import MemoryBreakerStore
from fakes.batches import MemoryBatchStore
from fakes.chain_signer import MemoryChainSigner
from fakes.customers import MemoryCustomerStore
from fakes.events import MemoryEventStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.gateway import MemoryGateway
from fakes.payments import MemoryPaymentStore
from fakes.slots import MemorySlotStore
from fakes.tokens import MemoryTokenStore
from lib.features.state_machine import Step, definition
from payments.adapters.sqs import LONGEST_DELAY_SECONDS
from payments.adapters.step_functions import StepFunctionsWorkflow
from payments.adapters.stripe.amounts import refusal
from payments.application.accept import accept
from payments.application.audit import audit
from payments.application.backlog import BacklogFull, BacklogLimit
from payments.application.batch.dispatch import Dispatcher, ShortOfTime
from payments.application.batch.switches import Switches
from payments.application.chain_heads import ChainHeads
from payments.application.charge import Charging
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.application.steps import charge_step, record_step, validate_step
from payments.application.validate import PaymentMethods
from payments.domain.clock import parse_iso
from payments.domain.errors import RateLimited
from payments.domain.events import payment_event
from payments.domain.gateway_slots import slot_length
from payments.domain.money import Money
from payments.domain.payment import Payment, PaymentRequest, accepted
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.sealed_text import Context, Seal
from payments.domain.statuses import OPEN
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge
from payments.ports.payment_store import require
from simulation.cloud import MAX_RECEIVES, MESSAGES_A_CALL, VISIBILITY_SECONDS, StepFunctionsClient, error_of
from simulation.machine import Machine
from simulation.scheduler import Scheduler, Task

TAKES_SECONDS = {"validate": 0.009, "charge": 0.004, "record": 0.009, "audit": 0.012, "publish": 0.01}
INVOCATION_SECONDS = 0.02
KEY_SECONDS, WRITE_SECONDS, GATEWAY_SECONDS = 0.006, 0.005, 0.1
DISPATCH_SECONDS = 60.0
RESERVE_PERCENT = 8
GOOD, LOST = "pm_card_visa", "pm_card_visa_chargeDeclinedLostCard"


class _Soon(Random):
    """Delays of a loaded but healthy service: a twentieth of the simulation's."""

    def random(self) -> float:
        return super().random() / 20


class _Rows(MemoryPaymentStore):
    def __init__(self, load: "Load") -> None:
        super().__init__()
        self._load = load

    def save(self, payment: Payment) -> None:
        """Save, which takes time."""
        self._load.scheduler.sleep(WRITE_SECONDS)
        super().save(payment)


class _Key(MemoryFieldEncryptor):
    def __init__(self, load: "Load") -> None:
        super().__init__()
        self._load = load

    def unlock(self, context: Context, values: Mapping[str, str]) -> tuple[dict[str, str], Seal]:
        """Unlock, which takes time."""
        self._load.counts["data keys"] += 1
        self._load.scheduler.sleep(KEY_SECONDS)
        return super().unlock(context, values)


class _Gateway(MemoryGateway):
    """Answers 429 to a request with `rate` others in the second before it."""

    def __init__(self, load: "Load", rate: int) -> None:
        super().__init__(load.scheduler.clock)
        self._load, self._rate = load, rate
        self._last: deque[float] = deque()

    def _count(self) -> None:
        now = self._load.scheduler.monotonic()
        while self._last and self._last[0] <= now - 1:
            self._last.popleft()
        self._load.sent_at.append(now)
        if len(self._last) >= self._rate:
            self._load.counts["429 of the gateway"] += 1
            raise RateLimited("rate_limit", "too many requests")
        self._last.append(now)
        self._load.scheduler.sleep(GATEWAY_SECONDS)

    def charge(self, request: ChargeRequest) -> GatewayCharge:
        """Charge, within the rate."""
        self._count()
        return super().charge(request)

    def find(self, payment_id: str, reference: str = "", *, environment_id: str = "") -> GatewayCharge | None:
        """Find a charge, within the rate."""
        self._count()
        return super().find(payment_id, reference, environment_id=environment_id)

    def cancel(self, reference: str) -> bool:
        """Cancel a charge, within the rate."""
        self._count()
        return super().cancel(reference)


@dataclass(slots=True)
class _Message:
    body: str
    receives: int = 0


@dataclass
class Load:
    """A backend under load. `rate` is what the gateway allows in a second."""

    rate: int
    backlog_limit_seconds: int = 300
    dispatchers: int = 3
    lost_cards: float = 0.0
    """The share of REST payments on lost cards: each needs a second request, to cancel."""
    throttled: tuple[float, float] = (0.0, 0.0)
    """From when until when Lambda starts no function; they start afterwards."""
    counts: Counter[str] = field(default_factory=Counter)
    sent_at: list[float] = field(default_factory=list)
    """When each request reached the gateway."""
    dead_letters: list[str] = field(default_factory=list)
    scheduler: Scheduler = field(default_factory=lambda: Scheduler(error_of))

    def __post_init__(self) -> None:
        scheduler, clock = self.scheduler, self.scheduler.clock
        self._random = _Soon(7)
        self.store, self.encryptor = _Rows(self), _Key(self)
        self.slot = slot_length(self.rate, RESERVE_PERCENT)
        self.limiter = GatewayRateLimiter(MemorySlotStore(), self.slot, clock, scheduler.sleep)
        self._limit = BacklogLimit(self.limiter, self.backlog_limit_seconds)
        methods = PaymentMethods(MemoryCustomerStore(), "", MemoryTokenStore(), clock)
        charging = Charging(_Gateway(self, self.rate), methods, self.store, clock)
        events, log = MemoryEventStore(), MemoryAuditStore(self.store)
        handlers: dict[str, Callable[[Any], Any]] = {
            "validate": lambda event: validate_step(event, store=self.store, methods=methods, refusal=refusal),
            "charge": lambda event: charge_step(
                event, charging=charging, encryptor=self.encryptor, rate_limiter=self.limiter, jitter=lambda most: most
            ),
            "record": lambda event: {
                "payment_id": record_step(event, store=self.store, events=events, clock=clock).payment_id
            },
            "audit": lambda event: self._audited(event["payment_id"], log),
            "publish": lambda event: event,
        }
        resources = {name: self._function(name, handler) for name, handler in handlers.items()}
        resources["arn:aws:states:::sns:publish"] = resources["publish"]
        validate, charge, record, last = (Step(name, 80) for name in ("validate", "charge", "record", "audit"))
        deployed = definition(validate, charge, record, last, "topic")
        self.machine = Machine(deployed, resources, scheduler, self._random)
        self.workflow = StepFunctionsWorkflow(StepFunctionsClient(self.machine), "arn")  # type: ignore[arg-type]
        self._dispatcher = Dispatcher(
            self.store,
            self.workflow,
            MemoryBreakerStore(),
            self.limiter,
            self.dispatchers / self.rate,
            scheduler.monotonic,
            scheduler.sleep,
            Switches(MemoryBatchStore(self.store), scheduler.clock),
        )
        self._queue: deque[_Message] = deque()

    def rest(self, per_second: float, seconds: float) -> None:
        """Offer REST payments evenly. Each client sends once, and counts a 429."""

        def client(number: int) -> None:
            lost = (number * self.lost_cards) % 1 >= 1 - self.lost_cards
            asked = PaymentRequest(f"rest_{number}", Money(100, "USD"), payment_method=LOST if lost else GOOD)
            try:
                self._limit.check(asked.payment_id, self.store)
            except BacklogFull:
                self.counts["429 of the API"] += 1
                return
            accept(asked, store=self.store, workflow=self.workflow, at=self.scheduler.clock(), correlation_id="")

        for number in range(int(per_second * seconds)):
            self.scheduler.spawn("client", partial(client, number), after=number / per_second)

    def batch(self, rows: int) -> None:
        """Queue a file, and let the dispatchers take it."""
        for number in range(rows):
            asked = PaymentRequest(f"row_{number}", Money(100, "USD"), payment_method=GOOD)
            at = self.scheduler.clock()
            self.store.create(accepted(asked, at=at, source="batch", batch_id="b", batch_line=number + 2))
            self._queue.append(_Message(f'{{"payment_id": "row_{number}"}}'))
        for _ in range(self.dispatchers):
            self.scheduler.spawn("poller", self._poll, daemon=True)

    def recover(self, every_seconds: float = 60.0) -> None:
        """Restart what is due once a minute, as recovery does."""
        timeouts = RecoveryTimeouts()

        def sweep() -> None:
            while True:
                self.scheduler.sleep(every_seconds)
                now = self.scheduler.clock()
                for row in list(self.store.rows.values()):
                    if row.status in OPEN and row.source == "rest" and timeouts.is_due(row, now):
                        self.counts["restarts"] += 1
                        claimed = self.store.claim_restart(row, now)
                        self.workflow.restart(row.payment_id, str(claimed.restarts + 1))

        self.scheduler.spawn("sweep", sweep, daemon=True)

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.scheduler.run(until=self.scheduler.monotonic() + seconds)

    @property
    def per_payment(self) -> dict[str, float]:
        """What a finished payment took: executions, state transitions, functions, data keys."""
        executions = self.machine.executions.values()
        ended = max(1, len({e.input["payment_id"] for e in executions if e.status == "SUCCEEDED"}))
        done = [e for e in executions if e.status == "SUCCEEDED"]
        return {
            "executions": len(done) / ended,
            "transitions": sum(len(e.visited) for e in done) / ended,
            "most transitions": max((len(e.visited) for e in done), default=0),
            "data keys": self.counts["data keys"] / ended,
        }

    def share_of_slots(self, begins: float, ends: float) -> float:
        """The share of the slots between two times in which a request was sent."""
        sent = sum(begins <= at < ends for at in self.sent_at)
        return sent * self.slot.total_seconds() / (ends - begins)

    def latencies(self) -> Iterator[float]:
        """The seconds from acceptance to outcome of the REST payments that ended."""
        for row in self.store.rows.values():
            if row.source == "rest" and row.status not in OPEN:
                yield (parse_iso(row.updated_at) - parse_iso(row.created_at)) / timedelta(seconds=1)

    def _audited(self, payment_id: str, log: MemoryAuditStore) -> dict[str, Any]:
        payment = require(self.store, payment_id)
        audit(payment, log=log, heads=ChainHeads(MemoryChainSigner(), log.entry))
        return {"payment_id": payment_id, "status": payment.status, "event": payment_event(payment)}

    def _function(self, name: str, handler: Callable[[Any], Any]) -> Callable[[Any], Task]:
        def start(event: Any) -> Task:
            def body() -> Any:
                begins, ends = self.throttled
                if begins <= self.scheduler.monotonic() < ends:
                    self.scheduler.sleep(ends - self.scheduler.monotonic())
                self.scheduler.sleep(TAKES_SECONDS[name])
                return handler(event)

            self.counts[f"{name} runs"] += 1
            return self.scheduler.spawn(name, body, after=INVOCATION_SECONDS)

        return start

    def _poll(self) -> None:
        """One of the concurrent calls of the dispatch function, after another."""
        while True:
            taken = [self._queue.popleft() for _ in range(min(MESSAGES_A_CALL, len(self._queue)))]
            if not taken:
                self.scheduler.sleep(1)
                continue
            for message in taken:
                message.receives += 1
            ends = self.scheduler.monotonic() + DISPATCH_SECONDS
            waiting = list(taken)

            def call(waiting: list[_Message] = waiting, ends: float = ends) -> None:
                while waiting:
                    try:
                        self._dispatcher.dispatch(waiting[0].body, lambda: ends - self.scheduler.monotonic())
                    except ShortOfTime as back:
                        self.counts["handed back"] += 1
                        self._later(_Message(waiting[0].body), min(back.seconds, LONGEST_DELAY_SECONDS))
                    waiting.pop(0)

            self.scheduler.wait(self.scheduler.spawn("dispatch", call, limit=DISPATCH_SECONDS))
            for message in waiting:  # the function was stopped
                if message.receives >= MAX_RECEIVES:
                    self.dead_letters.append(message.body)
                else:
                    self._later(message, VISIBILITY_SECONDS)

    def _later(self, message: _Message, seconds: float) -> None:
        self.scheduler.spawn("queue", lambda: self._queue.append(message), after=seconds)
