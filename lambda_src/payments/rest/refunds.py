"""Refunds over REST: request one, approve or reject it, read it, and list those of a payment or of a day."""

import re
from datetime import date
from typing import Any

from payments.application.decide_refund import Decision, NotAnotherPerson, NotDecided, decide
from payments.application.request_refund import OtherRefund, opened_metadata
from payments.domain.identity import Role, actor_of
from payments.domain.money import shown
from payments.domain.ownership import submitted
from payments.domain.payment import FieldError, InvalidRequest
from payments.domain.refund import REFUND_ID, Refund, parse_refund_request
from payments.domain.refund_statuses import RefundStatus
from payments.domain.refundable import NotRefundable
from payments.ports.payment_store import VersionConflict
from payments.ports.refund_store import RefundNotStored
from payments.rest.denied_access import record_denied
from payments.rest.http import Problem, answer
from payments.rest.list_query import DEFAULT_LIMIT, MAX_LIMIT, refused
from payments.rest.payments import require_visible
from payments.rest.request import Request
from payments.rest.services import Services
from payments.rest.views import link_to_refund, refund_view

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_PARAMETERS = ("status", "day", "limit", "cursor")
_CURSOR = re.compile(r"[0-9T:.Z-]{24} [A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)


def create_refund(request: Request, services: Services) -> dict[str, Any]:
    """POST /payments/{payment_id}/refunds: by an admin, or the merchant that submitted the payment."""
    caller = request.caller
    payment, _ = require_visible(request, services, others=caller.has(Role.ADMIN))
    try:
        asked = parse_refund_request(request.json(), payment_id=payment.payment_id, currency=payment.money.currency)
    except InvalidRequest as wrong:
        raise _invalid(wrong.errors) from None
    if why := services.ids.refuses_refund(asked.refund_id, caller):
        known = services.refunds.refunds.get(asked.refund_id)
        if known is None or known.payment_id != payment.payment_id:
            raise _invalid([FieldError("refund_id", f"{why}; use another id")])
    try:
        accepted = services.refunds.request(
            asked,
            by=actor_of(caller),
            at=request.at,
            requested_by=caller.subject,
            correlation_id=request.request_id,
        )
    except OtherRefund:
        detail = f"refund_id {asked.refund_id} belongs to a refund with other content; nothing was changed"
        raise Problem(409, "conflict", f"{detail}. Send a new refund under a new refund_id.") from None
    except NotRefundable as not_now:
        raise Problem(409, "conflict", f"{not_now}. Nothing was stored.") from None
    except VersionConflict:
        detail = "the payment changed several times meanwhile, and nothing was stored; send the same request again"
        raise Problem(503, "unavailable", detail, retry_after_seconds=1) from None
    headers = {"Location": link_to_refund(asked.refund_id)}
    if accepted.replayed:
        headers["Idempotent-Replayed"] = "true"
    return answer(202, _shown(accepted.refund, services), headers)


def list_payment_refunds(request: Request, services: Services) -> dict[str, Any]:
    """GET /payments/{payment_id}/refunds."""
    payment, _ = require_visible(request, services, others=request.caller.sees_all)
    found = services.refunds.refunds.of_payment(payment.payment_id)
    return answer(200, {"refunds": [_shown(refund, services) for refund in found]})


def get_refund(request: Request, services: Services) -> dict[str, Any]:
    """GET /refunds/{refund_id}: by staff, or the merchant that submitted the payment."""
    refund_id = request.path["refund_id"]
    well_formed = REFUND_ID.fullmatch(refund_id)
    refund = services.refunds.refunds.get(refund_id) if well_formed else None
    if refund is not None and not request.caller.sees_all:
        payment = services.payments.get(refund.payment_id)
        if payment is None or not submitted(request.caller, payment):
            record_denied(services.access_log, request, "refund", refund_id)
            refund = None
    if refund is None:
        if well_formed and not request.caller.sees_all:
            services.limiter.count_missing(request)
        raise _not_found()
    return answer(200, _shown(refund, services))


def approve_refund(request: Request, services: Services) -> dict[str, Any]:
    """POST /refunds/{refund_id}/approve: by an admin, but not by the caller who requested it."""
    return _decided(request, services, Decision.APPROVED)


def reject_refund(request: Request, services: Services) -> dict[str, Any]:
    """POST /refunds/{refund_id}/reject: by an admin, but not by the caller who requested it."""
    return _decided(request, services, Decision.REJECTED)


def _decided(request: Request, services: Services, decision: Decision) -> dict[str, Any]:
    refund_id, requests = request.path["refund_id"], services.refunds
    if not REFUND_ID.fullmatch(refund_id):
        raise _not_found()
    try:
        decided = decide(
            refund_id,
            decision,
            subject=request.caller.subject,
            by=actor_of(request.caller),
            payments=requests.payments,
            refunds=requests.refunds,
            workflow=requests.workflow,
            at=request.at,
        )
    except RefundNotStored:
        raise _not_found() from None
    except NotAnotherPerson as same:
        record_denied(services.access_log, request, "refund", refund_id)
        raise Problem(403, "forbidden", f"{same}. Nothing was changed.") from None
    except NotDecided as not_now:
        raise Problem(409, "conflict", f"{not_now}. Nothing was changed.") from None
    except VersionConflict:
        detail = "the payment changed several times meanwhile, and nothing was changed; send the same request again"
        raise Problem(503, "unavailable", detail, retry_after_seconds=1) from None
    headers = {"Idempotent-Replayed": "true"} if decided.replayed else {}
    return answer(200, _shown(decided.refund, services), headers)


def list_refunds(request: Request, services: Services) -> dict[str, Any]:
    """GET /refunds: those that came to a status on a day, newest first."""
    query, errors = request.query, []
    for name in query:
        if name not in _PARAMETERS:
            allowed = ", ".join(_PARAMETERS)
            errors.append(FieldError("parameter", f"unknown parameter {shown(name)}; allowed: {allowed}"))
    status, day = query.get("status", ""), query.get("day", request.at.date().isoformat())
    if status not in tuple(RefundStatus):
        errors.append(FieldError("status", f"{shown(status)} given; allowed are {', '.join(RefundStatus)}"))
    if not _is_day(day):
        errors.append(FieldError("day", f"{shown(day)} given; give a date in UTC such as 2026-11-21"))
    limit, cursor = query.get("limit", str(DEFAULT_LIMIT)), query.get("cursor", "").replace("~", " ")
    if not re.fullmatch("[0-9]{1,3}", limit, re.ASCII) or not 1 <= int(limit) <= MAX_LIMIT:
        errors.append(FieldError("limit", f"{shown(limit)} given; give a whole number from 1 to {MAX_LIMIT}"))
    if cursor and not _CURSOR.fullmatch(cursor):
        errors.append(FieldError("cursor", f"{shown(cursor)} given; give the next_cursor of the previous page"))
    if errors:
        raise refused(errors)
    page = services.refunds.refunds.of_day(RefundStatus(status), day, int(limit), cursor)
    body: dict[str, Any] = {"refunds": [_shown(refund, services) for refund in page.refunds]}
    return answer(200, body | ({"next_cursor": page.next_after.replace(" ", "~")} if page.next_after else {}))


def _is_day(text: str) -> bool:
    if not _DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _not_found() -> Problem:
    return Problem(404, "not-found", "no refund has this refund_id; check it, or list the refunds of its payment")


def _shown(refund: Refund, services: Services) -> dict[str, Any]:
    return refund_view(refund, opened_metadata(refund, services.encryptor))


def _invalid(errors: list[FieldError]) -> Problem:
    detail = "some fields are invalid, nothing was stored; correct them and send the refund again"
    return Problem(400, "invalid-request", detail, errors)
