"""The port to a payment gateway. Adapters: `stripe.py` (the real one) and `memory.py` (its in-memory twin)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from payments.money import Money
from payments.statuses import Status


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
    """A charge as the gateway reports it: `reference` is its id there, `status` SUCCEEDED or PROCESSING."""

    reference: str
    status: Status
    money: Money


class PaymentGateway(Protocol):
    """What the charge step asks of a gateway.

    Both calls raise Declined or RequiresAction when that is what became of the charge (with the gateway's
    reference), and RateLimited, NotSent, OutcomeUnknown or Misconfigured when the gateway gave no such answer.
    """

    name: str

    def charge(self, request: ChargeRequest) -> GatewayCharge:
        """Charge, with the payment id as idempotency key. Raises InvalidPayment for what it can never charge."""

    def find(self, payment_id: str) -> GatewayCharge | None:
        """The charge that carries our payment id, or None when the gateway knows of none."""
