"""Benchmark of recovery in virtual time: 100,000 payments wait for their customers, beside every other kind of work.

It counts in which time all of them are asked about at the gateway's rate, whether the oldest due comes first, and how
long other work waits. The tables are in memory. Each request to AWS takes the time that it takes on AWS, by assumption.
"""

import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fakes.batch_breaker import MemoryBreakerStore
from fakes.batches import MemoryBatchStore
from fakes.events import MemoryEventStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.gateway import MemoryGateway
from fakes.lease import MemoryLease
from fakes.payment_queue import MemoryPaymentQueue
from fakes.payments import MemoryPaymentStore
from fakes.queue_delivery import MemoryDelivery
from fakes.slots import MemorySlotStore
from payments.application.batch.close_rows import BatchRows
from payments.application.charge_list import ChargeList
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.application.recover import PaymentRecovery
from payments.application.webhooks import Webhooks
from payments.domain.batch.state import Batch, BatchStatus, Source
from payments.domain.clock import iso
from payments.domain.gateway_event import GatewayEvent
from payments.domain.gateway_slots import slot_length
from payments.domain.money import Money
from payments.domain.payment import Payment, PaymentRequest, accepted, moved
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.statuses import Status
from payments.ports.batch_store import Claim

WAITING, OTHERS = 100_000, 100
LIMIT, RESERVE_PERCENT = 25, 8
AWS_SECONDS = {"read": 0.004, "write": 0.007, "start": 0.02}
RUN_SECONDS, EVERY_SECONDS = 316.0, 60.0
"""The time limit of the function and its schedule, as in `lib/features/recovery.py`, which needs cdktf."""
NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


@dataclass
class _Time:
    """The virtual clock."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class _Workflow:
    """Notes when the execution of each payment is started first."""

    time: _Time
    started: dict[str, datetime] = field(default_factory=dict)

    def start(self, payment_id: str) -> None:
        self.time.sleep(AWS_SECONDS["start"])
        self.started.setdefault(payment_id, self.time())

    def restart(self, payment_id: str, execution_suffix: str, **_: Any) -> None:  # noqa: ARG002 - the port's
        self.start(payment_id)


class _Payments(MemoryPaymentStore):
    """The payments table, with the time that its requests take."""

    def __init__(self, time: _Time) -> None:
        super().__init__()
        self._time = time

    def get(self, payment_id: str) -> Payment | None:
        self._time.sleep(AWS_SECONDS["read"])
        return super().get(payment_id)

    def claim_restart(self, payment: Payment, at: datetime) -> Payment:
        self._time.sleep(AWS_SECONDS["write"])
        return super().claim_restart(payment, at)


@dataclass(frozen=True)
class Measured:
    """The results, in virtual minutes."""

    asked: int
    minutes: float
    a_second: float
    late: int
    """The payments that were asked about after one that was due more than a minute later."""
    others: dict[str, float]
    """Other kinds of work → the minutes until the last of it was done."""


def measure(waiting: int = WAITING) -> Measured:
    """Let recovery run until every payment has been asked about."""
    time = _Time()
    payments, events, workflow = _Payments(time), MemoryEventStore(), _Workflow(time)
    batches, gateway, encryptor = MemoryBatchStore(payments), MemoryGateway(time), MemoryFieldEncryptor()
    timeouts, slot = RecoveryTimeouts(), slot_length(LIMIT, RESERVE_PERCENT)
    resumed: dict[str, datetime] = {}

    def resume(source: Source) -> None:
        resumed.setdefault(source.key, time())

    recovery = PaymentRecovery(
        payments,
        batches,
        events,
        MemoryPaymentQueue(),
        workflow,
        Webhooks(events, payments, workflow, time, encryptor),
        gateway,
        ChargeList(
            gateway,
            payments,
            encryptor,
            GatewayRateLimiter(MemorySlotStore(), slot, time, time.sleep),
            time,
            timeouts,
        ),
        MemoryBreakerStore(),
        MemoryDelivery(),
        BatchRows(batches, _ignore),
        MemoryLease(),
        resume,
        _ignore,
        time,
        time.sleep,
        timeouts,
        slot,
    )
    for number in range(waiting):
        row = _payment(f"customer_{number:06}", NOON - timedelta(hours=1) + timedelta(seconds=number / waiting * 2400))
        payments.rows[row.payment_id] = moved(
            moved(row, Status.PROCESSING, at=_at(row), actor="charge"),
            Status.REQUIRES_ACTION,
            at=_at(row),
            actor="record",
        )
    due = {payment_id: row.at for payment_id, row in payments.keys()}  # noqa: SIM118 - no dict
    for number in range(OTHERS):
        row = _payment(f"pending_{number}", NOON - timedelta(minutes=10))
        payments.rows[row.payment_id] = row
        at = iso(NOON)
        events.add(GatewayEvent(f"evt_{number}", "charge.refunded", f"foreign_{number}", "pi_x", at, at))
        source = Source("bucket", f"incoming/{number}.csv", "v1", "etag", 1)
        batch = Batch(source.batch_id, source, BatchStatus.SPLITTING, at, at)
        batches.claim_split(batch, Claim("crashed", NOON, NOON))
    customers = {payment_id for payment_id in due if payment_id.startswith("customer_")}
    while not customers <= workflow.started.keys():
        ends = time() + timedelta(seconds=RUN_SECONDS)
        recovery.recover(lambda: (ends - time()).total_seconds())  # noqa: B023 - used before it changes
        passed = (time() - NOON).total_seconds()
        time.sleep(EVERY_SECONDS - passed % EVERY_SECONDS)
    asked = {payment_id: workflow.started[payment_id] for payment_id in customers}
    minutes = _minutes(max(asked.values()))
    return Measured(
        asked=len(asked),
        minutes=minutes,
        a_second=len(asked) / minutes / 60,
        late=_late([due[payment_id] for payment_id in sorted(asked, key=lambda payment_id: asked[payment_id])]),
        others={
            "pending payments": _minutes(max(workflow.started[f"pending_{number}"] for number in range(OTHERS))),
            "dead splits": _minutes(max(resumed.values())) if len(resumed) == OTHERS else float("inf"),
        },
    )


def _ignore(batch_id: str) -> None:
    """No batch of this benchmark ends."""


def _payment(payment_id: str, at: datetime) -> Payment:
    return accepted(PaymentRequest(payment_id, Money(100, "USD")), at=at, source="rest")


def _at(row: Payment) -> datetime:
    return datetime.fromisoformat(row.created_at)


def _minutes(at: datetime) -> float:
    return (at - NOON).total_seconds() / 60


def _late(due: list[str]) -> int:
    """How many come after one that was due more than a minute later."""
    late, latest = 0, ""
    for at in due:
        late += at < iso(datetime.fromisoformat(latest) - timedelta(minutes=1)) if latest else 0
        latest = max(latest, at)
    return late


def main() -> int:
    """Print the table. Exit status 1 if recovery does not keep up."""
    measured = measure()
    print(f"{measured.asked:,} waiting payments asked about in {measured.minutes:.1f} virtual minutes,")  # noqa: T201
    print(f"{measured.a_second:.1f} a second; {measured.late} not in the order of their due times")  # noqa: T201
    for kind, minutes in measured.others.items():
        print(f"{OTHERS} {kind} beside them: done after {minutes:.1f} virtual minutes")  # noqa: T201
    keeps_up = measured.minutes <= 75 and not measured.late and max(measured.others.values()) <= 5
    return 0 if keeps_up else 1


if __name__ == "__main__":
    sys.exit(main())
