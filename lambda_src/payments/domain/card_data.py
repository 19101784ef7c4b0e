"""Card data detection: every input that looks like a card number or card code is rejected."""

import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase
from typing import Any, NamedTuple

from payments.domain.card_issuers import FEWEST_DIGITS
from payments.domain.card_numbers import MOST_BETWEEN, card_numbers

NUMBER = "a card number"
CODE = "a card verification code"
TRACK = "a card's magnetic stripe"
PIN = "a card's PIN"

_NAMES = {
    **dict.fromkeys(
        ("pan", "cardnumber", "cardno", "ccnumber", "creditcardnumber", "debitcardnumber", "primaryaccountnumber"),
        NUMBER,
    ),
    **dict.fromkeys(
        ("csc", "cvn", "cvn2", "cav2", "cardverificationcode", "cardverificationvalue", "cardverificationnumber"),
        CODE,
    ),
    **dict.fromkeys(("trackdata", "track1", "track2", "track1data", "track2data", "magstripe"), TRACK),
    **dict.fromkeys(("pin", "cardpin", "pinblock"), PIN),
}
"""Field name → what the field holds. Names are compared in lower case without separators: `Card-Number` is
`cardnumber`. The list is the account data of PCI DSS 4.0.1 (requirement 3). `cvv` and `cvc` match within any name."""

_CODE = re.compile(
    r"(?<![a-z0-9])(?:card[\s_-]?)?(?:cvv2?|cvc2?|security[\s_-]?code|verification[\s_-]?value)"
    r"[^a-z0-9]{0,4}(?:(?:is|code|number|no)[^a-z0-9]{1,4})?[0-9]{3,4}(?![a-z0-9])"
)
_FIELD = re.compile(r'"([^"]{1,64})"\s*+:\s*+("(?:[^"\\]|\\.)*+"?|[^",}\]]*)')
"""A name and its value in the text of a JSON object."""

# The quick pass: what it lets through holds no card data, and what it stops is only checked with care.
_MAY_HIDE = re.compile(
    "[^\\x00-\\x7f\\u00bf-\\u012f\\u014a-\\u017e\\u0180-\\u01c3\\u01f4-\\u02af\\u02e4-\\u065f\\u066a-\\u06ef\\u0900-\\u0965"
    "\\u1e9f-\\u206f\\u20a9-\\u20bf\\u2c7e-\\u324f\\u3400-\\ua61f\\uac00-\\ud7ff]"
)
"""Characters that may stand for an ASCII digit or letter. Not those of the alphabets that shops write in, and not ß."""
_ALIKE = bytes.maketrans(b"123456789" + ascii_uppercase.encode(), b"0" * 9 + ascii_lowercase.encode())
_SEPARATORS = bytes(code for code in range(128) if not chr(code).isalnum())
_FEWEST_DIGITS = "0" * FEWEST_DIGITS
_WITH_LETTERS = re.compile(
    "0{4}[a-z]{0,8}0{4}[a-z]{0,8}0{4}[a-z]{0,8}0{2}|0{4}[a-z]{0,8}0{6}[a-z]{0,8}0{4}"
    "|(?:0[a-z]{1,8}){12}0|(?:00[a-z]{1,8}){6}0"
)
"""Digits in groups that count as a card number with letters between them, see `card_numbers`."""
BETWEEN_TEXTS = "x" * (MOST_BETWEEN + 1)
"""Joins texts that are checked at once: no number spans it."""
_ESCAPED = re.compile(
    r"(?:%[0-9a-f]{2})+|&\#(?:x0{0,16}[0-9a-f]{1,6}|0{0,16}[0-9]{1,7});?|\\u[0-9a-f]{4}|\\u\{0{0,16}[0-9a-f]{1,6}\}"
    r"|\\x[0-9a-f]{2}",
    re.IGNORECASE,
)
"""Characters in the notations of addresses, HTML (which needs no semicolon), JSON and programming languages."""
_MOST_DECODINGS = 3

_LIKE_ASCII = {"\N{MINUS SIGN}": "-", "\N{FRACTION SLASH}": "/", "\N{DIVISION SLASH}": "/"}
_LIKE_ASCII |= dict.fromkeys("\N{MIDDLE DOT}\N{BULLET}\N{BULLET OPERATOR}", ".")


def card_number_in(text: str) -> bool:
    """True if 13 to 19 digits of any script form a card number by prefix, length, grouping and checksum, also in a
    notation that disguises it."""
    return any(any(card_numbers(reading.folded)) for reading in _readings(text))


def is_ordinary(text: str) -> bool:
    """True if a glance shows that `text` has no card data: a tenth of the work of `card_data_in`, for ordinary texts.

    There are no 13 digits without a letter between them or in groups as on a card, no word for a card code, and no
    unusual character that could stand for one of these. A text that is not ordinary may still be harmless. Several
    texts, joined by BETWEEN_TEXTS, can be checked at once.
    """
    if not text.isascii() and _MAY_HIDE.search(text):
        return False
    if ("%" in text or "&#" in text or "\\" in text) and _ESCAPED.search(text):
        return False
    plain = text.encode("ascii", "ignore").translate(_ALIKE, _SEPARATORS).decode()  # `in` is slow on bytes
    if (
        _FEWEST_DIGITS in plain
        or "cvv" in plain
        or "cvc" in plain
        or "securitycode" in plain
        or "verificationvalue" in plain
    ):
        return False
    for part in plain.split(BETWEEN_TEXTS):
        if len(part) >= FEWEST_DIGITS and part.count("0") >= FEWEST_DIGITS and _WITH_LETTERS.search(part):
            return False
    return True


