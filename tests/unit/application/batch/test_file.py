"""Batch files of many origins, and random files."""

import csv
import gzip
import io
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise, permutations
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from payments.application.batch import file as batch_file
from payments.application.batch import records
from payments.application.batch.file import BatchFile, Row
from payments.application.batch.ordinary_rows import ordinary_rows
from payments.application.batch.records import MAX_RECORD_BYTES, Flaw, Records, cells_of
from payments.domain import payment
from payments.domain.batch.errors import FileError, RejectedRow
from payments.domain.batch.state import Progress
from payments.domain.money import Money
from payments.domain.payment import REQUIRED_FIELDS, parse_request
from tests.cpu import LINEAR, growth

HEADER = b"payment_id,amount,currency\n"


def rows_of(content: bytes, chunk_bytes: int = 1 << 16) -> list[Row | RejectedRow]:
    return list(BatchFile(chunked(content, chunk_bytes)).rows())


def chunked(content: bytes, chunk_bytes: int) -> Iterator[bytes]:
    return (content[at : at + chunk_bytes] for at in range(0, len(content), chunk_bytes))


def summary(rows: list[Row | RejectedRow]) -> list[tuple[int, str]]:
    """Line and payment_id of accepted rows, line and reasons of rejected ones."""
    return [
        (row.line, row.request.payment_id if isinstance(row, Row) else "; ".join(e.reason for e in row.errors))
        for row in rows
    ]


@contextmanager
def peak_bytes() -> Iterator[Callable[[], int]]:
    """Returns the peak memory inside of the block."""
    peak = 0
    tracemalloc.start()
    try:
        yield lambda: peak
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refusal(content: bytes) -> FileError:
    with pytest.raises(FileError) as refused:
        rows_of(content)
    return refused.value


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"\xef\xbb\xbf" + HEADER + b"p1,1.00,USD\n", [(2, "p1")], id="byte_order_mark"),
        pytest.param(b"payment_id,amount,currency\r\np1,1,USD\r\np2,2,USD\r\n", [(2, "p1"), (3, "p2")], id="crlf"),
        pytest.param(b"payment_id,amount,currency\rp1,1,USD\rp2,2,USD", [(2, "p1"), (3, "p2")], id="lone_cr"),
        pytest.param(HEADER + b"\n  \np1,1,USD\n\n\np2,2,USD\n\n", [(4, "p1"), (7, "p2")], id="blank_lines"),
        pytest.param(HEADER + b"p1,1,USD", [(2, "p1")], id="no_line_end_at_the_end"),
        pytest.param(b"currency,payment_id,amount\nUSD,p1,1\n", [(2, "p1")], id="reordered_columns"),
        pytest.param(b" Payment_ID ,AMOUNT,Currency\np1,1,USD\n", [(2, "p1")], id="header_in_capitals_and_blanks"),
        pytest.param(b'"payment_id","amount","currency"\n"p1","1","USD"\n', [(2, "p1")], id="all_quoted"),
        pytest.param(gzip.compress(HEADER + b"p1,1,USD\n", mtime=0), [(2, "p1")], id="gzip"),
        pytest.param(
            gzip.compress(HEADER, mtime=0) + gzip.compress(b"p1,1,USD\n") + b"\0\0",
            [(2, "p1")],
            id="gzip_of_two_members_padded",
        ),
        pytest.param(HEADER, [], id="header_only"),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [1, 3, 65536])
def test_file_when_in_a_tolerated_form_then_its_rows_are_read(
    content: bytes, expected: list[tuple[int, str]], chunk_bytes: int
) -> None:
    assert summary(rows_of(content, chunk_bytes)) == expected


def test_quoted_cell_may_hold_commas_quotes_and_line_ends() -> None:
    content = b'payment_id,amount,currency,description\np1,1,USD,"a, ""b""\r\nc\n\nd"\np2,2,USD,5" pipe\n'
    first, second = rows_of(content)
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert (first.line, first.request.description) == (2, 'a, "b"\nc\n\nd')
    assert (second.line, second.request.description) == (6, '5" pipe')


def test_row_when_all_columns_are_there_then_the_whole_request_is_read() -> None:
    content = (
        b"metadata,description,payment_method,customer_id,currency,amount,payment_id\n"
        b'"{""order"": ""A-17""}",Socks,pm_card_visa,cus_1,KWD,1.234,p1\n'
    )
    (row,) = rows_of(content)
    assert isinstance(row, Row)
    assert row.request.money == Money(1234, "KWD")
    assert row.request.metadata == {"order": "A-17"}
    assert (row.request.customer_id, row.request.payment_method) == ("cus_1", "pm_card_visa")
    assert row.request.description == "Socks"


