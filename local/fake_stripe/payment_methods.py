"""Payment methods (docs.stripe.com/api/payment_methods): made from test cards, attached to customers, used up.

Stripe's names of test cards, such as `pm_card_visa`, are templates: every use makes a payment method with its own id.
"""

from dataclasses import dataclass

from local.fake_stripe.cards import CARDS, Card
from local.fake_stripe.errors import ApiError, invalid
from local.fake_stripe.objects import Json, merged_metadata, metadata_of
from local.fake_stripe.parameters import LIST, check_metadata, check_names
from local.fake_stripe.store import Store

_OF_CREATE = frozenset({"allow_redisplay", "billing_details", "card", "metadata", "type"})
_OF_LIST = LIST | {"customer", "type"}
_NOT_AGAIN = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with a "
    "connected account without Customer attachment, or was detached from a Customer. It may not be used again. To use "
    "a PaymentMethod multiple times, you must attach it to a Customer first."
)


@dataclass(slots=True)
class _Use:
    """What happened to a payment method, as far as its object does not show it."""

    card: Card
    intent_id: str = ""
    """The payment intent that uses it while it is attached to no customer."""
    used_up: bool = False
    """It was charged, or failed, without a customer; or it was detached. It may not be used again."""
    detached: bool = False
    may_attach: bool = False
    """It was used up by a payment that also set it up for later. It may be attached, and then used again."""
    set_up: bool = False
    """It was prepared for payments without the customer."""


