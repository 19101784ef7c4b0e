"""Changes of an intent outside the API: the customer authenticates, or the bank settles."""

from local.fake_stripe import objects
from local.fake_stripe.cards import CARDS
from local.fake_stripe.errors import ApiError
from local.fake_stripe.ledger import Ledger
from local.fake_stripe.objects import Json
from local.fake_stripe.store import Store

OUTCOMES = ("succeeded", "failed")
_DECLINE = CARDS["pm_card_chargeDeclined"]


class AsyncOutcomes:
    """Completes open intents. Raises ApiError: 404 for an unknown intent, 409 for one that is not waiting."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    def authenticate(self, intent_id: str, outcome: str) -> Json:
        """The customer passes or fails 3-D Secure."""
        with self._store.lock:
            intent = self._waiting(intent_id, "requires_action", outcome)
            if outcome == "succeeded":
                self._ledger.charge_card(intent, CARDS[intent["payment_method"]])
            else:
                problem = objects.authentication_error(intent["payment_method"])
                self._fail(intent, problem)
            return dict(intent)

    def settle(self, intent_id: str, outcome: str) -> Json:
        """The bank pays or rejects the charge."""
        with self._store.lock:
            intent = self._waiting(intent_id, "processing", outcome)
            charge = self._store.charges[intent["latest_charge"]]
            if outcome == "succeeded":
                objects.settle(charge, captured=intent["capture_method"] != "manual")
                self._ledger.paid(intent, charge)
            else:
                objects.fail(charge, _DECLINE)
                method = intent["payment_method"]
                self._fail(intent, objects.payment_error(_DECLINE, charge_id=charge["id"], method=method))
            return dict(intent)

    def _waiting(self, intent_id: str, status: str, outcome: str) -> Json:
        intent = self._store.intent(intent_id)
        if outcome not in OUTCOMES:
            raise ApiError(400, f"outcome must be one of {', '.join(OUTCOMES)}")
        if intent["status"] != status:
            raise ApiError(409, f"{intent_id} is {intent['status']}, not {status}")
        return intent

    def _fail(self, intent: Json, problem: Json) -> None:
        intent.update(
            status="requires_payment_method", payment_method=None, next_action=None, last_payment_error=problem
        )
        self._store.changed(intent, "payment_failed")
