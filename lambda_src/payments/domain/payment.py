"""A payment: the client's request, the stored row, and the only function that changes a row."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from payments.domain.card_data import BETWEEN_TEXTS, card_data_in, is_ordinary
from payments.domain.client_address import ALLOWED as ADDRESSES
from payments.domain.client_address import MAX_ADDRESS, client_address
from payments.domain.clock import iso
from payments.domain.money import InvalidMoney, Money, shown
from payments.domain.quick_init import maker, quick_init
from payments.domain.sealed_text import PREFIX, is_sealed
from payments.domain.statuses import Status, may_move
from payments.domain.token import TOKEN, token_id_of

PAYMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
"""Also the execution's name (80 characters at most) and the gateway's idempotency key, hence the plain alphabet."""
CUSTOMER_ID = PAYMENT_ID
PAYMENT_METHOD = re.compile(r"(?!ptok_)[A-Za-z0-9_]{3,128}", re.ASCII)
MAX_DESCRIPTION = 500
MAX_METADATA_KEYS = 20
METADATA_KEY = re.compile(r"[ -~]{1,40}", re.ASCII)
MAX_METADATA_VALUE = 500
ENVIRONMENT = "payment_environment"
RESERVED_METADATA = frozenset({"payment_id", ENVIRONMENT})
"""The keys of our own ids in the metadata at the gateway."""
RECREATED = "recreated_from_the_gateway"
"""The code of a row's first change if a restore made the row from the gateway's list."""
MAX_MESSAGE = 200
"""The longest message of a change, in characters. The rest is cut off: a row holds its whole history."""
MAX_RETURN_URL = 2_048
RETURN_URL = re.compile(r"https://[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:[0-9]{1,5})?([/?#][!-~]*)?", re.ASCII)
"""A page of the client: no user name before the host, and nothing that has to be encoded."""
FIELDS = (
    "payment_id",
    "amount",
    "currency",
    "customer_id",
    "payment_method",
    "token",
    "description",
    "metadata",
    "off_session",
    "return_url",
    "client_ip",
)
REQUIRED_FIELDS = FIELDS[:3]
SECRET_FIELDS = ("payment_method", "token", "return_url", "client_ip")
"""Fields whose rejected values are not repeated: they may be worth money, personal, or other data sent by mistake."""
CONTROL = "\x00-\x08\x0b-\x1f\x7f\ud800-\udfff"
"""The inside of a character class: control characters except tab and line feed, and halves of surrogate pairs."""
_UNPRINTABLE = re.compile(f"[{CONTROL}]")
_IDENTIFIER = "1 to 64 letters, digits, '_' or '-', starting with a letter or digit"
_TEXTS = {
    "payment_id": (PAYMENT_ID, _IDENTIFIER),
    "customer_id": (CUSTOMER_ID, _IDENTIFIER),
    "payment_method": (
        PAYMENT_METHOD,
        "a payment method of the gateway such as pm_1AbC: 3 to 128 letters, digits or '_'",
    ),
    "token": (TOKEN, "a token from POST /tokens: ptok_ and 43 letters, digits, '_' or '-'"),
    "description": (
        re.compile(f"[^{CONTROL}]{{1,{MAX_DESCRIPTION}}}"),
        f"at most {MAX_DESCRIPTION} printable characters",
    ),
    "return_url": (
        RETURN_URL,
        f"an address such as https://shop.example/done, at most {MAX_RETURN_URL} characters",
    ),
    "client_ip": (re.compile(f"[!-~]{{1,{MAX_ADDRESS}}}", re.ASCII), ADDRESSES),
}
"""The fields that are texts: what they match, and what is allowed in words."""
MAX_TEXT = MAX_RETURN_URL
"""A longer text is rejected before it is searched for anything: no field may be longer."""
MAX_METADATA = MAX_METADATA_KEYS * (40 + MAX_METADATA_VALUE) + 1
MAX_SEARCHED = MAX_METADATA + 2 * MAX_TEXT
"""All fields together."""
_KNOWN = frozenset(FIELDS)
NO_CARD_DATA = "never send card data; send a payment method of the gateway or a token of this API"
_ASTRAY = "the value contains a token; send tokens only in the field token"
_OURS = f"texts that begin with {PREFIX!r} are reserved; send other text"
SENDER = "charge"
"""The actor of the versions that the charge step writes before and after it sends."""
RECORDER = "workflow"
"""The actor of the versions that the record step writes."""
_WAITERS = (SENDER, RECORDER)
"""The actors of versions that leave a payment `pending`; an operator who approves one is none of them."""
_json = json.encoder.encode_basestring_ascii
"""A text as `json.dumps` writes it."""
Refuse = Callable[[str, str], None]
"""Takes the name of a rejected field and a sentence."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One rejected field: its name, and a sentence that says what is wrong, what is allowed and what to do."""

    field: str
    message: str


