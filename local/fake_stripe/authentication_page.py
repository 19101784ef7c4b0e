"""The page on which a customer passes or fails 3-D Secure: behind the redirect address, and in place of Stripe.js.

    GET  /3d_secure?payment_intent_client_secret=…           a form with two buttons
    POST /3d_secure  payment_intent_client_secret, outcome   `outcome` is succeeded or failed

A setup intent has `setup_intent_client_secret` in its place. The client secret is the only credential. After POST the
customer is sent to the `return_url` of the intent, if it has one. Stripe's own page and Stripe.js have other addresses,
which callers do not build themselves.
"""

from collections.abc import Mapping
from html import escape
from urllib.parse import urlencode

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from local.fake_stripe.app import FakeStripe
from local.fake_stripe.errors import ApiError
from local.fake_stripe.objects import AUTHENTICATION_PATH, CLIENT_SECRET, SETUP_CLIENT_SECRET, Json

_FORM = """<!doctype html><title>3-D Secure test page</title>
<form method="post"><input type="hidden" name="{name}" value="{secret}">
<button name="outcome" value="succeeded">Complete</button> <button name="outcome" value="failed">Fail</button></form>
"""


def authentication_page(fake_stripe: FakeStripe) -> Blueprint:
    """The routes of the page."""
    page = Blueprint("authentication", __name__)
    page.register_error_handler(ApiError, lambda error: (error.body, error.status))

    def waiting(form: Mapping[str, str]) -> Json:
        if SETUP_CLIENT_SECRET in form:
            return fake_stripe.setups.of_secret(form[SETUP_CLIENT_SECRET])
        return fake_stripe.ledger.of_secret(form.get(CLIENT_SECRET, ""))

    @page.get(AUTHENTICATION_PATH)
    def form() -> ResponseReturnValue:
        intent = waiting(request.args)
        return _FORM.format(name=f"{intent['object']}_client_secret", secret=escape(intent["client_secret"]))

    @page.post(AUTHENTICATION_PATH)
    def finish() -> ResponseReturnValue:
        before = waiting(request.form)
        intent = fake_stripe.async_outcomes.authenticate(before["id"], request.form.get("outcome", ""))
        return _back(before) or {intent["object"]: intent["id"], "status": intent["status"]}

    return page


def _back(intent: Json) -> ResponseReturnValue | None:
    """To the address to which the intent's customer returns, with the parameters that Stripe adds."""
    target = ((intent["next_action"] or {}).get("redirect_to_url") or {}).get("return_url")
    if not target:
        return None
    name = intent["object"]
    added = urlencode({name: intent["id"], f"{name}_client_secret": intent["client_secret"]})
    return redirect(f"{target}{'&' if '?' in target else '?'}{added}", 303)
