"""The payment gateway, such as Stripe."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from payments.domain.money import Money
from payments.domain.statuses import Status


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """What to charge. The same payment always gives the same request, as the gateway's idempotency requires.

    `environment_id` tells this deployment from others that use the same account of the gateway and may have a payment
    of the same id. It is empty if the payment was first sent before environments had ids. `customer` is the gateway's
    customer whom the payment method belongs to. `off_session` says that the customer cannot authenticate now,
    and `return_url` where a customer who can returns to.
    """

    payment_id: str
    money: Money
    payment_method: str
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    environment_id: str = ""
    customer: str = ""
    off_session: bool = False
    return_url: str = field(default="", repr=False)

    @property
    def key(self) -> str:
        """The idempotency key."""
        return f"{self.environment_id}:{self.payment_id}" if self.environment_id else self.payment_id


@dataclass(frozen=True, slots=True)
class GatewayCharge:
    """A charge as the gateway reports it. `reference` is its id there. `status` is SUCCEEDED, PROCESSING, or after a
    refund PARTIALLY_REFUNDED or REFUNDED. `money` is the charged amount, refunded or not. `refunded_minor_units` is the
    refunded part of it; only `find` knows refunds."""

    reference: str
    status: Status
    money: Money
    refunded_minor_units: int = 0


@dataclass(frozen=True, slots=True)
class ListedCharge:
    """A charge in a list that carries a payment id. `may_capture` is False if it can never capture money. `money` is
    the amount that was asked for, None if it is not one that we could have asked for."""

    reference: str
    payment_id: str
    environment_id: str
    created_at: datetime
    captured: bool = False
    may_capture: bool = True
    money: Money | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of a list, newest charge first. `oldest_at` is when the oldest charge on it was created, ours or not (None
    if it is empty), and `next_page` the next page; "" for none."""

    charges: tuple[ListedCharge, ...]
    oldest_at: datetime | None = None
    next_page: str = ""


class PaymentGateway(Protocol):
    """The calls that the charge step and recovery make to a gateway.

    `charge` and `find` raise Declined, AttemptDeclined or RequiresAction if that is the state of the charge (with the
    gateway's reference), and RateLimited, NotSent, OutcomeUnknown or Misconfigured if the gateway gave no such answer.
    A state that is not known here is an OutcomeUnknown with the reference.
    """

    @property
    def name(self) -> str:
        """The gateway's name in rows and events."""

    def charge(self, request: ChargeRequest) -> GatewayCharge:
        """Charge, with the request's idempotency key. Raises InvalidPayment for a payment it can never charge."""

    def find(self, payment_id: str, reference: str = "", *, environment_id: str = "") -> GatewayCharge | None:
        """The charge with this reference, if it is known, else the one that carries exactly our two ids.

        None if a search does not show one, which proves nothing: a search may lag. Never None with a reference. Raises
        Conflict (SEVERAL_CHARGES) if a search shows several captured ones that are not fully refunded.
        """

    def charges_of(self, payment_id: str, *, environment_id: str = "") -> tuple[ListedCharge, ...]:
        """All charges that carry exactly our two ids, as far as a search shows them. Raises the errors of `listed`."""

    def listed(self, since: datetime, until: datetime, after: str = "") -> Listed:
        """A page of the charges created from `since` to `until`, newest first.

        The list does not lag. If no page has a charge of ours, there is none in this time. `after` is the `next_page`
        of the page before. Raises RateLimited, NotSent, OutcomeUnknown or Misconfigured.
        """

    def ids_of(self, reference: str) -> tuple[str, str]:
        """The payment id and the environment id of a charge; both empty if it is none of ours.

        Raises RateLimited, NotSent, OutcomeUnknown or Misconfigured.
        """

    def cancel(self, reference: str) -> bool:
        """Make sure that a charge that can still be paid can never be captured. True if the gateway canceled it.

        False if it did not, for example because the charge is captured or has ended: use `find` for its state. Raises
        RateLimited, NotSent, OutcomeUnknown or Misconfigured.
        """

    def check_account(self) -> None:
        """Ask a neutral question with our key: it names no payment and changes nothing.

        Returns if the gateway answers it, which does not prove that the account may charge. Raises RateLimited,
        NotSent, OutcomeUnknown or Misconfigured.
        """
