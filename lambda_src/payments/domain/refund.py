"""A refund: the client's request, the stored row, and the functions that change a row and its payment together."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from payments.domain.card_data import card_data_in
from payments.domain.clock import iso
from payments.domain.money import InvalidMoney, Money, shown
from payments.domain.payment import (
    CONTROL,
    MAX_DESCRIPTION,
    MAX_MESSAGE,
    NO_CARD_DATA,
    PAYMENT_ID,
    FieldError,
    InvalidRequest,
    Payment,
    noted,
    parse_metadata,
    unread_fields,
)
from payments.domain.refund_statuses import NOT_REFUNDED, RefundStatus, may_move_refund
from payments.domain.sealed_text import is_sealed
from payments.domain.statuses import CAPTURED, Status
from payments.domain.token import TOKEN

REFUND_ID = PAYMENT_ID
"""Also the execution's name and a part of the gateway's idempotency key."""
MADE_AT_THE_GATEWAY = ("re_", "pyr_")
"""What the ids of refunds begin with that were made at the gateway by hand: they are its own ids."""
REFUND_FIELDS = ("refund_id", "amount", "reason", "description", "metadata")
REFUND_KEY = "refund_id"
"""The key of our refund id in the metadata of a refund at the gateway."""
BY_HAND = "gateway"
"""The source and the actor of refunds that were made at the gateway by hand."""
_DESCRIPTION = re.compile(f"[^{CONTROL}]{{1,{MAX_DESCRIPTION}}}")
_HELD = frozenset({RefundStatus.PENDING_APPROVAL, RefundStatus.PENDING, RefundStatus.PROCESSING})


class RefundReason(StrEnum):
    """Why a client refunds. The gateway blocks the card and the e-mail address of a `fraudulent` payment."""

    DUPLICATE = "duplicate"
    FRAUDULENT = "fraudulent"
    REQUESTED_BY_CUSTOMER = "requested_by_customer"


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """A client's request, validated. `money` is None for all that is left; the other fields may be empty."""

    refund_id: str
    payment_id: str
    money: Money | None = None
    reason: str = ""
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the content. The same refund_id with another fingerprint is another refund (409)."""
        content = {
            "refund_id": self.refund_id,
            "payment_id": self.payment_id,
            "minor_units": self.money and self.money.minor_units,
            "reason": self.reason,
            "description": self.description,
            "metadata": dict(self.metadata),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def parse_refund_request(body: Mapping[str, Any], *, payment_id: str, currency: str) -> RefundRequest:
    """Validate a request for a refund of a payment in `currency` (the amount as text, int or Decimal).

    Raises InvalidRequest naming all rejected fields.
    """
    errors: list[FieldError] = []

    def refuse(name: str, message: str) -> None:
        errors.append(FieldError(name, message))

    clean: dict[str, Any] = {}
    unread = unread_fields(body)
    for name, value in body.items():
        known = name in REFUND_FIELDS
        named = name if known else "field"
        if long := unread.get(name):
            refuse(named, long)
        elif looks := card_data_in(value if known else {name: value}):
            refuse(named, f"it looks like {looks}; {NO_CARD_DATA}")
        elif known:
            clean[name] = value
        else:
            refuse(named, f"unknown field {shown(name)}; allowed are {', '.join(REFUND_FIELDS)}")

    refund_id, reason, description = clean.get("refund_id"), clean.get("reason"), clean.get("description")
    if body.get("refund_id") in (None, ""):
        refuse("refund_id", "refund_id is missing; choose one for each refund, such as ref_1")
    elif "refund_id" in clean and not (isinstance(refund_id, str) and REFUND_ID.fullmatch(refund_id)):
        refuse("refund_id", f"{shown(refund_id)} given; 1 to 64 letters, digits, '_' or '-', first a letter or digit")
    if reason not in (None, "", *RefundReason):
        refuse("reason", f"{shown(reason)} given; allowed are {', '.join(RefundReason)}")
    if description not in (None, ""):
        if not isinstance(description, str) or not _DESCRIPTION.fullmatch(description):
            refuse("description", f"at most {MAX_DESCRIPTION} printable characters are allowed")
        elif TOKEN.search(description):
            refuse("description", "the value contains a token; a refund needs none")
        elif is_sealed(description):
            refuse("description", "send other text: this prefix is reserved")
    given = clean.get("metadata")
    metadata = {} if given in (None, "") else parse_metadata(given, refuse)
    if REFUND_KEY in metadata:
        refuse("metadata", f"the key {REFUND_KEY!r} is reserved; use another name")
    money = None
    amount: str | int | Decimal | None = clean.get("amount")
    if amount is not None and amount != "":
        try:
            money = Money.parse(amount, currency)
        except InvalidMoney as error:
            refuse(error.field, str(error))
    if errors:
        raise InvalidRequest(errors)
    return RefundRequest(str(refund_id), payment_id, money, reason or "", description or "", metadata)


@dataclass(frozen=True, slots=True)
class RefundChange:
    """One change in a refund's history. `version` is the row's version after the change."""

    version: int
    status: RefundStatus
    at: str
    actor: str
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Refund:
    """The row of a refund. It changes only through `refund_moved`, which increments `version`.

    Times are ISO 8601 UTC. `attempted_at` is when it was first sent, and `sent_at` when last. `requested_by` is the
    subject of the caller who requested it, and `approved_by` that of the second person who approved or rejected it.
    `gateway_reference` is the gateway's id of it, from the first answer that shows it. `attention` is the code of what
    an operator must look at, "" if nothing. `environment_id` is written with the first intent to send.
    No request about it goes to the gateway before `not_before`, if that is set.
    """

    refund_id: str
    payment_id: str
    money: Money
    status: RefundStatus
    version: int
    created_at: str
    updated_at: str
    fingerprint: str
    source: str
    reason: str = ""
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    requested_by: str = ""
    approved_by: str = ""
    correlation_id: str = ""
    attempts: int = 0
    attempted_at: str = ""
    sent_at: str = ""
    environment_id: str = ""
    gateway_reference: str = ""
    code: str = ""
    message: str = ""
    attention: str = ""
    history: tuple[RefundChange, ...] = ()
    restarts: int = 0
    restarted_at: str = ""
    not_before: str = ""

    @property
    def reserved_minor_units(self) -> int:
        """What it reserves on its payment: its amount, until the gateway reports it or proves that it does not exist.
        From then on the gateway's own total counts it."""
        return self.money.minor_units if self.status in _HELD and not self.gateway_reference else 0

    @property
    def failed_late(self) -> bool:
        """Whether it failed after it had succeeded."""
        succeeded = any(change.status is RefundStatus.SUCCEEDED for change in self.history)
        return succeeded and self.status in NOT_REFUNDED


