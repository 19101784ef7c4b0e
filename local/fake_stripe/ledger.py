"""Payment intents and charges: the operations of the API, and the outcome of a payment attempt."""

import secrets

from local.fake_stripe import amounts, objects, parameters
from local.fake_stripe.cards import NEEDS_AUTHENTICATION, Card
from local.fake_stripe.errors import ApiError, invalid
from local.fake_stripe.faults import Faults, Kind
from local.fake_stripe.objects import Json
from local.fake_stripe.parameters import LIST, check_metadata, check_names, off_session
from local.fake_stripe.payment_methods import PaymentMethods
from local.fake_stripe.settings import Settings
from local.fake_stripe.store import Store

_CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
_CANCELABLE = (*_CONFIRMABLE, "requires_capture", "requires_reauthorization")
_OF_CONFIRM = parameters.ONLY_WITH_CONFIRM | {
    "capture_method",
    "client_secret",
    "expected_payment_method_type",
    "payment_method",
    "payment_method_data",
    "payment_method_options",
    "payment_method_types",
    "receipt_email",
    "setup_future_usage",
    "shipping",
    "use_stripe_sdk",
}
_OF_UPDATE = frozenset(
    {
        "amount",
        "currency",
        "customer",
        "description",
        "metadata",
        "payment_method",
        "payment_method_data",
        "payment_method_options",
        "receipt_email",
        "setup_future_usage",
        "shipping",
        "statement_descriptor_suffix",
    }
)


