"""The findings of the demonstration: the input of the checks and of the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.demo.scenario import Call
from payments.domain.batch.state import Batch


@dataclass(frozen=True)
class Answered:
    """A call with its answer. `reason` is the text of the problem details if the call was rejected."""

    call: Call
    http_status: int
    replayed: bool
    reason: str


@dataclass(frozen=True)
class RowOutcome:
    """The result files' content about a row: its status or REFUSED, and the reasons on one line.

    `in_results` is True if the row became a payment, even if the payment was rejected later.
    """

    line: int
    payment_id: str
    amount: str
    outcome: str
    reason: str
    in_results: bool
    already_submitted: str = ""


@dataclass
class Findings:
    """Filled during the demonstration. `payments` has the API's final answers by payment id."""

    answered: list[Answered] = field(default_factory=list)
    payments: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    authenticated: dict[str, str] = field(default_factory=dict)
    """Payment id → the method of its next action, with which its customer authenticated."""
    batch: Batch | None = None
    result_files: dict[str, str] = field(default_factory=dict)
    rows: list[RowOutcome] = field(default_factory=list)
    charges: Sequence[Mapping[str, Any]] = ()
    events: Sequence[Mapping[str, Any]] = ()
    alarms: Sequence[Mapping[str, Any]] = ()
    audited: dict[str, str] = field(default_factory=dict)
    """Payment id → "" if its audit chain verifies and covers its last version, else the error."""
    gave_up: list[str] = field(default_factory=list)
    """The waits that ended without their result, one sentence each: see `Deadline.report`."""
