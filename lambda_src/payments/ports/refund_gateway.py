"""Refunds at the payment gateway."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from payments.domain.money import Money
from payments.domain.refund_statuses import RefundStatus


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """What to refund. The same refund always gives the same order, as the gateway's idempotency requires.

    `charge` is the gateway's reference of the payment. `environment_id` tells this deployment from others that use the
    same account of the gateway.
    """

    refund_id: str
    payment_id: str
    charge: str
    money: Money
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    environment_id: str = ""

    @property
    def key(self) -> str:
        """The idempotency key, which no payment's key equals: payment ids have no colon."""
        return f"{self.environment_id}:refund:{self.refund_id}"


@dataclass(frozen=True, slots=True)
class GatewayRefund:
    """A refund as the gateway reports it. `reference` is its id there. `refund_id` and `environment_id` are ours, ""
    for a refund that another system or a person made. `status` is PROCESSING, REQUIRES_ACTION, SUCCEEDED, FAILED or
    CANCELED. `money` is None if it is not an amount that we could have sent. `code` says why it failed or waits.

    `total` is what the gateway counts as refunded of the whole charge, in minor units, as of the same answer.
    """

    reference: str
    status: RefundStatus
    money: Money | None
    total: int
    refund_id: str = ""
    environment_id: str = ""
    reason: str = ""
    code: str = ""


class RefundGateway(Protocol):
    """Refunds at the gateway. Every method raises RateLimited, NotSent, OutcomeUnknown or Misconfigured."""

    def create_refund(self, order: RefundOrder) -> GatewayRefund:
        """Refund once for each key, within the 24 hours that the gateway keeps it.

        Raises InvalidPayment if the gateway refuses it, which proves that this request refunded nothing, and Conflict
        if the gateway knows the key with other content.
        """

    def refund(self, reference: str) -> GatewayRefund:
        """The refund with this reference."""

    def refunds_of(self, charge: str) -> tuple[GatewayRefund, ...]:
        """All refunds of a charge, newest first, also those made by hand. Lists have no delay, as the search has."""
