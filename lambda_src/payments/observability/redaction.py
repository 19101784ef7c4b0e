"""Redaction of log values: secrets, card data and personal data are removed.

It removes too much rather than too little and never raises. Its time grows linearly with the text, whose length is
bounded. No text can therefore stop a payment.
"""

import base64
import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import date
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from payments.domain.card_data import card_number_in

LONGEST_TEXT = 8 * 1024
"""The most characters of one text that are read. The rest is left out."""
LONGEST_LINE = 64 * 1024
"""The most characters of all texts of a line."""
MOST_VALUES = 2000
DEEPEST = 12
_MARGIN = 512
"""Left out at the end of a text that was cut, because half a secret is not recognized."""
_DECODINGS = 2
"""How often a text is decoded when encodings are nested."""

IDENTIFIERS = frozenset({"payment_id", "batch_id", "correlation_id", "request_id", "event_id", "message_id"})
"""Fields that lines are searched by. Only their alphabet is checked: a payment may be called re_2026."""
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_MADE_BY_US = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"  # a UUID
    r"|1-[0-9a-f]{8}-[0-9a-f]{24}"  # a trace of X-Ray
    r"|\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,]\d{1,6}(?:Z|[+-]\d\d:?\d\d)"  # the time
)
"""Texts with long rows of digits that are never card numbers."""
_PLAIN_KEYS = frozenset({"timestamp", "xray_trace_id", "correlation_id", "request_id"})

_ENDINGS = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "email",
    "credential",
    "credentials",
    "cvv",
    "cvc",
    "csc",
    "cardnumber",
    "cardholder",
    "trackdata",
    "magstripe",
    "pinblock",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "authorization",
    "cookie",
    "signature",
    "paymentmethod",
    "gatewayreference",
    "metadata",
    "jwt",
    "firstname",
    "lastname",
    "fullname",
    "customername",
    "cardholdername",
)
"""Names whose values are redacted end with one of these, in a text such as `db_password=…` or `"email": "…"`."""
_WHOLE_NAMES = frozenset({"name", "pan", "pwd", "auth", "pin", "phone"})
_IN_FIELDS = frozenset({"description", "body", "rawbody"})
"""Names that count only as fields, because they are also ordinary words in sentences."""
_SENSITIVE = re.compile("|".join((*_ENDINGS, *_WHOLE_NAMES, "e[-_ ]mail", "api", "card", "key", "_")), re.IGNORECASE)
_HEADERS = ("authorization", "cookie", "signature")
"""Names whose values extend to the end of the line, with blanks and semicolons in them."""

_RULES = tuple(
    (label, re.compile(pattern))
    for label, pattern in {
        "sealed": r"(?i:sealed\.v1\.)[\w.=+/-]*",
        "key": r"(?i:[srp]k_(?:live|test)_\w+|whsec_[\w+/=-]+)|\b[sr]k_[A-Za-z0-9]{16,}",
        "client secret": r"[a-z]{2,8}_[A-Za-z0-9]{1,80}_secret_\w+",
        "token": r"(?i:ptok_)[\w-]+",
        "JWT": r"eyJ[\w-]{5,}(?:\.[\w-]*){0,4}|(?<![\w.-])e[wy][\w-]{8,}\.[\w-]{2,}\.[\w-]*",
        "authorization": r"(?i:bearer)[\s:]+[\w.~+/=-]{4,}|[Bb]asic +(?=[a-z]{0,200}[A-Z0-9=])[A-Za-z0-9+/]{8,}={0,2}",
        "AWS key": r"(?:AKIA|ASIA)[A-Z0-9]{12,}|(?:IQoJ|FwoG|FQoG)[A-Za-z0-9+/=]{40,}"
        r"|(?<![A-Za-z0-9+/])(?=[^a-z]{0,40}[a-z])(?=[^A-Z]{0,40}[A-Z])(?=[^0-9]{0,40}[0-9])[A-Za-z0-9+/]{40}"
        r"(?![A-Za-z0-9+/=])",
        "e-mail": r"[^\s@<>\"'`,;:=()\[\]{}|\\]{1,64}@[^\s@<>\"'`,;:=()\[\]{}|\\]{1,253}\.[^\W\d_]{2,}",
        "CVV": r"(?<!redacted: )(?i:cvv2?|cvc2?|csc|(?:security|verification) (?:code|value|number))\D{0,12}\d{3,4}",
        "payment method": r"(?<![A-Za-z0-9])(?:(?:pm|tok)_\w{3,}|(?:src|card|ba)_[A-Za-z0-9]{14,})",
        "gateway reference": r"(?<![A-Za-z0-9])(?:pi|ch|re|py|pyr|dp|txn|seti)_(?=[A-Za-z]{0,40}[0-9])[A-Za-z0-9]+",
    }.items()
)
_DIGITS = re.compile(r"[0-9](?:[^0-9A-Za-z]{0,8}[0-9]){12,}")
_TIME = re.compile(r"20[0-9]{2}-[01][0-9]-[0-3][0-9][ T][0-2][0-9]:[0-5][0-9]:[0-5][0-9](?:[.,][0-9]{1,6})?(?![0-9])")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_READABLE = re.compile(r"[^\x00-\x1f\x7f-\x9f�]{6,}")
_ESCAPE = re.compile(r"(?<!\\)\\++(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|[nrtbfv0])")
_MARK = re.compile(r"[:=]")
_UNQUOTED = re.compile(r"[^,;&\n\r)\]}\"'<>]*")
_OF_A_HEADER = re.compile(r"[^\n\r\"']*")
_BRACKETS = {"{": "}", "[": "]", "(": ")"}


