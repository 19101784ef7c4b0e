"""The page of 3-D Secure: how a customer finishes an intent, as with Stripe.js or behind the redirect address."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import stripe

from tests.local.fake_stripe.test_app import Api, serving

RETURN_URL = "https://shop.example/done?order=A-17"


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as api:
        yield api


def waiting(api: Api, **more: Any) -> stripe.PaymentIntent:
    return api.pay(payment_method="pm_card_threeDSecure2Required", **more)


def finish(api: Api, client_secret: str, outcome: str) -> Any:
    form = {"payment_intent_client_secret": client_secret, "outcome": outcome}
    return api.web.post(f"{api.url}/3d_secure", data=form, allow_redirects=False)


def test_intent_without_a_return_url_names_stripe_js_alone(api: Api) -> None:
    intent = waiting(api)
    assert intent.next_action is not None
    assert set(intent.next_action.to_dict()) == {"type", "use_stripe_sdk"}
    assert intent.next_action.type == "use_stripe_sdk"
    assert str(intent.client_secret).startswith(f"{intent.id}_secret_")


@pytest.mark.fault(17)
def test_redirect_shows_a_form_and_returns_the_customer_to_the_shop(api: Api) -> None:
    intent = waiting(api, return_url=RETURN_URL)
    assert intent.next_action is not None
    redirect = intent.next_action.redirect_to_url
    assert redirect is not None
    assert (intent.next_action.type, redirect.return_url) == ("redirect_to_url", RETURN_URL)

    shown = api.web.get(str(redirect.url))
    assert (shown.status_code, str(intent.client_secret) in shown.text) == (200, True)

    answer = finish(api, str(intent.client_secret), "succeeded")
    back = urlsplit(answer.headers["Location"])
    assert (answer.status_code, back.netloc) == (303, "shop.example")
    assert parse_qs(back.query) == {
        "order": ["A-17"],
        "payment_intent": [intent.id],
        "payment_intent_client_secret": [intent.client_secret],
    }
    assert api.intents.retrieve(intent.id).status == "succeeded"


@pytest.mark.fault(17)
@pytest.mark.parametrize(("outcome", "status"), [("succeeded", "succeeded"), ("failed", "requires_payment_method")])
def test_page_passes_or_fails_the_authentication_once(api: Api, outcome: str, status: str) -> None:
    intent = waiting(api)
    answer = finish(api, str(intent.client_secret), outcome)
    assert (answer.status_code, answer.json()) == (200, {"payment_intent": intent.id, "status": status})
    assert len(api.fake_stripe.ledger.captured()) == (outcome == "succeeded")
    assert finish(api, str(intent.client_secret), outcome).status_code == 409


def test_page_without_the_right_secret_or_outcome_changes_nothing(api: Api) -> None:
    intent = waiting(api)
    for secret in ("", intent.id, f"{intent.id}_secret_other", "pi_other_secret_other"):
        assert finish(api, secret, "succeeded").status_code == 400
    assert api.web.get(f"{api.url}/3d_secure").status_code == 400
    assert finish(api, str(intent.client_secret), "maybe").status_code == 400
    assert api.intents.retrieve(intent.id).status == "requires_action"