@pytest.mark.parametrize(
    ("content", "line", "column", "reason"),
    [
        (b"", 1, "", "the file is empty"),
        (b"\n \n", 1, "", "the file is empty"),
        (b"\xef\xbb\xbf", 1, "", "the file is empty"),
        (b"payment_id,amount\np1,1\n", 1, "currency", "the column currency is missing"),
        (b"\n\nid,amount,currency,payment_id\n", 3, "column 1", "'id' is not a column"),
        (b"payment_id,amount,currency,amount\n", 1, "amount", "the column appears twice"),
        (b"payment_id,amount,currency,\n", 1, "column 4", "column 4 has no name"),
        (b"payment_id;amount;currency\np1;1;USD\n", 1, "", "the header's cells are separated by ';'"),
        (b"payment_id,amount,curr\xffency\n", 1, "", "the header is not UTF-8 text"),
        (b'payment_id,amount,"currency\n', 1, "", f"header: {Flaw.UNCLOSED_QUOTE}"),
        (b"x" * 200_000, 1, "", f"header: {Flaw.TOO_LONG}"),
        ("payment_id,amount,currency\n".encode("utf-16"), 1, "", "the file is UTF-16 or UTF-32 text"),
        (
            "payment_id,amount,currency\n".encode("utf-16-le"),
            1,
            "",
            "the file has zero bytes: it is UTF-16 text or not text",
        ),
        (
            gzip.compress("payment_id\n".encode("utf-16-be"), mtime=0),
            1,
            "",
            "the file has zero bytes: it is UTF-16 text or not text",
        ),
        (b"PK\x03\x04 a workbook", 1, "", "the file is a ZIP archive or an Excel workbook"),
        (gzip.compress(HEADER, mtime=0)[:15], 1, "", "the gzip data ends too early: the upload was incomplete"),
        (b"\x1f\x8b no gzip at all", 1, "", "the gzip data is damaged here"),
    ],
)
def test_file_without_a_readable_header_reports_where_and_why(
    content: bytes, line: int, column: str, reason: str
) -> None:
    errors = refusal(content).errors
    assert (line, column, reason) in [(error.line, error.column, error.reason) for error in errors]
    assert all(error.what_to_do for error in errors)


def test_header_error_does_not_repeat_a_card_number() -> None:
    assert "4242" not in repr(refusal(b"payment_id,amount,currency,4242424242424242\n").errors)


def test_header_with_a_thousand_unknown_columns_gives_20_errors() -> None:
    assert len(refusal(b",".join(b"x%d" % n for n in range(1000))).errors) == 20


