"""The stand-in's own routes under /_stand_in: misbehave, look in, and play the customer and the bank.

    GET  health, requests, charges, rates          what is and what was
    POST reset                                     as freshly started
    GET, POST, DELETE faults                       one fault more (see `Fault`); behave again
    GET, POST settings                             see `Settings`
    DELETE idempotency_keys                        forget all of them now
    POST refuse_connections {"seconds": 2}         nothing listens for so long, this route included
    POST payment_intents/<id>/authenticate         {"outcome": "succeeded" or "failed"}, of 3-D Secure
    POST payment_intents/<id>/settle               the same for an intent that is `processing`
    GET, POST, DELETE webhooks                     the events; the one endpoint (see `Endpoint`); no endpoint
    POST webhooks/<event id>/resend                send an event once more

Every body is JSON; what is wrong with one is told with 400.
"""

import os
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from local.fake_stripe.app import FakeStripe
from local.fake_stripe.errors import ApiError
from local.fake_stripe.faults import Fault
from local.fake_stripe.listener import Listener
from local.fake_stripe.webhooks import Endpoint

LONGEST_REFUSAL_SECONDS = 600
_DONE = {"status": "ok"}


def control_routes(stand_in: FakeStripe, listener: Listener) -> Blueprint:
    """The routes that control `stand_in`, and shut its `door`."""
    routes = Blueprint("control", __name__, url_prefix="/_stand_in")
    routes.register_error_handler(ValueError, lambda error: ({"error": {"message": str(error)}}, 400))
    routes.register_error_handler(ApiError, lambda error: (error.body, error.status))
    _add_looking_in(routes, stand_in)
    _add_misbehaving(routes, stand_in, listener)
    _add_webhooks(routes, stand_in)
    return routes


def _add_looking_in(routes: Blueprint, stand_in: FakeStripe) -> None:
    @routes.get("/health")
    def health() -> ResponseReturnValue:
        return {"status": "ok", "pid": os.getpid()}

    @routes.get("/requests")
    def requests() -> ResponseReturnValue:
        return {"data": stand_in.log.entries()}

    @routes.get("/rates")
    def rates() -> ResponseReturnValue:
        return stand_in.log.rates()

    @routes.get("/charges")
    def charges() -> ResponseReturnValue:
        return {"data": stand_in.ledger.captured()}

    @routes.post("/reset")
    def reset() -> ResponseReturnValue:
        stand_in.reset()
        return _DONE


def _add_misbehaving(routes: Blueprint, stand_in: FakeStripe, listener: Listener) -> None:
    @routes.get("/faults")
    def faults() -> ResponseReturnValue:
        return {"data": [asdict(fault) for fault in stand_in.faults]}

    @routes.post("/faults")
    def add_fault() -> ResponseReturnValue:
        body = _body()
        if "requests_per_second" in body:
            stand_in.settings.change(body)
        else:
            stand_in.faults.add(Fault.parse(body))
        return _DONE

    @routes.delete("/faults")
    def clear_faults() -> ResponseReturnValue:
        stand_in.faults.clear()
        stand_in.settings.requests_per_second = 0
        return _DONE

    @routes.get("/settings")
    def settings() -> ResponseReturnValue:
        return asdict(stand_in.settings)

    @routes.post("/settings")
    def change_settings() -> ResponseReturnValue:
        stand_in.settings.change(_body())
        return _DONE

    @routes.delete("/idempotency_keys")
    def forget_keys() -> ResponseReturnValue:
        stand_in.keys.forget()
        return _DONE

    @routes.post("/refuse_connections")
    def refuse_connections() -> ResponseReturnValue:
        seconds = _body().get("seconds")
        if not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_REFUSAL_SECONDS:
            raise ValueError(f"seconds must be a number above 0, at most {LONGEST_REFUSAL_SECONDS}")
        answer: Response = jsonify(_DONE)
        answer.call_on_close(lambda: listener.shut(seconds))  # this answer goes out first
        return answer

    @routes.post("/payment_intents/<intent_id>/authenticate")
    def authenticate(intent_id: str) -> ResponseReturnValue:
        return stand_in.afterwards.authenticate(intent_id, str(_body().get("outcome")))

    @routes.post("/payment_intents/<intent_id>/settle")
    def settle(intent_id: str) -> ResponseReturnValue:
        return stand_in.afterwards.settle(intent_id, str(_body().get("outcome")))


def _add_webhooks(routes: Blueprint, stand_in: FakeStripe) -> None:
    @routes.get("/webhooks")
    def webhooks() -> ResponseReturnValue:
        endpoint = stand_in.webhooks.endpoint
        return {"url": endpoint.url if endpoint else None, "data": stand_in.webhooks.summaries()}

    @routes.post("/webhooks")
    def set_endpoint() -> ResponseReturnValue:
        stand_in.webhooks.send_to(Endpoint.parse(_body()))
        return _DONE

    @routes.delete("/webhooks")
    def remove_endpoint() -> ResponseReturnValue:
        stand_in.webhooks.send_to(None)
        return _DONE

    @routes.post("/webhooks/<event_id>/resend")
    def resend(event_id: str) -> ResponseReturnValue:
        stand_in.webhooks.resend(event_id)
        return _DONE


def _body() -> dict[str, Any]:
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")
    return body
