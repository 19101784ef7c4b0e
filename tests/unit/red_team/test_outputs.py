"""What strangers choose does no harm where it is shown: in a spreadsheet, in a terminal."""

import csv
import io
import json

import pytest

from payctl import show
from payments.application.batch.result_files import RESUBMIT, ResultFiles

NAME = "in\u202ec\x1b[31mvsc.\x07\x9b2J\u2066\r.csv"
"""A file's name that would change the colour, clear the screen, and show its end in another order."""


@pytest.mark.parametrize(
    "cell",
    [
        *("=1+1", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\nx", " =1", "   =1", "\u00a0=1", "\u3000=1"),
        *("＝1+1", "＋1", "－1", "＠SUM(1)", "﹦1", " ＝1", "\ufeff=1", "\u200b=1", "\x00=1", "\x0b=1", "\u2028=1"),
    ],
)
def test_cell_that_a_spreadsheet_may_take_for_a_formula_gets_a_quote(cell: str) -> None:
    assert _written(cell) == f"'{cell}"


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


def test_json_with_the_name_of_a_file_has_its_controls_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    show.as_json({"file": NAME, "name": "Zoë"})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"file": NAME, "name": "Zoë"}
    assert "Zoë" in printed
    assert all(c.isprintable() or c == "\n" for c in printed)
