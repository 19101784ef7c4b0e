"""A payment: what a client asks for, the row that we keep, and the only way a row changes."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from payments.cards import card_number_in
from payments.clock import iso
from payments.money import InvalidMoney, Money, shown
from payments.statuses import Status, may_move

PAYMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
"""Also the execution's name (80 characters there) and the gateway's idempotency key, hence the plain alphabet."""
CUSTOMER_ID = PAYMENT_ID
PAYMENT_METHOD = re.compile(r"[A-Za-z0-9_]{3,128}", re.ASCII)
MAX_DESCRIPTION = 500
MAX_METADATA_KEYS = 20
MAX_METADATA_KEY = 40
MAX_METADATA_VALUE = 500
FIELDS = ("payment_id", "amount", "currency", "customer_id", "payment_method", "description", "metadata")
REQUIRED_FIELDS = FIELDS[:3]


@dataclass(frozen=True, slots=True)
class FieldError:
    """One refused field: which, and a sentence that says what is wrong, what is allowed and what to do."""

    field: str
    message: str


class InvalidRequest(ValueError):
    """A payment request with one or more refused fields, all named."""

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """What a client asks for, checked. `customer_id`, `payment_method`, `description` may be empty."""

    payment_id: str
    money: Money
    customer_id: str = ""
    payment_method: str = ""
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the content: the same payment_id with another fingerprint is another payment (409)."""
        content = {
            "payment_id": self.payment_id,
            "minor_units": self.money.minor_units,
            "currency": self.money.currency,
            "customer_id": self.customer_id,
            "payment_method": self.payment_method,
            "description": self.description,
            "metadata": dict(self.metadata),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def parse_request(body: Mapping[str, Any]) -> PaymentRequest:
    """Check a request as it stands in a JSON body or a CSV row (amounts as text, int or Decimal).

    Raises InvalidRequest naming every refused field at once.
    """
    errors: list[FieldError] = []

    def refuse(name: str, message: str) -> None:
        errors.append(FieldError(name, message))

    for name in body:
        if name not in FIELDS:
            refuse(
                name if _plain(name) else "field",
                f"{shown(name)} is not known; allowed are {', '.join(FIELDS)}",
            )
    for name in REQUIRED_FIELDS:
        if body.get(name) in (None, ""):
            refuse(name, f"{name} is missing; every payment needs {', '.join(REQUIRED_FIELDS)}")

    def text(name: str, pattern: re.Pattern[str] | None, allowed: str) -> str:
        value = body.get(name)
        if value is None or value == "":
            return ""
        if not isinstance(value, str):
            refuse(name, f"{type(value).__name__} given; {allowed}")
        elif card_number_in(value):
            refuse(
                name,
                "it looks like a card number; never send card numbers, send a payment method of the gateway",
            )
        elif pattern and not pattern.fullmatch(value):
            # whatever was sent as a payment method may be a token or worse: it is not repeated
            refuse(name, f"{'a value' if name == 'payment_method' else shown(value)} given; {allowed}")
        elif not pattern and (len(value) > MAX_DESCRIPTION or _unprintable(value)):
            refuse(name, f"{len(value)} characters given; {allowed}")
        else:
            return value
        return ""

    identifier = "1 to 64 letters, digits, '_' or '-', starting with a letter or digit"
    payment_id = text("payment_id", PAYMENT_ID, identifier)
    customer_id = text("customer_id", CUSTOMER_ID, identifier)
    payment_method = text(
        "payment_method",
        PAYMENT_METHOD,
        "a payment method of the gateway such as pm_1AbC: 3 to 128 letters, digits or '_'",
    )
    description = text("description", None, f"at most {MAX_DESCRIPTION} printable characters")
    metadata = _metadata(body.get("metadata"), refuse)

    money = None
    if not any(error.field in ("amount", "currency") for error in errors):
        amount: str | int | Decimal = body["amount"]
        try:
            money = Money.parse(amount, body["currency"])
        except InvalidMoney as error:
            refuse(error.field, str(error))
    if errors or money is None:
        raise InvalidRequest(errors)
    return PaymentRequest(payment_id, money, customer_id, payment_method, description, metadata)


def _metadata(value: Any, refuse: Any) -> dict[str, str]:
    if value in (None, ""):
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
        refuse("metadata", 'give a JSON object with text values such as {"order": "A-17"}')
    elif len(value) > MAX_METADATA_KEYS:
        refuse("metadata", f"{len(value)} keys given; at most {MAX_METADATA_KEYS}")
    elif any(card_number_in(f"{k} {v}") for k, v in value.items()):
        refuse("metadata", "a key or value looks like a card number; never send card numbers")
    elif "payment_id" in value:
        refuse("metadata", "the key 'payment_id' is ours; use another name")
    elif any(not 1 <= len(k) <= MAX_METADATA_KEY or len(v) > MAX_METADATA_VALUE for k, v in value.items()):
        refuse("metadata", f"a key has 1 to {MAX_METADATA_KEY} characters, a value at most {MAX_METADATA_VALUE}")
    elif any(_unprintable(k) or _unprintable(v) for k, v in value.items()):
        refuse("metadata", "a key or value has characters that cannot be printed; send plain text")
    else:
        return dict(value)
    return {}


def _unprintable(text: str) -> bool:
    """True for control characters, and for halves of surrogate pairs, which no UTF-8 can hold."""
    return any((ord(c) < 32 and c not in "\n\t") or ord(c) == 127 or 0xD800 <= ord(c) <= 0xDFFF for c in text)


def _plain(name: object) -> bool:
    return isinstance(name, str) and bool(re.fullmatch(r"[a-z_]{1,40}", name))


@dataclass(frozen=True, slots=True)
class Change:
    """One status change in a payment's history. `version` is the row's version after it."""

    version: int
    status: Status
    at: str
    actor: str
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Payment:
    """The row of a payment. Changes only through `moved`, which counts `version` up by one and adds to `history`.

    Times are ISO 8601 UTC. `audited_version` and `audit_hash` say up to where the audit log covers the row;
    `restarts` and `restarted_at` how often, and when last, the sweeper took it up again. `submitted_by` is the subject
    of the caller who submitted it, `token_id` names the token that it is charged on, and `hold` is the code of the
    fraud rule that holds it for review.
    """

    payment_id: str
    money: Money
    status: Status
    version: int
    created_at: str
    updated_at: str
    fingerprint: str
    source: str
    customer_id: str = ""
    payment_method: str = ""
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    correlation_id: str = ""
    batch_id: str = ""
    batch_line: int = 0
    attempts: int = 0
    attempted_at: str = ""
    gateway: str = ""
    gateway_reference: str = ""
    code: str = ""
    message: str = ""
    history: tuple[Change, ...] = ()
    audited_version: int = 0
    audit_hash: str = ""
    batch_row_closed: bool = False
    restarts: int = 0
    restarted_at: str = ""
    submitted_by: str = ""
    token_id: str = ""
    hold: str = ""


class IllegalMove(Exception):
    """A status change that the transition table does not allow."""


def accepted(
    request: PaymentRequest,
    *,
    at: Any,
    source: str,
    correlation_id: str = "",
    batch_id: str = "",
    batch_line: int = 0,
    submitted_by: str = "",
    hold: str = "",
) -> Payment:
    """The first version of a payment's row: pending. `at` is a datetime in UTC, `source` is "rest" or "batch"."""
    now = iso(at)
    return Payment(
        payment_id=request.payment_id,
        money=request.money,
        status=Status.PENDING,
        version=1,
        created_at=now,
        updated_at=now,
        fingerprint=request.fingerprint,
        source=source,
        customer_id=request.customer_id,
        payment_method=request.payment_method,
        description=request.description,
        metadata=request.metadata,
        correlation_id=correlation_id or request.payment_id,
        batch_id=batch_id,
        batch_line=batch_line,
        history=(Change(1, Status.PENDING, now, source),),
        submitted_by=submitted_by,
        hold=hold,
    )


def moved(
    payment: Payment,
    status: Status,
    *,
    at: Any,
    actor: str,
    code: str = "",
    message: str = "",
    **changes: Any,
) -> Payment:
    """The payment's next version, in `status`, with `changes` to other fields.

    Raises IllegalMove if the transition table forbids it.
    """
    if not may_move(payment.status, status):
        raise IllegalMove(f"payment {payment.payment_id} cannot move from {payment.status} to {status}")
    now = iso(at)
    version = payment.version + 1
    return replace(
        payment,
        status=status,
        version=version,
        updated_at=now,
        code=code,
        message=message,
        history=(*payment.history, Change(version, status, now, actor, code, message)),
        **changes,
    )
