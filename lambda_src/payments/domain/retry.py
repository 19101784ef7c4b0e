"""Retries: a payment that ended without a charge is sent again as another payment, whose id follows from the old one.

The id of a retry is `<id>_r2`, that of the next one `<id>_r3`. The API, payctl and a batch's resubmit.csv derive the
same id. Of a payment and its retries, at most one is charged: each is sent only once the one before it provably was
not.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from payments.domain.clock import iso
from payments.domain.payment import PAYMENT_ID, Change, Payment, PaymentRequest
from payments.domain.statuses import Status

RETRY = "retry"
"""The code of the first change in a retry's history."""
RETRY_REFUSED = "retry_refused"
"""The code of a retry that ended `rejected`, because the payment before it is not provably uncharged."""
LONGEST_ID = 64
_NUMBERED = re.compile(r"(?P<base>.+)_r(?P<number>[1-9][0-9]{0,3})", re.ASCII)
_FIRST = 2
_MOST_FORMER = 8
_DIGITS = 12
_SHORTENED = re.compile(rf".+-[0-9a-f]{{{_DIGITS}}}_r[1-9][0-9]{{0,3}}", re.ASCII)


def retry_id_of(payment_id: str) -> str:
    """The id of a payment's retry. An id that would be too long is shortened, with a digest of the old id."""
    base, number = _parts(payment_id)
    ending = f"_r{number + 1}"
    if len(base) + len(ending) > LONGEST_ID:
        digest = sha256(payment_id.encode()).hexdigest()[:_DIGITS]
        base = f"{base[: LONGEST_ID - len(ending) - len(digest) - 1]}-{digest}"
    return base + ending


def former_id_of(payment_id: str) -> str:
    """The id of the payment that this id would be a retry of, the inverse of `retry_id_of`; "" for none.

    An id that was shortened does not tell it: the row of such a retry names it as `retry_of`, and a batch's report
    notes it for the row of a file.
    """
    base, number = _parts(payment_id)
    if number < _FIRST:
        return ""
    former = base if number == _FIRST else f"{base}_r{number - 1}"
    return former if PAYMENT_ID.fullmatch(former) and retry_id_of(former) == payment_id else ""


def former_ids_of(payment_id: str) -> Iterator[str]:
    """The ids of the payments that this id would be a retry of, the nearest first: of `pay_1_r4` they are `pay_1_r3`,
    `pay_1_r2` and `pay_1`. Of a high number, only the nearest and the first."""
    looked_up = 0
    while (payment_id := former_id_of(payment_id)) and looked_up < _MOST_FORMER:
        yield payment_id
        looked_up += 1
    if payment_id:
        yield _parts(payment_id)[0]


def is_shortened(payment_id: str) -> bool:
    """Whether an id may be that of a retry which does not lead back to the id before it."""
    return len(payment_id) == LONGEST_ID and bool(_SHORTENED.fullmatch(payment_id))


def is_retry_of(payment: Payment, former: Payment) -> bool:
    """Whether a payment is the retry of another one.

    A row that came over the API or in a file does not say so. It is one if it has the retry's id, and the same money
    and customer: another payment may happen to have such an id.
    """
    if payment.retry_of:
        return payment.retry_of == former.payment_id
    same = (payment.money, payment.customer_id) == (former.money, former.customer_id)
    return same and retry_id_of(former.payment_id) == payment.payment_id


def may_be_retried(payment: Payment) -> bool:
    """Whether a payment ended without a charge, for a reason that does not lie in the payment.

    A decline is an answer, and a rejected payment must be corrected: both need a new payment. A retry that was refused
    because the payment before it was still open has the next number."""
    refused = payment.status is Status.REJECTED and payment.code == RETRY_REFUSED
    return payment.status is Status.FAILED or refused


def retried(former: Payment, *, by: str, at: datetime, correlation_id: str) -> Payment:
    """The first version of the retry's row: the same money, customer, payment method and metadata.

    `former` is in plain text, and so is the result: it is encrypted under its own id. `by` is the actor in its history.
    """
    retry_id, now = retry_id_of(former.payment_id), iso(at)
    reason = f"retry of {former.payment_id}"
    return Payment(
        payment_id=retry_id,
        money=former.money,
        status=Status.PENDING,
        version=1,
        created_at=now,
        updated_at=now,
        fingerprint=_fingerprint(former, retry_id),
        source="rest",
        customer_id=former.customer_id,
        payment_method=former.payment_method,
        description=former.description,
        metadata=former.metadata,
        correlation_id=correlation_id or retry_id,
        history=(Change(1, Status.PENDING, now, by, RETRY, reason),),
        submitted_by=former.submitted_by,
        token_id=former.token_id,
        off_session=former.off_session,
        return_url=former.return_url,
        client_ip=former.client_ip,
        metadata_hash=former.metadata_hash,
        retry_of=former.payment_id,
    )


def _parts(payment_id: str) -> tuple[str, int]:
    """The id without its number, and the number: 1 for a payment that is no retry."""
    found = _NUMBERED.fullmatch(payment_id)
    if found is None or int(found["number"]) < _FIRST:
        return payment_id, 1
    return found["base"], int(found["number"])


def _fingerprint(former: Payment, retry_id: str) -> str:
    """The fingerprint that the client's request has under the retry's id, so that both count as the same payment.

    The row may name a default payment method that the request did not have; the fingerprint of the row tells. A
    request with a token cannot be rebuilt, because the row holds no token.
    """
    for method in (former.payment_method, ""):
        for usually_off_session in (former.off_session, not former.off_session):
            asked = PaymentRequest(
                former.payment_id,
                former.money,
                former.customer_id,
                method,
                former.description,
                former.metadata,
                off_session=former.off_session,
                usually_off_session=usually_off_session,
                return_url=former.return_url,
            )
            if asked.fingerprint == former.fingerprint:
                return replace(asked, payment_id=retry_id).fingerprint
    return sha256(f"{former.fingerprint}:{retry_id}".encode()).hexdigest()
