"""How a command ends: the exit codes, and the one error that carries a text for the operator."""

from enum import IntEnum


class Exit(IntEnum):
    """What a script reads; `MEANING` says it for the help text."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_CHARGED = 3
    STILL_OPEN = 4
    SOME_REFUSED = 5


MEANING: dict[Exit, str] = {
    Exit.DONE: "done; with --wait or --watch: every payment was charged",
    Exit.FAILED: "an error, told on standard error: no stack, no connection, refused by the API or by AWS",
    Exit.USAGE: "the command line is wrong, or a value in it was refused before anything was sent",
    Exit.NOT_CHARGED: "it ended, and a payment was not charged (declined, rejected, in review …): its status says why",
    Exit.STILL_OPEN: "still under way, and nothing changed for --timeout; nothing is lost, ask again",
    Exit.SOME_REFUSED: "done, except for what was refused: each says why",
}


class Failure(Exception):
    """Ends the command. The text says what is wrong and, after it, what to do."""

    def __init__(self, message: str, *, details: list[str] | None = None, code: Exit = Exit.FAILED) -> None:
        self.message = message
        self.details = details or []
        self.code = code
        super().__init__(message)


def from_boto3(error: Exception) -> Failure | None:
    """A fault of boto3 as a Failure; None for anything else, which is a bug and keeps its traceback."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    match error:
        case NoCredentialsError():
            return Failure("no AWS credentials were found; run `aws configure` or set AWS_PROFILE")
        case ClientError():
            refusal = error.response["Error"]
            return Failure(f"AWS refused {error.operation_name}: {refusal.get('Message') or refusal['Code']}")
        case BotoCoreError():
            return Failure(f"AWS could not be asked: {error}")
    return None
