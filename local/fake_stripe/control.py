"""The control routes of the fake Stripe under /_stand_in: inject faults, inspect, act as the customer and the bank.

    GET  health, requests, charges, rates          current state and past requests
    POST reset                                     return to the state after the start
    GET, POST, DELETE faults                       list faults, add one (see `Fault`), remove all
    GET, POST settings                             see `Settings`
    POST rate_limits {"name": "stripe"}            set the documented limits; see `RATE_LIMITS`
    DELETE idempotency_keys                        forget all keys now
    POST refuse_connections {"seconds": 2}         refuse all connections for this time, including control routes;
                                                   SIGUSR1 ends it early
    POST payment_intents/<id>/authenticate         {"outcome": "succeeded" or "failed"}, of 3-D Secure
    POST setup_intents/<id>/authenticate           the same for a setup intent
    POST payment_intents/<id>/settle               the same for an intent that is `processing`
    POST payment_intents/<id>/status               {"status": any text}: the intent has this status from now on
    POST refunds/<id>/end                          {"outcome": "succeeded" or "failed"}
    POST refunds/<id>/fail                         the same with "failed"
    POST objects/<id>/to_live_mode                 requests with a test key do not find the object
    GET, POST, DELETE webhooks                     list events, set the endpoint (see `Endpoint`), remove it
    POST webhooks/<event id>/resend                send an event again

Every body is JSON. An invalid body is answered with 400 and the error.
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


def control_routes(fake_stripe: FakeStripe, listener: Listener) -> Blueprint:
    """The routes that control `fake_stripe`, and close its `listener` temporarily."""
    routes = Blueprint("control", __name__, url_prefix="/_stand_in")
    routes.register_error_handler(ValueError, lambda error: ({"error": {"message": str(error)}}, 400))
    routes.register_error_handler(ApiError, lambda error: (error.body, error.status))
    _add_inspection(routes, fake_stripe)
    _add_faults(routes, fake_stripe, listener)
    _add_outcomes(routes, fake_stripe)
    _add_webhooks(routes, fake_stripe)
    return routes


def _add_inspection(routes: Blueprint, fake_stripe: FakeStripe) -> None:
    @routes.get("/health")
    def health() -> ResponseReturnValue:
        return {"status": "ok", "pid": os.getpid()}

    @routes.get("/requests")
    def requests() -> ResponseReturnValue:
        return {"data": fake_stripe.log.entries()}

    @routes.get("/rates")
    def rates() -> ResponseReturnValue:
        return fake_stripe.log.rates()

    @routes.get("/charges")
    def charges() -> ResponseReturnValue:
        return {"data": fake_stripe.ledger.captured()}

    @routes.post("/reset")
    def reset() -> ResponseReturnValue:
        fake_stripe.reset()
        return _DONE


def _add_faults(routes: Blueprint, fake_stripe: FakeStripe, listener: Listener) -> None:
    @routes.get("/faults")
    def faults() -> ResponseReturnValue:
        return {"data": [asdict(fault) for fault in fake_stripe.faults]}

    @routes.post("/faults")
    def add_fault() -> ResponseReturnValue:
        body = _body()
        if "requests_per_second" in body:
            fake_stripe.settings.change(body)
        else:
            fake_stripe.faults.add(Fault.parse(body))
        return _DONE

    @routes.delete("/faults")
    def clear_faults() -> ResponseReturnValue:
        fake_stripe.faults.clear()
        fake_stripe.settings.limit_rates("none")
        return _DONE

    @routes.post("/rate_limits")
    def limit_rates() -> ResponseReturnValue:
        fake_stripe.settings.limit_rates(str(_body().get("name")))
        return _DONE

    @routes.get("/settings")
    def settings() -> ResponseReturnValue:
        return asdict(fake_stripe.settings)

    @routes.post("/settings")
    def change_settings() -> ResponseReturnValue:
        fake_stripe.settings.change(_body())
        return _DONE

    @routes.delete("/idempotency_keys")
    def forget_keys() -> ResponseReturnValue:
        fake_stripe.keys.forget()
        return _DONE

    @routes.post("/refuse_connections")
    def refuse_connections() -> ResponseReturnValue:
        seconds = _body().get("seconds")
        if not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_REFUSAL_SECONDS:
            raise ValueError(f"seconds must be a number above 0 and at most {LONGEST_REFUSAL_SECONDS}")
        answer: Response = jsonify(_DONE)
        answer.call_on_close(lambda: listener.shut(seconds))  # after this answer is sent
        return answer


def _add_outcomes(routes: Blueprint, fake_stripe: FakeStripe) -> None:
    @routes.post("/payment_intents/<intent_id>/authenticate")
    @routes.post("/setup_intents/<intent_id>/authenticate")
    def authenticate(intent_id: str) -> ResponseReturnValue:
        return fake_stripe.async_outcomes.authenticate(intent_id, str(_body().get("outcome")))

    @routes.post("/payment_intents/<intent_id>/settle")
    def settle(intent_id: str) -> ResponseReturnValue:
        return fake_stripe.async_outcomes.settle(intent_id, str(_body().get("outcome")))

    @routes.post("/payment_intents/<intent_id>/status")
    def set_status(intent_id: str) -> ResponseReturnValue:
        return fake_stripe.async_outcomes.set_status(intent_id, str(_body().get("status")))

    @routes.post("/refunds/<refund_id>/end")
    def end(refund_id: str) -> ResponseReturnValue:
        return fake_stripe.refunds.end(refund_id, str(_body().get("outcome")))

    @routes.post("/refunds/<refund_id>/fail")
    def fail(refund_id: str) -> ResponseReturnValue:
        return fake_stripe.refunds.fail(refund_id)

    @routes.post("/objects/<object_id>/to_live_mode")
    def to_live_mode(object_id: str) -> ResponseReturnValue:
        fake_stripe.store.to_live(object_id)
        return _DONE


def _add_webhooks(routes: Blueprint, fake_stripe: FakeStripe) -> None:
    @routes.get("/webhooks")
    def webhooks() -> ResponseReturnValue:
        endpoint = fake_stripe.webhooks.endpoint
        return {"url": endpoint.url if endpoint else None, "data": fake_stripe.webhooks.summaries()}

    @routes.post("/webhooks")
    def set_endpoint() -> ResponseReturnValue:
        fake_stripe.webhooks.send_to(Endpoint.parse(_body()))
        return _DONE

    @routes.delete("/webhooks")
    def remove_endpoint() -> ResponseReturnValue:
        fake_stripe.webhooks.send_to(None)
        return _DONE

    @routes.post("/webhooks/<event_id>/resend")
    def resend(event_id: str) -> ResponseReturnValue:
        fake_stripe.webhooks.resend(event_id)
        return _DONE


def _body() -> dict[str, Any]:
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")
    return body
