"""The exit codes, and the one exception that carries a message for the operator."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes for scripts. `MEANING` has their help texts."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_CHARGED = 3
    STILL_OPEN = 4
    SOME_REFUSED = 5
    NONE_FOUND = 6
    TAMPERED = 6
    NOT_SETTLED = 7


MEANING: dict[Exit, str] = {
    Exit.DONE: "done; if the command reports an outcome: every payment was charged",
    Exit.FAILED: "an error, described on standard error: no stack, no connection, rejected by the API or by AWS",
    Exit.USAGE: "the command line is wrong, or a value in it was rejected before anything was sent",
    Exit.NOT_CHARGED: "ended, and a payment was provably not charged (declined, rejected, failed): its status says why",
    Exit.STILL_OPEN: "still in progress (pending, processing); no payment is lost, check again, do not send it anew",
    Exit.SOME_REFUSED: "done, except for the refused items: each gives its reason",
    Exit.NONE_FOUND: "nothing was done: no message matches the selection; of `audit verify`: tampered with",
    Exit.NOT_SETTLED: "not settled (in_review, requires_action, unknown): it may be charged, do not send it anew",
}
"""The meaning of each exit code: the help text of `payctl`, and the table in docs/payctl.md."""


class Failure(Exception):
    """Ends the command. The message says what is wrong. The details say what to do."""

    def __init__(self, message: str, *, details: list[str] | None = None, code: Exit = Exit.FAILED) -> None:
        self.message = message
        self.details = details or []
        self.code = code
        super().__init__(message)


def from_boto3(error: Exception) -> Failure | None:
    """Convert an error of boto3 into a Failure. Returns None for other errors: these are bugs and keep a traceback."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    match error:
        case NoCredentialsError():
            return Failure("no AWS credentials found; run `aws configure` or set AWS_PROFILE")
        case ClientError():
            answer = error.response["Error"]
            return Failure(f"AWS rejected {error.operation_name}: {answer.get('Message') or answer['Code']}")
        case BotoCoreError():
            return Failure(f"the request to AWS failed: {error}")
    return None
