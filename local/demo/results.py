"""Reads the result files of a batch as the uploader does: one outcome per row."""

import csv
from collections.abc import Mapping
from io import StringIO

from local.demo.findings import RowOutcome
from local.demo.scenario import REFUSED
from payments.application.batch.result_files import ERRORS, RESULTS


def rows_of(files: Mapping[str, str]) -> list[RowOutcome]:
    """Convert {file name: content} to outcomes in order of lines. A row is in results.csv, or only in errors.csv."""
    outcomes = {int(row["line"]): _accepted(row) for row in csv.DictReader(StringIO(files[RESULTS]))}
    refused: dict[int, list[dict[str, str]]] = {}
    for error in csv.DictReader(StringIO(files[ERRORS])):
        if int(error["line"]) not in outcomes:
            refused.setdefault(int(error["line"]), []).append(error)
    outcomes |= {line: _refused(line, errors) for line, errors in refused.items()}
    return [outcomes[line] for line in sorted(outcomes)]


def _accepted(row: dict[str, str]) -> RowOutcome:
    return RowOutcome(
        line=int(row["line"]),
        payment_id=row["payment_id"],
        amount=f"{row['amount']} {row['currency']}",
        outcome=row["status"],
        reason=f"{row['reason']} ({row['code']})" if row["code"] else "",
        in_results=True,
        already_submitted=row["already_submitted"],
    )


def _refused(line: int, errors: list[dict[str, str]]) -> RowOutcome:
    reason = "; ".join(": ".join(filter(None, (error["column"], error["reason"]))) for error in errors)
    return RowOutcome(line, errors[0]["payment_id"], "", REFUSED, reason, in_results=False)
