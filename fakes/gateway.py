"""The in-memory fake of the Stripe adapter: same answers for the same test payment methods, and faults on request.

For unit tests and the simulation. `tests/contract/test_gateway.py` runs the same tests on it and on the real adapter.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import count
from typing import Any, Literal

from payments.adapters.stripe.amounts import CURRENCIES, limit, refusal
from payments.adapters.stripe.rules import check_chargeable
from payments.domain.clock import Clock, utc_now
from payments.domain.errors import (
    CHARGE_NOT_FOUND,
    GATEWAY_UNREACHABLE,
    RATE_LIMIT,
    SEVERAL_CHARGES,
    UNKNOWN_STATUS,
    AttemptDeclined,
    Conflict,
    Declined,
    InvalidPayment,
    Misconfigured,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    RequiresAction,
)
from payments.domain.money import Money
from payments.domain.refund_statuses import RefundStatus
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge, Listed, ListedCharge
from payments.ports.refund_gateway import GatewayRefund, RefundOrder

PAGE = 100
"""The number of charges on a page of the list."""
KEYS_KEPT_FOR = timedelta(hours=24)

_WAITING = ("requires_action", "requires_payment_method")
"""The statuses of an intent that can still be paid, and can be canceled."""

_COUNTED = (RefundStatus.PROCESSING, RefundStatus.REQUIRES_ACTION, RefundStatus.SUCCEEDED)
"""The statuses of a refund that the gateway counts as refunded."""
_OK = ""
_AUTHENTICATE = "authentication_required"
_BY_OUTCOME = {
    _OK: "visa visa_debit mastercard mastercard_debit amex discover jcb pendingRefund refundFail",
    _AUTHENTICATE: ("authenticationRequired authenticationRequiredOnSetup threeDSecureRequired threeDSecure2Required"),
    "generic_decline": "chargeDeclined visa_chargeDeclined chargeCustomerFail",
    "insufficient_funds": "chargeDeclinedInsufficientFunds visa_chargeDeclinedInsufficientFunds",
    "lost_card": "chargeDeclinedLostCard visa_chargeDeclinedLostCard",
    "stolen_card": "chargeDeclinedStolenCard visa_chargeDeclinedStolenCard",
    "fraudulent": "chargeDeclinedFraudulent",
    "card_velocity_exceeded": ("chargeDeclinedVelocityLimitExceeded visa_chargeDeclinedVelocityLimitExceeded"),
    "expired_card": "chargeDeclinedExpiredCard",
    "incorrect_cvc": "chargeDeclinedIncorrectCvc",
    "processing_error": "chargeDeclinedProcessingError",
}
TEST_PAYMENT_METHODS: dict[str, str] = {
    f"pm_card_{card}": outcome for outcome, cards in _BY_OUTCOME.items() for card in cards.split()
}
"""Stripe's test payment methods (docs.stripe.com/testing) and their decline codes. An empty code means charged."""


class FaultKind(StrEnum):
    """The kind of a fault."""

    NOT_SENT = "not_sent"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
    KEY_IN_USE = "key_in_use"
    SERVER_ERROR = "server_error"
    """Stored under the idempotency key. The charge is made if `executes`."""
    ANSWER_LOST = "answer_lost"
    """The charge is made if `executes`."""
    ALTERED = "altered"
    """The answer has another `money` or `status` than the charge."""


@dataclass(slots=True)
class Fault:
    """A fault for the next `times` calls for `payment_id` and of `call`. Empty values match all."""

    kind: FaultKind
    payment_id: str = ""
    call: Literal[
        "",
        "charge",
        "find",
        "charges_of",
        "listed",
        "ids_of",
        "cancel",
        "check_account",
        "create_refund",
        "refund",
        "refunds_of",
    ] = ""
    times: int = 1
    executes: bool = True
    retry_after_seconds: int = 1
    money: Money | None = None
    status: str = ""
    account_wide: bool = False
    """A 429 for all requests of the account."""


@dataclass(frozen=True, slots=True)
class Captured:
    """One captured charge, as the money invariants count it."""

    payment_id: str
    reference: str
    money: Money
    environment_id: str = ""


