"""Receive the gateway's events, and apply each one once its payment is known."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from payments.domain.clock import Clock, parse_iso
from payments.domain.errors import SEVERAL_CHARGES
from payments.domain.gateway_event import (
    ASK_AGAIN,
    HANDLED,
    MONEY,
    REFUNDS,
    EventState,
    GatewayEvent,
    execution_suffix_of,
)
from payments.domain.payment import Payment
from payments.domain.sealed_fields import context_of, reference_digest
from payments.domain.sealed_text import REFERENCE, Context
from payments.domain.statuses import CAPTURED, Status
from payments.ports.event_store import EventStore
from payments.ports.field_encryptor import FieldEncryptor
from payments.ports.payment_store import PaymentStore
from payments.ports.refund_workflow import RefundWorkflow
from payments.ports.workflow import Workflow

KEPT_PARKED = timedelta(days=7)
"""Stripe stops delivering after three days. An event whose payment is still missing belongs to another system."""


@dataclass(frozen=True)
class Webhooks:
    """Receives events and applies them."""

    events: EventStore
    payments: PaymentStore
    workflow: Workflow
    clock: Clock
    encryptor: FieldEncryptor
    environment_id: str = ""
    is_open: Callable[[], bool] = lambda: True
    refunds: RefundWorkflow | None = None
    """Compares the refunds of a payment with the gateway's list."""

    def receive(self, event: GatewayEvent) -> EventState:
        """Store an event, and apply it if its payment is ready. After this returns, the event may be acknowledged.

        A repeated event is applied again while it is parked; afterwards it has no effect. `event` has its reference in
        plain text. Raises EncryptionUnavailable; the event is then not stored.
        """
        leads_to_a_payment = event.type in REFUNDS and event.gateway_reference
        if event.type not in HANDLED or not (event.payment_id or leads_to_a_payment):
            return EventState.IGNORED
        if not self._is_ours(event):
            return EventState.IGNORED
        if not event.payment_id:  # recovery asks the gateway for it
            sealed = self.encryptor.seal(_alone(event), {REFERENCE: event.gateway_reference})
            self.events.add(replace(event, gateway_reference=sealed[REFERENCE]))
            return EventState.PARKED
        event = replace(event, reference_digest=reference_digest(event.payment_id, event.gateway_reference))
        payment = self.payments.get(event.payment_id)
        # in a closed environment it waits: the tables may not have its payment yet
        state = self._state(event, payment) if self.is_open() else EventState.PARKED
        event = replace(event, gateway_reference=self._reference_to_store(event, state, payment))
        asks = state is EventState.ASKS
        self.events.add(replace(event, state=EventState.PARKED if asks else state))
        return self._ask(event) if asks else state

    def apply(self, event: GatewayEvent) -> EventState:
        """Apply a parked event, or leave it parked. It is safe to repeat."""
        state = self._state(event, self.payments.get(event.payment_id))
        if state is EventState.ASKS:
            return self._ask(event)
        if state is not EventState.PARKED:
            self.events.settle(event.event_id, state, self.clock())
        return state

    def identify(self, event: GatewayEvent, ids_of: Callable[[str], tuple[str, str]]) -> GatewayEvent | None:
        """The parked event of a refund with its payment, or None if that is none of ours or stays unknown.

        `ids_of` returns the payment id and environment id of a gateway reference. Raises what it raises,
        EncryptionUnavailable and DecryptionFailed.
        """
        if self._is_too_old(event):
            self.events.settle(event.event_id, EventState.IGNORED, self.clock())
            return None
        reference = self.encryptor.open(_alone(event), {REFERENCE: event.gateway_reference})[REFERENCE]
        payment_id, environment_id = ids_of(reference)
        known = replace(
            event,
            payment_id=payment_id,
            environment_id=environment_id,
            reference_digest=reference_digest(payment_id, reference),
            gateway_reference="",
        )
        if not payment_id or not self._is_ours(known):
            self.events.settle(event.event_id, EventState.IGNORED, self.clock())
            return None
        self.events.identify(known)
        return known

    def _is_ours(self, event: GatewayEvent) -> bool:
        """False for an event of another environment on the same account."""
        return event.environment_id in ("", self.environment_id)  # "": sent before environments had ids

    def _is_too_old(self, event: GatewayEvent) -> bool:
        return self.clock() - parse_iso(event.received_at) > KEPT_PARKED

    def _reference_to_store(self, event: GatewayEvent, state: EventState, payment: Payment | None) -> str:
        """The reference as it is stored, if the event contradicts, or waits and the row has none yet; else ""."""
        known = bool(payment and payment.gateway_reference) and state is not EventState.CONTRADICTS
        if state in (EventState.APPLIED, EventState.IGNORED) or known:
            return ""
        return self.encryptor.seal(context_of(event.payment_id), {REFERENCE: event.gateway_reference})[REFERENCE]

    def _state(self, event: GatewayEvent, payment: Payment | None) -> EventState:
        """The next state of an event, given its payment's current row. Changes nothing."""
        if payment is None:
            return EventState.IGNORED if self._is_too_old(event) else EventState.PARKED
        if payment.attempts and payment.environment_id != event.environment_id:
            return EventState.CONTRADICTS  # sent by other code or by hand: our requests carry the row's environment id
        if payment.status is Status.IN_REVIEW and event.type in MONEY:
            return self._state_in_review(event, payment)
        if _is_about_another_charge(event, payment):
            return EventState.CONTRADICTS
        match payment.status:
            case Status.PENDING:
                return EventState.PARKED
            case Status.PROCESSING if not payment.gateway_reference:
                return EventState.PARKED  # a workflow waits for the same answer, and usually has it by now
            case Status.PROCESSING | Status.UNKNOWN | Status.REQUIRES_ACTION as status:
                says_the_same = event.type == f"payment_intent.{status}"
                return EventState.APPLIED if says_the_same else EventState.ASKS
            case Status.DECLINED | Status.REJECTED | Status.FAILED:
                return EventState.CONTRADICTS if event.type in MONEY else EventState.APPLIED
            case status if status in CAPTURED and event.type in REFUNDS:
                return EventState.ASKS
        return EventState.APPLIED

    def _state_in_review(self, event: GatewayEvent, payment: Payment) -> EventState:
        """The next state of an event about money, for a payment that is held."""
        if not payment.attempts:
            return EventState.CONTRADICTS  # we never sent it
        several = payment.code == SEVERAL_CHARGES  # a refund of any of them may end the conflict
        if _is_about_another_charge(event, payment) and not several:
            return EventState.CONTRADICTS
        known = payment.reference_digest and event.type not in REFUNDS
        return EventState.APPLIED if known else EventState.ASKS

    def _ask(self, event: GatewayEvent) -> EventState:
        """Start a workflow execution that queries the gateway: one for each event, however often it arrives.

        The event stays parked until the gateway answers. Without an answer, recovery starts another query each time
        the age of the event has doubled.
        """
        age = (self.clock() - parse_iso(event.received_at)) // ASK_AGAIN
        if self.refunds and event.type in REFUNDS:
            self.refunds.look(event.payment_id, execution_suffix_of(event, age.bit_length()))
        self.workflow.restart(
            event.payment_id,
            execution_suffix_of(event, age.bit_length()),
            reconcile=True,
            event_id=event.event_id,
            gateway_reference=event.gateway_reference,
        )
        return EventState.PARKED


def _is_about_another_charge(event: GatewayEvent, payment: Payment) -> bool:
    return bool(event.reference_digest) and payment.reference_digest not in ("", event.reference_digest)


def _alone(event: GatewayEvent) -> Context:
    """The encryption context of the reference in an event whose payment is not known yet."""
    return {"event_id": event.event_id}
