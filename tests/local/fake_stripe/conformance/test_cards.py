"""Saved cards at the fake Stripe as Stripe documents them. The table in local/fake_stripe/README.md names each test."""

import re
from typing import Any

import pytest
import stripe

from local.fake_stripe.objects import CLIENT_SECRET
from tests.local.fake_stripe.conformance.answers import Refusal, error_of, refusal_of
from tests.local.fake_stripe.test_app import Api

STEP_UP = "pm_card_threeDSecure2Required"
ON_SETUP = "pm_card_authenticationRequiredOnSetup"
NOT_AGAIN = "It may not be used again"


def customer(api: Api) -> str:
    return str(api.client().v1.customers.create().id)


def attached(api: Api, owner: str, card: str = "pm_card_visa") -> str:
    return str(api.client().v1.payment_methods.attach(card, {"customer": owner}).id)


def unattached(api: Api, card: str = "visa") -> str:
    return str(api.client().v1.payment_methods.create({"type": "card", "card": {"token": f"tok_{card}"}}).id)


def setup(api: Api, owner: str, **params: Any) -> stripe.SetupIntent:
    wanted: Any = {"customer": owner, "payment_method_types": ["card"], **params}
    return api.client().v1.setup_intents.create(wanted)


def in_browser(api: Api, path: str, **form: str) -> Any:
    """The HTTP answer to Stripe.js: it has the publishable key, and a client secret in the form."""
    return api.web.post(f"{api.url}/v1/{path}", data={"key": "pk_test_1", **form})


# Customers -------------------------------------------------------------------------------------------------------


def test_customer_needs_no_email_and_is_made_once_for_a_key(api: Api) -> None:
    customers = api.client().v1.customers
    wanted: Any = {"metadata": {"customer_id": "c-1"}}
    first, again = (customers.create(wanted, options={"idempotency_key": "k"}) for _ in range(2))
    assert first.metadata is not None
    assert (again.id, first.email, first.metadata["customer_id"]) == (first.id, None, "c-1")
    assert customers.create(wanted).id != first.id


def test_deleted_customer_is_shown_as_deleted_and_may_not_be_used(api: Api) -> None:
    owner = customer(api)
    method = attached(api, owner)
    customers = api.client().v1.customers
    assert customers.delete(owner).to_dict() == {"id": owner, "object": "customer", "deleted": True}
    assert customers.retrieve(owner).deleted
    missing = Refusal(400, "resource_missing", "customer")
    assert refusal_of(lambda: api.pay(customer=owner)) == missing
    assert refusal_of(lambda: setup(api, owner)) == missing
    assert refusal_of(lambda: attached(api, owner)) == missing
    assert refusal_of(lambda: customers.delete(owner)) == Refusal(404, "resource_missing", "id")
    assert customers.list().data == []
    assert NOT_AGAIN in str(error_of(lambda: api.pay(payment_method=method)))


def test_unknown_customer_in_a_parameter_is_400_and_in_the_path_404(api: Api) -> None:
    assert refusal_of(lambda: api.pay(customer="cus_nope")) == Refusal(400, "resource_missing", "customer")
    unknown = refusal_of(lambda: api.client().v1.customers.retrieve("cus_nope"))
    assert unknown == Refusal(404, "resource_missing", "id")


def test_customers_methods_are_listed_newest_first(api: Api) -> None:
    owner, other = customer(api), customer(api)
    first, second = attached(api, owner), attached(api, owner, "pm_card_amex")
    attached(api, other)
    listed = [method.id for method in api.client().v1.payment_methods.list({"customer": owner, "type": "card"}).data]
    of_customer = [method.id for method in api.client().v1.customers.payment_methods.list(owner).data]
    assert listed == of_customer == [second, first]


# Payment methods ---------------------------------------------------------------------------------------------------


def test_name_of_a_test_card_makes_a_new_payment_method_each_time(api: Api) -> None:
    owner = customer(api)
    used = {str(api.pay().payment_method) for _ in range(2)} | {attached(api, owner), attached(api, owner)}
    assert len(used) == 4
    assert all(re.fullmatch("pm_[0-9]+", method) for method in used)


def test_number_of_a_card_is_refused_and_a_token_taken(api: Api) -> None:
    methods = api.client().v1.payment_methods
    number: Any = {"type": "card", "card": {"number": "4242424242424242", "exp_month": 1, "exp_year": 2034}}
    refused = error_of(lambda: methods.create(number))
    assert (refused.http_status, refused.error.type) == (402, "invalid_request_error")
    assert "4242" not in str(refused)
    changed = methods.update(unattached(api), {"metadata": {"note": "1"}, "billing_details": {"name": "Ann"}})
    assert (changed.billing_details.name, changed.customer) == ("Ann", None)


