"""Card data must never enter: what looks like a card number is refused at every entrance."""

import re

# Card numbers begin with 3 to 6 (Amex, Visa, Mastercard, Discover, …) or 22 to 27 (Mastercard's second range): ISO/IEC
# 7812. Without that every tenth long order number or time stamp would pass the Luhn check and be refused.
_DIGIT_RUN = re.compile(r"(?<![0-9])(?:[3-6]|2[ -]?[2-7])(?:[ -]?[0-9]){11,18}(?![0-9])", re.ASCII)


def _passes_luhn(digits: str) -> bool:
    if not 13 <= len(digits) <= 19:
        return False
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def card_number_in(text: str) -> bool:
    """True if 13 to 19 digits in `text`, also with blanks or dashes between them, are a card number by all looks."""
    if len(text) < 13:
        return False
    return any(_passes_luhn(re.sub("[ -]", "", run)) for run in _DIGIT_RUN.findall(text))


def without_card_numbers(text: str) -> str:
    """`text` with everything that looks like a card number taken out."""
    return _DIGIT_RUN.sub(lambda run: "[card number removed]" if card_number_in(run[0]) else run[0], text)