class InvalidRequest(ValueError):
    """A request with one or more rejected fields, all of them named."""

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))


@quick_init
@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """A client's request, validated. All texts but the id may be empty.

    `off_session` says that the customer is absent and cannot authenticate. `usually_off_session` is what it is without
    the field: false over REST, true in a file. `return_url` is where the customer returns to after authenticating.
    `client_ip` is the address of the buyer's device. It is not part of the content: the same request that is sent again
    from another address is the same payment.
    """

    payment_id: str
    money: Money
    customer_id: str = ""
    payment_method: str = ""
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    token: str = field(default="", repr=False)
    off_session: bool = False
    usually_off_session: bool = False
    return_url: str = field(default="", repr=False)
    client_ip: str = field(default="", repr=False)

    @property
    def token_id(self) -> str:
        """The key that the token is stored under, or "" without a token."""
        return token_id_of(self.token) if self.token else ""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the content. The same payment_id with another fingerprint is another payment (409)."""
        content = self._plain_content or self._content
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def _plain_content(self) -> str:
        """The same text as `_content`, in a fifth of the time, for a request with no other fields; else ""."""
        if self.metadata or self.token or self.return_url or self.off_session is not self.usually_off_session:
            return ""
        return (
            f'{{"currency":{_json(self.money.currency)},"customer_id":{_json(self.customer_id)},'
            f'"description":{_json(self.description)},"metadata":{{}},"minor_units":{self.money.minor_units},'
            f'"payment_id":{_json(self.payment_id)},"payment_method":{_json(self.payment_method)}}}'
        )

    @property
    def _content(self) -> str:
        content = {
            "payment_id": self.payment_id,
            "minor_units": self.money.minor_units,
            "currency": self.money.currency,
            "customer_id": self.customer_id,
            "payment_method": self.payment_method,
            "description": self.description,
            "metadata": dict(self.metadata),
        }
        # fields that a request does not use leave the fingerprint as it was before they existed
        if self.token:
            content["token_id"] = self.token_id
        if self.off_session is not self.usually_off_session:
            content["off_session"] = self.off_session
        if self.return_url:
            content["return_url"] = self.return_url
        return json.dumps(content, sort_keys=True, separators=(",", ":"))


def parse_request(body: Mapping[str, Any], *, usually_off_session: bool = False) -> PaymentRequest:
    """Validate a request from a JSON body or a CSV row (amounts as text, int or Decimal).

    `usually_off_session` holds for a request without the field. Raises InvalidRequest naming all rejected fields.
    """
    errors: list[FieldError] = []

    def refuse(name: str, message: str) -> None:
        errors.append(FieldError(name, message))

    strings = [value for value in body.values() if isinstance(value, str)]
    together = BETWEEN_TEXTS.join(strings)
    ordinary = len(together) <= MAX_TEXT and is_ordinary(together)
    clean = body
    if not (ordinary and len(strings) == len(body) and body.keys() <= _KNOWN):
        clean = _without_card_data(body, refuse)
    for name in REQUIRED_FIELDS:
        if body.get(name) in (None, ""):
            refuse(name, f"{name} is missing; every payment needs {', '.join(REQUIRED_FIELDS)}")

    ordinary = ordinary and "ptok_" not in together and PREFIX not in together
    texts = dict.fromkeys(_TEXTS, "")
    for name, (pattern, allowed) in _TEXTS.items():
        value = clean.get(name)
        if value is None or value == "":
            continue
        if (ordinary and isinstance(value, str) and pattern.fullmatch(value)) or not (
            flaw := _flaw(name, value, pattern, allowed)
        ):
            texts[name] = value
        else:
            refuse(name, flaw)
    token, return_url = texts["token"], texts["return_url"]
    if token and body.get("payment_method"):
        refuse("token", "the request also has a payment_method; send only one of the two")
    if token and not body.get("customer_id"):
        refuse("customer_id", "a token belongs to a customer; send its customer_id too")
    client_ip = client_address(texts["client_ip"])
    if texts["client_ip"] and not client_ip:
        refuse("client_ip", f"a value given; allowed is {ADDRESSES}")
    off_session = clean.get("off_session")
    if off_session in (None, ""):
        off_session = usually_off_session
    elif not isinstance(off_session, bool):
        refuse("off_session", f"{shown(off_session)} given; allowed are true and false")
    if off_session is True and return_url:
        refuse("return_url", "an absent customer cannot return to a page; leave it out, or send off_session false")
    given = clean.get("metadata")
    metadata = {} if given in (None, "") else parse_metadata(given, refuse)

    money = None
    if not errors or not any(error.field in ("amount", "currency") for error in errors):
        amount: str | int | Decimal = body["amount"]
        try:
            money = Money.parse(amount, body["currency"])
        except InvalidMoney as error:
            refuse(error.field, str(error))
    if errors or money is None:
        raise InvalidRequest(errors)
    return PaymentRequest(
        texts["payment_id"],
        money,
        texts["customer_id"],
        texts["payment_method"],
        texts["description"],
        metadata,
        token,
        off_session=off_session,
        usually_off_session=usually_off_session,
        return_url=return_url,
        client_ip=client_ip,
    )


def too_long(name: str, value: Any) -> str:
    """Why a field is too long to be searched for anything, or "". No name and no text of any field may be longer.

    The texts, names and numbers within a list or an object count together; metadata may have more of them.
    """
    most = MAX_METADATA if name == "metadata" and isinstance(value, Mapping) else MAX_TEXT
    length = max(len(name), _length(value))
    return f"{length} characters given; at most {most} are allowed in {_field_of(most)}" if length > most else ""


def unread_fields(body: Mapping[str, Any]) -> dict[str, str]:
    """The fields that are not searched for anything, and why: they are too long, or together with those before them."""
    unread = {}
    left = MAX_SEARCHED
    for name, value in body.items():
        if long := too_long(name, value):
            unread[name] = long
        elif (left := left - len(name) - _length(value)) < 0:
            unread[name] = f"the fields have more than {MAX_SEARCHED} characters together"
    return unread


def _field_of(most: int) -> str:
    return "any field" if most == MAX_TEXT else "metadata"


def _length(value: Any) -> int:
    """The characters of a JSON value of any depth, without brackets: each part counts as at least one."""
    length, left = 0, [value]
    while left:  # no recursion: deep nesting must not break the check
        match left.pop():
            case str() as text:
                length += max(1, len(text))
            case Mapping() as content:
                length += 1 + sum(len(str(name)) for name in content)
                left.extend(content.values())
            case list() | tuple() as content:
                length += 1
                left.extend(content)
            case int() as number:
                length += 1 + number.bit_length() // 3
            case Decimal() as number:
                length += 1 + len(number.as_tuple().digits)
            case _:
                length += 1
    return length


def _without_card_data(body: Mapping[str, Any], refuse: Refuse) -> dict[str, Any]:
    """The known fields without card data. Refuses the others."""
    clean = {}
    unread = unread_fields(body)
    for name, value in body.items():
        if name == "metadata" and _is_oversize(value):
            clean[name] = value  # parse_metadata rejects it
        elif name in unread:
            refuse(name if _plain(name) else "field", unread[name])
        elif name == "client_ip" and isinstance(value, str) and client_address(value):
            clean[name] = value  # one IPv6 address in thousands has the digits of a card number
        elif looks := card_data_in(value if name in FIELDS else {name: value}):
            refuse(name if _plain(name) else "field", f"it looks like {looks}; {NO_CARD_DATA}")
        elif name in FIELDS:
            clean[name] = value
        else:
            refuse(
                name if _plain(name) else "field",
                f"unknown field {shown(name)}; allowed are {', '.join(FIELDS)}",
            )
    return clean


def _flaw(name: str, value: Any, pattern: re.Pattern[str], allowed: str) -> str:
    """Why a field's value is rejected, and what is allowed; "" if it is not."""
    if not isinstance(value, str):
        return f"{type(value).__name__} given; {allowed}"
    if name != "token" and TOKEN.search(value):
        return _ASTRAY
    if not pattern.fullmatch(value):
        if name == "description":
            return f"{len(value)} characters given; {allowed}"
        return f"{'a value' if name in SECRET_FIELDS else shown(value)} given; {allowed}"
    return _OURS if is_sealed(value) else ""


