"""Payments over REST: submit a payment, read its status, and cancel it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from payments.application.accept import OtherPayment, accept
from payments.application.backlog import BacklogFull
from payments.application.cancel import NotPending, cancel
from payments.application.outage_limit import OutageFull
from payments.application.sealed_payments import opened
from payments.application.velocity import Buyer
from payments.domain.client_address import client_address
from payments.domain.clock import parse_iso
from payments.domain.customer import Customer
from payments.domain.errors import PaymentError
from payments.domain.fraud_hold import as_payers_see_it
from payments.domain.identity import Caller, Role, actor_of, submitter_of
from payments.domain.ownership import may_repeat, owns, submitted
from payments.domain.payment import PAYMENT_ID, FieldError, InvalidRequest, Payment, PaymentRequest, parse_request
from payments.domain.statuses import Status
from payments.observability.logs import logger
from payments.rest.access import ALLOWED
from payments.rest.denied_access import record_denied
from payments.rest.gateway import RETRY_AFTER_SECONDS
from payments.rest.http import Problem, answer
from payments.rest.owners import find_customer
from payments.rest.rate_limits import TooMany
from payments.rest.request import Request
from payments.rest.services import Services
from payments.rest.views import accepted_view, link_to, next_action_view, payment_view, waiting_view

NEW_FOR = timedelta(days=1)
"""How long after a customer's last change its default payment method counts as a new card, which may be stolen."""


def create_payment(request: Request, services: Services) -> dict[str, Any]:
    """POST /payments."""
    try:
        asked = parse_request(request.json())
    except InvalidRequest as refused:
        raise _invalid(refused.errors) from None
    require_free_ids(request, services, asked)
    customer = require_payable_customer(request, services, asked)
    return submit(request, services, asked, customer)


def get_payment(request: Request, services: Services) -> dict[str, Any]:
    """GET /payments/{payment_id}."""
    payment, takes_part = require_visible(request, services, others=request.caller.sees_all)
    payment = opened(payment, services.encryptor)
    view = payment_view(payment, to_payer=_is_payer(request))
    if takes_part and payment.status is Status.REQUIRES_ACTION and payment.gateway_reference:
        return _with_next_action(services, payment, view)
    return answer(200, view | waiting_view(services.hold.waiting(payment)))


def cancel_payment(request: Request, services: Services) -> dict[str, Any]:
    """POST /payments/{payment_id}/cancel: by its submitter, the customer that owns it, or an admin."""
    caller = request.caller
    payment, _ = require_visible(request, services, others=caller.has(Role.ADMIN))
    try:
        payment, repeated = cancel(
            payment.payment_id,
            by=actor_of(caller),
            store=services.payments,
            workflow=services.workflow,
            clock=lambda: request.at,
        )
    except NotPending as refused:
        raise _not_cancelable(shown_to(request, refused.payment)) from None
    headers = {"Idempotent-Replayed": "true"} if repeated else {}
    return answer(200, payment_view(opened(payment, services.encryptor), to_payer=_is_payer(request)), headers)


def _is_payer(request: Request) -> bool:
    return request.caller.roles <= {Role.CUSTOMER}


def shown_to(request: Request, payment: Payment) -> Payment:
    """The payment as the caller may see it: a payer sees nothing of a fraud rule."""
    return as_payers_see_it(payment) if _is_payer(request) else payment


def require_visible(request: Request, services: Services, *, others: bool) -> tuple[Payment, bool]:
    """The payment that the path names, and whether the caller takes part in it. `others` are payments of other callers.

    Raises Problem 404 with the same text if it is unknown or must not be seen; the latter is audited.
    """
    payment_id = request.path["payment_id"]
    well_formed = PAYMENT_ID.fullmatch(payment_id)
    payment = services.payments.get(payment_id) if well_formed else None
    takes_part = payment is not None and _takes_part(request, services, payment)
    if payment is None and well_formed and not others:  # the same work as for another's payment
        if request.caller.has(Role.CUSTOMER):
            find_customer(services, payment_id)
        services.limiter.count_missing(request)
    if payment is not None and not (takes_part or others):
        record_denied(services.access_log, request, "payment", payment_id)
        payment = None
    if payment is None:
        raise Problem(404, "not-found", "no payment has this payment_id; check it, or submit it with POST /payments")
    return payment, takes_part


