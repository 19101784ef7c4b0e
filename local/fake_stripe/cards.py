"""Stripe's test payment methods and the outcome of a charge on each (docs.stripe.com/testing)."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Card:
    """A test card. A charge succeeds unless `code` declines it. With `authenticates`, 3-D Secure is required first.

    `decline_code` is empty for cards that Stripe declines with a specific code. A declined card cannot be saved, unless
    it `attaches`. A card that is `exempt_once_set_up` needs no authentication off session after it was set up.
    `refund` is the later outcome of its refunds, if they do not simply succeed.
    """

    brand: str = "visa"
    last4: str = "4242"
    code: str = ""
    decline_code: str = ""
    message: str = ""
    authenticates: bool = False
    attaches: bool = False
    exempt_once_set_up: bool = False
    refund: str = ""


def _declined(last4: str, decline_code: str, message: str = "Your card was declined.") -> Card:
    return Card(last4=last4, code="card_declined", decline_code=decline_code, message=message)


_GENERIC = _declined("0002", "generic_decline")
_INSUFFICIENT = _declined("9995", "insufficient_funds", "Your card has insufficient funds.")
_LOST = _declined("9987", "lost_card")
_STOLEN = _declined("9979", "stolen_card")
_VELOCITY = _declined(
    "6975",
    "card_velocity_exceeded",
    "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
)

CARDS: dict[str, Card] = {
    "pm_card_visa": Card(),
    "pm_card_visa_debit": Card(last4="5556"),
    "pm_card_mastercard": Card("mastercard", "4444"),
    "pm_card_mastercard_debit": Card("mastercard", "8210"),
    "pm_card_amex": Card("amex", "8431"),
    "pm_card_discover": Card("discover", "9424"),
    "pm_card_jcb": Card("jcb", "0505"),
    "pm_card_chargeDeclined": _GENERIC,
    "pm_card_visa_chargeDeclined": _GENERIC,
    "pm_card_chargeCustomerFail": replace(_declined("0341", "generic_decline"), attaches=True),
    "pm_card_chargeDeclinedInsufficientFunds": _INSUFFICIENT,
    "pm_card_visa_chargeDeclinedInsufficientFunds": _INSUFFICIENT,
    "pm_card_chargeDeclinedLostCard": _LOST,
    "pm_card_visa_chargeDeclinedLostCard": _LOST,
    "pm_card_chargeDeclinedStolenCard": _STOLEN,
    "pm_card_visa_chargeDeclinedStolenCard": _STOLEN,
    "pm_card_chargeDeclinedFraudulent": _declined("0019", "fraudulent"),
    "pm_card_chargeDeclinedVelocityLimitExceeded": _VELOCITY,
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": _VELOCITY,
    "pm_card_chargeDeclinedExpiredCard": Card(last4="0069", code="expired_card", message="Your card has expired."),
    "pm_card_chargeDeclinedIncorrectCvc": Card(
        last4="0127", code="incorrect_cvc", message="Your card's security code is incorrect."
    ),
    "pm_card_chargeDeclinedProcessingError": Card(
        last4="0119",
        code="processing_error",
        message="An error occurred while processing your card. Try again in a little bit.",
    ),
    "pm_card_authenticationRequired": Card(last4="3184", authenticates=True),
    "pm_card_authenticationRequiredOnSetup": Card(last4="3155", authenticates=True, exempt_once_set_up=True),
    "pm_card_threeDSecureRequired": Card(last4="3063", authenticates=True),
    "pm_card_threeDSecure2Required": Card(last4="3220", authenticates=True),
    "pm_card_pendingRefund": Card(last4="7726", refund="pending"),
    "pm_card_refundFail": Card(last4="5126", refund="failed"),
}

NEEDS_AUTHENTICATION = Card(
    code="authentication_required",
    decline_code="authentication_required",
    message="Your card was declined. This transaction requires authentication.",
)
"""The outcome of a card that requires authentication if the customer is absent (`off_session`)."""
