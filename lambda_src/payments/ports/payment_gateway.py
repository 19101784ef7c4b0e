"""The port to a payment gateway. Adapters: `stripe.py` (the real one) and `memory.py` (its in-memory twin)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from payments.domain.money import Money
from payments.domain.statuses import Status


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """What to charge. The same payment always gives the same request, so the gateway's idempotency holds.

    `payment_id` is also the idempotency key, and our own reference stored at the gateway.
    """

    payment_id: str
    money: Money
    payment_method: str
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GatewayCharge:
    """A charge as the gateway reports it. `reference` is its id there, `status` SUCCEEDED, PROCESSING, or, when
    money went back since, PARTIALLY_REFUNDED or REFUNDED; `money` is what was charged, refunded or not."""

    reference: str
    status: Status
    money: Money


class PaymentGateway(Protocol):
    """What the charge step asks of a gateway.

    `charge` and `find` raise Declined or RequiresAction when that is what became of the charge (with the gateway's
    reference), and RateLimited, NotSent, OutcomeUnknown or Misconfigured when the gateway gave no such answer.
    """

    @property
    def name(self) -> str:
        """The name that rows and events carry."""

    def charge(self, request: ChargeRequest) -> GatewayCharge:
        """Charge, with the payment id as idempotency key. Raises InvalidPayment for what it can never charge."""

    def find(self, payment_id: str, reference: str = "") -> GatewayCharge | None:
        """The charge with this reference, if we know it, else the one that carries our payment id.

        None when the gateway knows of none. Without a reference that is proof only some minutes after an attempt.
        """

    def cancel(self, reference: str) -> None:
        """See to it that a charge that waits for its customer can never be captured any more.

        What was captured or ended before stays as it is: ask with `find` what became of it. Raises RateLimited,
        NotSent, OutcomeUnknown or Misconfigured.
        """