def _not_cancelable(payment: Payment) -> Problem:
    """Why a payment cannot be canceled, with its status and what to do."""
    what = {
        Status.IN_REVIEW: "it is held for an operator, who decides on it",
        Status.FAILED: "it ended without a charge",
        Status.DECLINED: "it ended without a charge",
        Status.REJECTED: "it ended without a charge",
    }.get(payment.status, "it was sent to the gateway; once it succeeded, refund it there")
    return Problem(
        409,
        "conflict",
        f"payment_id {payment.payment_id} is {payment.status}, and only a pending payment can be canceled: {what}. "
        "Nothing was changed.",
    )


def _with_next_action(services: Services, payment: Payment, view: dict[str, Any]) -> dict[str, Any]:
    """The payment with what its customer must do. If the gateway was not asked or did not answer, the payment without
    it and a Retry-After: an error there must not hide the payment."""
    try:
        action = services.next_actions.next_action(payment.gateway_reference)
    except PaymentError as error:
        logger().warning("next action not read", payment_id=payment.payment_id, code=error.code)
        retry_after_seconds = error.retry_after_seconds or RETRY_AFTER_SECONDS
    except Exception:  # noqa: BLE001 - for example the store of the gateway's key does not answer
        logger().exception("next action not read", payment_id=payment.payment_id)
        retry_after_seconds = RETRY_AFTER_SECONDS
    else:
        return answer(200, view | ({"next_action": next_action_view(action)} if action else {}))
    return answer(200, view, {"Retry-After": str(retry_after_seconds)})


def submit(request: Request, services: Services, asked: PaymentRequest, customer: Customer | None) -> dict[str, Any]:
    """Accept a validated payment and answer 202. `customer` is the stored customer that it names, or None.

    Raises Problem 409 if its id is taken, 429, and 503 if too many wait in an outage of the gateway.
    """
    refuse_if_too_many_wait(asked.payment_id, services)  # first: a refused payment must not count as its source's card
    if asked.customer_id:
        services.limiter.check_customer(asked.customer_id, request.at)
    asked = replace(asked, client_ip=_buyers_address(request, asked))
    counted = services.velocity.count(
        asked.money, _new_card(request, asked, customer), _buyer(request, asked), at=request.at
    )
    if customer and customer.erased_at:  # no address of theirs is stored again
        asked, counted = replace(asked, client_ip=""), counted._replace(counters="")
    try:
        acceptance = accept(
            asked,
            store=services.payments,
            workflow=services.workflow,
            at=request.at,
            correlation_id=request.request_id,
            submitted_by=request.caller.subject,
            counted=counted,
            metadata_hash=services.searchable.hash_of(asked.metadata),
            actor=submitter_of(request.caller),
            held=services.hold.batch_holds,
        )
    except OtherPayment:
        raise _taken(asked.payment_id) from None
    if not may_repeat(request.caller, acceptance.payment):
        raise _taken(asked.payment_id)
    headers = {"Location": link_to(asked.payment_id)}
    if acceptance.replayed:
        headers["Idempotent-Replayed"] = "true"
    return answer(202, accepted_view(acceptance.payment), headers)


def require_free_ids(request: Request, services: Services, asked: PaymentRequest) -> None:
    """Raise Problem 400 for ids that are reserved for others, and 409 for the id of another payment's retry."""
    caller, rules = request.caller, services.ids
    refused = {
        "payment_id": rules.refuses_payment(asked.payment_id, caller),
        "customer_id": rules.refuses_customer(asked.customer_id, caller) if asked.customer_id else "",
    }
    if errors := [FieldError(name, f"{why}; use another id") for name, why in refused.items() if why]:
        raise _invalid(errors)
    if rules.is_retry_of_another(asked.payment_id, caller):
        raise _taken(asked.payment_id)


def refuse_if_too_many_wait(payment_id: str, services: Services) -> None:
    """Raise Problem 429 if a new payment would wait too long for its slot, and 503 if too many wait in an outage."""
    try:
        services.backlog.check(payment_id, services.payments)
        services.outage.check(payment_id, services.payments)
    except BacklogFull as full:
        raise TooMany("for the rate of the payment gateway, nothing was stored", full.retry_after_seconds) from None
    except OutageFull as full:
        raise Problem(
            503,
            "unavailable",
            "the payment gateway is out of reach, and too many payments wait for it already; nothing was stored. "
            "Send the same request again later",
            retry_after_seconds=full.retry_after_seconds,
        ) from None


