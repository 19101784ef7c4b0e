"""Card data detection: every input that looks like a card number or card code is rejected."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase
from typing import Any

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

# Card numbers begin with 3 to 6 (Amex, Visa, Mastercard, Discover, …) or 22 to 27 (Mastercard's second range): ISO/IEC
# 7812. Without this check, one in ten long order numbers or time stamps would pass the Luhn check and be rejected.
_BEGINNING = re.compile(r"[3-6]|2[2-7]")
_DIGITS = re.compile(r"[0-9]+")
_RUN = re.compile(r"[0-9](?:[\s./-]{0,3}[0-9]){12,}", re.ASCII)
_AS_ON_THE_CARD = re.compile(
    r"(?<![0-9])[0-9]{4}([^0-9a-z])(?:[0-9]{4}\1[0-9]{4}\1[0-9]{4}|[0-9]{6}\1[0-9]{5})(?![0-9])"
)
"""The groups embossed on a card, with the same separator between them. The separator may be any character except a
digit or a letter, because `4242_4242_4242_4242` could be an id. Lists of other numbers use such separators too, so only
these groupings count."""
_OTHER_NUMBER = re.compile(
    r"""(?<![0-9a-z])(?:
        (?=[0-9-]{0,63}[a-f])(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})
        | \+(?:[ ./-]?[0-9]){8,15}(?![ ./-]?[0-9])
        )(?![0-9a-z])
        | (?<=[0-9])\.(?=[0-9]{10})""",
    re.VERBOSE,
)
"""Numbers that are not part of a card number: UUIDs and hashes (one in a thousand contains a card number by its digits
alone), telephone numbers (E.164: + and up to 15 digits), and a decimal point followed by many digits."""
_DOUBLED = str.maketrans("0123456789", "0246813579")
"""Each digit doubled, with the digits of the double added up."""
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
_FEWEST_DIGITS = "0" * 13

_LIKE_ASCII = {"\N{MINUS SIGN}": "-", "\N{FRACTION SLASH}": "/", "\N{DIVISION SLASH}": "/"}
_LIKE_ASCII |= dict.fromkeys("\N{MIDDLE DOT}\N{BULLET}\N{BULLET OPERATOR}", ".")


def card_number_in(text: str) -> bool:
    """True if 13 to 19 digits of any script form a card number by prefix and checksum. Blanks, dots, dashes and
    slashes between the digits are allowed."""
    return any(_numbers(_folded(text)[0]))


def is_ordinary(text: str) -> bool:
    """True if a glance shows that `text` has no card data: a tenth of the work of `card_data_in`, for ordinary texts.

    There are no 13 digits without a letter between them, no word for a card code, and no unusual character that could
    stand for one of these. A text that is not ordinary may still be harmless. Several texts, joined by a letter, can be
    checked at once.
    """
    if not text.isascii() and _MAY_HIDE.search(text):
        return False
    plain = text.encode("ascii", "ignore").translate(_ALIKE, _SEPARATORS).decode()  # `in` is slow on bytes
    return not (
        _FEWEST_DIGITS in plain
        or "cvv" in plain
        or "cvc" in plain
        or "securitycode" in plain
        or "verificationvalue" in plain
    )


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
    folded, places = _folded(text)
    found = [(*span, "[card number removed]") for span in _numbers(folded)]
    found += [(*code.span(), "[card verification code removed]") for code in _CODE.finditer(folded)]
    kept, at = [], 0
    for start, end, instead in sorted(found):
        first, last = places[start], places[end - 1]
        if first >= at:
            kept += [text[at:first], instead]
        at = max(at, last + 1)
    return "".join(kept) + text[at:]


def _looks(text: str) -> str:
    if len(text) < 6 or is_ordinary(text):  # cvv123; in a number, a character like ㊷ can stand for two digits
        return ""
    folded, _ = _folded(text)
    if any(_numbers(folded)):
        return NUMBER
    return CODE if _CODE.search(folded) else ""


def _named(name: str) -> str:
    """What a field of this name holds, or ""."""
    plain = "".join(c for c in _folded(name)[0] if c.isalnum())
    if "cvv" in plain or "cvc" in plain or plain.endswith("securitycode"):
        return CODE
    return _NAMES.get(plain, "")


def _joined(name: str, content: str) -> str:
    """A name and its value as one text if the name may be part of a number. `line_4` is not."""
    return f"{name} {content}" if sum(c.isnumeric() for c in name) >= 4 else content


def _emptied(field: re.Match[str]) -> str:
    return f'{field[0][: field.start(2) - field.start()]}"[card data removed]"'


def _numbers(folded: str) -> Iterator[tuple[int, int]]:
    """The positions of card numbers. Each begins and ends with a group of digits. Other groups, such as a date or a
    card code, may stand before or after it."""
    folded = _AS_ON_THE_CARD.sub(lambda groups: groups[0].replace(groups[1], "-"), folded)
    if _RUN.search(folded):
        folded = _OTHER_NUMBER.sub(lambda other: "x" * len(other[0]), folded)
    for run in _RUN.finditer(folded):
        groups = list(_DIGITS.finditer(folded, *run.span()))
        for first, group in enumerate(groups):
            if group[0][0] not in "23456":
                continue
            digits = ""
            for last in groups[first : first + 19]:
                digits += last[0]
                if len(digits) > 19:
                    break
                if len(digits) >= 13 and _BEGINNING.match(digits) and _passes_luhn(digits):
                    yield group.start(), last.end()


def _passes_luhn(digits: str) -> bool:
    doubled = digits[-2::-2].translate(_DOUBLED)
    return (sum(map(int, digits[-1::-2])) + sum(map(int, doubled))) % 10 == 0


def _folded(text: str) -> tuple[str, Sequence[int]]:
    """The text in lower-case ASCII letters and digits, and for each of its characters the position in `text`."""
    if text.isascii():
        return text.lower(), range(len(text))
    folded, places = [], []
    for place, character in enumerate(text):
        plain = _plain(character)
        folded.append(plain)
        places += [place] * len(plain)
    return "".join(folded), places


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
