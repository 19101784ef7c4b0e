"""What the gateway says now of a payment, in a few words."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from payctl import ports
from payctl.failures import Failure, from_boto3
from payctl.stack import Stack
from payments.domain.errors import Declined, PaymentError, RequiresAction
from payments.domain.payment import Payment
from payments.domain.sealed_fields import REFERENCE, context_of
from payments.domain.sealed_text import is_sealed
from payments.domain.statuses import Status
from payments.ports.field_encryptor import DecryptionFailed, EncryptionUnavailable

if TYPE_CHECKING:
    from payments.ports.payment_gateway import PaymentGateway

NO_CHARGE = "no charge"
NO_ANSWER = "no answer"


@dataclass(frozen=True, slots=True)
class GatewaySays:
    """`status` is what became of the charge, NO_CHARGE, or NO_ANSWER; `code` says why."""

    status: str
    money: str = ""
    reference: str = ""
    code: str = ""

    def __str__(self) -> str:
        """On one line."""
        reference = f" ({self.reference})" if self.reference else ""
        return " ".join(filter(None, (self.status, self.code, self.money))) + reference


def gateway(stack: Stack) -> "PaymentGateway":
    """The gateway. Raises Failure saying why it cannot be asked: no key is set, or the operator may not read it."""
    try:
        return ports.gateway(stack)
    except PaymentError as error:
        raise Failure(f"the gateway is not asked: {error.message}") from None
    except Exception as error:
        problem = from_boto3(error)
        if problem is None:
            raise
        raise Failure(f"the gateway is not asked: its key cannot be read: {problem.message}") from None


def reference(stack: Stack, payment: Payment | None) -> str:
    """A payment's reference at the gateway, "" for none, and for an operator who may not use the key: the gateway
    is then asked by the payment's id. Raises Failure for a reference that is not the payment's own."""
    stored = payment.gateway_reference if payment else ""
    if payment is None or not is_sealed(stored):
        return stored
    try:
        return ports.encryptor(stack).open(context_of(payment.payment_id), {REFERENCE: stored})[REFERENCE]
    except EncryptionUnavailable:
        return ""
    except DecryptionFailed as broken:
        raise Failure(f"payment {payment.payment_id}: {broken}") from None


def says(gateway: "PaymentGateway", payment_id: str, reference: str = "") -> GatewaySays:
    """Ask. Never raises what a gateway raises: no answer is one to show, too."""
    try:
        found = gateway.find(payment_id, reference)
    except (Declined, RequiresAction) as error:
        status = Status.DECLINED if isinstance(error, Declined) else Status.REQUIRES_ACTION
        return GatewaySays(status.value, reference=error.gateway_reference, code=error.code)
    except PaymentError as error:
        return GatewaySays(NO_ANSWER, code=error.code)
    if found is None:
        return GatewaySays(NO_CHARGE)
    return GatewaySays(found.status.value, str(found.money), found.reference)
