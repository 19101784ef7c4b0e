"""What is read of Stripe's events. The signature is tested with the handler."""

import json
import time
from typing import Any

import pytest

from local.fake_stripe.events import payload, signature
from payments.adapters.stripe.webhook import UnreadableEvent, verified_event
from payments.domain.gateway_event import GatewayEvent
from tests.unit.builders import NOON

SECRET = "whsec_test"
INTENT = {"object": "payment_intent", "id": "pi_1", "metadata": {"payment_id": "pay_1"}}
CHARGE = {"object": "charge", "id": "ch_1", "payment_intent": "pi_1", "metadata": {"payment_id": "pay_1"}}
REFUND = {"object": "refund", "id": "re_1", "payment_intent": "pi_1", "charge": "ch_1", "metadata": {}}


@pytest.mark.parametrize(
    ("about", "payment_id", "reference"),
    [
        (INTENT, "pay_1", "pi_1"),
        (CHARGE, "pay_1", "pi_1"),
        (REFUND, "", "pi_1"),
        (REFUND | {"metadata": {"payment_id": "pay_1"}}, "", "pi_1"),  # of the system which made it
        (REFUND | {"payment_intent": None}, "", ""),
    ],
)
def test_event_names_the_intent_of_its_object(about: dict[str, Any], payment_id: str, reference: str) -> None:
    body = payload("evt_1", "refund.failed", about, created=int(NOON.timestamp()))
    header = signature(body, (SECRET,), int(_now()))
    event = verified_event(body, header, [SECRET], clock=lambda: NOON)
    assert isinstance(event, GatewayEvent)
    assert (event.payment_id, event.gateway_reference) == (payment_id, reference)


def test_event_without_an_object_is_unreadable() -> None:
    body = json.dumps({"id": "evt_1", "type": "refund.failed", "created": 0, "data": {}}).encode()
    with pytest.raises(UnreadableEvent):
        verified_event(body, signature(body, (SECRET,), int(_now())), [SECRET], clock=lambda: NOON)


def _now() -> float:
    """The signature's age is measured by the SDK, with its own clock."""
    return time.time()