@dataclass(frozen=True, slots=True)
class _Intent:
    """One intent to charge, as the gateway stores it. `error` is the code of its last error, which every later update
    removes. `failure` is the code of its last failed charge, which stays."""

    reference: str
    payment_id: str
    money: Money
    status: str
    created_at: datetime
    error: str = ""
    failure: str = ""
    refunded: int = 0
    """Refunded minor units, also of refunds that the bank has not carried out yet."""
    card: str = ""
    environment_id: str = ""


@dataclass(frozen=True, slots=True)
class _Refund:
    """One refund, as the gateway stores it."""

    reference: str
    charge: str
    money: Money
    status: RefundStatus
    order: RefundOrder | None = None
    """None for one that was made by hand."""
    code: str = ""


@dataclass(slots=True)
class _Method:
    """A payment method with its own id. The name of a test card stands for a new one each time."""

    card: str
    customer: str
    """Empty if it is attached to none: then it pays once."""
    used_up: bool = False


@dataclass(frozen=True, slots=True)
class _Key:
    """An idempotency key: its first request, and the intent or the refusal that it answers with (None: a 500)."""

    request: ChargeRequest | RefundOrder
    first_used: datetime
    answer: _Intent | _Refund | InvalidPayment | None


class MemoryGateway:
    """PaymentGateway in memory. Safe for several threads."""

    name = "memory"

    def __init__(
        self,
        clock: Clock = utc_now,
        *,
        search_lag: timedelta = timedelta(0),
        tell: Callable[[str, str, str], None] = lambda *_: None,
        prefix: str = "mem_",
    ) -> None:
        """`search_lag` is how long a search does not find a new charge. `tell` receives each event for webhooks: its
        type, the payment id and the reference. References begin with `prefix`; ids like Stripe's, `pi_`, are stored
        clear, all others sealed."""
        self._clock = clock
        self._search_lag = search_lag
        self._tell = tell
        self._prefix = prefix
        self._numbers = count(1)
        self._refund_numbers = count(1)
        self._intents: list[_Intent] = []
        self._refunds: list[_Refund] = []
        self._keys: dict[str, _Key] = {}
        self._methods: dict[str, _Method] = {}
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    @property
    def captured(self) -> list[Captured]:
        """Every captured charge, oldest first."""
        with self._lock:
            return [
                Captured(intent.payment_id, intent.reference, intent.money, intent.environment_id)
                for intent in self._intents
                if intent.status == "succeeded"
            ]

    def fail(self, fault: Fault) -> None:
        """Add a fault that applies from now on."""
        with self._lock:
            self._faults.append(fault)

    def charge(self, request: ChargeRequest) -> GatewayCharge:
        """Charge a test payment method, once for each payment id within 24 hours. Raises the errors of the port."""
        check_chargeable(request)
        with self._lock:
            fault = self._strike("charge", request.payment_id)
            intent = self._once(request, fault, lambda: self._executed(request))
            return _reported(intent, fault)

    def find(self, payment_id: str, reference: str = "", *, environment_id: str = "") -> GatewayCharge | None:
        """The charge of the reference, else the one with our ids that the search finds, captured ones first."""
        with self._lock:
            fault = self._answers("find", payment_id)
            if reference:
                return _reported(self._intent(reference), fault)
            own = self._own(payment_id, environment_id)
            holding = [intent for intent in own if _holds_money(intent)]
            if len(holding) > 1:
                raise Conflict(
                    SEVERAL_CHARGES,
                    f"the gateway captured {len(holding)} charges under this payment id; refund all but one",
                    gateway_reference=holding[0].reference,
                )
            return _reported(min(own, key=lambda i: (i not in holding, _preference(i))), fault) if own else None

    def charges_of(self, payment_id: str, *, environment_id: str = "") -> tuple[ListedCharge, ...]:
        """The charges that the search finds with exactly our ids."""
        with self._lock:
            self._answers("charges_of", payment_id)
            return tuple(map(_listed, self._own(payment_id, environment_id)))

    def _own(self, payment_id: str, environment_id: str) -> list[_Intent]:
        return [intent for intent in self._searched(payment_id) if _is_of(payment_id, environment_id, intent)]

    def listed(self, since: datetime, until: datetime, after: str = "") -> Listed:
        """A page of the charges created in a time, in whole seconds as at Stripe, newest first."""
        with self._lock:
            self._answers("listed", "")
            begins, ends = since.replace(microsecond=0), until + timedelta(seconds=1)
            created = [intent for intent in reversed(self._intents) if begins <= intent.created_at < ends]
            start = next((place for place, intent in enumerate(created, 1) if intent.reference == after), 0)
            page = created[start : start + PAGE]
            return Listed(
                tuple(map(_listed, page)),
                oldest_at=page[-1].created_at if page else None,
                next_page=page[-1].reference if len(created) > start + PAGE else "",
            )

    def ids_of(self, reference: str) -> tuple[str, str]:
        """The payment id and the environment id of a charge."""
        with self._lock:
            intent = self._intent(reference)
            self._answers("ids_of", intent.payment_id)
            return intent.payment_id, intent.environment_id

    def cancel(self, reference: str) -> bool:
        """Cancel a charge that is neither captured nor ended. False if it is."""
        with self._lock:
            intent = self._intent(reference)
            fault = self._strike("cancel", intent.payment_id)
            broken = fault if fault and fault.kind in (FaultKind.SERVER_ERROR, FaultKind.ANSWER_LOST) else None
            waits = intent.status in _WAITING
            if waits and (broken is None or broken.executes):
                self._change(intent, status="canceled", event="payment_intent.canceled")
            if broken:
                raise _answered_500() if broken.kind is FaultKind.SERVER_ERROR else _no_answer()
            return waits

    def check_account(self) -> None:
        """Answer, unless a fault for no payment or for all payments prevents it."""
        with self._lock:
            self._answers("check_account", "")

    # Changes at the gateway without a call of ours -----------------------------------------------------------------

    def waiting(self, status: str) -> list[Captured]:
        """The charges in a status of the gateway, such as `requires_action` or `processing`."""
        with self._lock:
            return [Captured(i.payment_id, i.reference, i.money) for i in self._intents if i.status == status]

    def environment_of(self, reference: str) -> str:
        """The environment id of a charge. Takes no lock: the gateway calls back while it holds the lock."""
        return self._intent(reference).environment_id

    def finish(self, reference: str, *, well: bool) -> None:
        """The customer authenticates or a charge settles, successfully or not. No effect on a charge that has ended."""
        with self._lock:
            intent = self._intent(reference)
            if intent.status not in ("requires_action", "processing") and not _is_absent(intent):
                return
            if well:
                self._change(intent, status="succeeded", event="payment_intent.succeeded")
            elif intent.status == "processing":
                self._fail(intent, error="generic_decline", failure="generic_decline")
            else:
                self._fail(intent, error="payment_intent_authentication_failure")

    def pay_again(self, reference: str) -> bool:
        """The customer pays a charge with another card. False if it does not wait for a payment."""
        with self._lock:
            intent = self._intent(reference)
            if intent.status not in _WAITING:
                return False
            self._change(intent, status="succeeded", event="payment_intent.succeeded")
            return True

    def update(self, reference: str) -> None:
        """Update something else of the intent, such as its description. This removes its last error."""
        with self._lock:
            intent = self._intent(reference)
            self._intents[self._intents.index(intent)] = replace(intent, error="")

    def _fail(self, intent: _Intent, **codes: str) -> None:
        self._change(intent, status="requires_payment_method", **codes, event="payment_intent.payment_failed")

    def refund(self, reference: str, minor_units: int) -> bool:
        """Refund money, as a user of the gateway's dashboard may do. False if it is more than the rest."""
        with self._lock:
            intent = self._intent(reference)
            if intent.status != "succeeded" or intent.refunded + minor_units > intent.money.minor_units:
                return False
            money = Money(minor_units, intent.money.currency)
            self._refunds.append(_Refund(self._refund_reference(), reference, money, RefundStatus.SUCCEEDED))
            self._change(intent, refunded=intent.refunded + minor_units, event="charge.refunded")
            return True

    def attach(self, payment_method: str, customer: str, card: str = "pm_card_visa") -> None:
        """Add a payment method of a test card, attached to a customer of the gateway, or with "" to none."""
        with self._lock:
            self._methods[payment_method] = _Method(card, customer)

    def detach(self, payment_method: str) -> None:
        """Detach a payment method from its customer. It cannot be used again."""
        with self._lock:
            self._methods[payment_method] = replace(self._methods[payment_method], customer="", used_up=True)

    def fail_refund(self, reference: str, minor_units: int) -> bool:
        """A refund that succeeded fails, and the money is back. False if less than that is refunded."""
        with self._lock:
            intent = self._intent(reference)
            if intent.refunded < minor_units:
                return False
            of_charge = [refund for refund in reversed(self._refunds) if refund.charge == reference]
            same = (r for r in of_charge if r.status in _COUNTED and r.money.minor_units == minor_units)
            if failed := next(same, None):
                self._refunds[self._refunds.index(failed)] = replace(
                    failed, status=RefundStatus.FAILED, code="declined"
                )
            self._change(intent, refunded=intent.refunded - minor_units, event="refund.failed")
            return True

    # Refunds of ours -------------------------------------------------------------------------------------------------

    def create_refund(self, order: RefundOrder) -> GatewayRefund:
        """Refund once for each key within 24 hours. Raises the errors of the port."""
        with self._lock:
            fault = self._strike("create_refund", order.payment_id)
            refund = self._once(order, fault, lambda: self._refunded(order))
            return self._shown(refund)  # as it was at first, as at Stripe

    def refund_of(self, reference: str) -> GatewayRefund:
        """The refund with this reference, for `MemoryRefunds`."""
        with self._lock:
            found = next((refund for refund in self._refunds if refund.reference == reference), None)
            self._answers("refund", self._intent(found.charge).payment_id if found else "")
            if found is None:
                raise OutcomeUnknown("refund_not_found", "the gateway does not know the refund under our key")
            return self._shown(found)

    def refunds_of(self, charge: str) -> tuple[GatewayRefund, ...]:
        """All refunds of a charge, newest first."""
        with self._lock:
            self._answers("refunds_of", self._intent(charge).payment_id)
            return tuple(self._shown(refund) for refund in reversed(self._refunds) if refund.charge == charge)

    def end_refund(self, reference: str, status: RefundStatus, code: str = "") -> bool:
        """The bank carries out a refund, or cannot: then the money is back, also after a success. False if it ended."""
        with self._lock:
            refund = next(refund for refund in self._refunds if refund.reference == reference)
            if refund.status not in _COUNTED or refund.status is status:
                return False
            self._refunds[self._refunds.index(refund)] = replace(refund, status=status, code=code)
            intent = self._intent(refund.charge)
            back = 0 if status in _COUNTED else refund.money.minor_units
            event = "refund.failed" if status is RefundStatus.FAILED else "refund.updated"
            self._change(intent, refunded=intent.refunded - back, event=event)
            return True

    @property
    def refunds(self) -> list[GatewayRefund]:
        """Every refund, oldest first. Takes no lock."""
        return [self._shown(refund) for refund in self._refunds]

    def _refunded(self, order: RefundOrder) -> "_Refund | InvalidPayment":
        intent = self._intent(order.charge)
        left = intent.money.minor_units - intent.refunded
        if not left:
            return InvalidPayment("refunded_already", "the payment is refunded already")
        if intent.status != "succeeded" or order.money.minor_units > left:
            return InvalidPayment("more_than_left", "the amount is more than what is left of the payment")
        status = RefundStatus.PROCESSING if intent.card == "pm_card_pendingRefund" else RefundStatus.SUCCEEDED
        refund = _Refund(self._refund_reference(), order.charge, order.money, status, order)
        self._refunds.append(refund)
        self._change(intent, refunded=intent.refunded + order.money.minor_units, event="charge.refunded")
        return refund

    def _refund_reference(self) -> str:
        return f"re_{next(self._refund_numbers)}"

    def _shown(self, refund: _Refund) -> GatewayRefund:
        order = refund.order
        return GatewayRefund(
            refund.reference,
            refund.status,
            refund.money,
            self._intent(refund.charge).refunded,
            refund_id=order.refund_id if order else "",
            environment_id=order.environment_id if order else "",
            reason=order.reason if order else "",
            code=refund.code,
        )

    def _searched(self, payment_id: str) -> list[_Intent]:
        """What the gateway's search returns: it ignores case, and shows an intent only after its lag."""
        shown = self._clock() - self._search_lag
        wanted = payment_id.casefold()
        return [i for i in self._intents if i.payment_id.casefold() == wanted and i.created_at <= shown]

    def _intent(self, reference: str) -> _Intent:
        found = next((intent for intent in self._intents if intent.reference == reference), None)
        if found is None:
            raise OutcomeUnknown(CHARGE_NOT_FOUND, "the gateway does not know the charge under our key")
        return found

    def _change(self, intent: _Intent, *, event: str, **changes: Any) -> None:
        changed = replace(intent, **{"error": "", **changes})
        self._intents[self._intents.index(intent)] = changed  # a key still answers with the old one, as at Stripe
        self._tell(event, intent.payment_id, intent.reference)

    def _answers(self, call: str, payment_id: str) -> Fault | None:
        """The fault of a question that gets an answer. Raises the errors of all others."""
        fault = self._strike(call, payment_id)
        if fault and fault.kind is FaultKind.SERVER_ERROR:
            raise _answered_500()
        if fault and fault.kind is FaultKind.ANSWER_LOST:
            raise _no_answer()
        return fault

    def _strike(self, call: str, payment_id: str) -> Fault | None:
        """The oldest fault for this call, counted down. Raises the error of faults that prevent the call."""
        fault = next((f for f in self._faults if f.payment_id in ("", payment_id) and f.call in ("", call)), None)
        if fault is None:
            return None
        fault.times -= 1
        self._faults = [fault for fault in self._faults if fault.times > 0]
        match fault.kind:
            case FaultKind.NOT_SENT:
                raise NotSent(GATEWAY_UNREACHABLE, "no connection to the gateway could be made")
            case FaultKind.UNAUTHORIZED:
                raise Misconfigured("gateway_key_refused", "the gateway refuses our key")
            case FaultKind.RATE_LIMITED:
                raise RateLimited(
                    RATE_LIMIT if fault.account_wide else "lock_timeout",
                    "the gateway asked us to slow down",
                    retry_after_seconds=fault.retry_after_seconds,
                    outage=fault.account_wide,
                )
            case FaultKind.KEY_IN_USE:
                raise OutcomeUnknown("idempotency_key_in_use", "another request for this payment is running")
        return fault

    def _once[Made: (_Intent, _Refund)](
        self, request: ChargeRequest | RefundOrder, fault: Fault | None, execute: Callable[[], Made | InvalidPayment]
    ) -> Made:
        """Execute the request, or return the stored answer of its idempotency key."""
        key = self._keys.get(request.key)
        if key is None or self._clock() - key.first_used >= KEYS_KEPT_FOR:
            key = self._first(request, fault, execute)
        elif key.request != request:
            raise Conflict("idempotency_error", "the gateway has this id with other content")
        if fault and fault.kind is FaultKind.ANSWER_LOST:
            raise _no_answer()
        if key.answer is None:
            raise _answered_500()
        if isinstance(key.answer, InvalidPayment):
            raise key.answer
        made: Any = key.answer
        return made  # type: ignore[no-any-return]

    def _card(self, request: ChargeRequest) -> str | InvalidPayment:
        """The test card of the payment method. A card without a customer is used up, also by a declined charge."""
        method = self._methods.get(request.payment_method)
        if method is None:
            return request.payment_method
        if method.customer and method.customer != request.customer:
            code = "payment_method_refused" if request.customer else "customer_mismatch"
            return InvalidPayment(code, "the payment method belongs to another customer")
        if method.used_up:
            return InvalidPayment("request_refused", "the payment method cannot be used again")
        method.used_up = not method.customer
        return method.card

    def _first(self, request: ChargeRequest | RefundOrder, fault: Fault | None, execute: Callable[[], Any]) -> _Key:
        """Execute the first request of a key, and store its answer."""
        kind = fault.kind if fault else None
        executes = fault is None or fault.executes
        if kind is FaultKind.ANSWER_LOST and not executes:
            raise _no_answer()
        answer = execute() if executes else None
        key = _Key(request, self._clock(), None if kind is FaultKind.SERVER_ERROR else answer)
        self._keys[request.key] = key
        return key

    def _executed(self, request: ChargeRequest) -> _Intent | InvalidPayment:
        """The new intent, or a refusal that the key keeps, as the execution had begun. Raises other refusals."""
        if refusal(request.money, settlement_currencies=CURRENCIES):  # no charge of the fakes is converted
            raise InvalidPayment("amount_too_small", limit("amount_too_small", request.money.currency))
        card = self._card(request)
        if isinstance(card, InvalidPayment):
            return card
        code = TEST_PAYMENT_METHODS.get(card)
        if code is None:
            raise Declined("invalid_payment_method", "the gateway does not know the payment method")
        status = {_OK: "succeeded", _AUTHENTICATE: "requires_action"}.get(code, "requires_payment_method")
        if "settles_later" in request.metadata and status == "succeeded":
            status = "processing"
        if request.off_session and status == "requires_action":
            status = "requires_payment_method"  # the card is taken off; its customer may confirm it again
        reference = f"{self._prefix}{next(self._numbers)}"
        failure = code if status == "requires_payment_method" else ""
        intent = _Intent(
            reference,
            request.payment_id,
            request.money,
            status,
            self._clock(),
            error=failure,
            failure="" if failure == _AUTHENTICATE else failure,
            environment_id=request.environment_id,
            card=card,
        )
        self._intents.append(intent)
        event = {"succeeded": "succeeded", "requires_payment_method": "payment_failed"}.get(status, status)
        self._tell(f"payment_intent.{event}", request.payment_id, reference)
        return intent