def redacted(value: Any) -> Any:
    """`value` as JSON can hold it, redacted at any depth. Never raises."""
    try:
        return _Line().value(value, 0)
    except Exception as error:  # noqa: BLE001 - after any error the value is not logged
        return f"[redacted: not readable, {type(error).__name__}]"


def redacted_text(text: str) -> str:
    """The redacted text. Never raises."""
    clean = redacted(text)
    return clean if isinstance(clean, str) else ""


class _Line:
    """The characters and values of one line that may still be read."""

    def __init__(self) -> None:
        self._characters = LONGEST_LINE
        self._values = MOST_VALUES

    def value(self, value: Any, depth: int) -> Any:
        self._values -= 1
        if self._values < 0 or depth > DEEPEST:
            return "[left out]"
        match value:
            case None | bool():
                return value
            case int() | float():
                return _number(value)
            case str():
                return self.text(str.__str__(value))
            case bytes() | bytearray():
                return self.text(bytes(value[: LONGEST_TEXT * 2]).decode(errors="replace"))
            case Mapping():
                return self._fields(value, depth)
            case list() | tuple() | set() | frozenset():
                return self._items(list(value), depth)
            case date():
                return value.isoformat()
        return self.text(_as_text(value))

    def _fields(self, fields: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        clean: dict[str, Any] = {}
        for key, value in fields.items():
            if self._values < 0:
                break
            name, sensitive = _field(_as_text(key)[:200])
            if sensitive and not (value is None or isinstance(value, bool) or value == ""):
                clean[name] = f"[redacted: {sensitive}]"
            elif isinstance(value, str) and _is_plain(name, value):
                clean[name] = str.__str__(value)
            else:
                clean[name] = self.value(value, depth + 1)
        return clean

    def _items(self, items: list[Any], depth: int) -> list[Any] | str:
        few = items[:MOST_VALUES]
        clean = [self.value(item, depth + 1) for item in few if self._values >= 0]
        # a number that is split over several items
        pieces = " ".join(str(item)[:40] for item in clean if isinstance(item, int | str))
        return "[redacted: card number]" if _without_cards(pieces) != pieces else clean

    def text(self, text: str) -> str:
        most = min(LONGEST_TEXT, self._characters)
        self._characters -= min(len(text), most)
        if len(text) <= most:
            return _clean(text, _DECODINGS)
        kept = _clean(text[: most + _MARGIN], _DECODINGS)[: -2 * _MARGIN] if most > _MARGIN else ""
        return f"{kept} [left out: {len(text)} characters in all]"


def _is_plain(name: str, value: str) -> bool:
    """True for ids and times that are logged unchanged. A card number is never one of them."""
    if name in _PLAIN_KEYS and _MADE_BY_US.fullmatch(value):
        return True
    return (
        name in IDENTIFIERS
        and bool(_IDENTIFIER.fullmatch(value))
        and not card_number_in(value)
        and all(label in _OF_IDENTIFIERS or not rule.search(value) for label, rule in _RULES)
    )


_OF_IDENTIFIERS = ("payment method", "gateway reference")
"""Patterns that a payment's id may match."""


def _number(value: float) -> Any:
    if isinstance(value, float):
        return _clean(repr(value), 0) if math.isinf(value) or math.isnan(value) or abs(value) >= 10**12 else value
    if abs(value) < 10**12:
        return int(value)
    if abs(value) >= 10**30:
        return "[left out: a long number]"
    return int(value) if _clean(str(int(value)), 0) == str(int(value)) else "[redacted: card number]"


def _as_text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - the class of the value may raise any error here
        return f"[not readable: {type(value).__name__}]"


@lru_cache(maxsize=256)
def _field(key: str) -> tuple[str, str]:
    """A field's name, redacted, and the word that makes its value sensitive, or ""."""
    name = _clean(key, _DECODINGS)
    plain = _squeezed(name)
    if plain in _WHOLE_NAMES or plain in _IN_FIELDS:
        return name, plain
    return name, next((part for part in _ENDINGS if part in plain), "")


def _squeezed(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _clean(text: str, decodings: int) -> str:
    """A text of bounded length, redacted."""
    text = _canonical(text)
    if decodings:
        inside = _as_json(text, decodings)
        if inside is not None:
            return inside
        decoded = _canonical(_decoded(text))
        if decoded != text:
            clean = _clean(decoded, decodings - 1)
            if clean != decoded:
                return clean
    if _SENSITIVE.search(text):
        text = _without_named(text)
    for label, rule in _RULES:
        text = rule.sub(f"[redacted: {label}]", text)
    text = _without_cards(text)
    return _BASE64.sub(lambda found: _without_encoded(found[0]), text) if decodings else text


def _canonical(text: str) -> str:
    """One way to write each character: full-width letters become letters, digits of every script become 0 to 9, and
    invisible characters and halves of surrogate pairs are removed."""
    return text if text.isascii() else "".join(map(_plain_character, unicodedata.normalize("NFKC", text)))


def _plain_character(character: str) -> str:
    if character.isascii():
        return character
    digit = unicodedata.digit(character, -1)
    if digit >= 0:
        return str(digit)
    category = unicodedata.category(character)
    return "" if category == "Cf" else "�" if category == "Cs" else character


def _as_json(text: str, decodings: int) -> str | None:
    """The redacted content of a text that is JSON; None if it is not JSON or nothing was redacted."""
    bare = text.strip()
    if not bare or bare[0] not in '{["' or bare[-1] not in '}]"':
        return None
    try:
        content = json.loads(bare)
        line = _Line()
        clean = line.value(content, DEEPEST // 2) if not isinstance(content, str) else _clean(content, decodings - 1)
        return None if clean == content else json.dumps(clean, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None


def _decoded(text: str) -> str:
    """A text without URL encoding and without the escapes of JSON and Python."""
    if "%" in text:
        text = unquote(text, errors="replace")
    return _ESCAPE.sub(_unescaped, text) if "\\" in text else text


def _unescaped(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2]
    return chr(int(code, 16)) if code else " "


def _without_encoded(token: str) -> str:
    """A word, or a note if it contains base64 of sensitive text, at any offset."""
    standard = token.rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
    for offset in range(4):
        body = standard[offset:]
        body = body[: len(body) - (len(body) % 4 == 1)]  # base64 never leaves a single character over
        content = base64.b64decode(body + "=" * (-len(body) % 4)).decode(errors="replace")
        for readable in _READABLE.findall(content):
            if _clean(readable, 0) != _canonical(readable):
                return "[redacted: encoded]"
    return token


def _without_named(text: str) -> str:
    """A text without the values after a sensitive name: `password=…`, `"email": "…"`, `Cookie: …`."""
    clean: list[str] = []
    done = 0
    for mark in _MARK.finditer(text):
        if mark.start() < done:
            continue
        name = _name_before(text, mark.start(), done)
        if name:
            begin, end = _value_after(text, mark.end(), name)
            if begin < end:
                clean += [text[done:begin], f"[redacted: {name}]"]
                done = end
    return "".join([*clean, text[done:]])


def _name_before(text: str, mark: int, least: int) -> str:
    """The sensitive name before a colon or an equals sign, or ""."""
    end, least = mark, max(least, mark - 80)
    while end > least and text[end - 1] in " \t\"'\\])":
        end -= 1
    begin = end
    while begin > least and (text[begin - 1].isalnum() or text[begin - 1] in "_-"):
        begin -= 1
    if "arn:aws" in text[max(0, begin - 60) : begin].rpartition(" ")[2]:
        return ""  # arn:aws:secretsmanager:…:secret:payment-gateway-stripe-dev
    plain = _squeezed(text[begin:end]).rstrip("0123456789")
    if plain in _WHOLE_NAMES:
        return plain
    return next((ending for ending in _ENDINGS if plain.endswith(ending)), "")


def _value_after(text: str, begin: int, name: str) -> tuple[int, int]:
    """The start and end of the value after a mark. A value without an end extends to the end of the text."""
    while begin < len(text) and text[begin] in " \t\\>=:" and text[begin] != "\n":
        begin += 1
    if begin == len(text):
        return begin, begin
    first = text[begin]
    if first in "\"'":
        end = text.find(first, begin + 1)
        while end > 0 and text[end - 1] == "\\" and text[begin - 1] != "\\":  # an escaped quote inside
            end = text.find(first, end + 1)
        return begin + 1, len(text) if end < 0 else end
    if first in _BRACKETS:
        return begin, _closing(text, begin)
    found = (_OF_A_HEADER if name in _HEADERS else _UNQUOTED).match(text, begin)
    return begin, found.end() if found else begin


def _closing(text: str, begin: int) -> int:
    opening, closing, depth = text[begin], _BRACKETS[text[begin]], 0
    for place in range(begin, len(text)):
        depth += (text[place] == opening) - (text[place] == closing)
        if not depth:
            return place + 1
    return len(text)


def _without_cards(text: str) -> str:
    """A text without 13 to 19 digits that form a card number, with any separators between them."""
    clean: list[str] = []
    done = 0
    for begin, end in _cards(text):
        if begin > done or not clean:
            clean += [text[done:begin], "[redacted: card number]"]
        done = max(done, end)
    return "".join([*clean, text[done:]])


def _cards(text: str) -> Iterator[tuple[int, int]]:
    """The start and end of card numbers, in the order of their starts. Stricter than the input check: it also finds a
    card number next to other digits."""
    for run in _DIGITS.finditer(_TIME.sub(lambda time: "t" * len(time[0]), text)):
        places = [place for place in range(*run.span()) if "0" <= text[place] <= "9"]
        digits = [int(text[place]) for place in places]
        # prefix sums with the digits doubled at odd and at even places: Luhn's sum of any part is a difference of two
        odd, even = [0], [0]
        for place, digit in enumerate(digits):
            twice = digit * 2 - 9 * (digit > 4)
            odd.append(odd[-1] + (twice if place % 2 else digit))
            even.append(even[-1] + (digit if place % 2 else twice))
        for begin in range(len(digits) - 12):
            if not (digits[begin] in (3, 4, 5, 6) or (digits[begin] == 2 and 2 <= digits[begin + 1] <= 7)):
                continue  # the prefixes of ISO/IEC 7812, as in `card_data`
            for end in range(min(begin + 19, len(digits)), begin + 12, -1):
                sums = odd if end % 2 else even  # the last digit is not doubled
                if (sums[end] - sums[begin]) % 10 == 0 and _stands_alone(places, begin, end):
                    yield places[begin], places[end - 1] + 1
                    break


def _stands_alone(places: list[int], begin: int, end: int) -> bool:
    """True for digits in one piece, and for several pieces that begin or end at the border of a digit group. Other
    pieces are the middle of a row of numbers, such as a date and a time."""
    in_one_piece = places[end - 1] - places[begin] == end - 1 - begin
    begins = begin == 0 or places[begin - 1] < places[begin] - 1
    ends = end == len(places) or places[end] > places[end - 1] + 1
    return in_one_piece or begins or ends
