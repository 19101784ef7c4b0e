"""The messages in the dead-letter queue, and why they failed. Reading a message does not remove it."""

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import batched
from typing import Any

from payctl import logs, show
from payctl.failures import from_boto3
from payctl.stack import Stack
from payments.application.batch.dispatch import MalformedMessage, payment_id_in
from payments.application.batch.split import sources_in
from payments.domain.batch.state import Source
from payments.domain.clock import iso, parse_iso

WAIT_SECONDS = 2
"""Long polling queries all SQS servers. Short polling queries only some of them."""
HOLD_SECONDS = 120
"""How long messages stay invisible to other consumers if this process fails before it releases them."""
BATCH_SIZE = 10


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message. `payment_id` is empty if it names none. `sent_at` is when it first entered the payment queue.

    Lambda sends a message here if split fails on an uploaded file. It has the file, its event and the error.
    """

    message_id: str
    payment_id: str
    sent_at: str
    received: int
    body: str = field(repr=False)
    receipt_handle: str = field(repr=False)
    file: Source | None = None
    event: dict[str, Any] = field(default_factory=dict, repr=False)
    failed_of: str = ""


class DeadLetterQueue:
    """The dead-letter queue of a stack."""

    def __init__(self, stack: Stack) -> None:
        self._client = stack.client("sqs")
        self._url = stack["dead_letter_queue_url"]
        self._held: dict[str, str] = {}

    def take(self, limit: int | None = None) -> Generator[DeadLetter]:
        """Yield each message once. At the end, also after an early exit, undeleted messages become visible again."""
        seen: set[str] = set()
        try:
            while limit is None or len(seen) < limit:
                new = [message for message in self._receive(limit, len(seen)) if message["MessageId"] not in seen]
                if not new:
                    return
                seen |= {message["MessageId"] for message in new}
                yield from map(_letter, new)
        finally:
            self._release()

    def delete(self, letter: DeadLetter) -> None:
        """Delete a message that is being held."""
        self._client.delete_message(QueueUrl=self._url, ReceiptHandle=letter.receipt_handle)
        self._held.pop(letter.message_id, None)

    def _receive(self, limit: int | None, seen: int) -> list[Any]:
        messages: list[Any] = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=BATCH_SIZE if limit is None else min(BATCH_SIZE, limit - seen),
            VisibilityTimeout=HOLD_SECONDS,
            WaitTimeSeconds=WAIT_SECONDS,
            MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
        ).get("Messages", [])
        self._held |= {message["MessageId"]: message["ReceiptHandle"] for message in messages}
        return messages

    def _release(self) -> None:
        for handles in batched(self._held.values(), BATCH_SIZE):
            entries = [
                {"Id": str(place), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                for place, handle in enumerate(handles)
            ]
            # SQS rejects a receipt that was held for too long: that message is already visible
            self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
        self._held.clear()


def reasons(stack: Stack, letters: Sequence[DeadLetter]) -> dict[str, str]:
    """Message id → the last dispatch error in the function's log. Messages without a log line are left out."""
    files = {letter.message_id: letter.failed_of for letter in letters if letter.file}
    if len(files) == len(letters):
        return files
    since = parse_iso(min(letter.sent_at for letter in letters if not letter.file))
    try:
        search = logs.search(stack, "dispatch", "not dispatched", since)
    except Exception as error:
        problem = from_boto3(error)
        if problem is None:
            raise
        show.note(f"the reasons for the failures are not known: {problem.message}")
        return files
    if not search.complete:
        show.note("the log is too long to search completely: some reasons may be missing or outdated")
    return files | {str(line.values.get("message_id")): str(line.values.get("reason", "")) for line in search.lines}


def _letter(message: Any) -> DeadLetter:
    attributes = message.get("Attributes", {})
    try:
        about: dict[str, Any] = {"payment_id": payment_id_in(message["Body"])}
    except MalformedMessage:
        about = {"payment_id": "", **_failed_event(message["Body"])}
    sent = datetime.fromtimestamp(int(attributes["SentTimestamp"]) / 1000, UTC)
    return DeadLetter(
        message_id=message["MessageId"],
        **about,
        sent_at=iso(sent),
        received=int(attributes.get("ApproximateReceiveCount", 0)),
        body=message["Body"],
        receipt_handle=message["ReceiptHandle"],
    )


def _failed_event(body: str) -> dict[str, Any]:
    """Read Lambda's record of an event that failed permanently. Empty if the message is not one, about one file.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html: the record has no response if
    the event never ran because the account had no free concurrency for hours.
    """
    try:
        record = json.loads(body)
        event, error = record["requestPayload"], record.get("responsePayload") or {}
        name = error.get("errorType") or record["requestContext"]["condition"]
        [file] = sources_in(event)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
    return {"file": file, "event": event, "failed_of": f"{name}: {error.get('errorMessage', '')}"}
