"""What strangers choose does no harm where it is shown: in a spreadsheet, in a terminal."""

import csv
import io
import json
import re
from random import Random

import pytest

from payctl import show
from payctl.failures import Failure
from payments.application.batch.file import BatchFile, Row
from payments.application.batch.result_files import RESUBMIT, ResultFiles
from payments.domain.batch.formulas import as_written, harmless

NAME = "in\u202ec\x1b[31mvsc.\x07\x9b2J\u2066\r.csv"
"""A file's name that would change the colour, clear the screen, and show its end in another order."""


@pytest.mark.parametrize(
    "cell",
    [
        *("=1+1", "+1+1", "-1+1", "@SUM(1)", "\nx", "\tx", "\rx", " =1", "   =1", "\u00a0=1", "\u3000=1"),
        *("\u3164=1", "\u115f=1", "\u2800=1", "\ufe0f=1", "\u034f=1", "\u2212 1+1", "\u207b1+1", "\u3164 \u2212x"),
        *("＝1+1", "＋1", "－1", "＠SUM(1)", "﹦1", " ＝1", "\ufeff=1", "\u200b=1", "\x00=1", "\x0b=1", "\u2028=1"),
    ],
)
def test_cell_that_a_spreadsheet_may_take_for_a_formula_gets_a_quote(cell: str) -> None:
    assert _written(cell) == f"'{cell}"


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("a;=1+1", "a;'=1+1"),
        ("a\t=1+1", "a\t'=1+1"),
        ("a\n=1+1", "a\n'=1+1"),
        ("a\r=1+1", "a\r'=1+1"),
        ("a|@x", "a|'@x"),
        ("\n=1", "'\n'=1"),
        ("\t=1", "'\t'=1"),
        ("=1;b; ＝2", "'=1;b;' ＝2"),
        ("1;-1;-x", "1;-1;'-x"),
        ('{"note": "a;=1"}', '{"note": "a;\'=1"}'),
    ],
)
def test_part_that_may_begin_a_cell_gets_a_quote_of_its_own(cell: str, written: str) -> None:
    assert _written(cell) == written


ALPHABET = "'=;\t\n -a1\u3164"


def test_file_uploaded_again_has_the_texts_of_the_first() -> None:
    random = Random("formulas")
    for cell in ("".join(random.choices(ALPHABET, k=random.randint(0, 6))) for _ in range(20_000)):
        assert as_written(harmless(cell)) == as_written(cell), repr(cell)
        assert harmless(harmless(cell)) == harmless(cell), repr(cell)


@pytest.mark.parametrize("cell", ["'a", "''=1", "it's = 1", "a'=1", "'", "'1", "'-1", "'a;'b", "''", "a;''=", "' '=1"])
def test_other_apostrophes_are_kept(cell: str) -> None:
    assert as_written(cell) == cell


@pytest.mark.parametrize("description", ["=1+1", "a;=1+1", "'a", "it's", "a\u3164;\u2212x", "'=1"])
def test_row_of_resubmit_is_read_as_the_row_of_the_first_file(description: str) -> None:
    header = ["payment_id", "amount", "currency", "description"]
    cells = ["p1", "5", "EUR", description]
    files = ResultFiles(header)
    files.add_resubmit(cells)
    _, content = files.rests()[RESUBMIT]
    first = io.StringIO()
    csv.writer(first).writerows([header, cells])
    (one,), (two,) = (BatchFile([text]).rows() for text in (first.getvalue().encode(), bytes(content)))
    assert isinstance(one, Row)
    assert one == two


@pytest.mark.parametrize(
    "cell", ["", "12.50", "-12.50", "+1", "a=b", "pay_1", "Ünïcode", " 12", "注文", "(=)", "é = 1"]
)
def test_cell_that_is_no_formula_stays_as_it_is(cell: str) -> None:
    assert _written(cell) == cell


def _written(cell: str) -> str:
    files = ResultFiles(["a", "b"])
    files.add_resubmit(["x", cell])
    _, content = files.rests()[RESUBMIT]
    return list(csv.reader(io.StringIO(content.decode(), newline="")))[1][1]


def test_name_of_a_file_reaches_no_terminal_with_its_controls(capsys: pytest.CaptureFixture[str]) -> None:
    show.facts([("file", NAME)])
    show.line(NAME)
    show.heading(NAME)
    show.table("files", ["file"], [[NAME]])
    show.note(NAME)
    printed = "".join(capsys.readouterr())
    assert printed.count("\N{REPLACEMENT CHARACTER}") >= 5
    assert all(c.isprintable() or c == "\n" for c in printed)


def test_name_of_a_file_with_a_line_end_shows_no_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a.csv\nstatus  completed\tby Jo\r\u2028\x85.csv"
    for show_it in (show.line, show.heading, show.note):
        show_it(name)
    show.failure(Failure(f"no file {name}", details=[f"see {name}"]))
    printed = "".join(capsys.readouterr())
    assert len(printed.splitlines()) == 5
    show.facts([("file", name)])
    show.table("files", ["file"], [[name]])
    assert not re.search("^ *status", "".join(capsys.readouterr()), re.MULTILINE)


def test_json_with_the_name_of_a_file_has_its_controls_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    show.as_json({"file": NAME, "name": "Zoë"})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"file": NAME, "name": "Zoë"}
    assert "Zoë" in printed
    assert all(c.isprintable() or c == "\n" for c in printed)
