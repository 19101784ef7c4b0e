"""Webhooks: every change of a payment is sent to one endpoint, signed and tried again as Stripe does."""

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
"""About 100 MB. Beyond that the oldest event is forgotten, and sent no more."""

HELD_SECONDS = 5.0
CONNECT_AND_READ_TIMEOUT_SECONDS = (3.0, 20.0)
_POSTMEN = 4


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where events go. One signature per secret: two while a secret is being replaced."""

    url: str
    secrets: tuple[str, ...]
    ca_bundle: str = ""
    """A file of certificates to trust instead of the usual ones."""
    enabled_events: tuple[str, ...] = ()
    """The types that are sent; all if empty."""

    @classmethod
    def parse(cls, body: dict[str, Any]) -> "Endpoint":
        """An endpoint from JSON. Raises ValueError that names what is wrong."""
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
        """Whether the endpoint is subscribed to a type of event."""
        return not self.enabled_events or kind in self.enabled_events


@dataclass(slots=True, eq=False)
class Event:
    """One event and how far its delivery has come."""

    number: int
    """Counts up from one event to the next."""
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
        """What `GET /_stand_in/webhooks` tells of it. `last_status` is None while no HTTP answer came."""
        return {name: getattr(self, name) for name in self.__slots__ if name not in ("number", "body")}


class Webhooks:
    """The endpoint and the latest events. Safe for several threads; no call waits for a delivery."""

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
        self._session.trust_env = False  # no proxy between the stand-in and a local endpoint
        self._postmen = [DeliveryQueue(self._deliver, f"webhooks-{number}") for number in range(_POSTMEN)]

    @property
    def endpoint(self) -> Endpoint | None:
        """Where events go; None while nobody wants them."""
        return self._endpoint

    def send_to(self, endpoint: Endpoint | None) -> None:
        """Send what happens from now on to `endpoint`, or nowhere. What waits goes to the new one, or is dropped."""
        with self._lock:
            self._endpoint = endpoint
            if endpoint is None:
                self._held.clear()
                for deliveries in self._postmen:
                    deliveries.drop()

    def emit(self, kind: str, content: dict[str, Any]) -> None:
        """Something changed: send `content`, the intent or charge as it is now, unless a fault prevents it."""
        payment_id = str(content["metadata"].get("payment_id", ""))
        with self._lock:
            if self._endpoint is None or not self._endpoint.wants(kind):
                return
            if content["object"] == "payment_intent":
                content = content | self._faults.lasting_fields(payment_id)
            event_id = self._new_id("evt")
            body = events.payload(event_id, kind, content, created=int(self._clock().timestamp()))
            self._post(self._remember(Event(next(self._numbers), event_id, kind, payment_id, body)))

    def resend(self, event_id: str) -> None:
        """Send an event once more, as the dashboard's button does. Raises ApiError (404)."""
        with self._lock:
            if event_id not in self._events:
                raise no_such("event", event_id, param="id")
            self._deliveries(self._events[event_id]).take(self._events[event_id])

    def summaries(self) -> list[dict[str, Any]]:
        """The latest events, oldest first."""
        with self._lock:
            return [event.summary() for event in self._events.values()]

    def clear(self) -> None:
        """No endpoint and no events."""
        with self._lock:
            self.send_to(None)
            self._events.clear()

    def stop(self) -> None:
        """Send nothing more."""
        for deliveries in self._postmen:
            deliveries.stop()
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
        # one that is held waits for the next, which must not wait itself
        elif event.payment_id not in self._held and struck(Kind.WEBHOOK_REORDERED):
            self._held[event.payment_id] = event
            delay_seconds = HELD_SECONDS
        for _ in range(2 if struck(Kind.WEBHOOK_DOUBLED) else 1):
            self._deliveries(event).take(event, delay_seconds)

    def _deliveries(self, event: Event) -> DeliveryQueue[Event]:
        """One for all events of a payment, so that they keep their order."""
        return self._postmen[zlib.crc32(event.payment_id.encode()) % len(self._postmen)]

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
                    self._deliveries(held).hurry(held)
            elif event.attempts < MAX_ATTEMPTS and self._endpoint:
                delay_seconds = self._settings.webhook_retry_seconds * 2 ** (event.attempts - 1)
                self._deliveries(event).take(event, delay_seconds)

    def _answer(self, endpoint: Endpoint, body: bytes) -> tuple[int | None, str]:
        """The HTTP status, or None and what went wrong."""
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
        except OSError as error:  # of requests, or of a ca_bundle that is gone
            return None, f"{type(error).__name__}: {error}"[:300]
        return answer.status_code, ""
