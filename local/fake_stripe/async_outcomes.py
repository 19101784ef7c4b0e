"""Changes outside the API: the customer authenticates, the bank settles, or a test sets a status."""

from local.fake_stripe import objects
from local.fake_stripe.cards import CARDS
from local.fake_stripe.errors import ApiError
from local.fake_stripe.ledger import Ledger
from local.fake_stripe.objects import Json
from local.fake_stripe.payment_methods import PaymentMethods
from local.fake_stripe.setup_intents import SetupIntents
from local.fake_stripe.store import Store

OUTCOMES = ("succeeded", "failed")
_DECLINE = CARDS["pm_card_chargeDeclined"]


class AsyncOutcomes:
    """Completes open intents. Raises ApiError: 404 for an unknown intent, 409 for one that is not waiting."""

    def __init__(self, store: Store, methods: PaymentMethods, ledger: Ledger, setups: SetupIntents) -> None:
        self._store = store
        self._methods = methods
        self._ledger = ledger
        self._setups = setups

    def authenticate(self, intent_id: str, outcome: str) -> Json:
        """The customer passes or fails 3-D Secure, of a payment intent or a setup intent."""
        with self._store.lock:
            if intent_id in self._store.setups:
                return self._authenticate_setup(intent_id, outcome)
            intent = _waiting(self._store.intent(intent_id), "requires_action", outcome)
            method = self._store.methods[intent["payment_method"]]
            if outcome == "succeeded":
                self._ledger.charge_card(intent, self._methods.card(method))
            else:
                self._methods.use_up(method)
                self._ledger.declined(intent, objects.authentication_error(intent, method))
            return dict(intent)

    def settle(self, intent_id: str, outcome: str) -> Json:
        """The bank pays or rejects the charge."""
        with self._store.lock:
            intent = _waiting(self._store.intent(intent_id), "processing", outcome)
            charge = self._store.charges[intent["latest_charge"]]
            if outcome == "succeeded":
                objects.settle(charge, captured=intent["capture_method"] != "manual")
                self._store.emit("charge.succeeded", charge)
                self._ledger.paid(intent, charge)
            else:
                objects.fail(charge, _DECLINE)
                self._store.emit("charge.failed", charge)
                method = self._store.methods[charge["payment_method"]]
                self._ledger.declined(intent, objects.payment_error(_DECLINE, method, charge_id=charge["id"]))
            return dict(intent)

    def set_status(self, intent_id: str, status: str) -> Json:
        """Give an intent any status, also one that is not documented. Only a test does this, and no event is sent."""
        with self._store.lock:
            intent = self._store.intent(intent_id)
            intent.update(status=status, amount_capturable=intent["amount"] if status == "requires_capture" else 0)
            self._store.changed(intent)
            return dict(intent)

    def _authenticate_setup(self, setup_id: str, outcome: str) -> Json:
        setup = _waiting(self._store.setups[setup_id], "requires_action", outcome)
        if outcome == "succeeded":
            self._setups.succeed(setup)
        else:
            method = self._store.methods[setup["payment_method"]]
            self._setups.fail(setup, objects.authentication_error(setup, method))
        return dict(setup)


def _waiting(intent: Json, status: str, outcome: str) -> Json:
    if outcome not in OUTCOMES:
        raise ApiError(400, f"outcome must be one of {', '.join(OUTCOMES)}")
    if intent["status"] != status:
        raise ApiError(409, f"{intent['id']} is {intent['status']}, not {status}")
    return intent
