"""A batch: the state of its file, the rows read so far, and the results of its payments."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from payments.domain.batch.errors import CellError
from payments.domain.batch.report import ReportProgress, ResultFile
from payments.domain.batch.switch import CancelPass, Switch
from payments.domain.payment import Payment

INCOMING = "incoming/"
MERCHANTS = "merchants/"
"""The folder below `incoming/`, and so below `results/`, that has one folder for each merchant."""
RESULTS = "results/"
REPORTING = "reporting/"
"""The prefix of what unfinished reports hold. Nothing there is needed once a report is complete."""
_CSV_ENDING = re.compile(r"\.csv(\.gz)?$", re.IGNORECASE)


class BatchStatus(StrEnum):
    """The status of a batch."""

    SPLITTING = "splitting"
    """The file is being read. Payments of its first rows may already be charged."""
    PROCESSING = "processing"
    """The whole file is read. Payments are running."""
    REPORTING = "reporting"
    """Every payment has an outcome. The result files are being written."""
    COMPLETED = "completed"
    """The result files are complete, with one result for every accepted row."""
    REJECTED = "rejected"
    """No row of the file could be read. `errors.csv` says why."""
    CANCELED = "canceled"
    """An operator canceled it. The result files are complete: what was not sent is `rejected`."""


UNREPORTED = (BatchStatus.SPLITTING, BatchStatus.PROCESSING)
"""The statuses in which payments may still start, and an operator can pause or cancel them."""


@dataclass(frozen=True, slots=True)
class Source:
    """One version of an uploaded file. An upload under the same key is another version, and another batch.

    `uploaded_by` is the principal that S3 names as the uploader; "" in batches from before it was stored.
    """

    bucket: str
    key: str
    version_id: str
    etag: str
    size_bytes: int
    uploaded_by: str = ""

    @property
    def file(self) -> str:
        """The key without `incoming/`: `incoming/2026/payroll.csv` is the file `2026/payroll.csv`."""
        return self.key.removeprefix(INCOMING)

    @property
    def merchant(self) -> str | None:
        """The merchant whose file it is; None for a file of the admins, and "" below `incoming/merchants/` itself."""
        if not self.file.startswith(MERCHANTS):
            return None
        name, separator, _ = self.file.removeprefix(MERCHANTS).partition("/")
        return name if separator else ""

    @property
    def is_csv(self) -> bool:
        """True for `.csv` and `.csv.gz`, in any case."""
        return bool(_CSV_ENDING.search(self.key))

    @property
    def batch_id(self) -> str:
        """The file's name and a hash of its version. A repeated notification therefore names the same batch."""
        name = re.sub(r"[^A-Za-z0-9_]+", "-", _CSV_ENDING.sub("", self.key.rpartition("/")[2]))[:40].strip("-")
        digest = hashlib.sha256(f"{self.key}\n{self.version_id or self.etag}".encode()).hexdigest()
        return f"{name or 'batch'}-{digest[:12]}"

    def result_key(self, name: str) -> str:
        """The key of a result file: `results/2026/payroll.csv/payroll-5f0c…/errors.csv`. Each upload has its own."""
        return f"{RESULTS}{self.file}/{self.batch_id}/{name}"

    @property
    def reporting_prefix(self) -> str:
        """The prefix of what the unfinished report holds: `reporting/payroll-5f0c…/`."""
        return f"{REPORTING}{self.batch_id}/"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the splitter has read. All rows up to `line` are processed and counted. Totals, not increments.

    `offset` is the number of bytes that these lines take in the file's text, after decompression. It is 0 for progress
    from before it existed, whose next run skips the lines. `rows_accepted` + `rows_rejected` = `rows_read`.
    `already_submitted` counts the accepted rows whose payment already existed, from another file or over REST.
    """

    line: int = 0
    rows_read: int = 0
    rows_accepted: int = 0
    rows_rejected: int = 0
    already_submitted: int = 0
    offset: int = 0

    @property
    def payments(self) -> int:
        """The number of payments that the batch created."""
        return self.rows_accepted - self.already_submitted


@dataclass(frozen=True, slots=True)
class Look:
    """What recovery noted when it looked at a batch: how far the batch was (`seen`), since when it is that far, the
    line up to which its rows are checked (0: all), and when that check began."""

    seen: str = ""
    seen_since: str = ""
    checked_line: int = 0
    checked_at: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as in the processing-status table. `by_status` counts its results once it is completed. `owner_until` is
    the time until which the current split or report run owns the batch. `report` says how far its report has come.
    Recovery looks at the batch from `due_at` on. `cancel_pass` says how far a canceled batch's payments are ended."""

    batch_id: str
    source: Source
    status: BatchStatus
    created_at: str
    updated_at: str
    progress: Progress = field(default_factory=Progress)
    rows_closed: int = 0
    file_errors: tuple[CellError, ...] = ()
    by_status: Mapping[str, int] = field(default_factory=dict)
    owner_until: str = ""
    report: ReportProgress = field(default_factory=ReportProgress)
    due_at: str = ""
    look: Look = field(default_factory=Look)
    switch: Switch = field(default_factory=Switch)
    cancel_pass: CancelPass = field(default_factory=CancelPass)

    def result_file(self, name: str) -> ResultFile:
        """Where a result file of a batch with a report is. Older code named it after the uploaded file alone."""
        return self.report.results.get(name) or ResultFile(f"{RESULTS}{self.source.file}/{name}")

    @property
    def is_unreadable(self) -> bool:
        """Whether no row of the file could be read. Other files have errors if they were canceled before their end."""
        return bool(self.file_errors) and not self.progress.rows_read

    @property
    def how_far(self) -> str:
        """A text that changes with each progress of the batch."""
        return f"{self.status} {self.progress.line} {self.rows_closed} {self.report.line}"

    @property
    def ready_to_report(self) -> bool:
        """True when the file is read and every payment that it created has an outcome."""
        return self.status is BatchStatus.PROCESSING and self.rows_closed == self.progress.payments

    def is_abandoned(self, now: str) -> bool:
        """True when the run that splits or reports the batch stopped before it finished."""
        return self.status in (BatchStatus.SPLITTING, BatchStatus.REPORTING) and self.owner_until < now


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A line of `results.csv`. `already_submitted` says where the payment came from if this row did not create it."""

    line: int
    payment_id: str
    amount: str
    currency: str
    status: str
    code: str
    reason: str
    gateway_reference: str
    already_submitted: str = ""

    @classmethod
    def of(cls, line: int, payment: Payment, already_submitted: str = "") -> "ResultRow":
        """The result of the row on `line`: the payment's current state."""
        return cls(
            line=line,
            payment_id=payment.payment_id,
            amount=str(payment.money.decimal),
            currency=payment.money.currency,
            status=payment.status.value,
            code=payment.code,
            reason=payment.message,
            gateway_reference=payment.gateway_reference,
            already_submitted=already_submitted,
        )
