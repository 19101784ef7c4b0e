"""Card numbers among the digits of a text: by length, prefix, grouping and checksum.

Nothing tells a card number from another number of the same form. Each of these checks takes away most of the others:
one in ten numbers has a fitting checksum, and one in three a prefix of a card.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from payments.domain.card_issuers import FEWEST_DIGITS, MOST_DIGITS, is_card_number
from payments.domain.self_checking import without_other_numbers

MOST_BETWEEN = 8
"""The most characters between two groups of digits of one number."""
_LIKE_DIGITS = 4
"""The most digits in the same grouping beside a card number: a code, or a date. More are a longer number."""

_GROUP = re.compile(r"[0-9]+")
_PLAIN = re.compile(r"[\s./-]*+", re.ASCII)
ON_THE_CARD = frozenset({(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 4, 2)})
"""The groups embossed on cards, which count with anything between them, as in `4242x4242x4242x4242`."""
_IN_PARTS = frozenset(
    {
        (4, 3, 3, 3),
        (4, 12),
        (12, 4),
        (6, 10),
        (6, 6, 4),
        (6, 13),
        (8, 8),
        (8, 7),
        (8, 6),
        (8, 8, 3),
        (4, 4, 8),
        (8, 4, 4),
        (4, 8, 4),
    }
)
"""Groups that people and forms make, which count with blanks, dots, dashes or slashes between them."""
_LARGEST_EVEN = 4
"""The most digits of a group if all groups but the last, which may be shorter, have the same number of digits."""
_MOST_REPEATED = 2
"""Groups of one or two digits count with the same text between all of them, as in `4_2_4_2_…`."""


def card_numbers(folded: str) -> Iterator[tuple[int, int]]:
    """The positions of card numbers in a text of ASCII letters in lower case and digits. Each begins and ends with a
    group of digits. Other groups, such as a date or a card code, may stand before or after it."""
    folded = without_other_numbers(folded)
    groups = [found.span() for found in _GROUP.finditer(folded)]
    for first, (start, end) in enumerate(groups):
        if FEWEST_DIGITS <= end - start <= MOST_DIGITS:
            if is_card_number(folded[start:end]):
                yield start, end
            continue
        for last, digits in _windows(folded, groups, first):
            if is_card_number(digits) and _is_plausible(folded, groups, first, last):
                yield start, groups[last][1]


def _windows(folded: str, groups: Sequence[tuple[int, int]], first: int) -> Iterator[tuple[int, str]]:
    """The last group of each number that may begin with the group `first`, and its digits."""
    start, end = groups[first]
    if end - start > MOST_DIGITS or folded[start] not in "234569":
        return
    if end - start <= _MOST_REPEATED and _like(groups, first, -1, end - start) > _LIKE_DIGITS:
        return  # within a list: this keeps long lists cheap
    digits = folded[start:end]
    for last in range(first + 1, min(first + MOST_DIGITS, len(groups))):
        start, end = groups[last]
        if start - groups[last - 1][1] > MOST_BETWEEN or len(digits) + end - start > MOST_DIGITS:
            return
        digits += folded[start:end]
        if len(digits) >= FEWEST_DIGITS:
            yield last, digits


def _is_plausible(folded: str, groups: Sequence[tuple[int, int]], first: int, last: int) -> bool:
    """Whether the groups are those of one card number, and not a part of a longer number or of a list."""
    window = groups[first : last + 1]
    sizes = tuple(end - start for start, end in window)
    between = [folded[end:start] for (_, end), (start, _) in pairwise(window)]
    plain = all(_PLAIN.fullmatch(text) for text in between)
    size = sizes[0]
    even = size <= _LARGEST_EVEN and set(sizes[:-1]) == {size} and sizes[-1] <= size
    repeated = size <= _MOST_REPEATED and len(set(between)) == 1
    if not (sizes in ON_THE_CARD or (plain and (even or sizes in _IN_PARTS)) or (even and repeated)):
        return False
    if not even:
        return True
    before = _like(groups, first, -1, size)
    after = _like(groups, last, 1, size) if sizes[-1] == size else 0
    if before + after <= _LIKE_DIGITS or size <= _MOST_REPEATED:
        return before + after <= _LIKE_DIGITS
    count = len(sizes)
    beside = [groups[place : place + count] for place in (first - count, last + 1) if place >= 0]
    return any(is_card_number("".join(folded[start:end] for start, end in other)) for other in beside)


def _like(groups: Sequence[tuple[int, int]], place: int, step: int, size: int) -> int:
    """The digits of groups of this size that follow in this direction, as far as they matter."""
    counted = 0
    while counted <= _LIKE_DIGITS and 0 <= place + step < len(groups):
        one, other = sorted((groups[place], groups[place + step]))
        place += step
        if groups[place][1] - groups[place][0] != size or not 0 < other[0] - one[1] <= MOST_BETWEEN:
            break
        counted += size
    return counted
