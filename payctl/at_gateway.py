"""The gateway's current answer about a payment, as a short text."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from payctl import adapters
from payctl.failures import Failure, from_boto3
from payctl.stack import Stack
from payments.domain.errors import UNKNOWN_STATUS, AttemptDeclined, Conflict, Declined, PaymentError, RequiresAction
from payments.domain.money import Money
from payments.domain.payment import Payment
from payments.domain.sealed_fields import context_of
from payments.domain.sealed_text import REFERENCE, is_sealed
from payments.domain.statuses import Status
from payments.ports.field_encryptor import DecryptionFailed, EncryptionUnavailable

if TYPE_CHECKING:
    from payments.ports.payment_gateway import PaymentGateway

NO_CHARGE = "no charge"
NO_ANSWER = "no answer"
PAYABLE = "declined, and still payable"
"""A declined attempt whose charge can still be paid with another card."""
STRANGE = "unknown status"
"""A status of the charge that is not known here. `code` is the sentence that names it."""


@dataclass(frozen=True, slots=True)
class GatewaySays:
    """`status` is the status of the charge, the code of a conflict, or one of the words above. `code` is the reason,
    `others` are other charges under the same ids, each with its state. `charged` is the charged amount, refunded or
    not, and `refunded` the refunded minor units of it; None if the answer has no amount."""

    status: str
    money: str = ""
    reference: str = ""
    code: str = ""
    others: tuple[str, ...] = ()
    captured_others: bool = False
    charged: Money | None = None
    refunded: int | None = None

    @property
    def without_reference(self) -> str:
        """The answer in a few words, without the charge's id."""
        return " ".join(filter(None, (self.status, self.code, self.money)))

    def __str__(self) -> str:
        """The answer on one line."""
        return self.without_reference + (f" ({self.reference})" if self.reference else "")


def gateway(stack: Stack) -> "PaymentGateway":
    """The gateway. Raises Failure if it cannot be queried: no key is set, or the operator may not read the key."""
    try:
        return adapters.gateway(stack)
    except PaymentError as error:
        raise Failure(f"the gateway was not queried: {error.message}") from None
    except Exception as error:
        problem = from_boto3(error)
        if problem is None:
            raise
        raise Failure(f"the gateway was not queried: its key cannot be read: {problem.message}") from None


def reference(stack: Stack, payment: Payment | None) -> str:
    """A payment's reference at the gateway.

    Returns "" if there is none or if the operator may not use the key: the gateway is then queried by payment id.
    Raises Failure for a reference that belongs to another payment.
    """
    return opened(stack, payment.payment_id, payment.gateway_reference) if payment else ""


def opened(stack: Stack, payment_id: str, stored: str) -> str:
    """A stored reference in plain text; see `reference`."""
    if not is_sealed(stored):
        return stored
    try:
        return adapters.encryptor(stack).open(context_of(payment_id), {REFERENCE: stored})[REFERENCE]
    except EncryptionUnavailable:
        return ""
    except DecryptionFailed as broken:
        raise Failure(f"payment {payment_id}: {broken}") from None


def environment_id(stack: Stack, payment: Payment | None) -> str:
    """The environment id that the payment's charge carries at the gateway: "" if older code sent it."""
    return payment.environment_id if payment and payment.attempts else stack.outputs.get("environment_id", "")


def says(gateway: "PaymentGateway", payment_id: str, reference: str = "", *, environment_id: str) -> GatewaySays:
    """Query the gateway. Errors of the gateway are not raised: they become a status to show."""
    try:
        found = gateway.find(payment_id, reference, environment_id=environment_id)
    except (Declined, RequiresAction) as error:
        status = Status.DECLINED if isinstance(error, Declined) else Status.REQUIRES_ACTION
        return GatewaySays(status.value, reference=error.gateway_reference, code=error.code)
    except AttemptDeclined as error:
        return GatewaySays(PAYABLE, reference=error.gateway_reference, code=error.code)
    except Conflict as error:
        return GatewaySays(error.code, reference=error.gateway_reference)
    except PaymentError as error:
        if error.code == UNKNOWN_STATUS:
            return GatewaySays(STRANGE, reference=error.gateway_reference, code=error.message)
        return GatewaySays(NO_ANSWER, code=error.code)
    if found is None:
        return GatewaySays(NO_CHARGE)
    money, refunded = str(found.money), found.refunded_minor_units
    if found.status is Status.PARTIALLY_REFUNDED:
        money = f"{Money(refunded, found.money.currency)} of {money}"
    return GatewaySays(found.status.value, money, found.reference, charged=found.money, refunded=refunded)


def with_others(gateway: "PaymentGateway", answer: GatewaySays, payment_id: str, *, environment_id: str) -> GatewaySays:
    """The answer with the other charges that a search shows under the payment's ids. Without search there are none."""
    try:
        charges = gateway.charges_of(payment_id, environment_id=environment_id)
    except PaymentError:
        return answer
    others = [charge for charge in charges if charge.reference != answer.reference]
    state = {(True, True): "captured", (False, True): "open"}
    return replace(
        answer,
        others=tuple(f"{one.reference}: {state.get((one.captured, one.may_capture), 'ended')}" for one in others),
        captured_others=any(charge.captured for charge in others),
    )
