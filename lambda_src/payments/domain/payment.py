"""A payment: what a client asks for, the row that we keep, and the only way a row changes."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from payments.domain.card_data import card_data_in
from payments.domain.clock import iso
from payments.domain.money import InvalidMoney, Money, shown
from payments.domain.sealed_text import PREFIX, is_sealed
from payments.domain.statuses import Status, may_move
from payments.domain.token import TOKEN, token_id_of

PAYMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
"""Also the execution's name (80 characters there) and the gateway's idempotency key, hence the plain alphabet."""
CUSTOMER_ID = PAYMENT_ID
PAYMENT_METHOD = re.compile(r"(?!ptok_)[A-Za-z0-9_]{3,128}", re.ASCII)
MAX_DESCRIPTION = 500
MAX_METADATA_KEYS = 20
METADATA_KEY = re.compile(r"[ -~]{1,40}", re.ASCII)
MAX_METADATA_VALUE = 500
FIELDS = ("payment_id", "amount", "currency", "customer_id", "payment_method", "token", "description", "metadata")
REQUIRED_FIELDS = FIELDS[:3]
SECRET_FIELDS = ("payment_method", "token")
"""What may be worth money, or something else sent by mistake: a refused value of these is not repeated."""
NO_CARD_DATA = "never send card data, send a payment method of the gateway or a token of ours"
_ASTRAY = "a token stands in it; send tokens in the field token alone"
_OURS = f"a text that begins with {PREFIX!r} is ours; send other text"
Refuse = Callable[[str, str], None]
"""Takes the name of a refused field and a sentence."""


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
    """What a client asks for, checked. `customer_id`, `payment_method`, `token`, `description` may be empty."""

    payment_id: str
    money: Money
    customer_id: str = ""
    payment_method: str = ""
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    token: str = field(default="", repr=False)

    @property
    def token_id(self) -> str:
        """What the token is kept under; "" without one."""
        return token_id_of(self.token) if self.token else ""

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
        if self.token:  # else as it was before there were tokens
            content["token_id"] = self.token_id
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def parse_request(body: Mapping[str, Any]) -> PaymentRequest:
    """Check a request as it stands in a JSON body or a CSV row (amounts as text, int or Decimal).

    Raises InvalidRequest naming every refused field at once.
    """
    errors: list[FieldError] = []

    def refuse(name: str, message: str) -> None:
        errors.append(FieldError(name, message))

    clean = {}
    for name, value in body.items():
        if looks := card_data_in(value if name in FIELDS else {name: value}):
            refuse(name if _plain(name) else "field", f"it looks like {looks}; {NO_CARD_DATA}")
        elif name in FIELDS:
            clean[name] = value
        else:
            refuse(
                name if _plain(name) else "field",
                f"{shown(name)} is not known; allowed are {', '.join(FIELDS)}",
            )
    for name in REQUIRED_FIELDS:
        if body.get(name) in (None, ""):
            refuse(name, f"{name} is missing; every payment needs {', '.join(REQUIRED_FIELDS)}")

    def text(name: str, pattern: re.Pattern[str] | None, allowed: str) -> str:
        value = clean.get(name)
        if value is None or value == "":
            return ""
        if not isinstance(value, str):
            refuse(name, f"{type(value).__name__} given; {allowed}")
        elif name != "token" and TOKEN.search(value):
            refuse(name, _ASTRAY)
        elif pattern and not pattern.fullmatch(value):
            refuse(name, f"{'a value' if name in SECRET_FIELDS else shown(value)} given; {allowed}")
        elif is_sealed(value):
            refuse(name, _OURS)
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
    token = text("token", TOKEN, "what POST /tokens gave: ptok_ and 43 letters, digits, '_' or '-'")
    if token and body.get("payment_method"):
        refuse("token", "a payment_method is given as well; send one of the two")
    if token and not body.get("customer_id"):
        refuse("customer_id", "a token is bound to a customer; send its customer_id as well")
    description = text("description", None, f"at most {MAX_DESCRIPTION} printable characters")
    given = clean.get("metadata")
    metadata = {} if given in (None, "") else parse_metadata(given, refuse)

    money = None
    if not any(error.field in ("amount", "currency") for error in errors):
        amount: str | int | Decimal = body["amount"]
        try:
            money = Money.parse(amount, body["currency"])
        except InvalidMoney as error:
            refuse(error.field, str(error))
    if errors or money is None:
        raise InvalidRequest(errors)
    return PaymentRequest(payment_id, money, customer_id, payment_method, description, metadata, token)


def parse_metadata(value: Any, refuse: Refuse) -> dict[str, str]:
    """Check metadata in which no card data was seen; gives {} for what is refused."""
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
        refuse("metadata", 'give a JSON object with text values such as {"order": "A-17"}')
    elif len(value) > MAX_METADATA_KEYS:
        refuse("metadata", f"{len(value)} keys given; at most {MAX_METADATA_KEYS}")
    elif any(is_sealed(k) or is_sealed(v) for k, v in value.items()):
        refuse("metadata", _OURS)
    elif any(TOKEN.search(k) or TOKEN.search(v) for k, v in value.items()):
        refuse("metadata", _ASTRAY)
    elif "payment_id" in value:
        refuse("metadata", "the key 'payment_id' is ours; use another name")
    elif not all(METADATA_KEY.fullmatch(k) and len(v) <= MAX_METADATA_VALUE for k, v in value.items()):
        refuse("metadata", f"a key has 1 to 40 printable ASCII characters, a value at most {MAX_METADATA_VALUE}")
    elif any(map(_unprintable, value.values())):
        refuse("metadata", "a value has characters that cannot be printed; send plain text")
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
        token_id=request.token_id,
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