def require_payable_customer(request: Request, services: Services, asked: PaymentRequest) -> Customer | None:
    """The stored customer that the payment names, or None. A payment may name a customer that is not stored; it is then
    charged on its own payment method or the environment's.

    Raises Problem 404 for another caller's customer, whose default payment method must not be used.
    """
    customer = find_customer(services, asked.customer_id) if asked.customer_id else None
    if customer is not None and not customer.erased_at and not owns(request.caller, customer):
        if _is_known(request.caller, services.payments.get(asked.payment_id), asked):
            return None  # accepted before another caller created the customer: after a 404 its client would pay again
        raise not_yours(request, services, asked.customer_id)
    return customer


def not_yours(request: Request, services: Services, customer_id: str) -> Problem:
    """The problem of a payment that names another caller's customer, which is audited."""
    record_denied(services.access_log, request, "customer", customer_id)
    return Problem(404, "not-found", "you have no customer with this customer_id; check it, or leave it out")


def _is_merchant(request: Request) -> bool:
    """Whether the call comes from a merchant's server, or an operator's machine. Otherwise the buyer makes it."""
    return not _is_payer(request)


def _buyers_address(request: Request, asked: PaymentRequest) -> str:
    """The address of the buyer's device, or "": as the merchant gives it, or where the buyer's own call comes from.

    A merchant's own address is no buyer's. Raises Problem 400 if a buyer gives one: it could be any.
    """
    if _is_merchant(request):
        return "" if asked.client_ip == client_address(request.ip) else asked.client_ip
    if asked.client_ip:
        error = FieldError("client_ip", "only a merchant may give the address of a buyer; leave it out")
        raise Problem(400, "invalid-request", "some fields are invalid, nothing was stored; correct them", [error])
    return client_address(request.ip)


def _buyer(request: Request, asked: PaymentRequest) -> Buyer:
    subject = request.caller.subject
    if _is_merchant(request):
        return Buyer(asked.client_ip, asked.customer_id, subject)
    return Buyer(asked.client_ip, f"caller {subject}")  # it could name another customer in each payment


def _new_card(request: Request, asked: PaymentRequest, customer: Customer | None) -> str:
    """A text that identifies the payment's card, if this may be the first payment with it; else "".

    A payment that a merchant sends in the absence of its buyer is on a card that the merchant stored before.
    """
    if asked.off_session and _is_merchant(request):
        return ""
    return asked.payment_method or asked.token_id or _new_on_file(customer, request.at)


def _new_on_file(customer: Customer | None, at: datetime) -> str:
    """The customer's default payment method, encrypted, while it is new enough to be a card on trial; else ""."""
    if customer is None or not customer.updated_at or at - parse_iso(customer.updated_at) >= NEW_FOR:
        return ""
    return customer.default_payment_method


def _takes_part(request: Request, services: Services, payment: Payment) -> bool:
    """True for the payment's submitter and for the customer that owns it."""
    caller = request.caller
    if not caller.subject:  # a payment without submitter or owner matches no caller, even one with an empty subject
        return False
    if submitted(caller, payment) and not caller.roles.isdisjoint(ALLOWED["create_payment"]):
        return True
    customer = find_customer(services, payment.customer_id) if caller.has(Role.CUSTOMER) else None
    return customer is not None and customer.subject == caller.subject


def _is_known(caller: Caller, payment: Payment | None, asked: PaymentRequest) -> bool:
    return payment is not None and (payment.submitted_by, payment.fingerprint) == (caller.subject, asked.fingerprint)


def _invalid(errors: list[FieldError]) -> Problem:
    return Problem(
        400,
        "invalid-request",
        "some fields are invalid, nothing was stored; correct them and send the payment again",
        errors,
    )


def _taken(payment_id: str) -> Problem:
    """The problem does not describe the existing payment: it may be another caller's."""
    return Problem(
        409,
        "conflict",
        f"payment_id {payment_id} belongs to a payment with other content; nothing was changed. "
        "Send a new payment under a new payment_id or Idempotency-Key.",
    )
