"""What Stripe can never charge, checked before any call. Imports no SDK, because the fake uses it too."""

from payments.adapters.stripe.amounts import refusal
from payments.domain.errors import InvalidPayment
from payments.ports.payment_gateway import ChargeRequest


def check_chargeable(request: ChargeRequest) -> None:
    """Raise InvalidPayment with the reason if Stripe can never charge `request`."""
    reason = refusal(request.money)
    if reason:
        raise InvalidPayment("amount_not_supported", reason)
    if not request.payment_method:
        raise InvalidPayment("payment_method_missing", "Stripe needs a payment method such as pm_1AbC; send one")
    if any(bracket in key for key in request.metadata for bracket in "[]"):
        raise InvalidPayment("metadata_not_supported", "Stripe does not accept square brackets in metadata keys")
