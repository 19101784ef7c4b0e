"""docs/pci-dss.md has every requirement, and everything that it names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "pci-dss.md"
SECTIONS = {1: 5, 2: 3, 3: 7, 4: 2, 5: 4, 6: 5, 7: 3, 8: 6, 9: 5, 10: 7, 11: 6, 12: 10}
"""Requirement → how many sections PCI DSS 4.0.1 has of it: 1.1 to 1.5, and so on."""
NOTHING = "—"

_RESOURCE = re.compile(r"`(lib/[\w/]+\.py)` \(`([A-Z]\w+)`\)")
_PATH = re.compile(r"`((?:api|docs|lambda_src|lib|payctl|tests|tools)/[\w./-]+|Pipfile\.lock|README\.md)`")


def rows() -> list[list[str]]:
    """The cells of all requirements: number and name, what is done, what shows it, what stays."""
    return [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if re.match(r"\| \d+\.\d+ ", line)
    ]


def row_id(row: list[str]) -> str:
    return row[0].split()[0]


def test_requirements_have_one_row_per_section_of_the_standard_in_order() -> None:
    expected = [f"{number}.{section}" for number, last in SECTIONS.items() for section in range(1, last + 1)]

    assert [row_id(row) for row in rows()] == expected
    assert re.findall(r"^## (\d+)\. ", PAGE.read_text(), re.MULTILINE) == [str(number) for number in SECTIONS]


@pytest.mark.parametrize("row", rows(), ids=row_id)
def test_requirement_says_what_is_done_its_evidence_and_what_remains(row: list[str]) -> None:
    name, done, shown_by, stays = row

    assert re.fullmatch(r"\d+\.\d+ [A-Z].+", name)
    assert stays
    if shown_by == NOTHING:
        assert done.startswith("Nothing"), "it does something: say what shows it"
    else:
        assert not done.startswith("Nothing")
        assert _PATH.findall(shown_by)
        # nothing but paths, and resources after them
        assert not re.sub(rf"{_RESOURCE.pattern}|{_PATH.pattern}|[, ]", "", shown_by)


@pytest.mark.parametrize("row", rows(), ids=row_id)
def test_requirement_when_it_names_files_and_resources_then_they_are_there(row: list[str]) -> None:
    shown_by = row[2]

    assert [path for path in _PATH.findall(shown_by) if not (ROOT / path).exists()] == []
    for module, resource in _RESOURCE.findall(shown_by):
        assert f"{resource}(" in (ROOT / module).read_text(), f"{module} makes no {resource}"


def test_tests_when_a_requirement_names_them_then_they_have_tests() -> None:
    named = {path for row in rows() for path in _PATH.findall(row[2]) if path.startswith("tests/")}
    assert len(named) > 25

    for path in sorted(named):
        assert "\ndef test_" in (ROOT / path).read_text(), f"{path} has no test"


def test_page_promises_no_certificate_and_states_its_scope() -> None:
    page = " ".join(PAGE.read_text().split())

    assert "Deploying it does not certify you." in page
    for word in ("SAQ A", "SAQ A-EP", "SAQ D", "the uploaded file itself lies in your bucket"):
        assert word in page
