"""How far the report of a batch has come, and where its result files are."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A result file in the bucket. `version_id` is "" if it is not known, or the bucket has no versions."""

    key: str
    version_id: str = ""


@dataclass(frozen=True, slots=True)
class FileParts:
    """The uploaded parts of a result file, in their order. `tail_bytes` of the checkpoint's object `tails` follow them.

    `token` is also on the object that the upload makes. It shows that a run completed the upload and then stopped.
    """

    upload_id: str = ""
    token: str = ""
    etags: tuple[str, ...] = ()
    tail_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ReportProgress:
    """All rows up to `line` are in the uploaded parts and in the object with the key `tails`; `by_status` counts the
    accepted ones. S3 takes no part below 5 MiB except the last one, therefore the rest of each file is stored apart.

    `results` are the files by name. It is empty until all of them are complete, and for batches that older code
    reported.
    """

    line: int = 0
    by_status: Mapping[str, int] = field(default_factory=dict)
    parts: Mapping[str, FileParts] = field(default_factory=dict)
    tails: str = ""
    results: Mapping[str, ResultFile] = field(default_factory=dict)
