"""The stand-in on HTTP: Stripe's routes, and the stand-in's own under /_stand_in."""

import os
from dataclasses import asdict
from typing import Any

from flask import Flask, Response, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from local.gateway.errors import ApiError
from local.gateway.faults import Fault
from local.gateway.forms import nested
from local.gateway.ledger import Ledger
from local.gateway.stand_in import ApiRequest, Operation, StandIn

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("POST", "/v1/payment_intents"): Ledger.create,
    ("GET", "/v1/payment_intents"): Ledger.intents,
    ("GET", "/v1/payment_intents/search"): Ledger.search,
    ("GET", "/v1/payment_intents/<object_id>"): Ledger.retrieve,
    ("POST", "/v1/payment_intents/<object_id>/confirm"): Ledger.confirm,
    ("POST", "/v1/payment_intents/<object_id>/cancel"): Ledger.cancel,
    ("POST", "/v1/payment_intents/<object_id>/capture"): Ledger.capture,
    ("GET", "/v1/charges"): Ledger.charges,
    ("GET", "/v1/charges/<object_id>"): Ledger.charge,
    ("GET", "/v1/account"): Ledger.account,
    ("GET", "/v1/balance"): Ledger.balance,
}


def web_app(stand_in: StandIn) -> Flask:
    """A WSGI application that answers for `stand_in`."""
    app = Flask("stand-in for Stripe")
    app.config["PROPAGATE_EXCEPTIONS"] = True  # AnswerLost must reach the server, which closes the connection
    for (method, rule), operation in OPERATIONS.items():
        app.add_url_rule(rule, f"{method} {rule}", _view(stand_in, operation), methods=[method])
    app.register_error_handler(HTTPException, _unrecognised)
    _add_own_routes(app, stand_in)
    return app


def _view(stand_in: StandIn, operation: Operation) -> Any:
    def view(object_id: str = "") -> Response:
        fields = request.form if request.method == "POST" else request.args
        answer = stand_in.answer(
            ApiRequest(
                method=request.method,
                path=request.path,
                params=nested(fields.items(multi=True)),
                object_id=object_id,
                authorization=request.headers.get("Authorization", ""),
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


def _add_own_routes(app: Flask, stand_in: StandIn) -> None:
    @app.get("/_stand_in/health")
    def health() -> ResponseReturnValue:
        return {"status": "ok", "pid": os.getpid()}

    @app.get("/_stand_in/requests")
    def requests() -> ResponseReturnValue:
        return {"data": stand_in.requests()}

    @app.get("/_stand_in/charges")
    def charges() -> ResponseReturnValue:
        return {"data": stand_in.ledger.captured()}

    @app.post("/_stand_in/reset")
    def reset() -> ResponseReturnValue:
        stand_in.reset()
        return {"status": "ok"}

    @app.get("/_stand_in/faults")
    def faults() -> ResponseReturnValue:
        return {"data": [asdict(fault) for fault in stand_in.faults]}

    @app.post("/_stand_in/faults")
    def add_fault() -> ResponseReturnValue:
        body = request.get_json()
        if "requests_per_second" in body:
            stand_in.rate_limit.per_second = int(body["requests_per_second"])
            return {"status": "ok"}
        try:
            stand_in.faults.add(Fault.parse(body))
        except ValueError as error:
            return {"error": {"message": str(error)}}, 400
        return {"status": "ok"}

    @app.delete("/_stand_in/faults")
    def clear_faults() -> ResponseReturnValue:
        stand_in.faults.clear()
        stand_in.rate_limit.per_second = 0
        return {"status": "ok"}

    @app.delete("/_stand_in/idempotency_keys")
    def forget_keys() -> ResponseReturnValue:
        stand_in.keys.forget()
        return {"status": "ok"}