class IllegalRefundMove(Exception):
    """A change of a refund that the transition table does not allow."""


def refund_requested(
    request: RefundRequest,
    money: Money,
    *,
    status: RefundStatus,
    at: datetime,
    actor: str,
    source: str,
    requested_by: str = "",
    correlation_id: str = "",
) -> Refund:
    """The first version of a refund's row. `status` is PENDING, or PENDING_APPROVAL."""
    now = iso(at)
    return Refund(
        request.refund_id,
        request.payment_id,
        money,
        status,
        1,
        now,
        now,
        request.fingerprint,
        source,
        request.reason,
        request.description,
        request.metadata,
        requested_by=requested_by,
        correlation_id=correlation_id or request.refund_id,
        history=(RefundChange(1, status, now, actor),),
    )


def refund_moved(
    refund: Refund,
    status: RefundStatus,
    *,
    at: datetime,
    actor: str,
    code: str = "",
    message: str = "",
    **changes: Any,
) -> Refund:
    """The refund's next version, in `status`, with `changes` to other fields. A long `message` is cut.

    Raises IllegalRefundMove if the transition table forbids it.
    """
    if not may_move_refund(refund.status, status):
        raise IllegalRefundMove(f"refund {refund.refund_id} cannot move from {refund.status} to {status}")
    now, version, message = iso(at), refund.version + 1, message[:MAX_MESSAGE]
    return replace(
        refund,
        status=status,
        version=version,
        updated_at=now,
        code=code,
        message=message,
        history=(*refund.history, RefundChange(version, status, now, actor, code, message)),
        **changes,
    )


def refund_noted(refund: Refund, *, at: datetime, actor: str, code: str, message: str, **changes: Any) -> Refund:
    """The refund's next version in the same status, with something that an operator must know."""
    now, version, message = iso(at), refund.version + 1, message[:MAX_MESSAGE]
    return replace(
        refund,
        version=version,
        updated_at=now,
        history=(*refund.history, RefundChange(version, refund.status, now, actor, code, message)),
        **changes,
    )


def made_by_hand(
    refund_id: str, payment: Payment, money: Money, status: RefundStatus, *, at: datetime, reference: str, reason: str
) -> Refund:
    """The first version of a refund that the gateway has and we do not: made there by hand, or before a restore."""
    now = iso(at)
    return Refund(
        refund_id,
        payment.payment_id,
        money,
        status,
        1,
        now,
        now,
        RefundRequest(refund_id, payment.payment_id, money, reason).fingerprint,
        BY_HAND,
        reason,
        correlation_id=refund_id,
        gateway_reference=reference,
        history=(RefundChange(1, status, now, BY_HAND, "taken_in", "it was made at the gateway"),),
    )


def booked(payment: Payment, before: Refund | None, after: Refund, *, refunded: int | None = None) -> Payment:
    """The payment's next version with a change of one of its refunds, which it is stored together with.

    `refunded` is the total that the gateway reports, as of the given version of the payment; None if it was not asked.
    The payment's status follows the total, but for a disputed payment and one that an operator holds.
    """
    change = after.history[-1]
    reserved = after.reserved_minor_units - (before.reserved_minor_units if before else 0)
    total = payment.refunded_minor_units if refunded is None else refunded
    return noted(
        payment,
        _status(payment, total) if refunded is not None else payment.status,
        at=change.at,
        actor=change.actor,
        code=f"refund_{after.status}",
        message=f"{after.refund_id}: {after.money}" + (f", {change.code}" if change.code else ""),
        reserved_minor_units=payment.reserved_minor_units + reserved,
        refunded_minor_units=total,
    )


def _status(payment: Payment, refunded: int) -> Status:
    if payment.status not in CAPTURED - {Status.DISPUTED, Status.DISPUTE_LOST}:
        return payment.status
    if not refunded:
        return Status.SUCCEEDED
    return Status.REFUNDED if refunded >= payment.money.minor_units else Status.PARTIALLY_REFUNDED