def _is_of(payment_id: str, environment_id: str, intent: _Intent) -> bool:
    """True if the intent carries exactly these ids."""
    return (intent.payment_id, intent.environment_id) == (payment_id, environment_id)


def _is_absent(intent: _Intent) -> bool:
    """True if the customer was absent and can still authenticate."""
    return (intent.status, intent.error) == ("requires_payment_method", _AUTHENTICATE)


def _must_authenticate(intent: _Intent) -> RequiresAction:
    why = "the customer must authenticate the payment"
    return RequiresAction(_AUTHENTICATE, why, gateway_reference=intent.reference)


def _holds_money(intent: _Intent) -> bool:
    """True for a captured charge that is not fully refunded."""
    return intent.status == "succeeded" and intent.refunded < intent.money.minor_units


def _listed(intent: _Intent) -> ListedCharge:
    return ListedCharge(
        intent.reference,
        intent.payment_id,
        intent.environment_id,
        intent.created_at,
        captured=intent.status == "succeeded",
        may_capture=intent.status != "canceled",
        money=intent.money,
    )


def _preference(intent: _Intent) -> bool:
    return intent.status != "succeeded"


def _no_answer() -> OutcomeUnknown:
    return OutcomeUnknown("no_answer", "the request may have reached the gateway, but no answer arrived", outage=True)


