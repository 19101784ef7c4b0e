"""The actors outside the system: clients, uploaders, the schedule, webhook deliveries, customers, operators."""

from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import quote_plus

from payments.domain.batch.switch import SwitchState
from payments.domain.batch_breaker import PausedBy
from payments.domain.clock import iso
from payments.domain.customer import linked
from payments.domain.errors import PaymentError
from payments.domain.gateway_event import GatewayEvent
from payments.domain.money import Money
from payments.ports.payment_gateway import ChargeRequest
from simulation.faults import Mishap
from simulation.invariants import is_at_rest
from simulation.retries import Retriers
from simulation.work import FIRST_SETUP, Ask, Upload, source_of
from simulation.world import ENVIRONMENT_ID, OTHER_ENVIRONMENT_ID, World

CLIENT_WAITS_SECONDS = 29.0
"""The longest that API Gateway waits for a function."""
RECOVERY_EVERY_SECONDS = 60.0
WEBHOOK_AGAIN_AFTER_SECONDS = (60.0, 600.0, 3600.0)
HOUR = 3600.0
_PAYABLE = ("payment_intent.payment_failed", "payment_intent.requires_action")
"""The events of a charge that waits for a payment."""


class Actors:
    """Starts the actors of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.redrives = world.random.random() < 0.5
        """Whether an operator redrives failed executions and dead letters."""
        self._events = count(1)
        world.on_gateway_event = self._gateway_event  # type: ignore[method-assign]
        world.on_event_of_other_environment = self._event_of_other_environment  # type: ignore[method-assign]

    def begin(self) -> None:
        """Start every actor at some time of the active phase."""
        world, random, scheduler = self.world, self.world.random, self.world.scheduler
        phase = min(world.chaos.active_seconds, 600.0)
        crowd = random.choice((1.0, 10.0, phase))  # sometimes all start at the same time
        for ask in world.work.over_rest:
            for _ in range(random.choice((1, 1, 1, 2, 3))):
                begins = random.random() * crowd
                scheduler.spawn(f"client {ask.payment_id}", partial(self._client, ask), after=begins)
        for upload in world.work.uploads:
            begins = random.random() * crowd + (60.0 * random.random() if upload.version != "v1" else 0.0)
            scheduler.spawn(f"uploader {upload.key}", partial(self._uploader, upload), after=begins)
        scheduler.spawn("schedule", self._schedule, after=random.random() * RECOVERY_EVERY_SECONDS, daemon=True)
        scheduler.spawn("end of faults", self._end_of_faults, after=world.chaos.ends_at)
        if random.random() < 0.15:
            scheduler.spawn("operator", self._operator_pauses, after=random.random() * phase)
        for payment_id in world.work.ends_in:
            if random.random() < 0.08:
                scheduler.spawn("buyer", partial(self._cancels, payment_id), after=random.random() * crowd)
        for upload in world.work.uploads:
            if random.random() < 0.2:
                scheduler.spawn("admin", partial(self._switches, upload), after=random.random() * crowd)
        if random.random() < 0.1:
            self._early_event()
        if random.random() < 0.1:
            body = random.choice(("not json", "{}", '{"payment_id": "unknown"}'))
            scheduler.spawn("stranger", lambda: world.queue.put(body, poison=True), after=random.random() * phase)

        if random.random() < 0.2:
            self._other_environment(phase)
        if random.random() < 0.1:
            scheduler.spawn("another system", self._flood, after=random.random() * phase)
        Retriers(world).begin()
        scheduler.spawn("first setup", self._first_setup, after=random.random() * crowd)

    def _flood(self) -> None:
        """Many events about payments of another system on the account."""
        at = iso(self.world.clock())
        for number in range(200):
            event = GatewayEvent(f"evt_foreign_{number}", "charge.refunded", f"foreign_{number}", "pi_foreign", at, at)
            self.world.events.add(event)

    def _first_setup(self) -> None:
        """A customer sets up a first card, while payments of theirs may already be sent without their customer."""
        rows = self.world.customers.rows
        rows[FIRST_SETUP] = linked(rows[FIRST_SETUP], "cus_first_setup")

    # Clients and uploaders -----------------------------------------------------------------------------------------

    def _client(self, ask: Ask) -> None:
        world, random = self.world, self.world.random
        for _ in range(random.randint(1, 4)):
            call = world.functions.call("api", ask.body, about=ask.payment_id)
            ended = world.scheduler.wait(call, CLIENT_WAITS_SECONDS)
            if ended and ended.well and not world.chaos.mishap(Mishap.LOST):
                answer = ended.value
                world.answered.append((ask.payment_id, answer["status"], answer["fingerprint"]))
                if not world.chaos.mishap(Mishap.DOUBLED):
                    return
            world.scheduler.sleep(random.choice((0.1, 2.0, 60.0)) * random.random())

    def _uploader(self, upload: Upload) -> None:
        world = self.world
        source = source_of(upload)
        world.files.upload(upload.key, upload.content, upload.version)
        place = {"key": quote_plus(upload.key), "versionId": upload.version, "eTag": "etag", "size": source.size_bytes}
        notification = {"Records": [{"s3": {"bucket": {"name": source.bucket}, "object": place}}]}
        world.functions.start("split", notification, upload.key)

    # The schedule and operators ------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        """One recovery run a minute. Long after the last fault the runs become rarer, because only days of waiting
        remain."""
        world, every = self.world, RECOVERY_EVERY_SECONDS
        while True:
            now = world.scheduler.monotonic()
            # recovery finds nothing in a world at rest
            if not (world.chaos.recovery_stopped.holds(now) or world.chaos.blackout.holds(now) or is_at_rest(world)):
                for _ in range(2 if world.chaos.mishap(Mishap.DOUBLED) else 1):
                    world.functions.call("sweep", {})
            if world.chaos.over and now > world.chaos.ends_at + HOUR / 4:
                every = min(every * 1.5, HOUR)
            world.scheduler.sleep(every)

    def _end_of_faults(self) -> None:
        world = self.world
        world.chaos.over = True
        world.scheduler.sleep(HOUR / 4)
        for upload in world.work.uploads:  # docs/tasks.md: upload a file again that was never split
            if world.batches.get(source_of(upload).batch_id) is None:
                self._uploader(upload)
        if self.redrives:
            world.scheduler.sleep(HOUR)
            for execution in list(world.machine.executions.values()):
                if execution.status == "FAILED":
                    world.machine.redrive(execution)
            world.queue.redrive()
            world.redriven = True

    def _operator_pauses(self) -> None:
        world = self.world
        if world.breaker.pause(PausedBy.OPERATOR, "maintenance", world.clock()):
            world.effects.note("operator", "pauses the batch breaker")
        world.scheduler.sleep(600.0 * world.random.random())
        if world.breaker.state().by_operator:
            world.breaker.resume(world.clock())
            world.effects.note("operator", "resumes the batch breaker")

    def _cancels(self, payment_id: str) -> None:
        """Someone cancels a payment, at once or later, until there is an answer."""
        world, random = self.world, self.world.random
        world.scheduler.sleep(random.choice((0.1, 2.0, 60.0)) * random.random())
        for _ in range(3):
            world.asked_to_cancel.add(payment_id)
            answered = self._answer("cancel", {"payment_id": payment_id}, payment_id)
            if answered:
                world.acknowledged_cancels.update({payment_id} if answered["status"] == 200 else ())
                return
            world.scheduler.sleep(2.0)

    def _switches(self, upload: Upload) -> None:
        """An admin pauses, resumes or cancels a batch, some times, and leaves none paused."""
        world, random, batch_id = self.world, self.world.random, source_of(upload).batch_id
        world.scheduler.sleep(random.choice((1.0, 20.0, 600.0)) * random.random())
        for _ in range(random.randint(1, 3)):
            state = random.choice(list(SwitchState))
            if state is SwitchState.CANCELED:
                world.asked_to_cancel.add(batch_id)
            if self._answer("switch", {"batch_id": batch_id, "state": state.value}, batch_id):
                world.acknowledged_cancels.update({batch_id} if state is SwitchState.CANCELED else ())
            world.scheduler.sleep(random.choice((0.1, 10.0, 1200.0)) * random.random())
        self._resumes(batch_id)
        # a call whose answer was lost may still come to its write
        world.scheduler.spawn("admin", partial(self._resumes, batch_id), after=600.0, daemon=True)

    def _resumes(self, batch_id: str) -> None:
        while self.world.batches.switch_of(batch_id).state is SwitchState.PAUSED:
            self._answer("switch", {"batch_id": batch_id, "state": SwitchState.RUNNING.value}, batch_id)
            self.world.scheduler.sleep(60.0)

    def _answer(self, function: str, event: dict[str, Any], about: str) -> Any:
        """What a function behind the API answers; None if it fails or the answer is lost."""
        call = self.world.functions.call(function, event, about=about)
        ended = self.world.scheduler.wait(call, CLIENT_WAITS_SECONDS)
        return ended.value if ended and ended.well and not self.world.chaos.mishap(Mishap.LOST) else None

    # The gateway's side --------------------------------------------------------------------------------------------

    def _gateway_event(self, kind: str, payment_id: str, reference: str) -> None:
        world, random = self.world, self.world.random
        event = self._event(kind, payment_id, reference)
        world.latest[payment_id] = GatewayEvent(**event, received_at="")
        if kind.startswith("refund."):  # its object is the refund, whose metadata does not name the payment
            event["payment_id"] = event["environment_id"] = ""
        if not world.chaos.mishap(Mishap.LOST):
            for _ in range(2 if world.chaos.mishap(Mishap.DOUBLED) else 1):
                self._deliver(event, after=random.choice((0.1, 1.0, 60.0)) * random.random())
        soon = random.choice((0.1, 1.0, 60.0, HOUR)) * random.random()
        if kind in _PAYABLE and random.random() < 0.3:  # by another system, in the dashboard, or with a client secret
            world.scheduler.spawn("another card", partial(world.gateway.pay_again, reference), after=soon)
        if kind in _PAYABLE and random.random() < 0.3:
            world.scheduler.spawn("dashboard", partial(world.gateway.update, reference), after=soon * random.random())
        if kind in ("payment_intent.requires_action", "payment_intent.payment_failed"):  # the second: absent until now
            self._customer(reference)
        elif kind == "payment_intent.processing":
            well, after = random.random() < 0.8, random.choice((10.0, 600.0, 5 * HOUR)) * random.random()
            world.scheduler.spawn("settlement", lambda: world.gateway.finish(reference, well=well), after=after)
        elif kind == "payment_intent.succeeded" and random.random() < 0.25:
            for _ in range(random.choice((1, 1, 2))):
                share, after = random.choice((1, 2, 2, 3)), random.choice((0.2, 2.0, 60.0, HOUR)) * random.random()
                world.scheduler.spawn("dashboard", partial(self._refund, reference, share), after=after)

    def _refund(self, reference: str, share: int) -> None:
        """A user of the gateway's dashboard refunds a charge, or a share of it. The refund may fail later."""
        world, random = self.world, self.world.random
        captured = next(charge for charge in world.gateway.captured if charge.reference == reference)
        part = captured.money.minor_units // share
        if world.gateway.refund(reference, part) and random.random() < 0.3:
            after = random.choice((0.2, 60.0, 20 * HOUR)) * random.random()
            world.scheduler.spawn("bank", partial(world.gateway.fail_refund, reference, part), after=after)

    def _customer(self, reference: str) -> None:
        """The customer authenticates soon, late, unsuccessfully, or never."""
        world, random = self.world, self.world.random
        if random.random() < 0.2:
            return
        well, after = random.random() < 0.8, random.choice((5.0, 60.0, HOUR, 26 * HOUR)) * random.random()
        world.scheduler.spawn("customer", lambda: world.gateway.finish(reference, well=well), after=after)

    def _early_event(self) -> None:
        """An event that arrives before its payment."""
        about = self.world.random.choice([ask.payment_id for ask in self.world.work.over_rest] + ["of_another_system"])
        self._deliver(self._event("payment_intent.succeeded", about, ""), after=0.0)

    def _other_environment(self, phase: float) -> None:
        """Another environment on the same account charges payments of the same ids, and we receive its events too."""
        world, random = self.world, self.world.random

        def charge(payment_id: str) -> None:
            money = Money(random.randint(100, 90_000), "USD")
            with suppress(PaymentError):  # a fault strikes it; it does not repeat the request
                world.gateway.charge(
                    ChargeRequest(payment_id, money, "pm_card_visa", environment_id=OTHER_ENVIRONMENT_ID)
                )

        for payment_id in world.work.ends_in:
            world.scheduler.spawn("other environment", partial(charge, payment_id), after=random.random() * phase)

    def _event_of_other_environment(self, kind: str, payment_id: str, reference: str) -> None:
        event = self._event(kind, payment_id, reference, environment_id=OTHER_ENVIRONMENT_ID)
        self._deliver(event, after=self.world.random.random())

    def _event(
        self, kind: str, payment_id: str, reference: str, *, environment_id: str = ENVIRONMENT_ID
    ) -> dict[str, Any]:
        return {
            "event_id": f"evt_{next(self._events)}",
            "type": kind,
            "payment_id": payment_id,
            "environment_id": environment_id,
            "gateway_reference": reference,
            "occurred_at": iso(self.world.clock()),
        }

    def _deliver(self, event: dict[str, Any], *, after: float) -> None:
        world = self.world

        def deliver() -> None:
            for pause in (*WEBHOOK_AGAIN_AFTER_SECONDS, None):
                call = world.functions.call("webhook", event, about=f"{event['event_id']} {event['payment_id']}")
                ended = world.scheduler.wait(call, CLIENT_WAITS_SECONDS)
                if ended and ended.well:
                    world.acknowledged.append(GatewayEvent(**event, received_at=""))
                    return
                if pause is not None:
                    world.scheduler.sleep(pause)

        world.scheduler.spawn("gateway delivers", deliver, after=after)