def parse_metadata(value: Any, refuse: Refuse) -> dict[str, str]:
    """Validate metadata that was already checked for card data. Returns {} if it is rejected."""
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
        refuse("metadata", 'give a JSON object with text values such as {"order": "A-17"}')
    elif len(value) > MAX_METADATA_KEYS:
        refuse("metadata", f"{len(value)} keys given; at most {MAX_METADATA_KEYS}")
    elif any(is_sealed(k) or is_sealed(v) for k, v in value.items()):
        refuse("metadata", _OURS)
    elif any(TOKEN.search(k) or TOKEN.search(v) for k, v in value.items()):
        refuse("metadata", _ASTRAY)
    elif reserved := sorted(RESERVED_METADATA & set(value)):
        refuse("metadata", f"the key {reserved[0]!r} is reserved; use another name")
    elif not all(METADATA_KEY.fullmatch(k) and len(v) <= MAX_METADATA_VALUE for k, v in value.items()):
        refuse("metadata", f"a key has 1 to 40 printable ASCII characters, a value at most {MAX_METADATA_VALUE}")
    elif any(map(_unprintable, value.values())):
        refuse("metadata", "a value has unprintable characters; send plain text")
    else:
        return dict(value)
    return {}


def _is_oversize(metadata: Any) -> bool:
    """True if metadata has too many or too long keys and values."""
    return isinstance(metadata, Mapping) and (
        len(metadata) > MAX_METADATA_KEYS
        or any(len(str(key)) > MAX_METADATA_VALUE for key in metadata)
        or any(isinstance(value, str) and len(value) > MAX_METADATA_VALUE for value in metadata.values())
    )