def test_attached_method_without_customer_is_refused_at_confirm(api: Api) -> None:
    owner = customer(api)
    method = attached(api, owner)
    waiting = api.pay(confirm=False, payment_method=None)
    error = error_of(lambda: api.intents.confirm(waiting.id, {"payment_method": method}))
    assert (error.http_status, error.code, error.error.param) == (400, "parameter_missing", "source")
    assert error.error.payment_intent.id == waiting.id
    assert str(error.error.message) == (
        f"The `payment_method` parameter supplied {method} belongs to the Customer {owner}. Please include the "
        "Customer in the `customer` parameter on the PaymentIntent."
    )
    assert api.intents.retrieve(waiting.id).status == "requires_payment_method"


@pytest.mark.parametrize("named", [True, False])
def test_attached_method_without_customer_is_refused_at_create(api: Api, named: bool) -> None:
    api.control("POST", "settings", {"create_names_source": int(named)})
    method = attached(api, customer(api))
    expected = Refusal(400, "parameter_missing", "source") if named else Refusal(400, None, None)
    assert refusal_of(lambda: api.pay(payment_method=method)) == expected
    assert api.intents.list().data == []


def test_attached_method_with_its_customer_pays_any_number_of_times(api: Api) -> None:
    owner = customer(api)
    method = attached(api, owner)
    paid = [api.pay(payment_method=method, customer=owner, off_session=True) for _ in range(3)]
    assert {(intent.status, intent.customer, intent.payment_method) for intent in paid} == {
        ("succeeded", owner, method)
    }


def test_method_of_another_customer_is_refused_without_a_code(api: Api) -> None:
    method = attached(api, customer(api))
    error = error_of(lambda: api.pay(payment_method=method, customer=customer(api)))
    assert (error.http_status, error.code, error.error.param) == (400, None, "payment_method")
    assert "does not belong to the Customer you supplied" in str(error)


def test_unattached_method_pays_once(api: Api) -> None:
    method = unattached(api)
    assert api.pay(payment_method=method).status == "succeeded"
    error = error_of(lambda: api.pay(payment_method=method))
    assert (error.http_status, error.code, error.error.param) == (400, None, None)
    assert NOT_AGAIN in str(error)
    assert "previously used" in str(error_of(lambda: attached(api, customer(api), method)))


def test_unattached_method_is_used_up_by_a_declined_try(api: Api) -> None:
    method = unattached(api, "chargeDeclined")
    declined = error_of(lambda: api.pay(payment_method=method))
    assert declined.http_status == 402
    intent_id = declined.error.payment_intent.id
    assert NOT_AGAIN in str(error_of(lambda: api.intents.confirm(intent_id, {"payment_method": method})))
    assert NOT_AGAIN in str(error_of(lambda: api.pay(payment_method=method)))


def test_detached_method_may_never_be_used_again(api: Api) -> None:
    owner = customer(api)
    method = attached(api, owner)
    methods = api.client().v1.payment_methods
    assert methods.detach(method).customer is None
    assert methods.list({"customer": owner}).data == []
    assert NOT_AGAIN in str(error_of(lambda: api.pay(payment_method=method, customer=owner)))
    assert "may not be used again" in str(error_of(lambda: attached(api, owner, method)))
    assert "detachment is impossible" in str(error_of(lambda: methods.detach(method)))


def test_card_that_is_declined_cannot_be_attached_but_0341_can(api: Api) -> None:
    owner = customer(api)
    assert refusal_of(lambda: attached(api, owner, "pm_card_chargeDeclined")) == Refusal(402, "card_declined", None)
    saved = attached(api, owner, "pm_card_chargeCustomerFail")
    assert error_of(lambda: api.pay(payment_method=saved, customer=owner)).code == "card_declined"


def test_setup_future_usage_attaches_the_method_on_success(api: Api) -> None:
    owner = customer(api)
    paid = api.pay(customer=owner, setup_future_usage="off_session")
    saved = api.client().v1.payment_methods.retrieve(str(paid.payment_method))
    assert (paid.setup_future_usage, saved.customer) == ("off_session", owner)
    assert api.pay(payment_method=saved.id, customer=owner, off_session=True).status == "succeeded"
    with pytest.raises(stripe.CardError):
        api.pay(customer=owner, setup_future_usage="off_session", payment_method="pm_card_chargeDeclined")
    assert len(api.client().v1.payment_methods.list({"customer": owner}).data) == 1


def test_setup_future_usage_without_customer_allows_only_to_attach(api: Api) -> None:
    method = str(api.pay(setup_future_usage="off_session").payment_method)
    assert NOT_AGAIN in str(error_of(lambda: api.pay(payment_method=method)))
    owner = customer(api)
    assert attached(api, owner, method) == method
    assert api.pay(payment_method=method, customer=owner, off_session=True).status == "succeeded"