def _answered_500() -> OutcomeUnknown:
    return OutcomeUnknown("gateway_error", "the gateway answered 500", outage=True)


def _reported(intent: _Intent, fault: Fault | None) -> GatewayCharge:
    """The charge in an intent, altered by `fault`."""
    altered = fault if fault and fault.kind is FaultKind.ALTERED else None
    money = (altered and altered.money) or intent.money
    code = intent.error or intent.failure
    match (altered and altered.status) or intent.status:
        case "succeeded" if intent.refunded:
            whole = intent.refunded == intent.money.minor_units
            status = Status.REFUNDED if whole else Status.PARTIALLY_REFUNDED
            return GatewayCharge(intent.reference, status, money, intent.refunded)
        case "succeeded":
            return GatewayCharge(intent.reference, Status.SUCCEEDED, money)
        case "processing":
            return GatewayCharge(intent.reference, Status.PROCESSING, money)
        case "requires_payment_method" if code not in ("", _AUTHENTICATE):
            raise AttemptDeclined(code, "the card was declined", gateway_reference=intent.reference)
        case "requires_action" | "requires_payment_method":
            raise _must_authenticate(intent)
        case "canceled":
            raise Declined(code or "canceled", "the payment was canceled", gateway_reference=intent.reference)
        case other:
            raise OutcomeUnknown(
                UNKNOWN_STATUS, f"the gateway reports the status {other}", gateway_reference=intent.reference
            )
