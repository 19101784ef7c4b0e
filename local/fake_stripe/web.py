"""The HTTP routes of the Stripe API. The control routes are in `control.py`, the page of 3-D Secure in
`authentication_page.py`."""

from typing import Any

from flask import Flask, Response, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from local.fake_stripe.app import ApiRequest, FakeStripe, Operation
from local.fake_stripe.authentication_page import authentication_page
from local.fake_stripe.control import control_routes
from local.fake_stripe.errors import ApiError
from local.fake_stripe.forms import nested
from local.fake_stripe.listener import Listener


def operations_of(fake_stripe: FakeStripe) -> dict[tuple[str, str], Operation]:
    """The operation of `fake_stripe` for each route of Stripe."""
    ledger, refunds, search = fake_stripe.ledger, fake_stripe.refunds, fake_stripe.search
    customers, methods, setups = fake_stripe.customers, fake_stripe.methods, fake_stripe.setups
    return {
        ("POST", "/v1/payment_intents"): ledger.create,
        ("GET", "/v1/payment_intents"): ledger.intents,
        ("GET", "/v1/payment_intents/search"): search.intents,
        ("GET", "/v1/payment_intents/<object_id>"): ledger.retrieve,
        ("POST", "/v1/payment_intents/<object_id>"): ledger.update,
        ("POST", "/v1/payment_intents/<object_id>/confirm"): ledger.confirm,
        ("POST", "/v1/payment_intents/<object_id>/cancel"): ledger.cancel,
        ("POST", "/v1/payment_intents/<object_id>/capture"): ledger.capture,
        ("POST", "/v1/setup_intents"): setups.create,
        ("GET", "/v1/setup_intents"): setups.list,
        ("GET", "/v1/setup_intents/<object_id>"): setups.retrieve,
        ("POST", "/v1/setup_intents/<object_id>"): setups.update,
        ("POST", "/v1/setup_intents/<object_id>/confirm"): setups.confirm,
        ("POST", "/v1/setup_intents/<object_id>/cancel"): setups.cancel,
        ("POST", "/v1/customers"): customers.create,
        ("GET", "/v1/customers"): customers.list,
        ("GET", "/v1/customers/search"): search.customers,
        ("GET", "/v1/customers/<object_id>"): customers.retrieve,
        ("POST", "/v1/customers/<object_id>"): customers.update,
        ("DELETE", "/v1/customers/<object_id>"): customers.delete,
        ("GET", "/v1/customers/<object_id>/payment_methods"): methods.list_of_customer,
        ("POST", "/v1/payment_methods"): methods.create,
        ("GET", "/v1/payment_methods"): methods.list,
        ("GET", "/v1/payment_methods/<object_id>"): methods.retrieve,
        ("POST", "/v1/payment_methods/<object_id>"): methods.update,
        ("POST", "/v1/payment_methods/<object_id>/attach"): methods.attach,
        ("POST", "/v1/payment_methods/<object_id>/detach"): methods.detach,
        ("POST", "/v1/refunds"): refunds.create,
        ("GET", "/v1/refunds"): refunds.list,
        ("GET", "/v1/refunds/<object_id>"): refunds.retrieve,
        ("POST", "/v1/refunds/<object_id>"): refunds.update,
        ("POST", "/v1/refunds/<object_id>/cancel"): refunds.cancel,
        ("GET", "/v1/charges"): ledger.charges,
        ("GET", "/v1/charges/<object_id>"): ledger.charge,
        ("GET", "/v1/account"): fake_stripe.accounts.retrieve,
        ("GET", "/v1/balance"): ledger.balance,
    }


def web_app(fake_stripe: FakeStripe, listener: Listener) -> Flask:
    """The WSGI application of `fake_stripe`. `listener` is for the control routes."""
    app = Flask("fake Stripe")
    app.config["PROPAGATE_EXCEPTIONS"] = True  # AnswerLost must reach the server, which closes the connection
    for (method, rule), operation in operations_of(fake_stripe).items():
        app.add_url_rule(rule, f"{method} {rule}", _view(fake_stripe, f"{method} {rule}", operation), methods=[method])
    app.register_error_handler(HTTPException, _unrecognised)
    app.register_blueprint(authentication_page(fake_stripe))
    app.register_blueprint(control_routes(fake_stripe, listener))
    return app


def _view(fake_stripe: FakeStripe, endpoint: str, operation: Operation) -> Any:
    def view(object_id: str = "") -> Response:
        params = nested((request.form if request.method == "POST" else request.args).items(multi=True))
        key = str(params.pop("key", ""))  # Stripe.js sends its key among the parameters
        answer = fake_stripe.answer(
            ApiRequest(
                method=request.method,
                path=request.path,
                endpoint=endpoint,
                params=params,
                object_id=object_id,
                authorization=request.headers.get("Authorization", f"Bearer {key}"),
                idempotency_key=request.headers.get("Idempotency-Key", ""),
            ),
            operation,
        )
        echoed = {
            name: request.headers[name] for name in ("Idempotency-Key", "Stripe-Version") if name in request.headers
        }
        return Response(answer.body, answer.status, answer.headers | echoed, mimetype="application/json")

    return view


def _unrecognised(error: HTTPException) -> ResponseReturnValue:
    problem = ApiError(error.code or 500, f"Unrecognized request URL ({request.method}: {request.path}).")
    return jsonify(problem.body), problem.status