def _unprintable(text: str) -> bool:
    """True for control characters, and for halves of surrogate pairs, which UTF-8 cannot encode."""
    return _UNPRINTABLE.search(text) is not None


def _plain(name: object) -> bool:
    return isinstance(name, str) and bool(re.fullmatch(r"[a-z_]{1,40}", name))


@quick_init
@dataclass(frozen=True, slots=True)
class Change:
    """One status change in a payment's history. `version` is the row's version after the change."""

    version: int
    status: Status
    at: str
    actor: str
    code: str = ""
    message: str = ""


@quick_init
@dataclass(frozen=True, slots=True)
class Payment:
    """The row of a payment. It changes only through `moved`, which increments `version` and appends to `history`.

    Times are ISO 8601 UTC. `audited_version` and `audit_hash` say how far the audit log covers the row. `restarts` and
    `restarted_at` say how often, and when last, recovery restarted it. `submitted_by` is the subject of the caller who
    submitted it. `token_id` names the token that it is charged on. `hold` is the code of the fraud rule that holds it
    for review. `refunded_minor_units` is what the gateway last reported as refunded, `reserved_minor_units` is reserved
    for refunds that it does not report yet, and `disputed_minor_units` is disputed. No request about it goes to the
    gateway before `not_before`, if that is set. `reference_digest` is the `reference_digest` of the gateway reference;
    rows from before it existed have none.

    `metadata_hash` is the keyed hash of the searchable entry of its metadata, written once. `retry_of` is the payment
    that it was sent again for, and `retried_as` the payment that it was sent again as.

    `client_ip` is the address of the buyer's device, if it is known, and `card_counters` says where the fraud rule
    counted its card; both until the customer is erased.

    `off_session` says that the customer is absent, and `return_url` where a present one returns to afterwards.
    `environment_id` and `gateway_customer` are written with the first intent to send. Every later attempt repeats all
    four: the gateway would take a request that differs for another one. A payment that was accepted or sent before they
    existed has none, and keeps that form. `absent_version` is the version for which the gateway's list proved that
    there is no charge.
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
    not_before: str = ""
    reference_digest: str = ""
    environment_id: str = ""
    gateway_customer: str = ""
    off_session: bool = False
    absent_version: int = 0
    refunded_minor_units: int = 0
    reserved_minor_units: int = 0
    disputed_minor_units: int = 0
    return_url: str = field(default="", repr=False)
    client_ip: str = field(default="", repr=False)
    card_counters: str = ""
    metadata_hash: str = ""
    retry_of: str = ""
    retried_as: str = ""

    @property
    def is_proven_absent(self) -> bool:
        """Whether the gateway's list proved that nothing was charged, and nothing was written or found since."""
        return self.absent_version == self.version and not self.gateway_reference

    @property
    def refunded(self) -> int | None:
        """The refunded minor units; None if a part was refunded and its amount is not stored. Rows from before the
        amount was stored have none."""
        if self.refunded_minor_units:
            return self.refunded_minor_units
        match self.status:
            case Status.REFUNDED:
                return self.money.minor_units
            case Status.PARTIALLY_REFUNDED:
                return None
        return 0

    def was_made_by(self, request: PaymentRequest) -> bool:
        """Whether this is the row of a request. A row that a restore recreated knows no more than the amount."""
        recreated = any(change.code == RECREATED for change in self.history[1:2])
        return self.fingerprint == request.fingerprint or (recreated and self.money == request.money)

    @property
    def waits_since(self) -> str:
        """When the gateway, or the breaker, first left the payment `pending`; "" if neither did."""
        left = (c.at for c in self.history if c.version > 1 and c.status is Status.PENDING and c.actor in _WAITERS)
        return next(left, "")

    @property
    def settles(self) -> bool:
        """Whether the gateway accepted the charge and settles it later. A charge whose answer is missing may have a
        reference too; its row still ends with the intent to send."""
        sent_last = bool(self.history) and self.history[-1].actor == SENDER
        return self.status is Status.PROCESSING and bool(self.gateway_reference) and not sent_last


