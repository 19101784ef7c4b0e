"""A customer: the request of a client, the stored row, and what remains after erasure."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any

from payments.domain.card_data import card_data_in
from payments.domain.clock import iso
from payments.domain.payment import CUSTOMER_ID, PAYMENT_METHOD, FieldError, InvalidRequest, too_long
from payments.domain.sealed_text import Context, is_sealed

PRIVATE = ("email", "name", "default_payment_method")
"""The fields that are stored encrypted: all fields that can change, which are all fields with personal data."""
FIELDS = ("customer_id", *PRIVATE, "subject")
REQUIRED_FIELDS = FIELDS[:2]
REMOVABLE = PRIVATE[1:]

MAX_EMAIL = 254
MAX_NAME = 200
_EMAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
    r"[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]",
    re.ASCII,
)
"""The format of HTML's e-mail fields, with a dot in the domain and no number at its end."""
_NAME = re.compile(rf"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]{{1,{MAX_NAME}}}")
"""All characters except control characters, line ends, direction marks and halves of surrogate pairs."""
_SUBJECT = re.compile(r"[!-~]{1,255}", re.ASCII)
"""A token's `sub`: at most 255 ASCII characters (OpenID Connect Core 1.0, section 2)."""


def _is_email(text: str) -> bool:
    return len(text) <= MAX_EMAIL and bool(_EMAIL.fullmatch(text)) and not is_sealed(text)


def _is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text)) and not is_sealed(text)


