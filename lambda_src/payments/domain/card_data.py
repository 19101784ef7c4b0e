"""Card data must never enter: what looks like a card number or a code is refused at every entrance."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
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
"""What a field of this name holds, however the name is written: `Card-Number` is `cardnumber`. What PCI DSS 4.0.1
calls account data (requirement 3); `cvv` and `cvc` are seen in any name."""

# Card numbers begin with 3 to 6 (Amex, Visa, Mastercard, Discover, …) or 22 to 27 (Mastercard's second range): ISO/IEC
# 7812. Without that every tenth long order number or time stamp would pass the Luhn check and be refused.
_BEGINNING = re.compile(r"[3-6]|2[2-7]")
_DIGITS = re.compile(r"[0-9]+")
_RUN = re.compile(r"[0-9](?:[\s./-]{0,3}[0-9]){12,}", re.ASCII)
_AS_ON_THE_CARD = re.compile(
    r"(?<![0-9])[0-9]{4}([^0-9a-z])(?:[0-9]{4}\1[0-9]{4}\1[0-9]{4}|[0-9]{6}\1[0-9]{5})(?![0-9])"
)
"""The groups that are stamped on a card, whatever stands between them: `4242_4242_4242_4242` could be an id. Lists of
other numbers have such separators as well, and are not looked at."""
_OTHER_NUMBER = re.compile(
    r"""(?<![0-9a-z])(?:
        (?=[0-9-]*[a-f])(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})
        | \+(?:[ ./-]?[0-9]){8,15}(?![ ./-]?[0-9])
        )(?![0-9a-z])
        | (?<=[0-9])\.(?=[0-9]{10})""",
    re.VERBOSE,
)
"""UUIDs and hashes, of which one in a thousand has a card number by its digits alone; telephone numbers (E.164: + and
up to 15 digits); a decimal point with many digits after it. None of them is part of a card number."""
_DOUBLED = str.maketrans("0123456789", "0246813579")
"""Each digit's double, and the sum of that one's digits."""
_CODE = re.compile(
    r"(?<![a-z0-9])(?:card[\s_-]?)?(?:cvv2?|cvc2?|security[\s_-]?code|verification[\s_-]?value)"
    r"[^a-z0-9]{0,4}(?:(?:is|code|number|no)[^a-z0-9]{1,4})?[0-9]{3,4}(?![a-z0-9])"
)
_FIELD = re.compile(r'"([^"]{1,64})"\s*:\s*("(?:[^"\\]|\\.)*+"?|[^",}\]]*)')
"""A name and its value in the text of a JSON object."""

_LIKE_ASCII = {"\N{MINUS SIGN}": "-", "\N{FRACTION SLASH}": "/", "\N{DIVISION SLASH}": "/"}
_LIKE_ASCII |= dict.fromkeys("\N{MIDDLE DOT}\N{BULLET}\N{BULLET OPERATOR}", ".")


def card_number_in(text: str) -> bool:
    """True if 13 to 19 digits of any script, also with blanks, dots, dashes or slashes between them, are a card
    number by all looks."""
    return any(_numbers(_folded(text)[0]))


def card_data_in(value: Any) -> str:
    """What a JSON value of any depth, or a text, looks like: "" or "a card number", "a card verification code", …

    Never holds the value. Names are looked at as well, and a number that is split over a name and its value.
    """
    left = [value]
    while left:  # no recursion: what is nested deeply must not break the check
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
    """`text` with everything taken out that looks like a card number, or like a code or what else a card has."""
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
    if len(text) < 6:  # cvv123; in a number, a character like ㊷ can stand for two digits
        return ""
    folded, _ = _folded(text)
    if any(_numbers(folded)):
        return NUMBER
    return CODE if _CODE.search(folded) else ""


def _named(name: str) -> str:
    """What a field of this name holds."""
    plain = "".join(c for c in _folded(name)[0] if c.isalnum())
    if "cvv" in plain or "cvc" in plain or plain.endswith("securitycode"):
        return CODE
    return _NAMES.get(plain, "")


def _joined(name: str, content: str) -> str:
    """A name and its value, where the name may be a part of a number; `line_4` is not."""
    return f"{name} {content}" if sum(c.isnumeric() for c in name) >= 4 else content


def _emptied(field: re.Match[str]) -> str:
    return f'{field[0][: field.start(2) - field.start()]}"[card data removed]"'


def _numbers(folded: str) -> Iterator[tuple[int, int]]:
    """Where card numbers stand. Each begins and ends with a group of digits, among whatever other groups there are:
    a date, or the code after the number."""
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
    """The text in plain small letters and digits, and the place in `text` that each of its characters comes from."""
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
    """A character as ASCII where it looks like it; nothing for those that do not show."""
    if character.isascii():
        return character.lower()
    digit = unicodedata.digit(character, None)  # of any script, also ① and ٤, which NFKC leaves as they are or not
    if digit is not None:
        return str(digit)
    category = unicodedata.category(character)
    if category in ("Cf", "Mn", "Me"):  # zero-width characters, soft hyphens, marks on top of others
        return ""
    if category == "Pd":
        return "-"
    return _LIKE_ASCII.get(character) or unicodedata.normalize("NFKC", character).casefold()
