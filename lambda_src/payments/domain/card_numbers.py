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
"""The most digits in the same grouping and with the same separator beside a card number: a code, or a date. More are a
longer number, or a list."""
_DATED_DIGITS = 10
"""The most of them if one is a date: a date and a code."""
_SIZES_OF_DATES = (1, 2, 4)
_DATE = re.compile(r"(?:0[1-9]|1[0-2])[2-4][0-9]|[2-4][0-9](?:0[1-9]|1[0-2])|20[2-4][0-9]")
"""`1227`, `2712` and `2027`."""

_GROUP = re.compile(r"[0-9]+")
_PLAIN = re.compile(r"[\s._/-]*+", re.ASCII)
ON_THE_CARD = frozenset({(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 4, 2)})
"""The groups embossed on cards, which count with anything between them, as in `4242x4242x4242x4242`."""
_IN_PARTS = frozenset(
    {
        (4, 3, 3, 3),
        (5, 5, 6),
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
"""Groups that people and forms make, which count with blanks, dots, dashes, slashes or underscores between them."""
_IN_HALVES = frozenset({(8, 8), (8, 7), (4, 12), (12, 4)})
"""Those of them that count with a word of a few letters between them, as in `42424242 and 42424242`."""
_MOST_IN_HALVES = 5
_LARGEST_EVEN = 5
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
    if end - start <= _MOST_REPEATED and first + 1 < len(groups):
        between = folded[end : groups[first + 1][0]]
        if len(_like(folded, groups, first, -1, between)) > _DATED_DIGITS:
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
    in_halves = sizes in _IN_HALVES and len(between[0]) <= _MOST_IN_HALVES
    if not (sizes in ON_THE_CARD or in_halves or (plain and (even or sizes in _IN_PARTS)) or (even and repeated)):
        return False
    if not even:
        return True
    if len(set(between)) > 1:
        return True  # no list: the separator changes
    before = _like(folded, groups, first, -1, between[0])
    after = _like(folded, groups, last, 1, between[0]) if sizes[-1] == size else ""
    beside = len(before) + len(after)
    may_be_dated = size in _SIZES_OF_DATES and beside <= _DATED_DIGITS
    if beside <= _LIKE_DIGITS or (may_be_dated and _has_date(before, after)):
        return True
    if size <= _MOST_REPEATED:
        return False
    count = len(sizes)
    others = [groups[place : place + count] for place in (first - count, last + 1) if place >= 0]
    return any(is_card_number("".join(folded[start:end] for start, end in other)) for other in others)


def _has_date(before: str, after: str) -> bool:
    """Whether the digits next to a number begin or end with a date."""
    return any(_DATE.fullmatch(digits) for text in (before, after) for digits in (text[:4], text[-4:]))


def _like(folded: str, groups: Sequence[tuple[int, int]], place: int, step: int, between: str) -> str:
    """The digits of the groups of the same size, with the same text `between` them, that follow in this direction, as
    far as they matter."""
    size = groups[place][1] - groups[place][0]
    found: list[str] = []
    counted = 0
    while counted <= _DATED_DIGITS and 0 <= place + step < len(groups):
        one, other = sorted((groups[place], groups[place + step]))
        place += step
        if groups[place][1] - groups[place][0] != size or folded[one[1] : other[0]] != between:
            break
        found.append(folded[slice(*groups[place])])
        counted += size
    return "".join(found[::step])