def test_customer_of_an_intent_cannot_be_changed_once_it_is_set(api: Api) -> None:
    waiting = api.pay(customer=customer(api), confirm=False)
    changed: Any = {"customer": customer(api)}
    assert refusal_of(lambda: api.intents.update(waiting.id, changed)).param == "customer"


# Authentication --------------------------------------------------------------------------------------------------


def test_off_session_payment_that_needs_authentication_is_402(api: Api) -> None:
    owner = customer(api)
    method = attached(api, owner, STEP_UP)
    error = error_of(lambda: api.pay(payment_method=method, customer=owner, off_session=True)).error
    assert (error.type, error.code, error.decline_code) == (
        "card_error",
        "authentication_required",
        "authentication_required",
    )
    intent = error.payment_intent
    assert (intent.status, intent.payment_method, intent.latest_charge) == ("requires_payment_method", None, None)
    assert (error.payment_method.id, error.payment_method.customer) == (method, owner)
    assert api.client().v1.charges.list().data == []
    recovered = api.intents.confirm(intent.id, {"payment_method": method})
    assert recovered.status == "requires_action"


def test_error_on_requires_action_declines_instead_of_waiting(api: Api) -> None:
    error = error_of(lambda: api.pay(payment_method=STEP_UP, error_on_requires_action=True))
    assert (error.http_status, error.code) == (402, "authentication_required")


@pytest.mark.parametrize("name", ["off_session", "error_on_requires_action", "return_url", "mandate"])
def test_parameter_of_a_confirmation_needs_confirm(api: Api, name: str) -> None:
    values = {"return_url": "https://shop.example", "mandate": "mandate_1"}
    given: dict[str, Any] = {name: values.get(name, True)}
    assert refusal_of(lambda: api.pay(confirm=False, **given)).param == name


