"""What the demonstration found: everything that the checks and the report look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.demo.scenario import Call
from payments.domain.batch.state import Batch


@dataclass(frozen=True)
class Answered:
    """A call with the answer that it got. `told` is the problem's text where it was refused."""

    call: Call
    http_status: int
    replayed: bool
    told: str


@dataclass(frozen=True)
class RowOutcome:
    """What the result files say of a row: its status or REFUSED, and the reasons in one line.

    `in_results` is True when the row is a payment, even if one that was rejected later.
    """

    line: int
    payment_id: str
    amount: str
    outcome: str
    told: str
    in_results: bool
    already_submitted: str = ""


@dataclass
class Findings:
    """Filled as the demonstration goes on. `payments` are the API's answers by payment id, once all is over."""

    answered: list[Answered] = field(default_factory=list)
    payments: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    batch: Batch | None = None
    result_files: dict[str, str] = field(default_factory=dict)
    rows: list[RowOutcome] = field(default_factory=list)
    charges: Sequence[Mapping[str, Any]] = ()
    events: Sequence[Mapping[str, Any]] = ()
    alarms: Sequence[Mapping[str, Any]] = ()
    audited: dict[str, str] = field(default_factory=dict)
    """Payment id → "" when its audit chain verifies and covers its last version, else what is wrong."""
