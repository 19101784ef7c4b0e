"""Webhooks of the fake Stripe, received by the test's own server and verified by the official SDK."""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import stripe
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from local.fake_stripe import webhooks
from local.fake_stripe.delivery_queue import DeliveryQueue
from tests.local.fake_stripe.test_app import Api, headers_of, serving
from tests.waiting import eventually

SECRETS = ["whsec_old", "whsec_new"]


@dataclass
class Receiver:
    """An endpoint that answers with `statuses` in turn, and 200 afterwards, each answer `seconds` late and not while
    `may_answer` is cleared."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    seconds: float = 0.0
    may_answer: threading.Event = field(default_factory=threading.Event)
    bodies: list[bytes] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)

    @property
    def types(self) -> list[str]:
        """The received events, without the common beginning."""
        return [json.loads(body)["type"].removeprefix("payment_intent.") for body in self.bodies]

    @property
    def events(self) -> list[Any]:
        return [json.loads(body) for body in self.bodies]


@contextmanager
def receiving(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on loopback, with TLS if a context is given."""
    receiver = Receiver()
    receiver.may_answer.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"].startswith("application/json")
            time.sleep(receiver.seconds)
            receiver.may_answer.wait(10)
            receiver.signatures.append(self.headers["Stripe-Signature"])
            receiver.bodies.append(body)
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def do_GET(self) -> None:
            """The target of a redirect, which must not be followed."""
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        receiver.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}/webhooks"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def api(receiver: Receiver) -> Iterator[Api]:
    """It sends the events of payment intents, and of refunded charges."""
    ends = ("amount_capturable_updated", "canceled", "created", "payment_failed", "processing", "requires_action")
    types = ["charge.refunded", *(f"payment_intent.{end}" for end in (*ends, "succeeded"))]
    with serving() as api:
        endpoint = {"url": receiver.url, "secrets": SECRETS, "ca_bundle": "", "enabled_events": types}
        api.control("POST", "webhooks", endpoint)
        api.control("POST", "settings", {"webhook_retry_seconds": 0.02})
        yield api


def wait_for(happened: Callable[[], bool]) -> None:
    eventually("what the test waits for", happened, every=0.01)


def reported(api: Api) -> list[Any]:
    """The events as the fake Stripe reports them."""
    data: list[Any] = api.control("GET", "webhooks")["data"]
    return data


def settled(api: Api, count: int) -> list[Any]:
    """The same, once this many events were delivered."""
    wait_for(lambda: sum(event["delivered"] for event in reported(api)) >= count)
    return reported(api)


def pay(api: Api, fault_spec: str) -> stripe.PaymentIntent:
    return api.pay(metadata={"payment_id": "pay-1", "stand_in": fault_spec})


# What is sent ----------------------------------------------------------------------------------------------------


def test_success_event_is_shaped_like_stripes_and_signed_with_both_secrets(api: Api, receiver: Receiver) -> None:
    intent = api.pay("pay-1", key="k")
    settled(api, 2)
    assert receiver.types == ["created", "succeeded"]
    for body, signature in zip(receiver.bodies, receiver.signatures, strict=True):
        for secret in SECRETS:
            assert stripe.WebhookSignature.verify_header(body, signature, secret)
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.WebhookSignature.verify_header(body + b" ", signature, SECRETS[0])
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.WebhookSignature.verify_header(body, signature, "whsec_other")
    event = stripe.Webhook.construct_event_without_verification(receiver.bodies[1])
    assert (event.object, event.type, event.livemode, event.pending_webhooks) == (
        "event",
        "payment_intent.succeeded",
        False,
        1,
    )
    assert event.api_version == stripe.api_version
    assert event.created == int(api.now.timestamp())
    assert event.request is not None
    assert (event.request.id, event.request.idempotency_key) == (headers_of(intent)["Request-Id"], "k")
    assert intent.last_response is not None
    assert receiver.events[1]["data"]["object"] == json.loads(intent.last_response.body)


def test_events_when_a_payment_goes_its_ways_then_are_those_of_each_change(api: Api, receiver: Receiver) -> None:
    waiting = api.pay(payment_method="pm_card_threeDSecure2Required")
    api.control("POST", f"payment_intents/{waiting.id}/authenticate", {"outcome": "failed"})
    with pytest.raises(stripe.CardError):
        api.intents.confirm(waiting.id, {"payment_method": "pm_card_chargeDeclined"})
    api.intents.cancel(waiting.id)
    settled(api, 5)
    assert receiver.types == ["created", "requires_action", "payment_failed", "payment_failed", "canceled"]
    authenticated = receiver.events[2]
    assert authenticated["request"] == {"id": None, "idempotency_key": None}
    assert authenticated["data"]["object"]["status"] == "requires_payment_method"


def test_events_report_a_later_settlement_and_a_refund(api: Api, receiver: Receiver) -> None:
    pending = pay(api, "settles_later")
    api.control("POST", f"payment_intents/{pending.id}/settle", {"outcome": "succeeded"})
    api.client().v1.refunds.create({"payment_intent": pending.id, "amount": 999})
    events = settled(api, 4)
    assert receiver.types == ["created", "processing", "succeeded", "charge.refunded"]
    charge = receiver.events[3]["data"]["object"]
    assert (charge["object"], charge["amount_refunded"], charge["payment_intent"]) == ("charge", 999, pending.id)
    assert {event["payment_id"] for event in events} == {"pay-1"}