def test_confirmation_that_may_redirect_needs_a_return_url(api: Api) -> None:
    v1 = api.client().v1
    wanted: Any = {"amount": 500, "currency": "usd", "payment_method": "pm_card_visa"}
    not_redirected: Any = wanted | {"automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}}
    may_redirect, never = v1.payment_intents.create(wanted), v1.payment_intents.create(not_redirected)
    assert "`return_url`" in str(error_of(lambda: v1.payment_intents.create(wanted | {"confirm": True})))
    assert "`return_url`" in str(error_of(lambda: v1.payment_intents.confirm(may_redirect.id)))
    assert v1.payment_intents.confirm(may_redirect.id, {"return_url": "https://shop.example"}).status == "succeeded"
    assert v1.payment_intents.confirm(never.id).status == "succeeded"
    saves = v1.setup_intents.create({"payment_method": "pm_card_visa"})
    assert "`return_url`" in str(error_of(lambda: v1.setup_intents.confirm(saves.id)))


def test_next_action_is_a_redirect_with_a_return_url_else_stripe_js(api: Api) -> None:
    redirect = api.pay(payment_method=STEP_UP, return_url="https://shop.example").next_action
    stripe_js = api.pay(payment_method=STEP_UP).next_action
    assert redirect is not None
    assert stripe_js is not None
    assert redirect.redirect_to_url is not None
    assert (redirect.type, redirect.redirect_to_url.return_url) == ("redirect_to_url", "https://shop.example")
    assert (stripe_js.type, stripe_js.to_dict().get("redirect_to_url")) == ("use_stripe_sdk", None)


def test_browser_confirms_with_the_client_secret_and_no_other_key(api: Api) -> None:
    waiting, secret = api.pay(confirm=False), "client_secret"
    path = f"payment_intents/{waiting.id}/confirm"
    assert in_browser(api, path).status_code == 401
    assert in_browser(api, path, client_secret=f"{waiting.id}_secret_other").json()["error"]["param"] == secret
    card = {"payment_method": STEP_UP, "return_url": "https://shop.example", "use_stripe_sdk": "true"}
    confirmed = in_browser(api, path, client_secret=str(waiting.client_secret), **card).json()
    assert (confirmed["status"], confirmed["next_action"]["type"]) == ("requires_action", "use_stripe_sdk")
    assert api.web.post(f"{api.url}/3d_secure", data={CLIENT_SECRET: waiting.client_secret, "outcome": "succeeded"}).ok
    assert api.intents.retrieve(waiting.id).status == "succeeded"
    assert in_browser(api, "refunds", payment_intent=waiting.id).json()["error"]["code"] == "secret_key_required"


# Setup intents -----------------------------------------------------------------------------------------------------


def test_setup_intent_confirmed_in_the_browser_saves_the_card(api: Api) -> None:
    owner = customer(api)
    made = setup(api, owner, metadata={"setup": "s-1"})
    assert (made.status, made.usage, made.customer) == ("requires_payment_method", "off_session", owner)
    card = {"payment_method_data[type]": "card", "payment_method_data[card][token]": "tok_visa"}
    confirmed = in_browser(api, f"setup_intents/{made.id}/confirm", client_secret=str(made.client_secret), **card)
    assert confirmed.json()["status"] == "succeeded"
    method = str(api.client().v1.setup_intents.retrieve(made.id).payment_method)
    assert api.client().v1.payment_methods.retrieve(method).customer == owner
    assert api.pay(payment_method=method, customer=owner, off_session=True).status == "succeeded"


def test_setup_intent_is_made_once_for_a_key_and_waits_for_confirmation(api: Api) -> None:
    wanted: Any = {"customer": customer(api), "payment_method": "pm_card_visa", "payment_method_types": ["card"]}
    setups = api.client().v1.setup_intents
    first, again = (setups.create(wanted, options={"idempotency_key": "k"}) for _ in range(2))
    assert (first.id, first.status) == (again.id, "requires_confirmation")
    assert setups.update(first.id, {"metadata": {"note": "1"}}).status == "requires_confirmation"
    assert setups.confirm(first.id).status == "succeeded"
    assert refusal_of(lambda: setups.confirm(first.id)).code == "setup_intent_unexpected_state"


def test_setup_intent_that_is_declined_needs_another_method(api: Api) -> None:
    made = setup(api, customer(api))
    setups = api.client().v1.setup_intents
    error = error_of(lambda: setups.confirm(made.id, {"payment_method": "pm_card_chargeDeclined"})).error
    assert (error.code, error.setup_intent.id) == ("card_declined", made.id)
    failed = setups.retrieve(made.id)
    assert (failed.status, failed.payment_method) == ("requires_payment_method", None)
    assert failed.last_setup_error is not None
    assert failed.last_setup_error.code == "card_declined"
    assert setups.confirm(made.id, {"payment_method": "pm_card_visa"}).status == "succeeded"


@pytest.mark.parametrize(("outcome", "status"), [("succeeded", "succeeded"), ("failed", "requires_payment_method")])
def test_setup_intent_with_3d_secure_waits_for_the_customer(api: Api, outcome: str, status: str) -> None:
    owner = customer(api)
    made = setup(api, owner, payment_method=STEP_UP, confirm=True, return_url="https://shop.example/done?a=1")
    assert made.next_action is not None
    assert made.next_action.redirect_to_url is not None
    form = {"setup_intent_client_secret": str(made.client_secret), "outcome": outcome}
    assert str(made.client_secret) in api.web.get(str(made.next_action.redirect_to_url.url)).text
    back = api.web.post(f"{api.url}/3d_secure", data=form, allow_redirects=False)
    assert back.headers["Location"].startswith(f"https://shop.example/done?a=1&setup_intent={made.id}&")
    assert (made.status, api.client().v1.setup_intents.retrieve(made.id).status) == ("requires_action", status)
    assert len(api.client().v1.payment_methods.list({"customer": owner}).data) == (outcome == "succeeded")


def test_setup_intent_can_be_canceled_until_it_succeeded(api: Api) -> None:
    setups = api.client().v1.setup_intents
    waiting, done = setup(api, customer(api)), setup(api, customer(api), payment_method="pm_card_visa", confirm=True)
    assert setups.cancel(waiting.id).status == "canceled"
    assert refusal_of(lambda: setups.cancel(done.id)).code == "setup_intent_unexpected_state"


def test_card_that_was_set_up_is_exempt_off_session_only(api: Api) -> None:
    owner = customer(api)
    bare = attached(api, owner, ON_SETUP)
    with pytest.raises(stripe.CardError):
        api.pay(payment_method=bare, customer=owner, off_session=True)
    made = setup(api, owner, payment_method=ON_SETUP, confirm=True)
    api.control("POST", f"setup_intents/{made.id}/authenticate", {"outcome": "succeeded"})
    method = str(made.payment_method)
    assert api.pay(payment_method=method, customer=owner, off_session=True).status == "succeeded"
    assert api.pay(payment_method=method, customer=owner).status == "requires_action"


def test_setup_intent_refuses_the_method_of_another_customer(api: Api) -> None:
    method = attached(api, customer(api))
    made = setup(api, customer(api))
    confirm: Any = {"payment_method": method}
    assert refusal_of(lambda: api.client().v1.setup_intents.confirm(made.id, confirm)).param == "payment_method"
    assert api.client().v1.setup_intents.retrieve(made.id).payment_method is None
