"""The breaker: it pauses when the gateway refuses every payment or is out of reach, and resumes when it accepts them.

Without it, a wrong key or an outage would send ten thousand payments into retries that cannot succeed. The breaker is
an item in the controls table. While it is paused, the sweep function turns off the delivery of queued messages.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from payments.domain.clock import iso, parse_iso
from payments.domain.payment import Payment
from payments.domain.statuses import Status

MOST_REFUSED_PAYMENTS = 100
"""The most payments that one window of refusals remembers. The next one begins another window."""

COOLDOWN = timedelta(seconds=5)
"""Cooldown: no payment starts for this long after a refusal, until the running payments show a result."""

MOST_PAUSES = 50
"""The most pauses by operators that the breaker remembers, the latest ones. Each stops the deadlines of payments."""


class PausedBy(StrEnum):
    """Who paused the payments."""

    GATEWAY = "gateway"
    """The gateway rejected our key or account. The first payment that gets through resumes the breaker."""
    OUTAGE = "outage"
    """The gateway is out of reach, or fails for every payment. Resumes in the same way."""
    OPERATOR = "operator"
    """`payctl breaker pause`. Only `payctl breaker resume` ends it. It is independent of the other two: both causes may
    hold at the same time, and each ends alone."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause by an operator that is over: when it began and ended, in ISO 8601."""

    since: str
    until: str


@dataclass(frozen=True, slots=True)
class BreakerState:
    """Whether the breaker is paused, by whom (empty: it is not), why and since when. `refused_at` is the time
    of the gateway's last refusal since the breaker resumed, or empty. `probe` is the payment that recovery started
    to test whether the gateway accepts payments again, or empty. `pauses` are the latest ones by operators.

    While an operator's pause and one by the gateway hold together, `paused_by`, `reason` and `since` are the gateway's,
    and `operator_since` and `operator_reason` are the operator's; otherwise those two are empty.

    `is_open` is stored beside it: an environment whose tables are new or restored is closed until an operator made sure
    that nothing is charged twice."""

    paused_by: str = ""
    reason: str = ""
    since: str = ""
    refused_at: str = ""
    probe: str = ""
    pauses: tuple[Pause, ...] = ()
    is_open: bool = True
    operator_since: str = ""
    operator_reason: str = ""

    @property
    def operator_paused_since(self) -> str:
        """Since when an operator's pause holds, alone or beside the gateway's; "" without one."""
        return self.since if self.paused_by == PausedBy.OPERATOR else self.operator_since

    @property
    def by_operator(self) -> bool:
        """True while an operator's pause holds batch payments, whether or not the gateway is a cause as well."""
        return bool(self.operator_paused_since)

    @property
    def paused(self) -> bool:
        """True while the breaker is paused: no batch payment may start."""
        return bool(self.paused_by)

    @property
    def by_gateway(self) -> bool:
        """True while the gateway is the cause: no payment may start but the probe, and it resumes without help."""
        return self.paused_by in (PausedBy.GATEWAY, PausedBy.OUTAGE)

    def cooling_down(self, now: datetime) -> bool:
        """True for a short time after a refusal: the next answers show whether more refusals follow."""
        return bool(self.refused_at) and now - parse_iso(self.refused_at) < COOLDOWN

    def pauses_at(self, at: datetime) -> tuple[Pause, ...]:
        """The latest pauses by operators, with the current one if it ends now."""
        current = (Pause(self.operator_paused_since, iso(at)),) if self.by_operator else ()
        return (*self.pauses, *current)[-MOST_PAUSES:]

    def holds(self, payment: Payment) -> bool:
        """Whether the payment may not be sent now, unless it is the probe. The breaker says nothing about one that may
        have been sent: that one is asked about, and the answer ends it."""
        waits = self.by_gateway or self.operator_holds(payment)
        return waits and payment.status is Status.PENDING

    def operator_holds(self, payment: Payment) -> bool:
        """Whether an operator's pause holds the payment: then it is no probe either."""
        return self.by_operator and payment.source == "batch"