def test_event_when_capture_is_manual_then_tells_what_can_be_captured(api: Api, receiver: Receiver) -> None:
    api.intents.capture(api.pay(capture_method="manual").id)
    settled(api, 3)
    assert receiver.types == ["created", "amount_capturable_updated", "succeeded"]


def test_event_shows_a_permanently_altered_amount(api: Api, receiver: Receiver) -> None:
    pay(api, "amount=1234")
    settled(api, 2)
    assert [event["data"]["object"]["amount"] for event in receiver.events] == [1234, 1234]


def test_event_when_a_request_is_repeated_then_is_not_sent_again(api: Api) -> None:
    for _ in range(2):
        api.pay("pay-1", key="k")
    assert len(settled(api, 2)) == 2


def test_answer_when_the_endpoint_is_slow_then_does_not_wait_for_it(api: Api, receiver: Receiver) -> None:
    receiver.may_answer.clear()
    api.pay()
    assert receiver.bodies == []
    receiver.may_answer.set()
    settled(api, 2)


# Delivery --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 400, 302])
def test_delivery_when_not_answered_with_2xx_then_is_tried_again(api: Api, receiver: Receiver, status: int) -> None:
    receiver.statuses = [status, status]
    api.pay(confirm=False)
    event = settled(api, 1)[0]
    assert (event["attempts"], event["last_status"], event["type"]) == (3, 200, "payment_intent.created")
    assert receiver.bodies[0] == receiver.bodies[1] == receiver.bodies[2]


def test_unanswered_delivery_is_reported_and_continues_at_a_new_endpoint(api: Api, receiver: Receiver) -> None:
    api.control("POST", "webhooks", {"url": "http://127.0.0.1:1/", "secrets": ["whsec_x"]})
    api.pay(confirm=False)
    wait_for(lambda: reported(api)[0]["attempts"] >= 2)
    event = reported(api)[0]
    assert (event["delivered"], event["last_status"]) == (False, None)
    assert "ConnectionError" in event["last_error"]
    api.control("POST", "webhooks", {"url": receiver.url, "secrets": ["whsec_x"]})
    assert settled(api, 1)[0]["last_error"] == ""


def test_delivery_when_it_fails_for_good_then_ends_after_twelve_attempts(api: Api, receiver: Receiver) -> None:
    api.control("POST", "settings", {"webhook_retry_seconds": 0})
    receiver.statuses = [500] * 100
    api.pay(confirm=False)
    wait_for(lambda: bool(reported(api)[0]["attempts"] >= 12))
    time.sleep(0.1)
    assert (reported(api)[0]["attempts"], reported(api)[0]["delivered"], len(receiver.bodies)) == (12, False, 12)


def test_delivery_when_asked_for_again_then_sends_the_same_event(api: Api, receiver: Receiver) -> None:
    api.pay(confirm=False)
    event = settled(api, 1)[0]
    api.control("POST", f"webhooks/{event['id']}/resend")
    wait_for(lambda: len(receiver.bodies) == 2)
    assert receiver.bodies[0] == receiver.bodies[1]
    wait_for(lambda: reported(api)[0]["attempts"] == 2)
    assert api.web.post(f"{api.url}/_stand_in/webhooks/evt_nope/resend").status_code == 404


def test_endpoint_when_removed_then_nothing_is_sent(api: Api, receiver: Receiver) -> None:
    api.control("DELETE", "webhooks")
    api.pay()
    assert api.control("GET", "webhooks") == {"url": None, "data": []}
    assert receiver.bodies == []


def test_endpoint_when_subscribed_to_some_types_then_gets_no_others(api: Api, receiver: Receiver) -> None:
    endpoint = {"url": receiver.url, "secrets": ["whsec_one"], "enabled_events": ["payment_intent.succeeded"]}
    api.control("POST", "webhooks", endpoint)
    api.pay()
    settled(api, 1)
    assert [event["type"] for event in api.control("GET", "webhooks")["data"]] == ["payment_intent.succeeded"]


def test_reset_when_asked_then_endpoint_and_events_are_gone(api: Api) -> None:
    api.pay()
    settled(api, 2)
    api.control("POST", "reset")
    assert api.control("GET", "webhooks") == {"url": None, "data": []}


