"""Card data must never enter: what looks like a card number is refused at every entrance."""

import re

_DIGIT_RUN = re.compile(r"(?<![0-9])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])", re.ASCII)


def _passes_luhn(digits: str) -> bool:
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def card_number_in(text: str) -> bool:
    """True if 13 to 19 digits in `text`, also with blanks or dashes between them, pass the Luhn check."""
    return any(_passes_luhn(re.sub("[ -]", "", run)) for run in _DIGIT_RUN.findall(text))


def without_card_numbers(text: str) -> str:
    """`text` with everything that looks like a card number taken out."""
    return _DIGIT_RUN.sub(lambda run: "[card number removed]" if card_number_in(run[0]) else run[0], text)
