"""Which digits are a card number: by the issuers' prefixes and lengths, and by the checksum."""

FEWEST_DIGITS, MOST_DIGITS = 13, 19

_ISSUERS = (
    ("4", (13, 16, 19)),  # Visa
    ("51-55 2221-2720", (16,)),  # Mastercard
    ("34 37", (15,)),  # American Express
    ("300-305 3095 36 38-39", (14, 15, 16, 17, 18, 19)),  # Diners Club
    ("3528-3589", (16, 17, 18, 19)),  # JCB
    ("6011 644-649 65 62 81", (16, 17, 18, 19)),  # Discover, UnionPay, RuPay
    ("50 56-58 60 63 67", (16, 17, 18, 19)),  # Maestro, Elo, Hipercard, RuPay, Verve
    ("2200-2204", (16, 17, 18, 19)),  # Mir
    ("9792", (16,)),  # Troy
)
"""Prefixes, with ranges, and the lengths of their numbers (ISO/IEC 7812, and the issuers' own documents)."""


def _prefixes() -> dict[str, frozenset[int]]:
    found: dict[str, frozenset[int]] = {}
    for ranges, lengths in _ISSUERS:
        for part in ranges.split():
            first, _, last = part.partition("-")
            found |= {str(prefix): frozenset(lengths) for prefix in range(int(first), int(last or first) + 1)}
    return found


LENGTHS_OF = _prefixes()
"""Prefix → the lengths of its card numbers."""
_LONGEST_PREFIX = max(map(len, LENGTHS_OF))
_DOUBLED = str.maketrans("0123456789", "0246813579")
"""Each digit doubled, with the digits of the double added up."""


def is_card_number(digits: str) -> bool:
    """True for digits with the prefix, the length and the checksum of a card number."""
    return _has_prefix(digits) and _passes_luhn(digits)


def _has_prefix(digits: str) -> bool:
    return any(len(digits) in LENGTHS_OF.get(digits[:length], ()) for length in range(1, _LONGEST_PREFIX + 1))


def _passes_luhn(digits: str) -> bool:
    doubled = digits[-2::-2].translate(_DOUBLED)
    return (sum(map(int, digits[-1::-2])) + sum(map(int, doubled))) % 10 == 0