@pytest.mark.parametrize(
    ("bad_line", "reason"),
    [
        (b"bad,1", "the row has 2 cells and the header 3"),
        (b"bad,1,USD,more", "the row has 4 cells and the header 3"),
        (b"bad,1,000.00,USD", "the row has 4 cells and the header 3"),
        (b'bad,"1,USD', Flaw.UNCLOSED_QUOTE.value),
        (b'bad,"1"0,USD', Flaw.TEXT_AFTER_QUOTE.value),
        (b"b\xe4d,1,USD", "the cell is not UTF-8 text"),
        (b"x" * (MAX_RECORD_BYTES + 1), Flaw.TOO_LONG.value),
        (b",,", "; ".join(f"{name} is missing" for name in ("payment_id", "amount", "currency"))),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [5, 65536])
def test_row_when_it_cannot_be_read_then_it_alone_is_rejected(bad_line: bytes, reason: str, chunk_bytes: int) -> None:
    content = HEADER + b"p1,1,USD\n" + bad_line + b"\np2,2,USD\np3,3,USD\n"
    assert summary(rows_of(content, chunk_bytes)) == [(2, "p1"), (3, reason), (4, "p2"), (5, "p3")]


def test_row_when_a_cell_is_not_utf8_then_the_error_names_its_column() -> None:
    (row,) = rows_of(b"payment_id,amount,currency,description\np1,1,USD,M\xfcller\n")
    assert isinstance(row, RejectedRow)
    (error,) = row.errors
    assert (row.payment_id, error.line, error.column, error.value) == ("p1", 2, "description", "'M\ufffdller'")


def test_unclosed_quote_does_not_swallow_the_rows_up_to_a_later_quote() -> None:
    content = (
        b"payment_id,amount,currency,description\n"
        b'p1,1,USD,"unclosed\n'
        b"p2,2,USD,plain\n"
        b'p3,3,USD,"quoted, with comma"\n'
        b'p4,4,USD,",starts with a comma"\n'
    )
    assert summary(rows_of(content)) == [(2, Flaw.UNCLOSED_QUOTE.value), (3, "p2"), (4, "p3"), (5, "p4")]


def test_many_unclosed_quotes_are_rejected_line_by_line_in_linear_time() -> None:
    read: list[list[Row | RejectedRow]] = []
    assert growth(lambda lines: read.append(rows_of(HEADER + b'p,"1,USD\n' * lines)), 40_000) < LINEAR
    rows = max(read, key=len)
    assert [row.line for row in rows] == list(range(2, 40_002))
    assert all(isinstance(row, RejectedRow) for row in rows)


def test_unclosed_quote_in_a_large_file_loses_no_row_below() -> None:
    below = b"".join(b"p%d,1,USD\n" % n for n in range(20_000))
    rows = rows_of(HEADER + b'first,"1,USD\n' + below)
    assert summary(rows[:2]) == [(2, Flaw.UNCLOSED_QUOTE.value), (3, "p0")]
    assert sum(isinstance(row, Row) for row in rows) == 20_000


def test_truncated_gzip_yields_the_whole_rows_and_rejects_the_half_row() -> None:
    # stored blocks: the cut falls inside of the last row's amount
    whole = gzip.compress(HEADER + b"p1,1,USD\np2,100.00,USD\n", compresslevel=0, mtime=0)
    cut = whole[: whole.index(b"p2,10") + 5]
    first, last = rows_of(cut)
    assert isinstance(first, Row)
    assert isinstance(last, RejectedRow)
    assert (last.line, last.errors[0].reason) == (3, "the gzip data ends too early: the upload was incomplete")


def test_file_with_too_many_rows_names_the_first_row_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_file, "MAX_ROWS", 2)
    rows = rows_of(HEADER + b"p1,1,USD\np2,1,USD\np3,1,USD\np4,1,USD\n")
    assert summary(rows) == [
        (2, "p1"),
        (3, "p2"),
        (4, "the file has more than 2 rows; this row and the following rows were not read"),
    ]


@pytest.mark.fault(29)
def test_row_of_10_mb_when_streamed_then_it_is_rejected_in_bounded_memory() -> None:
    def chunks() -> Iterator[bytes]:
        yield HEADER + b"p1,1,USD\nlong,1,"
        for _ in range(160):
            yield b"x" * 65536
        yield b"\np2,2,USD\n"

    with peak_bytes() as peak:
        rows = list(BatchFile(chunks()).rows())
    assert summary(rows) == [(2, "p1"), (3, Flaw.TOO_LONG.value), (4, "p2")]
    assert peak() < 1_000_000


def test_gzip_of_a_long_row_is_rejected_in_bounded_memory() -> None:
    content = gzip.compress(HEADER + b"x" * 50_000_000 + b"\np2,2,USD\n", mtime=0)
    with peak_bytes() as peak:
        rows = rows_of(content)
    assert summary(rows) == [(2, Flaw.TOO_LONG.value), (3, "p2")]
    assert peak() < 1_000_000


@pytest.mark.fault(29)
def test_file_of_a_million_rows_resumes_near_its_end_in_bounded_memory() -> None:
    """Only the memory of the last 50,000 rows is measured: that takes several times as long as to read them."""
    with ExitStack() as measured:
        peaks: list[Callable[[], int]] = []

        def chunks() -> Iterator[bytes]:
            yield HEADER
            for thousand in range(1000):
                if thousand == 950:
                    peaks.append(measured.enter_context(peak_bytes()))
                yield b"".join(b"p%d,1,USD\n" % (thousand * 1000 + n) for n in range(1000))

        rows = list(BatchFile(chunks()).rows(Progress(line=999_999)))
    assert summary(rows) == [(1_000_000, "p999998"), (1_000_001, "p999999")]
    assert peaks[0]() < 1_000_000


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        ("10.50", "JPY"),
        ("1.2345", "KWD"),
        ("-5.00", "USD"),
        ("0", "USD"),
        ("0.00", "USD"),
        ("NaN", "USD"),
        ("Infinity", "USD"),
        ("1e3", "USD"),
        ('" 1,000.00 "', "USD"),
        (" 5.00", "USD"),
        ("5.00 ", "USD"),
        ("+5.00", "USD"),
        ("5.", "USD"),
        (".5", "USD"),
        ("٥.00", "USD"),
        ("1234567890123456789", "USD"),
    ],
)
def test_invalid_amount_for_its_currency_is_rejected_with_a_reason(amount: str, currency: str) -> None:
    (row,) = rows_of(HEADER + f"p1,{amount},{currency}\n".encode())
    assert isinstance(row, RejectedRow)
    assert [(error.line, error.column) for error in row.errors] == [(2, "amount")]
    assert row.errors[0].reason
    assert row.errors[0].what_to_do


