"""Long numbers that are no card numbers: recognized by their form, and by their own check digits where they have some.

They are searched before card numbers. One IBAN in ten has a part that looks like a card number by its digits alone.
"""

import re

from payments.domain.card_issuers import is_card_number

_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
    "YE30 "
)
IBAN_LENGTHS = {entry[:2].lower(): int(entry[2:]) for entry in _LENGTHS.split()}
"""Country → characters of its IBANs (SWIFT, IBAN Registry)."""
_LONGEST_REFERENCE = 25
"""The most characters of a creditor reference (ISO 11649): RF, two check digits, and up to 21."""

_BEGINNING = re.compile(r"(?<![0-9a-z])[a-z]{2}[0-9]{2}")
_REST = re.compile(r"(?:[ -]?[0-9a-z]){1,40}+")
_HASH = re.compile(
    r"(?<![0-9a-z])(?=[0-9-]{0,63}[a-f])"
    r"(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})(?![0-9a-z])"
)
"""UUIDs and hashes with a letter. One in a thousand contains a card number by its digits alone."""
_TELEPHONE = re.compile(r"(?<![0-9a-z])\+(?:[ ./-]?[0-9]){8,15}(?![ ./-]?[0-9])(?![0-9a-z])")
"""Telephone numbers (E.164): + and up to 15 digits."""
_PARCEL = re.compile(r"(?<![0-9a-z])9[1-5][0-9]{2}(?: [0-9]{4}){4} [0-9]{2}(?! ?[0-9a-z])")
"""Parcels of USPS in groups of four: 22 digits, of which the last is a check digit (GS1)."""
_EAN = re.compile(r"(?<![0-9])[0-9]{13}(?![0-9])")
"""Article numbers (GS1). They have as many digits as Visa's oldest cards, which are issued no more."""


def without_other_numbers(folded: str) -> str:
    """The text with all characters of such numbers replaced by `x`. `folded` is in lower case; its length stays."""
    folded = _HASH.sub(lambda found: "x" * len(found[0]), folded)
    folded = _TELEPHONE.sub(lambda found: found[0] if _is_card(found[0]) else "x" * len(found[0]), folded)
    folded = _without_ibans(folded)
    folded = _PARCEL.sub(lambda found: "x" * len(found[0]) if _is_parcel(found[0]) else found[0], folded)
    return _EAN.sub(lambda found: "x" * 13 if _is_ean(found[0]) else found[0], folded)


def _without_ibans(folded: str) -> str:
    """The text with IBANs and creditor references masked, if their check digits fit."""
    kept, at = [], 0
    for beginning in _BEGINNING.finditer(folded):
        if beginning.start() < at or not (rest := _REST.match(folded, beginning.end())):
            continue
        size = _size(folded[beginning.start() : rest.end()])
        kept += [folded[at : beginning.start()], "x" * size]
        at = beginning.start() + size
    return "".join((*kept, folded[at:]))


def _size(text: str) -> int:
    """The characters of the IBAN or the creditor reference that the text begins with, or 0."""
    places = [place for place, character in enumerate(text) if character.isalnum()]
    compact = "".join(text[place] for place in places)
    lengths = range(_LONGEST_REFERENCE, 4, -1) if compact[:2] == "rf" else (IBAN_LENGTHS.get(compact[:2], 0),)
    for length in lengths:
        if not 0 < length <= len(compact) or (length < len(places) and places[length] == places[length - 1] + 1):
            continue  # the number would end within a word
        if int("".join(str(int(c, 36)) for c in compact[4:length] + compact[:4])) % 97 == 1:
            return places[length - 1] + 1
    return 0


def _is_card(number: str) -> bool:
    """Whether a telephone number is a card number, as a whole or behind what would be a country's code."""
    groups = re.findall("[0-9]+", number)
    return any(is_card_number("".join(groups[first:])) for first in range(len(groups)))


def _is_parcel(number: str) -> bool:
    digits = [int(digit) for digit in number if digit != " "]
    return (3 * sum(digits[::2]) + sum(digits[1::2])) % 10 == 0


def _is_ean(digits: str) -> bool:
    return (sum(map(int, digits[::2])) + 3 * sum(map(int, digits[1::2]))) % 10 == 0
