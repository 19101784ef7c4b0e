"""Those who send payments again: over the retry's route, or as a new request under a retry's id, at any time."""

from functools import partial
from random import Random
from typing import Any

from payments.domain.retry import retry_id_of
from payments.domain.statuses import Status
from simulation.work import Ask
from simulation.world import World

SHARE = 0.3
"""The share of the worlds with retries."""
MOST_RETRIES = 3
_PAUSES_SECONDS = (1.0, 20.0, 600.0, 30_000.0, 100_000.0)
"""How long one waits for a payment to fail. The deadline of an outage is a day."""


class Retriers:
    """Sends some payments of a world again. Draws apart, so that the other worlds stay as they were."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = Random(f"retries {world.random.getstate()[1][:3]}")  # noqa: S311 - it must be repeatable

    def begin(self) -> None:
        """Start a retrier for some payments."""
        world, random = self.world, self.random
        if random.random() >= SHARE:
            return
        for ask in world.work.all:
            if random.random() < 0.4:
                world.scheduler.spawn("retrier", partial(self._sends_again, ask), after=random.random() * 60.0)

    def _sends_again(self, ask: Ask) -> None:
        """Send a payment again, and then its retry, whether or not they failed."""
        world, random, payment_id = self.world, self.random, ask.payment_id
        for _ in range(MOST_RETRIES):
            world.scheduler.sleep(random.choice(_PAUSES_SECONDS) * random.random())
            former = world.payments.rows.get(payment_id)
            if former is None or (world.chaos.over and former.status is not Status.FAILED):
                return
            retry = Ask(retry_id_of(payment_id), ask.fields, world.work.ends_in[payment_id])
            world.work.allow(retry)
            if random.random() < 0.5:
                self._call("retry", {"payment_id": payment_id}, payment_id)
            else:
                self._call("api", retry.body, retry.payment_id)
            payment_id = retry.payment_id

    def _call(self, function: str, event: dict[str, Any], about: str) -> None:
        call = self.world.functions.call(function, event, about=about)
        self.world.scheduler.wait(call, 29.0)
