"""Webhooks: sends every change of a payment to one endpoint, with signatures and retries like Stripe's."""

import threading
import zlib
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import requests

from local.fake_stripe import events
from local.fake_stripe.clock_and_ids import Clock, NewId
from local.fake_stripe.delivery_queue import DeliveryQueue
from local.fake_stripe.errors import no_such
from local.fake_stripe.faults import Fault, Faults, Kind
from local.fake_stripe.settings import Settings

MAX_ATTEMPTS = 12
KEPT_EVENTS = 50_000
"""About 100 MB. Above this number, the oldest event is discarded and no longer sent."""

HELD_SECONDS = 5.0
CONNECT_AND_READ_TIMEOUT_SECONDS = (3.0, 20.0)
_QUEUES = 4


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The receiver of events. There is one signature per secret: two while a secret is replaced."""

    url: str
    secrets: tuple[str, ...]
    ca_bundle: str = ""
    """A file of certificates to trust instead of the default ones."""
    enabled_events: tuple[str, ...] = ()
    """The types that are sent. Empty means all."""

    @classmethod
    def parse(cls, body: dict[str, Any]) -> "Endpoint":
        """Parse an endpoint from JSON. Raises ValueError with the error."""
        unknown = set(body) - set(cls.__slots__)
        if unknown:
            raise ValueError(f"unknown {', '.join(sorted(unknown))}; an endpoint has {', '.join(cls.__slots__)}")
        url, secrets, ca_bundle = body.get("url"), body.get("secrets"), body.get("ca_bundle") or ""
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise ValueError("url must begin with http:// or https://")
        if not isinstance(secrets, list) or not secrets or not all(s and isinstance(s, str) for s in secrets):
            raise ValueError("secrets must be a list of at least one text")
        if not isinstance(ca_bundle, str) or (ca_bundle and not Path(ca_bundle).is_file()):
            raise ValueError("ca_bundle must be the path of a file, or empty")
        enabled = body.get("enabled_events", [])
        if not isinstance(enabled, list) or not all(isinstance(kind, str) for kind in enabled):
            raise ValueError("enabled_events must be a list of event types")
        return cls(url, tuple(secrets), ca_bundle, tuple(enabled))

    def wants(self, kind: str) -> bool:
        """Whether the endpoint subscribes to a type of event."""
        return not self.enabled_events or kind in self.enabled_events


@dataclass(slots=True, eq=False)
class Event:
    """One event and the state of its delivery."""

    number: int
    """A sequence number."""
    id: str
    type: str
    payment_id: str
    body: bytes
    faults: tuple[Kind, ...] = ()
    attempts: int = 0
    last_status: int | None = None
    last_error: str = ""
    delivered: bool = False

    def summary(self) -> dict[str, Any]:
        """The event in `GET /_stand_in/webhooks`. `last_status` is None before the first HTTP answer."""
        return {name: getattr(self, name) for name in self.__slots__ if name not in ("number", "body")}


class Webhooks:
    """The endpoint and the latest events. Thread-safe. No call waits for a delivery."""

    def __init__(self, clock: Clock, new_id: NewId, faults: Faults, settings: Settings) -> None:
        self._clock = clock
        self._new_id = new_id
        self._faults = faults
        self._settings = settings
        self._endpoint: Endpoint | None = None
        self._events: dict[str, Event] = {}
        self._held: dict[str, Event] = {}  # by payment id
        self._numbers = count()
        self._lock = threading.RLock()
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between the fake Stripe and a local endpoint
        self._queues = [DeliveryQueue(self._deliver, f"webhooks-{number}") for number in range(_QUEUES)]

    @property
    def endpoint(self) -> Endpoint | None:
        """The receiver of events. None if there is none."""
        return self._endpoint

    def send_to(self, endpoint: Endpoint | None) -> None:
        """Send new and waiting events to `endpoint`. With None, send no events and discard the waiting ones."""
        with self._lock:
            self._endpoint = endpoint
            if endpoint is None:
                self._held.clear()
                for queue in self._queues:
                    queue.drop()

    def emit(self, kind: str, content: dict[str, Any], payment_id: str) -> None:
        """Send an event with `content`, the changed object of a payment, unless a fault prevents it."""
        with self._lock:
            if self._endpoint is None or not self._endpoint.wants(kind):
                return
            if content["object"] == "payment_intent":
                content = content | self._faults.lasting_fields(payment_id)
            event_id = self._new_id("evt")
            body = events.payload(event_id, kind, content, created=int(self._clock().timestamp()))
            self._post(self._remember(Event(next(self._numbers), event_id, kind, payment_id, body)))

    def resend(self, event_id: str) -> None:
        """Send an event again, like the button in the dashboard. Raises ApiError (404)."""
        with self._lock:
            if event_id not in self._events:
                raise no_such("event", event_id, param="id")
            self._queue_of(self._events[event_id]).take(self._events[event_id])

    def summaries(self) -> list[dict[str, Any]]:
        """The latest events, oldest first."""
        with self._lock:
            return [event.summary() for event in self._events.values()]

    def clear(self) -> None:
        """Remove the endpoint and all events."""
        with self._lock:
            self.send_to(None)
            self._events.clear()

    def stop(self) -> None:
        """Stop sending."""
        for queue in self._queues:
            queue.stop()
        self._session.close()

    def _remember(self, event: Event) -> Event:
        if len(self._events) >= KEPT_EVENTS:
            del self._events[next(iter(self._events))]
        self._events[event.id] = event
        return event

    def _post(self, event: Event) -> None:
        def struck(kind: Kind) -> Fault | None:
            fault = self._faults.take(kind, event.payment_id)
            if fault:
                event.faults += (kind,)
            return fault

        if struck(Kind.WEBHOOK_LOST):
            return
        delay_seconds = 0.0
        if late := struck(Kind.WEBHOOK_LATE):
            delay_seconds = late.seconds
        # a held event waits for the next event, which must not be held
        elif event.payment_id not in self._held and struck(Kind.WEBHOOK_REORDERED):
            self._held[event.payment_id] = event
            delay_seconds = HELD_SECONDS
        for _ in range(2 if struck(Kind.WEBHOOK_DOUBLED) else 1):
            self._queue_of(event).take(event, delay_seconds)

    def _queue_of(self, event: Event) -> DeliveryQueue[Event]:
        """The queue of a payment. All events of a payment use the same queue, which keeps their order."""
        return self._queues[zlib.crc32(event.payment_id.encode()) % len(self._queues)]

    def _deliver(self, event: Event) -> None:
        with self._lock:
            endpoint = self._endpoint
            if self._held.get(event.payment_id) is event:
                del self._held[event.payment_id]
            if endpoint is None or event.id not in self._events:
                return
        status, problem = self._answer(endpoint, event.body)
        with self._lock:
            event.attempts += 1
            event.last_status, event.last_error = status, problem
            if status is not None and 200 <= status < 300:
                event.delivered = True
                held = self._held.get(event.payment_id)
                if held and held.number < event.number:
                    self._queue_of(held).hurry(held)
            elif event.attempts < MAX_ATTEMPTS and self._endpoint:
                delay_seconds = self._settings.webhook_retry_seconds * 2 ** (event.attempts - 1)
                self._queue_of(event).take(event, delay_seconds)

    def _answer(self, endpoint: Endpoint, body: bytes) -> tuple[int | None, str]:
        """The HTTP status, or None and the error."""
        signature = events.signature(body, endpoint.secrets, int(self._clock().timestamp()))
        try:
            answer = self._session.post(
                endpoint.url,
                data=body,
                headers={"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signature},
                verify=endpoint.ca_bundle or True,
                timeout=CONNECT_AND_READ_TIMEOUT_SECONDS,
                allow_redirects=False,  # Stripe counts a redirect as a failure
            )
        except OSError as error:  # of requests, or of a missing ca_bundle
            return None, f"{type(error).__name__}: {error}"[:300]
        return answer.status_code, ""