_change, _payment = maker(Change), maker(Payment)


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
    card_counters: str = "",
    metadata_hash: str = "",
    actor: str = "",
) -> Payment:
    """The first version of a payment's row: pending. `at` is a datetime in UTC, `source` is "rest" or "batch".

    The `actor` is the source, if no other is given.
    """
    now = iso(at)
    return _payment(
        request.payment_id,
        request.money,
        Status.PENDING,
        1,
        now,
        now,
        request.fingerprint,
        source,
        request.customer_id,
        request.payment_method,
        request.description,
        request.metadata,
        correlation_id or request.payment_id,
        batch_id,
        batch_line,
        history=(_change(1, Status.PENDING, now, actor or source),),
        submitted_by=submitted_by,
        token_id=request.token_id,
        hold=hold,
        off_session=request.off_session,
        return_url=request.return_url,
        client_ip=request.client_ip,
        card_counters=card_counters,
        metadata_hash=metadata_hash,
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
    """The payment's next version, in `status`, with `changes` to other fields. A long `message` is cut.

    Raises IllegalMove if the transition table forbids it.
    """
    if not may_move(payment.status, status):
        raise IllegalMove(f"payment {payment.payment_id} cannot move from {payment.status} to {status}")
    now = iso(at)
    version = payment.version + 1
    message = message[:MAX_MESSAGE]
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


def noted(payment: Payment, status: Status, *, at: str, actor: str, code: str, message: str, **changes: Any) -> Payment:
    """The payment's next version with a change that is no outcome of its charge, such as that of a refund.

    The status may stay the same; why it has that status stays on the row. Raises IllegalMove for a change that the
    transition table forbids.
    """
    if status is not payment.status and not may_move(payment.status, status):
        raise IllegalMove(f"payment {payment.payment_id} cannot move from {payment.status} to {status}")
    version = payment.version + 1
    return replace(
        payment,
        status=status,
        version=version,
        updated_at=at,
        history=(*payment.history, Change(version, status, at, actor, code, message[:MAX_MESSAGE])),
        **changes,
    )