@pytest.mark.parametrize("currency", ["usd", "XYZ", "XAU", " USD", "US"])
def test_currency_when_unknown_then_the_row_says_so(currency: str) -> None:
    (row,) = rows_of(HEADER + f"p1,1,{currency}\n".encode())
    assert isinstance(row, RejectedRow)
    assert [error.column for error in row.errors] == ["currency"]


@pytest.mark.parametrize(("amount", "currency", "minor_units"), [("1.234", "KWD", 1234), ("10", "JPY", 10)])
def test_amount_with_the_digits_of_its_currency_is_read_exactly(amount: str, currency: str, minor_units: int) -> None:
    (row,) = rows_of(HEADER + f"p1,{amount},{currency}\n".encode())
    assert isinstance(row, Row)
    assert row.request.money == Money(minor_units, currency)


def test_row_with_several_wrong_cells_reports_all_of_them() -> None:
    content = b"payment_id,amount,currency,metadata\nno spaces,-1,USD,{not json\n"
    (row,) = rows_of(content)
    assert isinstance(row, RejectedRow)
    assert sorted(error.column for error in row.errors) == ["amount", "metadata", "payment_id"]
    assert row.payment_id == ""


@pytest.mark.parametrize(
    "metadata", ["[]", "5", "{", "NaN", '{"a": 1}', "[" * 20_000, '{"a": "\\ud800"}', '{"payment_id": "x"}']
)
def test_metadata_when_not_an_object_of_text_then_the_cell_is_refused(metadata: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([("payment_id", "amount", "currency", "metadata"), ("p1", "1", "USD", metadata)])
    (row,) = rows_of(buffer.getvalue().encode())
    assert isinstance(row, RejectedRow)
    assert [error.column for error in row.errors] == ["metadata"]


@pytest.mark.parametrize("column", ["payment_id", "customer_id", "payment_method", "description", "metadata"])
@pytest.mark.parametrize("card", ["4242424242424242", "4242 4242 4242 4242", "4242-4242-4242-4242"])
def test_cell_with_a_card_number_is_rejected_and_not_repeated(column: str, card: str) -> None:
    cells = {"payment_id": "p1", "amount": "1", "currency": "USD"}
    cells[column] = f'{{"card": "{card}"}}' if column == "metadata" else card
    buffer = io.StringIO()
    csv.writer(buffer).writerows([cells.keys(), cells.values()])
    (row,) = rows_of(buffer.getvalue().encode())
    assert isinstance(row, RejectedRow)
    assert column in [error.column for error in row.errors]
    assert "4242" not in repr(row)


@pytest.mark.fault(44)
@pytest.mark.parametrize("column", ["amount", "currency", "token", "description", "metadata"])
@pytest.mark.parametrize("text", ["4242.4242.4242.4242", "４２４２４２４２４２４２４２４２", "cvv: 4242"])
def test_cell_with_card_data_in_any_notation_is_rejected_and_not_repeated(column: str, text: str) -> None:
    cells = {"payment_id": "p1", "amount": "1", "currency": "USD"}
    cells[column] = f'{{"a": "{text}"}}' if column == "metadata" else text
    buffer = io.StringIO()
    csv.writer(buffer).writerows([cells.keys(), cells.values()])
    (row,) = rows_of(buffer.getvalue().encode())
    assert isinstance(row, RejectedRow)
    assert column in [error.column for error in row.errors]
    assert not any(digits in repr(row) for digits in ("4242", "４２"))


@pytest.mark.fault(44)
@pytest.mark.parametrize("column", ["cvv", "Card Number", "PAN", "security_code", "4242424242424242"])
def test_file_with_a_column_for_card_data_is_refused_for_that_reason(column: str) -> None:
    (error,) = refusal(f"payment_id,amount,currency,{column}\np1,1,USD,987\n".encode()).errors
    assert error.reason.startswith("the column looks like a card")
    assert not any(digits in repr(error) for digits in ("4242", "987"))


def test_row_when_it_names_a_token_then_the_payment_is_by_token() -> None:
    token = f"ptok_{'x' * 43}"
    (row,) = rows_of(f"payment_id,amount,currency,customer_id,token\np1,1,USD,c1,{token}\n".encode())
    assert isinstance(row, Row)
    assert row.request.token == token


@pytest.mark.parametrize("column", ["token", "payment_id", "customer_id", "payment_method", "description", "amount"])
def test_cell_when_a_token_in_it_is_refused_then_it_is_not_repeated(column: str) -> None:
    cells = {"payment_id": "p1", "amount": "1", "currency": "USD"}
    cells |= {column: f"ptok_{'x' * 43}" + ("y" if column == "token" else "")}
    buffer = io.StringIO()
    csv.writer(buffer).writerows([cells.keys(), cells.values()])
    (row,) = rows_of(buffer.getvalue().encode())
    assert isinstance(row, RejectedRow)
    assert column in [error.column for error in row.errors]
    assert "xxx" not in repr(row)


def test_payment_method_when_refused_then_the_token_is_not_repeated() -> None:
    (row,) = rows_of(b"payment_id,amount,currency,payment_method\np1,1,USD,pm-9ZyXwVu\n")
    assert isinstance(row, RejectedRow)
    assert "9Zy" not in repr(row)


_MESSY = st.text(alphabet='pa1,."\n\r \u00e9=', max_size=120).map(str.encode)


@given(content=_MESSY | st.binary(max_size=120), cuts=st.lists(st.integers(0, 120), max_size=12))
@example(content=b'a,"b\r\nc",d\r', cuts=[6, 11])
def test_records_when_chunked_anyhow_then_the_same_come_out(content: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(content)]
    parts = [content[start:end] for start, end in pairwise(edges)]
    assert list(Records(parts)) == list(Records([content]))


@given(content=_MESSY | st.binary(max_size=200))
def test_records_when_bytes_are_arbitrary_then_every_line_is_accounted_for(content: bytes) -> None:
    """Each line that is not blank is in exactly one record."""
    lines = content.splitlines()
    covered: list[int] = []
    for record in Records([content]):
        covered += range(record.line, record.line + (1 if record.flaw else len(record.raw.splitlines())))
        if not record.flaw:
            cells_of(record.raw.decode("latin-1"))
    assert len(covered) == len(set(covered))
    assert {number for number, line in enumerate(lines, 1) if line.strip()} <= set(covered)
    assert covered == sorted(covered)


@given(content=st.binary(max_size=300))
def test_arbitrary_bytes_yield_rows_or_reported_errors(content: bytes) -> None:
    for row in rows_of(HEADER + content):
        assert isinstance(row, Row) or row.errors


@given(
    descriptions=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30),
        min_size=1,
        max_size=12,
    ),
    # with QUOTE_MINIMAL Python's writer quotes only the line ends that it writes itself
    style=st.sampled_from(
        [(csv.QUOTE_MINIMAL, "\r\n"), (csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_ALL, "\n"), (csv.QUOTE_ALL, "\r")]
    ),
)
def test_file_when_written_by_another_csv_writer_then_the_cells_come_back(
    descriptions: list[str], style: tuple[Any, str]
) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=style[0], lineterminator=style[1])
    header = ["payment_id", "amount", "currency", "description"]
    table = [[f"p{n}", "1.00", "USD", text] for n, text in enumerate(descriptions)]
    writer.writerows([header, *table])
    uploaded = BatchFile(chunked(buffer.getvalue().encode(), 7))
    assert [cells for _, cells in uploaded.cells()] == table