def card_data_in(value: Any) -> str:
    """What a JSON value of any depth, or a text, looks like: "" or "a card number", "a card verification code", …

    The result never contains the value. Field names are checked too, and numbers split over a name and its value.
    """
    left = [value]
    while left:  # no recursion: deep nesting must not break the check
        value = left.pop()
        if isinstance(value, Mapping):
            for name, content in value.items():
                if looks := _named(str(name)) or _looks(str(name)):
                    return looks
                if isinstance(content, Mapping | list | tuple):
                    left.append(content)
                elif looks := _looks(_joined(str(name), str(content))):
                    return looks
        elif isinstance(value, list | tuple):
            left.extend(value)
        elif looks := _looks(str(value)):
            return looks
    return ""


def without_card_numbers(text: str) -> str:
    """`text` with card numbers, card codes and other card data replaced by a note in brackets."""
    if '"' not in text and is_ordinary(text):
        return text
    text = _FIELD.sub(lambda field: _emptied(field) if _named(field[1]) else field[0], text)
    found = []
    for reading in _readings(text):
        spans = [(*span, "[card number removed]") for span in card_numbers(reading.folded)]
        spans += [(*code.span(), "[card verification code removed]") for code in _CODE.finditer(reading.folded)]
        found += [(reading.starts[start], reading.ends[end - 1], instead) for start, end, instead in spans]
    kept, at = [], 0
    for start, end, instead in sorted(found):
        if start >= at:
            kept += [text[at:start], instead]
        at = max(at, end)
    return "".join(kept) + text[at:]


def _looks(text: str) -> str:
    if len(text) < 6 or is_ordinary(text):  # cvv123; in a number, a character like ㊷ can stand for two digits
        return ""
    readings = [reading.folded for reading in _readings(text)]
    if any(any(card_numbers(folded)) for folded in readings):
        return NUMBER
    return CODE if any(_CODE.search(folded) for folded in readings) else ""


def _named(name: str) -> str:
    """What a field of this name holds, or ""."""
    plain = "".join(c for c in _folded(name).folded if c.isalnum())
    if "cvv" in plain or "cvc" in plain or plain.endswith("securitycode"):
        return CODE
    return _NAMES.get(plain, "")


def _joined(name: str, content: str) -> str:
    """A name and its value as one text if the name may be part of a number. `line_4` is not."""
    return f"{name} {content}" if sum(c.isnumeric() for c in name) >= 4 else content


def _emptied(field: re.Match[str]) -> str:
    return f'{field[0][: field.start(2) - field.start()]}"[card data removed]"'


class _Reading(NamedTuple):
    """A text in lower-case ASCII letters and digits. Each character starts and ends somewhere in the original text."""

    folded: str
    starts: Sequence[int]
    ends: Sequence[int]


def _readings(text: str) -> list[_Reading]:
    """The text as it is written, and as it reads without escapes, which may be nested."""
    readings = [_folded(text)]
    for _ in range(_MOST_DECODINGS):
        if not _ESCAPED.search(readings[-1].folded):
            break
        readings.append(_decoded(readings[-1]))
    return readings


def _folded(text: str) -> _Reading:
    if text.isascii():
        return _Reading(text.lower(), range(len(text)), range(1, len(text) + 1))
    folded, starts = [], []
    for place, character in enumerate(text):
        plain = _plain(character)
        folded.append(plain)
        starts += [place] * len(plain)
    return _Reading("".join(folded), starts, [place + 1 for place in starts])


def _decoded(reading: _Reading) -> _Reading:
    """The reading with escapes replaced by their characters. Each stands where its escape stands."""
    folded, starts, ends = [], [], []
    at = 0
    for found in (*_ESCAPED.finditer(reading.folded), None):
        start, end = found.span() if found else (len(reading.folded),) * 2
        pieces = [(reading.folded[place], place, place + 1) for place in range(at, start)]
        for character, first, last in (*pieces, *(_unescaped(found[0], start) if found else ())):
            plain = _plain(character)
            folded.append(plain)
            starts += [reading.starts[first]] * len(plain)
            ends += [reading.ends[last - 1]] * len(plain)
        at = end
    return _Reading("".join(folded), starts, ends)


def _unescaped(escape: str, start: int) -> list[tuple[str, int, int]]:
    """The characters of an escape that begins at `start`, each with the start and the end of what stands for it."""
    end = start + len(escape)
    if escape[0] != "%":
        digits = escape.strip("&#;\\ux{}")
        code = int(digits, 10 if escape[0] == "&" and escape[2] != "x" else 16)
        return [(chr(code), start, end)] if code <= sys.maxunicode else []
    characters = bytes.fromhex(escape.replace("%", "")).decode(errors="replace")
    if len(characters) * 3 == len(escape):
        return [(character, start + 3 * place, start + 3 * place + 3) for place, character in enumerate(characters)]
    return [(character, start, end) for character in characters]


@lru_cache(maxsize=1024)
def _plain(character: str) -> str:
    """A character as the ASCII character it looks like, or "" if it is invisible."""
    if character.isascii():
        return character.lower()
    digit = unicodedata.digit(character, None)  # of any script, including ① and ٤; NFKC does not convert all of them
    if digit is not None:
        return str(digit)
    category = unicodedata.category(character)
    if category in ("Cf", "Mn", "Me"):  # zero-width characters, soft hyphens, marks on top of others
        return ""
    if category == "Pd":
        return "-"
    return _LIKE_ASCII.get(character) or unicodedata.normalize("NFKC", character).casefold()
