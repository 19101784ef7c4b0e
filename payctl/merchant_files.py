"""Files of merchants: uploaded under the merchant's role, whose results that role alone can read.

Nothing here reads a table: a merchant has its role and the outputs of the stack.
"""

import csv
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from payctl import batch_files, exit_codes
from payctl.deadline import Deadline
from payctl.failures import Exit, Failure
from payctl.stack import Credentials, Stack
from payments.application.batch.result_files import ERRORS, RESULTS
from payments.domain.batch.state import INCOMING, MERCHANTS, Source

POLL_SECONDS = 0.5
_NO_SESSION = re.compile(r"[^A-Za-z0-9_+=,.@-]")
_LONGEST_SESSION = 64


@dataclass(frozen=True)
class MerchantResults:
    """The result files of a merchant's upload."""

    files: dict[str, str]

    @cached_property
    def by_status(self) -> dict[str, int]:
        """How many rows of `results.csv` have which status."""
        found: dict[str, int] = {}
        for row in csv.DictReader(self.files[RESULTS].splitlines()):
            found[row["status"]] = found.get(row["status"], 0) + 1
        return found

    @property
    def errors(self) -> list[dict[str, str]]:
        """The lines of `errors.csv`."""
        return list(csv.DictReader(self.files[ERRORS].splitlines()))

    @property
    def exit_code(self) -> Exit:
        """The exit code of the upload: of its payments and its rejected rows."""
        return exit_codes.of_results(self.by_status, has_errors=bool(self.errors))


def stack_of_merchant(stack: Stack, merchant: str) -> Stack:
    """The stack under the role of a merchant. A caller who has that role already keeps it. Raises Failure."""
    roles = dict(pair.split("=", 1) for pair in stack.outputs.get("merchant_role_arns", "").split(",") if pair)
    if merchant not in roles:
        known = ", ".join(roles) or "none: the setting MERCHANTS names them"
        raise Failure(f"{stack.name} has no merchant {merchant!r}; it has {known}", code=Exit.USAGE)
    sts = stack.client("sts")
    caller = sts.get_caller_identity()["Arn"].rpartition(":")[2]
    kind, _, name = caller.partition("/")
    if (kind, name.partition("/")[0]) == ("assumed-role", roles[merchant].rpartition("/")[2]):
        return stack
    session = _NO_SESSION.sub("-", caller.rpartition("/")[2])[:_LONGEST_SESSION]
    given = sts.assume_role(RoleArn=roles[merchant], RoleSessionName=session)["Credentials"]
    credentials = Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    return replace(stack, credentials=credentials)


def upload(stack: Stack, merchant: str, file: Path) -> Source:
    """Upload a file to the merchant's folder. Returns its object version, which identifies the batch."""
    return batch_files.upload(stack, file, f"{INCOMING}{MERCHANTS}{merchant}/")


def watched(stack: Stack, source: Source, timeout_seconds: float) -> MerchantResults:
    """The result files once all are written. Raises Failure if they are not within the time."""
    deadline = Deadline(timeout_seconds, f"the result files of batch {source.batch_id}")
    while True:
        written = _written(stack, source)
        if written >= {*batch_files.RESULT_FILES}:
            return MerchantResults(_contents(stack, source))
        if deadline.over(len(written)):
            advice = f"they will be below s3://{source.bucket}/{source.result_key('')}; do not send the payments anew"
            raise Failure(deadline.report, details=[advice], code=Exit.STILL_OPEN)
        time.sleep(POLL_SECONDS)


def write(results: MerchantResults, folder: Path) -> Sequence[Path]:
    """Write the result files into a folder. The folder is created if it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in results.files.items():
        (folder / name).write_text(text, newline="")
    return [folder / name for name in results.files]


def _written(stack: Stack, source: Source) -> set[str]:
    """The names of the result files that are there."""
    folder = source.result_key("")
    listed = stack.client("s3").list_objects_v2(Bucket=source.bucket, Prefix=folder)
    return {found["Key"].removeprefix(folder) for found in listed.get("Contents", [])}


def _contents(stack: Stack, source: Source) -> dict[str, str]:
    client = stack.client("s3")
    return {
        name: client.get_object(Bucket=source.bucket, Key=source.result_key(name))["Body"].read().decode()
        for name in batch_files.RESULT_FILES
    }