class Ledger:
    """Operations on the store. Every method is atomic and thread-safe.

    The operations of the API take the nested request parameters and the id from the path, return the object that Stripe
    returns, and raise ApiError.
    """

    def __init__(self, store: Store, methods: PaymentMethods, faults: Faults, settings: Settings) -> None:
        self._store = store
        self._methods = methods
        self._faults = faults
        self._settings = settings
        self.base_url = ""
        """The address of this server, which the addresses in its answers begin with."""

    def create(self, params: Json, _: str = "") -> Json:
        """POST /v1/payment_intents. Nothing is stored if a parameter fails validation."""
        parameters.check_create(params)
        amount = amounts.amount_of(params["amount"])
        amounts.check(amount, params["currency"])
        intent = objects.payment_intent(
            params,
            intent_id=self._store.new_id("pi"),
            secret=self._store.new_id("cs"),
            amount=amount,
            created=self._store.now(),
        )
        confirms = params.get("confirm") == "true"
        if confirms:
            parameters.check_return(intent, params)
        with self._store.lock:
            intent["customer"] = self._store.customer_in(params)
            method = self._methods.of(params) if parameters.has_method(params) else None
            if method:
                self._check_type(method, intent)
                amounts.check(amount, params["currency"], method["card"]["brand"])
                self._methods.check_owner(method, intent["customer"])
                if confirms:
                    names_source = bool(self._settings.create_names_source)
                    self._methods.check_usable(method, intent, names_source=names_source)
                intent.update(payment_method=method["id"], status="requires_confirmation")
            self._store.add(intent)
            if confirms:
                self._attempt(intent, params)
            return dict(intent)

    def retrieve(self, params: Json, intent_id: str) -> Json:
        """GET /v1/payment_intents/{id}. With a publishable key, the client secret is needed."""
        check_names(params, frozenset({"client_secret"}))
        with self._store.lock:
            intent = self._store.intent(intent_id)
            check_secret(intent, params)
            return dict(intent)

    def of_secret(self, client_secret: str) -> Json:
        """The intent with this client secret. Raises ApiError."""
        return of_secret(self._store, self._store.intents, client_secret, "PaymentIntent")

    def confirm(self, params: Json, intent_id: str) -> Json:
        """POST /v1/payment_intents/{id}/confirm, by the server, or by Stripe.js with the client secret."""
        check_names(params, _OF_CONFIRM)
        with self._store.lock:
            intent = self._store.intent(intent_id, _CONFIRMABLE, "confirm")
            check_secret(intent, params)
            named = params if parameters.has_method(params) else {"payment_method": intent["payment_method"]}
            if not parameters.has_method(named):
                raise parameters.missing_payment_method(intent)
            parameters.check_return(intent, params)
            try:
                method = self._methods.of(named)
                self._check_type(method, intent)
                self._methods.check_usable(method, intent, names_source=True)
            except ApiError as error:
                if error.begun:
                    error.body["error"]["payment_intent"] = dict(intent)
                raise
            amounts.check(intent["amount"], intent["currency"], method["card"]["brand"])
            intent.update(payment_method=method["id"])
            intent.update({name: params[name] for name in ("receipt_email", "setup_future_usage") if name in params})
            self._attempt(intent, params)
            return dict(intent)

    def update(self, params: Json, intent_id: str) -> Json:
        """POST /v1/payment_intents/{id}. Every update clears the last error."""
        check_names(params, _OF_UPDATE)
        check_metadata(params)
        with self._store.lock:
            intent = self._store.intent(intent_id)
            if set(params) - {"description", "expand", "metadata"}:
                self._store.intent(intent_id, _CONFIRMABLE, "update")
            currency = str(params.get("currency", intent["currency"]))
            amount = amounts.amount_of(params["amount"]) if "amount" in params else intent["amount"]
            amounts.check(amount, currency)
            customer = self._store.customer_in(params)
            if intent["customer"] and customer not in (None, intent["customer"]):
                raise invalid(
                    "You cannot modify `customer` on a PaymentIntent once it already has been set. To fulfill a "
                    "payment with a different Customer, cancel this PaymentIntent and create a new one.",
                    param="customer",
                )
            customer = customer or intent["customer"]
            if parameters.has_method(params):
                method = self._methods.of(params)
                self._check_type(method, intent)
                self._methods.check_owner(method, customer)
                intent.update(payment_method=method["id"], status="requires_confirmation", next_action=None)
            texts = ("description", "receipt_email", "setup_future_usage")
            intent.update({name: params[name] or None for name in texts if name in params})
            intent.update(amount=amount, currency=currency, customer=customer, last_payment_error=None)
            intent["metadata"] = objects.merged_metadata(intent, params)
            self._store.index(intent)
            self._store.changed(intent)
            return dict(intent)

    def cancel(self, params: Json, intent_id: str) -> Json:
        """POST /v1/payment_intents/{id}/cancel. What was authorized and not captured is released."""
        check_names(params, frozenset({"cancellation_reason"}))
        with self._store.lock:
            intent = self._store.intent(intent_id, _CANCELABLE, "cancel")
            if intent["status"] == "requires_capture":
                charge = self._store.charges[intent["latest_charge"]]
                charge.update(refunded=True, amount_refunded=charge["amount"])
            intent.update(
                status="canceled",
                amount_capturable=0,
                next_action=None,
                last_payment_error=None,
                canceled_at=self._store.now(),
                cancellation_reason=params.get("cancellation_reason"),
            )
            self._store.changed(intent, "payment_intent.canceled")
            return dict(intent)

    def capture(self, params: Json, intent_id: str) -> Json:
        """POST /v1/payment_intents/{id}/capture: the whole amount, or `amount_to_capture` of it."""
        check_names(params, frozenset({"amount_to_capture", "metadata", "statement_descriptor_suffix"}))
        with self._store.lock:
            intent = self._store.intent(intent_id, ("requires_capture",), "capture")
            amount = amounts.amount_of(params.get("amount_to_capture", str(intent["amount_capturable"])))
            if amount > intent["amount_capturable"]:
                raise invalid(
                    "The amount to capture exceeds what was authorized.",
                    param="amount_to_capture",
                    code="amount_too_large",
                )
            charge = self._store.charges[intent["latest_charge"]]
            charge.update(captured=True, amount_captured=amount)
            self._store.emit("charge.captured", charge)
            self.paid(intent, charge)
            return dict(intent)

    def intents(self, params: Json, _: str = "") -> Json:
        """GET /v1/payment_intents: newest first, paged, optionally of one `customer`. Nothing else filters."""
        check_names(params, LIST | {"created", "customer"})
        customer = params.get("customer")
        return self._store.page("/v1/payment_intents", self._store.intents, params, customer=customer)

    def charges(self, params: Json, _: str = "") -> Json:
        """GET /v1/charges: newest first, paged, optionally of one `payment_intent` or `customer`."""
        check_names(params, LIST | {"created", "customer", "payment_intent"})
        wanted = {name: params.get(name) for name in ("payment_intent", "customer")}
        return self._store.page("/v1/charges", self._store.charges, params, **wanted)

    def charge(self, params: Json, charge_id: str) -> Json:
        """GET /v1/charges/{id}."""
        check_names(params)
        return self._store.copy("charge", self._store.charges, charge_id)

    def balance(self, params: Json, _: str = "") -> Json:
        """GET /v1/balance."""
        check_names(params)
        return objects.balance(self.captured())

    def captured(self) -> list[Json]:
        """Every captured charge, oldest first, with the payment id of its metadata. Tests check the totals."""
        with self._store.lock:
            return [
                {
                    "id": charge["id"],
                    "payment_intent": charge["payment_intent"],
                    "amount": charge["amount_captured"],
                    "amount_refunded": charge["amount_refunded"],
                    "currency": charge["currency"],
                    "payment_id": charge["metadata"].get("payment_id", ""),
                }
                for charge in self._store.charges.values()
                if charge["captured"]
            ]

    def charge_card(self, intent: Json, card: Card) -> None:
        """Charge `card` for a stored intent. The caller holds the lock of the store.

        Raises ApiError (402) for a decline, with the intent in the body.
        """
        method = self._store.methods[intent["payment_method"]]
        charge = objects.charge(intent, card, charge_id=self._store.new_id("ch"), created=self._store.now())
        self._store.charges[charge["id"]] = charge
        intent.update(latest_charge=charge["id"], next_action=None, last_payment_error=None)
        self._methods.use_up(method)
        if card.code:
            self._store.emit("charge.failed", charge)
            raise self.declined(intent, objects.payment_error(card, method, charge_id=charge["id"]))
        if self._faults.take(Kind.SETTLES_LATER, intent["metadata"].get("payment_id", "")):
            objects.unsettle(charge)
            intent.update(status="processing")
            self._store.emit("charge.pending", charge)
            self._store.changed(intent, "payment_intent.processing")
        else:
            self._store.emit("charge.succeeded", charge)
            self.paid(intent, charge)

    def declined(self, intent: Json, problem: Json) -> ApiError:
        """Apply a failed attempt: the intent needs another payment method. Returns the error of the answer (402)."""
        intent.update(
            status="requires_payment_method", payment_method=None, next_action=None, last_payment_error=problem
        )
        self._store.changed(intent, "payment_intent.payment_failed")
        most = self._settings.attempts_per_intent
        if most and self._store.failed_again(intent["id"]) >= most:
            intent.update(status="canceled", canceled_at=self._store.now(), cancellation_reason="automatic")
            self._store.changed(intent, "payment_intent.canceled")
        return ApiError(402, **problem, payment_intent=dict(intent), headers={"Stripe-Should-Retry": "false"})

    def paid(self, intent: Json, charge: Json) -> None:
        """Apply a successful charge: it pays the intent, or waits for its capture. It may save the payment method."""
        if intent["setup_future_usage"] and charge["payment_method"] in self._store.methods:
            prepares = intent["setup_future_usage"] == "off_session"
            method = self._store.methods[charge["payment_method"]]
            self._methods.save(method, intent["customer"], set_up=prepares)
        if charge["captured"]:
            intent.update(status="succeeded", amount_received=charge["amount_captured"], amount_capturable=0)
            self._store.changed(intent, "payment_intent.succeeded")
        else:
            intent.update(status="requires_capture", amount_capturable=intent["amount"])
            self._store.changed(intent, "payment_intent.amount_capturable_updated")

    def _attempt(self, intent: Json, params: Json) -> None:
        method = self._store.methods[intent["payment_method"]]
        self._methods.bind(method, intent["id"])
        absent = off_session(params)
        if not self._methods.needs_authentication(method, off_session=absent):
            self.charge_card(intent, self._methods.card(method))
        elif absent or params.get("error_on_requires_action") == "true":
            self._methods.use_up(method)
            raise self.declined(intent, objects.payment_error(NEEDS_AUTHENTICATION, method))
        else:
            action = objects.authentication(intent, self.base_url, parameters.return_url(params))
            intent.update(status="requires_action", next_action=action, last_payment_error=None)
            self._store.changed(intent, "payment_intent.requires_action")

    @staticmethod
    def _check_type(method: Json, intent: Json) -> None:
        if method["type"] not in intent["payment_method_types"]:
            raise invalid(
                f"The PaymentMethod provided ({method['type']}) is not allowed for this PaymentIntent. Please attach a "
                f"PaymentMethod of one of the following types: {', '.join(intent['payment_method_types'])}.",
                code="payment_intent_incompatible_payment_method",
            )


def check_secret(intent: Json, params: Json) -> None:
    """Raise ApiError if a request has a client secret that is not the intent's."""
    given = params.get("client_secret")
    if given is not None and not secrets.compare_digest(intent["client_secret"].encode(), str(given).encode()):
        raise invalid(
            "The client_secret provided does not match the client_secret associated with this intent.",
            param="client_secret",
            code=f"{intent['object']}_invalid_parameter",
        )


def of_secret(store: Store, stored: dict[str, Json], client_secret: str, name: str) -> Json:
    """The payment intent or setup intent with this client secret. Takes the lock. Raises ApiError."""
    with store.lock:
        intent = stored.get(client_secret.partition("_secret_")[0])
        if intent is None or not secrets.compare_digest(intent["client_secret"].encode(), client_secret.encode()):
            raise invalid(f"The client_secret provided does not match any {name}.", param="client_secret")
        return dict(intent)