def self_signed(folder: Path) -> tuple[str, str]:
    """A certificate for this machine's loopback and its key: the paths of both."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return str(folder / "certificate.pem"), str(folder / "key.pem")


def test_endpoint_with_own_certificate_is_trusted_only_with_its_ca_bundle(api: Api, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with receiving(context) as receiver:
        api.control("POST", "webhooks", {"url": receiver.url, "secrets": SECRETS})
        api.pay(confirm=False)
        wait_for(lambda: reported(api)[0]["attempts"] >= 1)
        assert "SSLError" in reported(api)[0]["last_error"]
        api.control("POST", "webhooks", {"url": receiver.url, "secrets": SECRETS, "ca_bundle": certificate})
        settled(api, 1)


@pytest.mark.parametrize(
    "body",
    [
        {"url": "ftp://x", "secrets": ["whsec_x"]},
        {"url": "http://x", "secrets": []},
        {"url": "http://x", "secrets": "whsec_x"},
        {"url": "http://x", "secrets": ["whsec_x"], "ca_bundle": "/no/such/file"},
        {"url": "http://x", "secrets": ["whsec_x"], "colour": "blue"},
    ],
)
def test_endpoint_when_it_is_wrong_then_is_refused_and_the_old_one_stays(
    api: Api, receiver: Receiver, body: dict[str, Any]
) -> None:
    assert api.web.post(f"{api.url}/_stand_in/webhooks", json=body).status_code == 400
    assert api.control("GET", "webhooks")["url"] == receiver.url


# Faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.fault(37)
def test_webhook_when_lost_by_metadata_then_only_that_payments_never_come(api: Api, receiver: Receiver) -> None:
    pay(api, "webhook_lost")
    api.pay("pay-2")
    events = settled(api, 2)
    assert {event["data"]["object"]["metadata"]["payment_id"] for event in receiver.events} == {"pay-2"}
    assert [(event["faults"], event["attempts"]) for event in events if event["payment_id"] == "pay-1"] == [
        (["webhook_lost"], 0)
    ] * 2
    api.control("POST", f"webhooks/{events[1]['id']}/resend")
    settled(api, 3)


def test_webhook_when_lost_once_for_all_then_the_next_one_comes(api: Api, receiver: Receiver) -> None:
    api.control("POST", "faults", {"kind": "webhook_lost"})
    api.pay()
    settled(api, 1)
    assert receiver.types == ["succeeded"]


@pytest.mark.fault(36)
def test_webhook_when_doubled_then_comes_twice_with_the_same_id(api: Api, receiver: Receiver) -> None:
    api.control("POST", "faults", {"kind": "webhook_doubled", "payment_id": "pay-1", "times": 1})
    api.pay("pay-1")
    wait_for(lambda: len(receiver.bodies) == 3)
    assert receiver.types == ["created", "created", "succeeded"]
    assert receiver.bodies[0] == receiver.bodies[1]


def test_webhook_when_late_then_comes_after_so_many_seconds(api: Api, receiver: Receiver) -> None:
    start = time.monotonic()
    pay(api, "webhook_late=0.4")
    settled(api, 2)
    assert time.monotonic() - start >= 0.4
    assert receiver.types == ["created", "succeeded"]


@pytest.mark.fault(36)
def test_webhook_when_reordered_then_comes_after_the_next_one(
    api: Api, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "HELD_SECONDS", 1000.0)  # the next event releases it, not the time
    pay(api, "webhook_reordered")
    settled(api, 2)
    assert receiver.types == ["succeeded", "created"]


def test_reordered_webhook_waits_for_the_next_while_another_is_in_flight(
    api: Api, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "HELD_SECONDS", 1000.0)  # the next event releases it, not the time
    receiver.seconds = 0.2
    made = api.pay("pay-1", confirm=False)
    api.control("POST", "faults", {"kind": "webhook_reordered", "payment_id": "pay-1"})
    api.intents.confirm(made.id)
    wait_for(lambda: reported(api)[0]["delivered"])
    api.client().v1.refunds.create({"payment_intent": made.id})
    settled(api, 3)
    assert receiver.types == ["created", "charge.refunded", "succeeded"]


def test_reordered_webhook_without_a_successor_arrives_after_its_delay(
    api: Api, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "HELD_SECONDS", 0.3)
    api.control("POST", "faults", {"kind": "webhook_reordered", "payment_id": "pay-1"})
    start = time.monotonic()
    api.pay("pay-1", confirm=False)
    assert settled(api, 1)[0]["faults"] == ["webhook_reordered"]
    assert time.monotonic() - start >= 0.3


# The thread behind it --------------------------------------------------------------------------------------------


def test_delivery_queue_delivers_in_due_order_and_stops() -> None:
    delivered: list[str] = []
    delivers, may_deliver = threading.Event(), threading.Event()

    def deliver(item: str) -> None:
        delivers.set()
        may_deliver.wait()
        delivered.append(item)

    deliveries: DeliveryQueue[str] = DeliveryQueue(deliver, "webhook-delivery")
    deliveries.take("first")
    delivers.wait()
    deliveries.take("last", 3600)
    deliveries.take("third", -1)
    deliveries.take("second", -2)  # due before the one that was taken earlier
    may_deliver.set()
    wait_for(lambda: len(delivered) == 3)
    deliveries.hurry("last")
    wait_for(lambda: len(delivered) == 4)
    assert delivered == ["first", "second", "third", "last"]
    deliveries.take("never", 3600)
    deliveries.stop()
    deliveries.take("never")
    assert deliveries._thread is not None
    deliveries._thread.join()
    assert delivered == ["first", "second", "third", "last"]
