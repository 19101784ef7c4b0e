"""Triage of dead letters: why each message failed, the current state of its payment, and what to do with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from payctl import adapters, show
from payctl.at_gateway import GatewaySays
from payctl.dead_letters import DeadLetter, DeadLetterQueue, reasons
from payctl.stack import Stack
from payments.application.batch.switches import Switches
from payments.application.replay import Decision, decide, decide_file, reason_class
from payments.domain.batch.switch import Switch
from payments.domain.clock import utc_now
from payments.domain.payment import Payment
from payments.domain.statuses import Status

NO_LOG = "no log found"
MALFORMED = "malformed"


@dataclass(frozen=True)
class TriagedLetter:
    """A dead letter and the decision about it.

    `says` is the gateway's answer if it was queried. `done` describes the action that was carried out, if any.
    """

    letter: DeadLetter
    reason: str
    payment: Payment | None
    decision: Decision
    says: GatewaySays | None = None
    done: str = ""

    @property
    def subject(self) -> str:
        """The payment id or the file's key. MALFORMED if the message names neither."""
        return self.letter.payment_id or (self.letter.file.key if self.letter.file else MALFORMED)

    @property
    def discarding(self) -> str:
        """What the deletion of the message does, and what it does not."""
        if self.letter.file:
            return f"the file {self.subject} stays in the bucket, and recovery {self.decision.recovery}"
        return f"{self.decision.why}; no payment is changed"

    @property
    def status(self) -> str:
        """The payment's status, if it has a row."""
        return self.payment.status.value if self.payment else ""

    def as_json(self) -> dict[str, Any]:
        """The letter and the decision as JSON for scripts."""
        return {
            "message_id": self.letter.message_id,
            "payment_id": self.letter.payment_id,
            "file": self.letter.file.key if self.letter.file else "",
            "since": self.letter.sent_at,
            "received": self.letter.received,
            "reason": self.reason,
            "reason_class": reason_class(self.reason),
            "status": self.status,
            "action": self.decision.action.value,
            "why": self.decision.why,
            "recovery": self.decision.recovery,
            "discardable": not self.decision.needed,
        }


class DeadLetterTriage:
    """Triages dead letters. The state of the batch breaker is read once, at the start, and a batch's switch once a
    second."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._payments, self._batches = adapters.payments(stack), adapters.batches(stack)
        self._switches = Switches(self._batches, utc_now)
        self._breaker = adapters.breaker(stack).state()

    def all(self, limit: int | None = None) -> list[TriagedLetter]:
        """Triage all messages in the queue, oldest first."""
        letters = sorted(DeadLetterQueue(self._stack).take(limit), key=lambda letter: letter.sent_at)
        return self.triage_all(letters)

    def triage_all(self, letters: Sequence[DeadLetter]) -> list[TriagedLetter]:
        """Triage each message. The log says why it failed."""
        why = reasons(self._stack, letters)
        return [
            self.triage(letter, why.get(letter.message_id, NO_LOG))
            for letter in show.progress("reading the payments", letters)
        ]

    def triage(self, letter: DeadLetter, reason: str) -> TriagedLetter:
        """Decide by the current state of the payment, or of the file's batch."""
        if letter.file:
            return TriagedLetter(letter, reason, None, decide_file(self._batches.get(letter.file.batch_id), utc_now()))
        payment = self._payments.get(letter.payment_id) if letter.payment_id else None
        decision = decide(
            letter.payment_id,
            payment,
            self._breaker,
            started=self._started(payment),
            switch=self._switches.of(payment) if payment else Switch(),
        )
        return TriagedLetter(letter, reason, payment, decision)

    def _started(self, payment: Payment | None) -> bool:
        """Whether the payment's first execution exists. Step Functions is queried only if the row does not show it."""
        if payment is None or payment.status is not Status.PENDING or payment.version > 1 or payment.restarts:
            return payment is not None
        client = self._step_functions
        try:
            client.describe_execution(executionArn=adapters.execution_arn(self._stack, payment.payment_id))
        except client.exceptions.ExecutionDoesNotExist:
            return False
        return True

    @cached_property
    def _step_functions(self) -> Any:
        return self._stack.client("stepfunctions")