_RULES: dict[str, tuple[Callable[[str], object], str]] = {
    "customer_id": (
        CUSTOMER_ID.fullmatch,
        "1 to 64 letters, digits, '_' or '-', starting with a letter or digit",
    ),
    "email": (
        _is_email,
        f"an address such as jo@example.com: at most {MAX_EMAIL} ASCII characters, one @ and a domain with a dot",
    ),
    "name": (_is_name, f"1 to {MAX_NAME} printable characters on one line"),
    "default_payment_method": (
        PAYMENT_METHOD.fullmatch,
        "a payment method of the gateway such as pm_1AbC: 3 to 128 letters, digits or '_'",
    ),
    "subject": (_SUBJECT.fullmatch, "the `sub` of a person's token: 1 to 255 ASCII characters without blanks"),
}
"""Field → the check of its value, and a description of the allowed values."""
_NOT_CHOSEN = {
    "customer_id": "the id of a customer who registers alone is made by this service; leave it out",
    "email": "the address is the one that your login has verified; leave it out, and change it there",
}
"""The fields that a person does not choose, and why."""
_TRIMMED = ("email", "name")
_FIELD_NAME = re.compile(r"[a-z_]{1,40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CustomerRequest:
    """A client's request for a new customer, validated. All fields but the first two may be empty."""

    customer_id: str
    email: str = field(repr=False)
    name: str = field(default="", repr=False)
    default_payment_method: str = field(default="", repr=False)
    subject: str = ""

    @property
    def private(self) -> dict[str, str]:
        """The fields that are encrypted before they are stored."""
        return {name: getattr(self, name) for name in PRIVATE}


@dataclass(frozen=True, slots=True)
class Customer:
    """The row of a customer. Every save increments `version` by one.

    `email`, `name` and `default_payment_method` are stored encrypted. `subject` is the `sub` of the person who owns
    this customer, or "". `created_by` is the `sub` of the caller who created it. `gateway_customer` is the gateway's id
    of the customer that its saved payment methods are attached to, or "" before the first is set up.
    `default_removed_at` is when the default payment method was last removed. Times are ISO 8601 UTC. A row at version 0
    was written before owners existed: it has an id and a payment method in plain text, and nothing else. An erased row
    keeps `created_at`, `version`, `erased_at` and its id, so that the id is never reused, and digests of its owners in
    `erased_for`.
    """

    customer_id: str
    email: str = ""
    name: str = ""
    default_payment_method: str = ""
    email_hash: str = ""
    subject: str = ""
    created_by: str = ""
    created_at: str = ""
    updated_at: str = ""
    version: int = 0
    erased_at: str = ""
    gateway_customer: str = ""
    default_removed_at: str = ""
    erased_for: str = ""

    @property
    def private(self) -> dict[str, str]:
        """The fields as stored, to be decrypted."""
        return {name: getattr(self, name) for name in PRIVATE}

    @property
    def context(self) -> Context:
        """The encryption context of the private fields."""
        return sealing_context(self.customer_id)


def sealing_context(customer_id: str) -> Context:
    """The encryption context of a customer's private fields."""
    return {"customer_id": customer_id}


def parse_customer(body: Mapping[str, Any]) -> CustomerRequest:
    """Validate a new customer from a JSON body. Raises InvalidRequest naming all invalid fields."""
    return CustomerRequest(**_checked(body, FIELDS, required=REQUIRED_FIELDS))


def parse_patch(body: Mapping[str, Any]) -> dict[str, str]:
    """Validate a change from a JSON body. Returns field → new value, with "" for a field that null removes.

    Raises InvalidRequest naming all invalid fields.
    """
    if not body:
        raise InvalidRequest([FieldError("body", f"it changes nothing; send one or more of {', '.join(PRIVATE)}")])
    removed = {name: "" for name in REMOVABLE if name in body and body[name] is None}
    return removed | _checked({name: body[name] for name in body if name not in removed}, PRIVATE)


def parse_registration(body: Mapping[str, Any]) -> dict[str, str]:
    """Validate what a person may say of themself: a name, a default payment method, and their own subject. Returns the
    fields that are given.

    The id is made here and the address is the one that the issuer verified: a person who could choose them could take
    another's. Raises InvalidRequest naming all invalid fields.
    """
    errors = [FieldError(name, _NOT_CHOSEN[name]) for name in _NOT_CHOSEN if name in body]
    fields = {}
    try:
        fields = _checked({name: body[name] for name in body if name not in _NOT_CHOSEN}, FIELDS[2:])
    except InvalidRequest as refused:
        errors += refused.errors
    if errors:
        raise InvalidRequest(errors)
    return fields


def parse_search(query: Mapping[str, Any]) -> str:
    """The e-mail address to search customers by, without surrounding blanks. Raises InvalidRequest."""
    return _checked(query, ("email",), required=("email",))["email"]


def is_email(text: str) -> bool:
    """True for an address that a customer may have."""
    return _is_email(text)


def _checked(body: Mapping[str, Any], allowed: Sequence[str], required: Sequence[str] = ()) -> dict[str, str]:
    """The validated fields. Error texts never repeat a value of the body: it may be an address or card data."""
    errors = [FieldError(name, f"{name} is missing; required: {', '.join(required)}") for name in required]
    errors = [error for error in errors if error.field not in body]
    fields = {}
    for name, value in body.items():
        if name not in allowed:
            known = name if _FIELD_NAME.fullmatch(name) else "field"
            errors.append(FieldError(known, f"unknown field; allowed: {', '.join(allowed)}"))
            continue
        fits, words = _RULES[name]
        text = value.strip() if isinstance(value, str) and name in _TRIMMED else value
        if not isinstance(text, str):
            errors.append(
                FieldError(name, f"{'null' if text is None else type(text).__name__} given; allowed: {words}")
            )
        elif long := too_long(name, text):
            errors.append(FieldError(name, f"{long}; allowed: {words}"))
        elif seems := card_data_in(text):
            errors.append(FieldError(name, f"it looks like {seems}; never send card data"))
        elif not fits(text):
            errors.append(FieldError(name, f"{len(text)} characters given; allowed: {words}"))
        else:
            fields[name] = text
    if errors:
        raise InvalidRequest(errors)
    return fields


def created(
    request: CustomerRequest, sealed: Mapping[str, str], *, email_hash: str, subject: str, created_by: str, at: datetime
) -> Customer:
    """The first version of a customer's row; `sealed` are the request's private fields, sealed."""
    return Customer(
        request.customer_id,
        **sealed,
        email_hash=email_hash,
        subject=subject,
        created_by=created_by,
        created_at=iso(at),
        updated_at=iso(at),
        version=1,
    )


def changed(customer: Customer, sealed: Mapping[str, str], *, at: datetime) -> Customer:
    """The row's next version. `sealed` holds only the changed fields, and `email_hash` if the e-mail changed."""
    removes_default = sealed.get("default_payment_method") == ""
    return replace(
        customer,
        **sealed,
        default_removed_at=iso(at) if removes_default else customer.default_removed_at,
        # the index by e-mail needs created_at, which rows written before owners existed do not have
        created_at=customer.created_at or iso(at),
        updated_at=iso(at),
        version=customer.version + 1,
    )


def linked(customer: Customer, gateway_customer: str) -> Customer:
    """The row's next version, with the gateway's customer. `updated_at` stays: nothing that a client sent changes."""
    return replace(customer, gateway_customer=gateway_customer, version=customer.version + 1)


def erased(customer: Customer, *, at: datetime) -> Customer:
    """The row's last version: a tombstone without personal data."""
    return Customer(
        customer.customer_id,
        created_at=customer.created_at,
        version=customer.version + 1,
        erased_at=iso(at),
        erased_for=erased_for(customer.customer_id, customer.subject, customer.created_by),
    )


def erased_for(customer_id: str, *owners: str) -> str:
    """What an erased row keeps of its owners: a digest of each."""
    return " ".join(_digest(customer_id, owner) for owner in sorted(set(owners)) if owner)


def was_erased_for(customer: Customer, subject: str) -> bool:
    """Whether this subject owned the customer until it was erased. False for one that was erased by older code."""
    return bool(subject) and _digest(customer.customer_id, subject) in customer.erased_for.split()


def _digest(customer_id: str, subject: str) -> str:
    return sha256(f"{customer_id}\n{subject}".encode()).hexdigest()[:32]