# To continue ---------------------------------------------------------------------------------------------------------

_TEXT = (
    HEADER[:-1]
    + b",description\r\n"
    + (
        b'p1,1,USD,"a\r\nb"\r\n\r\n\np2,2,USD,"open\np3,3,USD,caf\xc3\xa9\rp4,"4"x,USD,\n'
        b'p5,5,USD,"x, ""y"""\n  \np6,6,USD\n"p7",7,USD,"last\n\n line"\n\n\n'
    )
)


@pytest.mark.parametrize("chunk_bytes", [1, 2, 5, 65_536])
@pytest.mark.parametrize("form", ["plain", "byte_order_mark", "gzip", "gzip_of_two_members"])
def test_file_continued_after_any_row_yields_the_same_rows(form: str, chunk_bytes: int) -> None:
    content = {
        "plain": _TEXT,
        "byte_order_mark": b"\xef\xbb\xbf" + _TEXT,
        "gzip": gzip.compress(b"\xef\xbb\xbf" + _TEXT, mtime=0),
        "gzip_of_two_members": gzip.compress(_TEXT[:70], mtime=0) + gzip.compress(_TEXT[70:], mtime=0),
    }[form]
    all_rows = rows_of(content, chunk_bytes)
    assert len(all_rows) == 7
    progress = Progress()
    continued: list[Row | RejectedRow] = []
    for _ in range(50):
        file = BatchFile(chunked(content, chunk_bytes))
        read = list(
            file.rows(progress, read_from=lambda start: chunked(content[start:], chunk_bytes), stop=lambda: True)
        )
        assert len(read) <= 1
        continued += read
        progress = Progress(file.line, len(continued), offset=file.offset)
        if file.is_complete:
            break
    assert continued == all_rows
    assert progress.line == len(_TEXT.splitlines())
    assert progress.offset == len(_TEXT) + (3 if b"\xef\xbb\xbf" in content or form == "gzip" else 0)


