"""Texts that a spreadsheet may take for a formula get an apostrophe (OWASP, "CSV Injection"), which a file that is read
loses again.

Spreadsheets skip blanks and invisible characters before a formula, and take other signs for the ASCII ones. One that
separates cells by semicolons, tabs or bars, or ignores quotes, begins a cell after each of these and after a line end.
"""

import re
import unicodedata

_SEPARATOR = re.compile(r"([;|\t\r\n])")
_BREAKS = "\t\r\n"
_USUAL = re.compile(r"[0-9A-Za-z(\"_][^;|\t\r\n]*+")
"""Cells that are no formula and have no apostrophe of ours: most cells."""
_NUMBER = re.compile(r"[+-]?[0-9.]+", re.ASCII)
_SIGNS = "=+-@\N{MINUS SIGN}"
_INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Fillers and an empty pattern, which are letters and a symbol by their categories."""
_QUOTE = "'"


def harmless(cell: str) -> str:
    """The text with an apostrophe before each part that a spreadsheet may take for a formula. Numbers stay."""
    if _USUAL.fullmatch(cell) or not cell:
        return cell
    parts = _parts(cell)
    return "".join(_QUOTE + part if _is_risky(parts, place) else part for place, part in enumerate(parts))


def as_written(cell: str) -> str:
    """The text without the apostrophes that `harmless` adds, and with all others."""
    if _QUOTE not in cell or _USUAL.fullmatch(cell):
        return cell
    parts = _parts(cell)
    for place, part in enumerate(parts):
        if part.startswith(_QUOTE):
            without = [*parts[:place], part[1:], *parts[place + 1 :]]
            if _is_risky(without, place):
                parts = without
    return "".join(parts)


def _parts(cell: str) -> list[str]:
    """The parts at even places, the separators between them at odd ones."""
    return _SEPARATOR.split(cell)


def _is_risky(parts: list[str], place: int) -> bool:
    if place % 2:
        return False
    part = parts[place]
    if not place and not part and len(parts) > 1 and parts[1] in _BREAKS:
        return True  # some skip a break at the beginning of a cell
    if _NUMBER.fullmatch(part):
        return False
    begins = next((c for c in part if not _is_skipped(c)), "")
    return bool(begins) and unicodedata.normalize("NFKC", begins)[:1] in _SIGNS


def _is_skipped(character: str) -> bool:
    return (
        character.isspace()
        or character in _INVISIBLE
        or not character.isprintable()
        or unicodedata.category(character) in ("Mn", "Me")
    )
