"""Faults in the metadata of a payment, under the key `stand_in`.

The value is a list of `word`, `word=value`, `word:times` or `word=value:times`, separated by spaces or commas:
`rate_limited:2 answer_lost` means two answers with 429, then a charge whose answer is lost.

    word                     value                           effect
    unauthorized                                             401
    refused                  a code, such as account_invalid an error about our key, our account or an object in use
    rate_limited             Retry-After in seconds, 1       429
    key_in_use                                               409
    server_error             `before` the charge or `after`  500, stored under the key
    answer_lost              `before` the charge or `after`  the connection closes without an answer
    latency                  seconds, 1                      the answer is late
    amount, currency, status the value to show               every answer and event shows this value
    key_forgotten                                            a repeated idempotency key is executed again
    settles_later                                            `processing` until /_stand_in/…/settle
    search_lag               seconds, 60                     search does not show a change for this time
    search_refused                                           search answers 400, as for an account in India
    webhook_lost, webhook_doubled, webhook_reordered         events are lost, sent twice, or sent after the next one
    webhook_late             seconds, 5                      events are late

The default value is the number above, or `after`. The default of `times` is once; `amount`, `currency`, `status`,
`search_…` and `webhook_…` apply every time. The metadata must also contain the `payment_id`. A repeated request does
not set its faults again: they are counted down.
"""

import re
from collections.abc import Callable
from typing import Any

from local.fake_stripe.faults import EVERY_TIME, Fault, Kind

KEY = "stand_in"
_WORD = re.compile(r"(?P<name>[a-z_]+)(?:=(?P<value>[a-z0-9_.]+))?(?::(?P<times>[1-9][0-9]{0,3}))?")
_Reader = Callable[[str | None], dict[str, Any]]
"""Converts a word's value to fields of a fault. Raises ValueError."""


def _nothing(value: str | None) -> dict[str, Any]:
    if value is not None:
        raise ValueError("takes no value")
    return {}


def _seconds(name: str, default: float, kind: type[int] | type[float] = float) -> _Reader:
    return lambda value: {name: kind(default if value is None else value)}


def _moment(value: str | None) -> dict[str, Any]:
    if value not in (None, "before", "after"):
        raise ValueError("takes before or after")
    return {"executes": value != "before"}


def _amount(value: str | None) -> dict[str, Any]:
    amount = int(value or "")
    return {"fields": {"amount": amount, "amount_received": amount}}


def _code(value: str | None) -> dict[str, Any]:
    return {"code": value or ""}


def _text(name: str) -> _Reader:
    def read(value: str | None) -> dict[str, Any]:
        if value is None:
            raise ValueError("needs a value")
        return {"fields": {name: value}}

    return read


_WORDS: dict[str, tuple[Kind, _Reader]] = {
    "unauthorized": (Kind.UNAUTHORIZED, _nothing),
    "refused": (Kind.REFUSED, _code),
    "rate_limited": (Kind.RATE_LIMITED, _seconds("retry_after_seconds", 1, int)),
    "key_in_use": (Kind.KEY_IN_USE, _nothing),
    "server_error": (Kind.SERVER_ERROR, _moment),
    "answer_lost": (Kind.ANSWER_LOST, _moment),
    "latency": (Kind.LATENCY, _seconds("seconds", 1)),
    "amount": (Kind.ALTERED, _amount),
    "currency": (Kind.ALTERED, _text("currency")),
    "status": (Kind.ALTERED, _text("status")),
    "key_forgotten": (Kind.KEY_FORGOTTEN, _nothing),
    "settles_later": (Kind.SETTLES_LATER, _nothing),
    "search_lag": (Kind.SEARCH_LAG, _seconds("seconds", 60)),
    "search_refused": (Kind.SEARCH_REFUSED, _nothing),
    "webhook_lost": (Kind.WEBHOOK_LOST, _nothing),
    "webhook_doubled": (Kind.WEBHOOK_DOUBLED, _nothing),
    "webhook_late": (Kind.WEBHOOK_LATE, _seconds("seconds", 5)),
    "webhook_reordered": (Kind.WEBHOOK_REORDERED, _nothing),
}


def faults_of(payment_id: str, text: str) -> list[Fault]:
    """The faults that `text` specifies. Raises ValueError with the invalid word and the allowed ones."""
    if not payment_id:
        raise ValueError(f"metadata[{KEY}] needs a payment_id in the metadata")
    faults: list[Fault] = []
    altered: Fault | None = None  # one fault for all altered fields: an answer gets at most one fault per kind
    for word in re.split(r"[\s,]+", text.strip(" ,")):
        fault = _fault(payment_id, word)
        if fault.kind is Kind.ALTERED and altered:
            altered.fields |= fault.fields
            altered.times = min(altered.times, fault.times)
            continue
        faults.append(fault)
        altered = fault if fault.kind is Kind.ALTERED else altered
    return faults


def _fault(payment_id: str, word: str) -> Fault:
    match = _WORD.fullmatch(word)
    if not match or match["name"] not in _WORDS:
        raise ValueError(f"unknown {word[:40]!r}; allowed are word[=value][:times] with {', '.join(_WORDS)}")
    kind, read = _WORDS[match["name"]]
    try:
        body = {"kind": kind, "payment_id": payment_id, **read(match["value"])}
    except ValueError as error:
        raise ValueError(f"wrong value in {word[:40]!r}: {error}") from None
    if match["times"]:
        body["times"] = int(match["times"])
    elif kind is Kind.ALTERED:
        body["times"] = EVERY_TIME
    return Fault.parse(body)
