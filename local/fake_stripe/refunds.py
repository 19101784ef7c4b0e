"""Refunds (docs.stripe.com/api/refunds): full or partial refunds of a charge."""

from contextlib import suppress

from local.fake_stripe import amounts, objects
from local.fake_stripe.delivery_queue import DeliveryQueue
from local.fake_stripe.errors import ApiError, invalid
from local.fake_stripe.objects import Json
from local.fake_stripe.parameters import LIST, check_metadata, check_names
from local.fake_stripe.payment_methods import PaymentMethods
from local.fake_stripe.settings import Settings
from local.fake_stripe.store import Store

_PARAMETERS = frozenset({"amount", "charge", "metadata", "payment_intent", "reason"})


_OUTCOMES = {"succeeded": ("pending", "requires_action"), "failed": ("pending", "requires_action", "succeeded")}
"""The outcome of a refund, and the statuses in which it may still get this outcome."""


class Refunds:
    """The operations of the API on refunds. They raise ApiError."""

    def __init__(self, store: Store, methods: PaymentMethods, settings: Settings) -> None:
        self._store = store
        self._methods = methods
        self._settings = settings
        self._later = DeliveryQueue(self._end, "refunds")

    def create(self, params: Json, _: str = "") -> Json:
        """POST /v1/refunds, of a charge or of an intent's captured charge. Refunds `amount` or the rest."""
        check_names(params, _PARAMETERS)
        check_metadata(params)
        with self._store.lock:
            charge = self._charge(params)
            left = charge["amount_captured"] - charge["amount_refunded"]
            amount = amounts.amount_of(params["amount"]) if "amount" in params else left
            if charge["refunded"]:
                raise invalid(
                    f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded", begun=True
                )
            if amount > left:
                asked, rest = (amounts.shown(value, charge["currency"]) for value in (amount, left))
                raise invalid(
                    f"Refund amount ({asked}) is greater than unrefunded amount on charge ({rest})",
                    param="amount",
                    begun=True,
                )
            refund = objects.refund(
                params, charge, refund_id=self._store.new_id("re"), amount=amount, created=self._store.now()
            )
            self._store.refunds[refund["id"]] = refund
            self._refunded(charge, amount)
            outcome = self._methods.card(self._store.methods[charge["payment_method"]]).refund
            if outcome == "pending":
                refund.update(status="pending", pending_reason="processing")
            if outcome:
                end = (refund["id"], "failed" if outcome == "failed" else "succeeded")
                self._later.take(end, self._settings.refund_outcome_seconds)
            self._store.emit("refund.created", refund)
            self._store.emit("charge.refunded", charge)
            return dict(refund)

    def update(self, params: Json, refund_id: str) -> Json:
        """POST /v1/refunds/{id}: its metadata."""
        check_names(params, frozenset({"metadata"}))
        check_metadata(params)
        with self._store.lock:
            refund = self._refund(refund_id)
            refund["metadata"] = objects.merged_metadata(refund, params)
            self._store.emit("refund.updated", refund)
            return dict(refund)

    def cancel(self, params: Json, refund_id: str) -> Json:
        """POST /v1/refunds/{id}/cancel. A card's refund cannot be canceled: it never requires an action."""
        check_names(params)
        with self._store.lock:
            refund = self._refund(refund_id)
            raise invalid(
                f"You cannot cancel a refund with a status of {refund['status']}. Only a refund with a status of "
                "requires_action may be canceled.",
                begun=True,
            )

    def end(self, refund_id: str, outcome: str, reason: str = "lost_or_stolen_card") -> Json:
        """The bank carries out a refund, or cannot: then the money is back in our balance, also after a success.

        `outcome` is succeeded or failed. Raises ApiError: 404 for an unknown refund, 409 for one that has ended.
        """
        if outcome not in _OUTCOMES:
            raise ApiError(400, f"outcome must be one of {', '.join(_OUTCOMES)}")
        with self._store.lock:
            refund = self._refund(refund_id)
            if refund["status"] not in _OUTCOMES[outcome]:
                raise ApiError(409, f"{refund_id} is {refund['status']}")
            refund.pop("pending_reason", None)
            refund.update(status=outcome)
            if outcome == "failed":
                refund.update(failure_reason=reason, failure_balance_transaction=self._store.new_id("txn"))
                self._refunded(self._store.charges[refund["charge"]], -refund["amount"])
            self._store.emit("refund.updated", refund)
            if outcome == "failed":
                self._store.emit("charge.refund.updated", refund)
                self._store.emit("refund.failed", refund)
            return dict(refund)

    def fail(self, refund_id: str) -> Json:
        """The bank cannot carry out a refund, also after it succeeded. Raises ApiError."""
        return self.end(refund_id, "failed")

    def clear(self) -> None:
        """Forget the outcomes that are still to come."""
        self._later.drop()

    def stop(self) -> None:
        """Stop the thread of later outcomes."""
        self._later.stop()

    def retrieve(self, params: Json, refund_id: str) -> Json:
        """GET /v1/refunds/{id}."""
        check_names(params)
        return self._store.copy("refund", self._store.refunds, refund_id)

    def list(self, params: Json, _: str = "") -> Json:
        """GET /v1/refunds: newest first, paged, optionally of one `payment_intent` or `charge`."""
        check_names(params, LIST | {"charge", "created", "payment_intent"})
        wanted = {name: params.get(name) for name in ("payment_intent", "charge")}
        return self._store.page("/v1/refunds", self._store.refunds, params, **wanted)

    def _end(self, end: tuple[str, str]) -> None:
        with suppress(ApiError):  # a test may have ended it before, or reset everything
            self.end(*end)

    def _refund(self, refund_id: str) -> Json:
        if refund_id not in self._store.refunds:
            raise self._store.no_such("refund", refund_id)
        return self._store.refunds[refund_id]

    @staticmethod
    def _refunded(charge: Json, amount: int) -> None:
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]

    def _charge(self, params: Json) -> Json:
        if bool(params.get("charge")) == bool(params.get("payment_intent")):
            raise invalid("One of the following params should be provided for this request: payment_intent or charge.")
        charge_id = str(params.get("charge") or "")
        if not charge_id:
            intent_id = str(params["payment_intent"])
            if intent_id not in self._store.intents:
                raise self._store.no_such("payment_intent", intent_id, param="payment_intent", status=400)
            charge_id = self._store.intents[intent_id]["latest_charge"] or ""
            if not charge_id or not self._store.charges[charge_id]["captured"]:
                raise invalid(f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.")
        if charge_id not in self._store.charges:
            raise self._store.no_such("charge", charge_id, param="charge", status=400)
        charge = self._store.charges[charge_id]
        if not charge["captured"]:
            raise invalid(f"Charge {charge_id} was not captured and cannot be refunded.", param="charge", begun=True)
        return charge
