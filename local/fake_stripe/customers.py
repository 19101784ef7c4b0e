"""Customers (docs.stripe.com/api/customers)."""

from local.fake_stripe.errors import invalid
from local.fake_stripe.objects import Json, merged_metadata, metadata_of
from local.fake_stripe.parameters import LIST, check_metadata, check_names
from local.fake_stripe.payment_methods import PaymentMethods
from local.fake_stripe.store import Store

_TEXTS = ("description", "email", "name", "phone")
_PARAMETERS = frozenset(
    {*_TEXTS, "address", "invoice_settings", "metadata", "preferred_locales", "shipping", "tax_exempt"}
)


class Customers:
    """The operations of the API on customers. They raise ApiError."""

    def __init__(self, store: Store, methods: PaymentMethods) -> None:
        self._store = store
        self._methods = methods

    def create(self, params: Json, _: str = "") -> Json:
        """POST /v1/customers. Every parameter is optional. Two customers may be equal."""
        check_names(params, _PARAMETERS | {"payment_method"})
        check_metadata(params)
        with self._store.lock:
            method = self._methods.of(params) if params.get("payment_method") else None
            if method:
                self._methods.check_saves(method)
            customer: Json = {
                "id": self._store.new_id("cus"),
                "object": "customer",
                "address": params.get("address"),
                "balance": 0,
                "created": self._store.now(),
                "currency": None,
                "default_source": None,
                "delinquent": False,
                **{name: params.get(name) for name in _TEXTS},
                "invoice_settings": {"default_payment_method": None},
                "livemode": False,
                "metadata": metadata_of(params),
                "shipping": params.get("shipping"),
            }
            self._store.customers[customer["id"]] = customer
            self._store.changed(customer, "customer.created")
            if method:
                self._methods.save(method, customer["id"])
            return dict(customer)

    def retrieve(self, params: Json, customer_id: str) -> Json:
        """GET /v1/customers/{id}. A deleted customer answers with `deleted`."""
        check_names(params)
        return self._store.copy("customer", self._store.customers, customer_id)

    def update(self, params: Json, customer_id: str) -> Json:
        """POST /v1/customers/{id}. Metadata is merged; an empty value removes its key."""
        check_names(params, _PARAMETERS)
        check_metadata(params)
        with self._store.lock:
            customer = self._store.customer(customer_id)
            default = params.get("invoice_settings", {}).get("default_payment_method")
            if default:
                if self._store.methods.get(default, {}).get("customer") != customer_id:
                    raise invalid(
                        f"The customer does not have a payment method with the ID {default[:64]}. The payment method "
                        "must be attached to the customer.",
                        param="invoice_settings[default_payment_method]",
                        code="resource_missing",
                    )
                customer["invoice_settings"] = {"default_payment_method": default}
            customer.update({name: params[name] or None for name in _TEXTS if name in params})
            customer["metadata"] = merged_metadata(customer, params)
            self._store.changed(customer, "customer.updated")
            return dict(customer)

    def delete(self, params: Json, customer_id: str) -> Json:
        """DELETE /v1/customers/{id}. It is final, and detaches the customer's payment methods."""
        check_names(params)
        with self._store.lock:
            customer = self._store.customer(customer_id)
            self._methods.release_all(customer_id)
            deleted = {"id": customer_id, "object": "customer", "deleted": True}
            self._store.customers[customer_id] = deleted
            self._store.changed(customer, "customer.deleted")
            return dict(deleted)

    def list(self, params: Json, _: str = "") -> Json:
        """GET /v1/customers: newest first, paged, optionally those with one `email`, in the case of its letters."""
        check_names(params, LIST | {"created", "email"})
        with self._store.lock:
            alive = {key: found for key, found in self._store.customers.items() if not found.get("deleted")}
            return self._store.page("/v1/customers", alive, params, email=params.get("email"))
