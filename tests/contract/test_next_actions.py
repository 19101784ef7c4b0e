"""What a payment's customer must do next, read from the fake and from Stripe's adapter on the fake Stripe."""

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from fakes.next_actions import MemoryNextActions
from local.fake_stripe.app import FakeStripe
from local.fake_stripe.server import in_process
from payments.adapters.stripe.next_actions import StripeNextActions
from payments.domain.errors import Misconfigured, NotSent, OutcomeUnknown, PaymentError, RateLimited
from payments.ports.next_actions import NextAction, NextActions
from tests.contract.gateway_benches import (
    SECRET_KEY,
    Bench,
    MemoryBench,
    MovableClock,
    StripeBench,
    error_of,
    request_for,
)

STEP_UP = request_for(method="pm_card_authenticationRequired")


@dataclass
class Reads:
    """The reads of next actions at a gateway."""

    bench: Bench
    next_actions: NextActions

    def waiting(self) -> str:
        """The reference of a charge that requires authentication."""
        return error_of(lambda: self.bench.gateway.charge(STEP_UP)).gateway_reference


@pytest.fixture(params=["memory", "stripe"])
def reads(request: pytest.FixtureRequest) -> Iterator[Reads]:
    if request.param == "memory":
        memory = MemoryBench()
        yield Reads(memory, MemoryNextActions(memory.gateway))
        return
    clock = MovableClock()
    with in_process(clock=clock) as (url, fake):
        yield Reads(StripeBench(url, fake, clock), StripeNextActions(lambda: SECRET_KEY, base_url=url))


@pytest.mark.fault(17)
def test_next_action_of_a_waiting_charge_has_the_secret_for_its_client(reads: Reads) -> None:
    reference = reads.waiting()
    action = reads.next_actions.next_action(reference)
    assert action is not None
    assert (action.method, action.redirect_url, action.payment_method) == ("use_stripe_sdk", "", "")
    assert action.client_secret.startswith(f"{reference}_secret_")


@pytest.mark.parametrize("well", [True, False], ids=["authenticated", "authentication failed"])
def test_next_action_after_the_customer_acted_is_none(reads: Reads, well: bool) -> None:
    reference = reads.waiting()
    reads.bench.finish(reference, well=well)
    assert reads.next_actions.next_action(reference) is None


def test_next_action_of_a_canceled_or_paid_charge_is_none(reads: Reads) -> None:
    reference = reads.waiting()
    reads.bench.gateway.cancel(reference)
    assert reads.next_actions.next_action(reference) is None
    assert reads.next_actions.next_action(reads.bench.gateway.charge(request_for("pay-2")).reference) is None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("rate_limited", RateLimited),
        ("unauthorized", Misconfigured),
        ("server_error", OutcomeUnknown),
        ("answer_lost", OutcomeUnknown),
    ],
)
def test_next_action_when_the_gateway_fails_then_says_how(
    reads: Reads, kind: str, expected: type[PaymentError]
) -> None:
    reference = reads.waiting()
    reads.bench.fault(kind, call="find")
    assert type(error_of(lambda: reads.next_actions.next_action(reference))) is expected
    assert reads.next_actions.next_action(reference) is not None


def test_next_action_of_an_unknown_charge_is_no_answer(reads: Reads) -> None:
    error = error_of(lambda: reads.next_actions.next_action("pi_of_another_account"))
    assert (type(error), error.code) == (OutcomeUnknown, "charge_not_found")


def test_next_action_when_printed_then_shows_no_secret() -> None:
    action = NextAction("redirect_to_url", "pi_1_secret_2", "https://hooks.stripe.com/3", "pm_4")
    assert repr(action) == "NextAction(method='redirect_to_url')"


# Stripe alone --------------------------------------------------------------------------------------------------------


@pytest.fixture
def stripe_bench() -> Iterator[tuple[str, FakeStripe]]:
    with in_process() as bench:
        yield bench


def intent_id(url: str, **more: str) -> tuple[int, str]:
    """The HTTP status and the id of an intent, created by a client of its own."""
    card = {"amount": "9999", "currency": "usd", "confirm": "true", "payment_method_types[0]": "card"}
    form = card | {"payment_method": STEP_UP.payment_method} | more
    answer = requests.post(f"{url}/v1/payment_intents", data=form, auth=(SECRET_KEY, ""), timeout=10)
    content: dict[str, Any] = answer.json()
    return answer.status_code, content.get("error", {}).get("payment_intent", content)["id"]


def test_stripe_next_action_with_a_redirect_has_its_page(stripe_bench: tuple[str, FakeStripe]) -> None:
    url, _ = stripe_bench
    _, reference = intent_id(url, return_url="https://shop.example/done")
    action = StripeNextActions(lambda: SECRET_KEY, base_url=url).next_action(reference)
    assert action is not None
    assert action.method == "redirect_to_url"
    assert action.redirect_url.startswith(f"{url}/")


def test_stripe_next_action_after_an_absent_customer_names_the_card(stripe_bench: tuple[str, FakeStripe]) -> None:
    """Stripe removed the card from the intent: Stripe.js needs the secret and the card to confirm it again."""
    url, _ = stripe_bench
    status, reference = intent_id(url, off_session="true")
    assert status == 402
    action = StripeNextActions(lambda: SECRET_KEY, base_url=url).next_action(reference)
    assert action is not None
    assert action.method == "use_stripe_sdk"
    assert action.payment_method.startswith("pm_")  # the card that the test card's name stands for
    assert action.client_secret.startswith(f"{reference}_secret_")


def test_stripe_next_action_with_a_refused_key_has_it_read_again(stripe_bench: tuple[str, FakeStripe]) -> None:
    url, _ = stripe_bench
    _, reference = intent_id(url)
    forgotten: list[str] = []
    reading = StripeNextActions(lambda: "sk_live_wrong", refused=lambda: forgotten.append("key"), base_url=url)
    error = error_of(lambda: reading.next_action(reference))
    assert (type(error), forgotten) == (Misconfigured, ["key"])
    assert "sk_live_wrong" not in "".join(traceback.format_exception(error))


def test_stripe_next_action_when_no_connection_is_made_then_is_not_sent() -> None:
    reading = StripeNextActions(lambda: SECRET_KEY, base_url="http://127.0.0.1:1", connect_timeout_seconds=2)
    assert isinstance(error_of(lambda: reading.next_action("pi_1")), NotSent)
