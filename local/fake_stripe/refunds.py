"""Refunds (docs.stripe.com/api/refunds): full or partial refunds of a charge."""

from local.fake_stripe import amounts, objects
from local.fake_stripe.errors import ApiError, invalid, no_such
from local.fake_stripe.objects import Json
from local.fake_stripe.parameters import check_metadata, check_names
from local.fake_stripe.store import Store

_PARAMETERS = frozenset({"amount", "charge", "expand", "metadata", "payment_intent", "reason"})
_REASONS = ("duplicate", "fraudulent", "requested_by_customer")


class Refunds:
    """The operations of the API on refunds. They raise ApiError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, params: Json, _: str = "") -> Json:
        """POST /v1/refunds, of a charge or of an intent's captured charge. Refunds `amount` or the rest."""
        check_names(params, _PARAMETERS)
        check_metadata(params)
        if params.get("reason") not in (None, *_REASONS):
            raise invalid(f"Invalid reason: must be one of {', '.join(_REASONS)}", param="reason")
        with self._store.lock:
            charge = self._charge(params)
            left = charge["amount_captured"] - charge["amount_refunded"]
            amount = amounts.amount_of(params["amount"]) if "amount" in params else left
            if charge["refunded"]:
                raise invalid(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
            if amount > left:
                asked, rest = (amounts.shown(value, charge["currency"]) for value in (amount, left))
                raise invalid(
                    f"Refund amount ({asked}) is greater than unrefunded amount on charge ({rest})", param="amount"
                )
            refund = objects.refund(
                params, charge, refund_id=self._store.new_id("re"), amount=amount, created=self._store.now()
            )
            self._store.refunds[refund["id"]] = refund
            charge["amount_refunded"] += amount
            charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
            self._store.refunded(charge)
            return dict(refund)

    def retrieve(self, _: Json, refund_id: str) -> Json:
        """GET /v1/refunds/{id}."""
        return self._store.copy("refund", self._store.refunds, refund_id)

    def list(self, params: Json, _: str = "") -> Json:
        """GET /v1/refunds: newest first, paged, optionally of one `payment_intent` or `charge`."""
        wanted = {name: params.get(name) for name in ("payment_intent", "charge")}
        return self._store.page("/v1/refunds", self._store.refunds, params, **wanted)

    def _charge(self, params: Json) -> Json:
        if bool(params.get("charge")) == bool(params.get("payment_intent")):
            raise invalid("One of the following params should be provided for this request: payment_intent or charge.")
        charge_id = str(params.get("charge") or "")
        if not charge_id:
            intent_id = str(params["payment_intent"])
            if intent_id not in self._store.intents:
                raise no_such("payment_intent", intent_id, param="payment_intent", status=400)
            charge_id = self._store.intents[intent_id]["latest_charge"] or ""
            if not charge_id or not self._store.charges[charge_id]["captured"]:
                raise invalid(f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.")
        if charge_id not in self._store.charges:
            raise no_such("charge", charge_id, param="charge", status=400)
        charge = self._store.charges[charge_id]
        if not charge["captured"]:
            raise ApiError(400, f"Charge {charge_id} was not captured and cannot be refunded.", param="charge")
        return charge
