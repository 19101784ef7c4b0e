"""Setup intents (docs.stripe.com/api/setup_intents): they save a payment method of a customer for later payments."""

from local.fake_stripe import objects, parameters
from local.fake_stripe.errors import ApiError, invalid
from local.fake_stripe.ledger import Ledger, check_secret, of_secret
from local.fake_stripe.objects import Json
from local.fake_stripe.parameters import LIST, check_metadata, check_names
from local.fake_stripe.payment_methods import PaymentMethods
from local.fake_stripe.store import Store

_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
_ONLY_WITH_CONFIRM = frozenset({"mandate_data", "return_url"})
_METHOD = frozenset({"payment_method", "payment_method_data"})
_OF_CREATE = (
    _METHOD
    | _ONLY_WITH_CONFIRM
    | {
        "automatic_payment_methods",
        "confirm",
        "customer",
        "description",
        "metadata",
        "payment_method_options",
        "payment_method_types",
        "usage",
        "use_stripe_sdk",
    }
)
_OF_UPDATE = _METHOD | {"customer", "description", "metadata", "payment_method_options", "payment_method_types"}
_OF_CONFIRM = (
    _METHOD
    | _ONLY_WITH_CONFIRM
    | {"client_secret", "expected_payment_method_type", "payment_method_options", "use_stripe_sdk"}
)


class SetupIntents:
    """The operations of the API on setup intents. They raise ApiError."""

    def __init__(self, store: Store, methods: PaymentMethods, ledger: Ledger) -> None:
        self._store = store
        self._methods = methods
        self._ledger = ledger

    def create(self, params: Json, _: str = "") -> Json:
        """POST /v1/setup_intents."""
        check_names(params, _OF_CREATE)
        check_metadata(params)
        parameters.check_kinds(params)
        confirms = params.get("confirm") == "true"
        if not confirms and _ONLY_WITH_CONFIRM & params.keys():
            raise invalid("`return_url` and `mandate_data` can only be set if `confirm` is true.")
        if confirms and not parameters.has_method(params):
            raise _missing_method()
        setup = objects.setup_intent(
            params,
            setup_id=self._store.new_id("seti"),
            secret=self._store.new_id("cs"),
            created=self._store.now(),
        )
        if confirms:
            parameters.check_return(setup, params)
        with self._store.lock:
            setup["customer"] = self._store.customer_in(params)
            if parameters.has_method(params):
                method = self._methods.of(params)
                self._methods.check_owner(method, setup["customer"])
                if confirms:
                    self._methods.check_setup(method, setup)
                setup.update(payment_method=method["id"], status="requires_confirmation")
            self._store.setups[setup["id"]] = setup
            self._store.emit("setup_intent.created", setup)
            if confirms:
                self._attempt(setup, params)
            return dict(setup)

    def retrieve(self, params: Json, setup_id: str) -> Json:
        """GET /v1/setup_intents/{id}. With a publishable key, the client secret is needed."""
        check_names(params, frozenset({"client_secret"}))
        with self._store.lock:
            setup = self._store.setup(setup_id)
            check_secret(setup, params)
            return dict(setup)

    def of_secret(self, client_secret: str) -> Json:
        """The setup intent with this client secret. Raises ApiError."""
        return of_secret(self._store, self._store.setups, client_secret, "SetupIntent")

    def list(self, params: Json, _: str = "") -> Json:
        """GET /v1/setup_intents: newest first, paged, optionally of one `customer` or `payment_method`."""
        check_names(params, LIST | {"created", "customer", "payment_method"})
        wanted = {name: params.get(name) for name in ("customer", "payment_method")}
        return self._store.page("/v1/setup_intents", self._store.setups, params, **wanted)

    def confirm(self, params: Json, setup_id: str) -> Json:
        """POST /v1/setup_intents/{id}/confirm, by the server, or by Stripe.js with the client secret."""
        check_names(params, _OF_CONFIRM)
        with self._store.lock:
            setup = self._store.setup(setup_id, _OPEN, "confirm")
            check_secret(setup, params)
            if not parameters.has_method(params) and not setup["payment_method"]:
                raise _missing_method(setup)
            parameters.check_return(setup, params)
            named = params if parameters.has_method(params) else {"payment_method": setup["payment_method"]}
            method = self._methods.of(named)
            self._methods.check_owner(method, setup["customer"])
            self._methods.check_setup(method, setup)
            setup.update(payment_method=method["id"])
            self._attempt(setup, params)
            return dict(setup)

    def update(self, params: Json, setup_id: str) -> Json:
        """POST /v1/setup_intents/{id}."""
        check_names(params, _OF_UPDATE)
        check_metadata(params)
        with self._store.lock:
            setup = self._store.setup(setup_id)
            if set(params) - {"description", "expand", "metadata"}:
                self._store.setup(setup_id, _OPEN, "update")
            customer = self._store.customer_in(params) or setup["customer"]
            if parameters.has_method(params):
                method = self._methods.of(params)
                self._methods.check_owner(method, customer)
                setup.update(payment_method=method["id"], status="requires_confirmation", next_action=None)
            setup.update(customer=customer, metadata=objects.merged_metadata(setup, params))
            setup.update({name: params[name] or None for name in ("description",) if name in params})
            return dict(setup)

    def cancel(self, params: Json, setup_id: str) -> Json:
        """POST /v1/setup_intents/{id}/cancel."""
        check_names(params, frozenset({"cancellation_reason"}))
        with self._store.lock:
            setup = self._store.setup(setup_id, _OPEN, "cancel")
            setup.update(status="canceled", next_action=None, cancellation_reason=params.get("cancellation_reason"))
            self._store.emit("setup_intent.canceled", setup)
            return dict(setup)

    def succeed(self, setup: Json) -> None:
        """The payment method is saved: it is attached to the customer. The caller holds the lock of the store."""
        method = self._store.methods[setup["payment_method"]]
        self._methods.save(method, setup["customer"], set_up=setup["usage"] == "off_session")
        setup.update(status="succeeded", next_action=None, last_setup_error=None)
        self._store.emit("setup_intent.succeeded", setup)

    def fail(self, setup: Json, problem: Json) -> None:
        """The payment method is not saved. The caller holds the lock of the store."""
        setup.update(status="requires_payment_method", payment_method=None, next_action=None, last_setup_error=problem)
        self._store.emit("setup_intent.setup_failed", setup)

    def _attempt(self, setup: Json, params: Json) -> None:
        method = self._store.methods[setup["payment_method"]]
        card = self._methods.card(method)
        if card.code and not card.attaches:
            problem = objects.payment_error(card, method)
            self.fail(setup, problem)
            raise ApiError(402, **problem, setup_intent=dict(setup), headers={"Stripe-Should-Retry": "false"})
        if card.authenticates:
            action = objects.authentication(setup, self._ledger.base_url, parameters.return_url(params))
            setup.update(status="requires_action", next_action=action, last_setup_error=None)
            self._store.emit("setup_intent.requires_action", setup)
        else:
            self.succeed(setup)


def _missing_method(setup: Json | None = None) -> ApiError:
    return ApiError(
        400,
        "You cannot confirm this SetupIntent because it's missing a payment method. Update the SetupIntent with a "
        "payment method and then confirm it again.",
        begun=setup is not None,
        code="setup_intent_unexpected_state",
        setup_intent=dict(setup or {}),
    )