class PaymentMethods:
    """The operations of the API on payment methods, and what other operations do with them. They raise ApiError.

    Callers of the methods below `of` hold the lock of the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._uses: dict[str, _Use] = {}

    def create(self, params: Json, _: str = "") -> Json:
        """POST /v1/payment_methods, from a token such as `tok_visa`. It is attached to no customer."""
        check_names(params, _OF_CREATE)
        with self._store.lock:
            return dict(self.of({"payment_method_data": params}))

    def retrieve(self, params: Json, method_id: str) -> Json:
        """GET /v1/payment_methods/{id}."""
        check_names(params)
        return self._store.copy("PaymentMethod", self._store.methods, method_id, param="payment_method")

    def update(self, params: Json, method_id: str) -> Json:
        """POST /v1/payment_methods/{id}: what does not change the card itself."""
        check_names(params, frozenset({"allow_redisplay", "billing_details", "metadata"}))
        check_metadata(params)
        with self._store.lock:
            method = self._stored(method_id)
            method["metadata"] = merged_metadata(method, params)
            method["billing_details"] = method["billing_details"] | params.get("billing_details", {})
            return dict(method)

    def attach(self, params: Json, method_id: str) -> Json:
        """POST /v1/payment_methods/{id}/attach. The id may be the name of a test card."""
        check_names(params, frozenset({"customer"}))
        if not params.get("customer"):
            raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
        with self._store.lock:
            customer = self._store.customer_in(params)
            method = self._named(method_id, status=404)
            if method["customer"]:
                raise invalid("The payment method you provided has already been attached to a customer.", begun=True)
            use = self._uses[method["id"]]
            if (use.used_up or use.intent_id) and not use.may_attach:
                raise invalid(
                    "This PaymentMethod was previously used without being attached to a Customer or was detached from "
                    "a Customer, and may not be used again.",
                    begun=True,
                )
            self.check_saves(method)
            self.save(method, customer)
            return dict(method)

    def detach(self, params: Json, method_id: str) -> Json:
        """POST /v1/payment_methods/{id}/detach. It is final."""
        check_names(params)
        with self._store.lock:
            method = self._stored(method_id)
            if not method["customer"]:
                raise invalid(
                    "The payment method you provided is not attached to a customer so detachment is impossible.",
                    begun=True,
                )
            self._release(method)
            return dict(method)

    def list(self, params: Json, _: str = "") -> Json:
        """GET /v1/payment_methods of one customer: newest first, paged."""
        check_names(params, _OF_LIST)
        if not params.get("customer"):
            raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
        with self._store.lock:
            customer = self._store.customer_in(params)
        return self._page("/v1/payment_methods", params, customer)

    def list_of_customer(self, params: Json, customer_id: str) -> Json:
        """GET /v1/customers/{id}/payment_methods: newest first, paged."""
        check_names(params, _OF_LIST - {"customer"})
        with self._store.lock:
            self._store.customer(customer_id)
        return self._page(f"/v1/customers/{customer_id}/payment_methods", params, customer_id)

    def of(self, params: Json) -> Json:
        """The method that `payment_method` names, or a new one from `payment_method_data`."""
        data = params.get("payment_method_data")
        if data is None:
            return self._named(str(params["payment_method"]), status=400)
        return self._made(_template(data), data)

    def card(self, method: Json) -> Card:
        """The test card behind a method."""
        return self._uses[method["id"]].card

    def check_owner(self, method: Json, customer: str | None) -> None:
        """Raise ApiError for another customer's method."""
        if method["customer"] and customer and method["customer"] != customer:
            raise invalid(
                f"The PaymentMethod {method['id']} does not belong to the Customer you supplied {customer}. Please use "
                "this PaymentMethod with the Customer that it belongs to instead.",
                param="payment_method",
                begun=True,
            )

    def check_usable(self, method: Json, intent: Json, *, names_source: bool) -> None:
        """Raise ApiError if this method may not pay this intent.

        `names_source` gives the error of a missing customer its code and its parameter, which is `source`.
        """
        self.check_owner(method, intent["customer"])
        if method["customer"] and not intent["customer"]:
            named = {"code": "parameter_missing", "param": "source"} if names_source else {}
            raise invalid(
                f"The `payment_method` parameter supplied {method['id']} belongs to the Customer {method['customer']}. "
                "Please include the Customer in the `customer` parameter on the PaymentIntent.",
                begun=True,
                **named,
            )
        use = self._uses[method["id"]]
        if use.used_up or use.intent_id not in ("", intent["id"]):
            raise invalid(_NOT_AGAIN, begun=True)

    def check_setup(self, method: Json, setup: Json) -> None:
        """Raise ApiError if this method may not be set up by this setup intent."""
        if method["customer"] and not setup["customer"]:
            raise invalid(
                f"The payment method supplied ({method['id']}) belongs to a Customer. Please include the Customer in "
                "the `customer` parameter on the SetupIntent.",
                param="payment_method",
                begun=True,
            )
        use = self._uses[method["id"]]
        if use.used_up or use.intent_id:
            raise invalid(_NOT_AGAIN, begun=True)

    def check_saves(self, method: Json) -> None:
        """Raise ApiError (402) if the card cannot be saved: the bank is asked when it is."""
        card = self.card(method)
        if card.code and not card.attaches:
            raise ApiError(
                402,
                card.message,
                type="card_error",
                code=card.code,
                decline_code=card.decline_code,
                headers={"Stripe-Should-Retry": "false"},
            )

    def needs_authentication(self, method: Json, *, off_session: bool) -> bool:
        """True if 3-D Secure is required, whether or not the customer is there."""
        use = self._uses[method["id"]]
        exempt = off_session and use.set_up and use.card.exempt_once_set_up
        return use.card.authenticates and not exempt

    def bind(self, method: Json, intent_id: str) -> None:
        """This intent uses the method. Without a customer no other intent may use it."""
        if not method["customer"]:
            self._uses[method["id"]].intent_id = intent_id

    def use_up(self, method: Json) -> None:
        """An attempt to pay was made with the method. Without a customer it may not be used again."""
        if not method["customer"]:
            self._uses[method["id"]].used_up = True

    def save(self, method: Json, customer: str | None, *, set_up: bool = False) -> None:
        """Attach a method to a customer, unless it is. With `set_up` it was prepared for payments off session.

        Without a customer, it may be attached later.
        """
        use = self._uses[method["id"]]
        use.set_up, use.may_attach = use.set_up or set_up, not use.detached
        if customer and not method["customer"] and not use.detached:
            use.used_up, use.intent_id = False, ""
            method["customer"] = customer
            self._store.emit("payment_method.attached", method)

    def release_all(self, customer_id: str) -> None:
        """Detach all methods of a customer."""
        for method in self._store.methods.values():
            if method["customer"] == customer_id:
                self._release(method)

    def clear(self) -> None:
        """Forget all uses."""
        self._uses.clear()

    def _release(self, method: Json) -> None:
        method["customer"] = None
        use = self._uses[method["id"]]
        use.used_up, use.detached, use.may_attach = True, True, False
        self._store.emit("payment_method.detached", method)

    def _stored(self, method_id: str) -> Json:
        if method_id not in self._store.methods:
            raise self._store.no_such("PaymentMethod", method_id, param="payment_method")
        return self._store.methods[method_id]

    def _named(self, name: str, *, status: int) -> Json:
        if name in self._store.methods:
            return self._store.methods[name]
        if name not in CARDS:
            raise self._store.no_such("PaymentMethod", name[:64], param="payment_method", status=status)
        return self._made(name, {})

    def _made(self, template: str, data: Json) -> Json:
        check_metadata(data)
        card = CARDS[template]
        method = {
            "id": self._store.new_id("pm"),
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": data.get("billing_details", {}),
            "card": {
                "brand": card.brand,
                "country": "US",
                "exp_month": 12,
                "exp_year": 2034,
                "fingerprint": f"fake{card.brand}{card.last4}",
                "funding": "credit",
                "last4": card.last4,
            },
            "created": self._store.now(),
            "customer": None,
            "livemode": False,
            "metadata": metadata_of(data),
            "type": "card",
        }
        self._store.methods[method["id"]] = method
        self._uses[method["id"]] = _Use(card)
        return method

    def _page(self, url: str, params: Json, customer: str | None) -> Json:
        kind = params.get("type")
        return self._store.page(url, self._store.methods, params, customer=customer, type=kind)


def _template(data: object) -> str:
    """The test card that new payment method data stands for: `tok_visa` is the token of `pm_card_visa`."""
    if not isinstance(data, dict) or data.get("type") != "card":
        raise invalid("Invalid type: the fake Stripe has cards only.", param="type")
    card = data.get("card")
    if isinstance(card, dict) and "number" in card:
        raise ApiError(
            402,
            "Sending credit card numbers directly to the Stripe API is generally unsafe. To continue processing use "
            "Stripe.js, the Stripe mobile bindings, or Stripe Elements.",
        )
    token = str(card.get("token", "")) if isinstance(card, dict) else ""
    template = f"pm_card_{token.removeprefix('tok_')}"
    if not token.startswith("tok_") or template not in CARDS:
        raise invalid(f"No such token: '{token[:64]}'", param="card[token]", code="resource_missing")
    return template