@given(content=_MESSY | st.binary(max_size=120), chunk_bytes=st.integers(1, 40), stops=st.lists(st.booleans()))
def test_file_of_arbitrary_bytes_yields_the_same_rows_in_many_runs(
    content: bytes, chunk_bytes: int, stops: list[bool]
) -> None:
    content = HEADER + content
    progress, is_complete = Progress(), False
    continued: list[Row | RejectedRow] = []
    answers = iter(stops)
    while not is_complete:
        file = BatchFile(chunked(content, chunk_bytes))
        continued += file.rows(
            progress,
            read_from=lambda start: chunked(content[start:], chunk_bytes),
            stop=lambda: next(answers, False),
        )
        progress = Progress(file.line, len(continued), offset=file.offset)
        is_complete = file.is_complete
    assert continued == rows_of(content)


def test_file_with_too_many_lines_names_the_first_line_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_LINES", 3)
    rows = rows_of(HEADER + b"\np1,1,USD\n\np2,1,USD\n")
    reason = "the file has more than 3 lines; this one and the rest were not read"
    assert summary(rows) == [(3, "p1"), (4, reason)]


def test_too_long_line_that_is_cut_counts_with_all_its_bytes() -> None:
    content = HEADER + b"x" * 300_000 + b"\np2,2,USD\n"
    file = BatchFile(chunked(content, 50_000))
    assert summary([next(file.rows())]) == [(2, Flaw.TOO_LONG.value)]
    assert file.offset == content.index(b"p2")


# Ordinary rows -------------------------------------------------------------------------------------------------------

COLUMNS = (
    "description",
    "payment_id",
    "amount",
    "currency",
    "customer_id",
    "payment_method",
    "metadata",
    "off_session",
)
_CELL = st.text(alphabet='pa1_.4cv, é１\n\r\t\x00\x1f\x7f"', max_size=20)


