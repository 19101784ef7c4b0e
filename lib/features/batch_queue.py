"""The queue of batch payments, its dead-letter queue, and its delivery to the dispatch function."""

import json

from lib.bindings import (
    Construct,
    LambdaEventSourceMapping,
    LambdaFunctionEventInvokeConfig,
    SqsQueue,
    SqsQueuePolicy,
    SqsQueueRedriveAllowPolicy,
)
from lib.dispatch_rate import MESSAGES_A_CALL
from lib.foundation.encryption import Encryption
from lib.foundation.functions import Function
from lib.iam import Grantee, document
from lib.settings import Settings

DISPATCH_TIMEOUT_SECONDS = 60
_DAY_SECONDS = 24 * 60 * 60


class PaymentQueue(Construct):
    """The queue of accepted batch payments, with its dead-letter queue. Both accept only TLS."""

    def __init__(self, scope: Construct, settings: Settings, encryption: Encryption) -> None:
        super().__init__(scope, "queue")
        self.dead_letters = SqsQueue(
            self,
            "dead_letters",
            name=settings.name("payment-dead-letter-queue"),
            message_retention_seconds=14 * _DAY_SECONDS,
            kms_master_key_id=encryption.arn,
        )
        self.queue = SqsQueue(
            self,
            "payments",
            name=settings.name("payment-queue"),
            message_retention_seconds=14 * _DAY_SECONDS,
            # six times the consumer's time-out, as AWS recommends for Lambda event sources
            visibility_timeout_seconds=6 * DISPATCH_TIMEOUT_SECONDS,
            kms_master_key_id=encryption.arn,
            redrive_policy=_redrive(self.dead_letters.arn),
        )
        SqsQueueRedriveAllowPolicy(
            self,
            "redrive_allow",
            queue_url=self.dead_letters.url,
            redrive_allow_policy=f'{{"redrivePermission": "byQueue", "sourceQueueArns": ["{self.queue.arn}"]}}',
        )
        for name, queue in (("tls", self.queue), ("dead_letters_tls", self.dead_letters)):
            SqsQueuePolicy(
                self,
                name,
                queue_url=queue.url,
                policy=document(
                    {
                        "Sid": "TlsOnly",
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": "sqs:*",
                        "Resource": queue.arn,
                        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                    }
                ),
            )

    @property
    def environment(self) -> dict[str, str]:
        """The variable with the URL of the queue, for functions that send messages."""
        return {"PAYMENT_QUEUE_URL": self.queue.url}

    def grant_send(self, function: Grantee) -> None:
        """Let a function send messages."""
        function.allow(["sqs:SendMessage"], [self.queue.arn])

    def feed(self, function: Function, concurrency: int) -> None:
        """Deliver messages to a function in batches of ten, to at most `concurrency` invocations at a time.

        The function's answer lists the failed messages. It may also change when these become visible again.
        """
        poll = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
        function.allow([*poll, "sqs:ChangeMessageVisibility"], [self.queue.arn])
        self.mapping = LambdaEventSourceMapping(
            self,
            "to_dispatch",
            event_source_arn=self.queue.arn,
            function_name=function.arn,
            batch_size=MESSAGES_A_CALL,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config={"maximum_concurrency": concurrency},
            depends_on=[function.policy],
            # the batch breaker disables and enables it; an apply must not resume batches that an incident paused
            lifecycle={"ignore_changes": ["enabled"]},
        )

    def keep_failed_events(self, function: Function) -> None:
        """Send the events that Lambda would drop to the dead-letter queue.

        Lambda drops an event that failed three times, or that found no free concurrency for six hours. Both limits are
        Lambda's own.
        """
        function.allow(["sqs:SendMessage"], [self.dead_letters.arn])
        LambdaFunctionEventInvokeConfig(
            self,
            f"{function.label}_events",
            function_name=function.function.function_name,
            maximum_retry_attempts=2,
            maximum_event_age_in_seconds=6 * 60 * 60,
            destination_config={"on_failure": {"destination": self.dead_letters.arn}},
            depends_on=[function.policy],  # Lambda checks that the function may send there
        )

    def grant_look(self, function: Grantee) -> None:
        """Let a function read how many messages wait."""
        function.allow(["sqs:GetQueueAttributes"], [self.queue.arn])

    def grant_switch(self, function: Grantee) -> None:
        """Let a function disable and enable the delivery of messages."""
        function.allow(["lambda:GetEventSourceMapping", "lambda:UpdateEventSourceMapping"], [self.mapping.arn])


def _redrive(dead_letters_arn: str) -> str:
    """After five failed deliveries a message goes to the dead-letter queue."""
    return json.dumps({"deadLetterTargetArn": dead_letters_arn, "maxReceiveCount": 5}, separators=(",", ":"))