@given(
    st.tuples(
        _CELL
        | st.text(max_size=20)
        | st.sampled_from(["sealed.v1.x", "cvv 123", "4242 4242 4242 4242", "x" * 500, "x" * 501, f"ptok_{'x' * 43}"]),
        _CELL | st.sampled_from(["p-1", "_p", "p" * 64, "p" * 65, "4242424242424242", "4242-4242-4242-4242"]),
        st.sampled_from(["1", "1.00", "0", "0.00", "007.5", "1.234", "1.2345", "1e3", "", "123456789012", "-1"]),
        st.sampled_from(["USD", "JPY", "KWD", "XXX", "usd", "", "IDR"]),
        _CELL | st.sampled_from(["", "cus_1"]),
        _CELL | st.sampled_from(["", "pm", "pm_1", "ptok_1", "a" * 128, "a" * 129]),
        st.sampled_from(["", '{"a": "b"}']),
        st.sampled_from(["", "true", "false"]),
    )
)
def test_ordinary_rows_agree_with_the_careful_check_or_leave_the_row_to_it(cells: tuple[str, ...]) -> None:
    for text in (",".join(cells), ",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in cells)):
        try:
            parts = cells_of(text)
        except csv.Error:
            continue
        (request,) = ordinary_rows(COLUMNS)([text])
        if request:
            assert request == parse_request(dict(zip(COLUMNS, parts, strict=True)), usually_off_session=True)


@given(st.lists(st.sampled_from(["p1", "1.50", "USD", "cus_1", "pm_1", "Müller 12", ""]), min_size=2, max_size=5))
def test_ordinary_rows_under_another_header_agree_with_the_careful_check(cells: list[str]) -> None:
    for columns in permutations(COLUMNS[:5], len(cells)):
        (request,) = ordinary_rows(columns)([",".join(cells)]) if {*columns} >= {*REQUIRED_FIELDS} else [None]
        if request:
            assert request == parse_request(dict(zip(columns, cells, strict=True)), usually_off_session=True)


@pytest.mark.parametrize(
    "text",
    [
        "p1,12.50,USD,cus_1,pm_card_visa,Müller 12",
        "p-1,10,JPY,,,",
        "p_1,1.230,KWD,c,,Socks – blue",
        'p1,1,USD,,,"Socks, 5"" long"',
    ],
)
def test_ordinary_rows_read_usual_rows(text: str) -> None:
    columns = ("payment_id", "amount", "currency", "customer_id", "payment_method", "description")
    assert all(ordinary_rows(columns)([text]))


@pytest.mark.parametrize("column", ["amount", "description", "return_url"])
@pytest.mark.parametrize(
    "cell", ["4000000000000 " + "-" * 60_000, "4000000000000 " + "1-" * 30_000, "4 " * 30_000, "１-" * 12_000]
)
def test_cell_of_60_kb_is_rejected_by_its_length_and_not_searched(
    cell: str, column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []
    monkeypatch.setattr(payment, "card_data_in", lambda value: searched.append(len(str(value))))
    cells = {"payment_id": "p1", "amount": "1", "currency": "USD", column: cell}
    (row,) = rows_of(f"{','.join(cells)}\n{','.join(cells.values())}\n".encode())
    assert isinstance(row, RejectedRow)
    assert [(error.column, error.reason) for error in row.errors] == [(column, f"{len(cell)} characters given")]
    assert max(searched) < 10


@pytest.mark.parametrize(
    "column", ["payment_id", "amount", "currency", "customer_id", "token", "metadata", "return_url"]
)
@pytest.mark.parametrize("worst", ["4000000000000 {}-", "4{}4", "{}ptok_", "{}5 ", '"{}[', "{}１-"])
def test_cell_takes_linear_time_on_its_worst_texts(column: str, worst: str) -> None:
    def read(size: int) -> None:
        before, _, after = worst.partition("{}")
        cells = {"payment_id": "p1", "amount": "1", "currency": "USD"} | {column: before + after * (size // len(after))}
        buffer = io.StringIO()
        csv.writer(buffer).writerows([cells.keys(), cells.values()])
        rows_of(buffer.getvalue().encode())

    assert growth(read, 12_000) < LINEAR


# Off session ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cell", "expected"), [("", True), ("true", True), ("FALSE", False), (" false ", False)])
def test_off_session_of_a_row_is_true_unless_the_cell_says_false(cell: str, expected: bool) -> None:
    (row,) = rows_of(f"payment_id,amount,currency,off_session\np1,1,USD,{cell}\n".encode())
    assert isinstance(row, Row)
    assert row.request.off_session is expected


def test_off_session_of_a_row_without_the_column_is_true() -> None:
    (row,) = rows_of(HEADER + b"p1,1,USD\n")
    assert isinstance(row, Row)
    assert row.request.off_session


@pytest.mark.parametrize(
    ("cells", "column", "reason"),
    [
        ("no,", "off_session", "'no' given"),
        (",https://shop.example/", "return_url", "an absent customer cannot return to a page"),
        ("false,http://shop.example/secret", "return_url", "a value given"),
    ],
)
def test_off_session_and_return_url_that_do_not_fit_name_the_column(cells: str, column: str, reason: str) -> None:
    (row,) = rows_of(f"payment_id,amount,currency,off_session,return_url\np1,1,USD,{cells}\n".encode())
    assert isinstance(row, RejectedRow)
    (error,) = row.errors
    assert (error.column, error.reason) == (column, reason)
    assert "secret" not in error.value
