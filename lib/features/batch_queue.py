"""The batch lane: files that arrive in the bucket, the queue they are fanned out through, and its pace."""

import json
from fractions import Fraction
from math import ceil
from typing import NamedTuple

from lib.bindings import (
    Construct,
    LambdaEventSourceMapping,
    LambdaFunctionEventInvokeConfig,
    LambdaFunctionRecursionConfig,
    LambdaPermission,
    S3BucketNotification,
    S3BucketNotificationLambdaFunction,
    SqsQueue,
    SqsQueuePolicy,
    SqsQueueRedriveAllowPolicy,
)
from lib.foundation.encryption import Encryption
from lib.foundation.functions import Function
from lib.foundation.storage import Bucket
from lib.iam import document
from lib.settings import Environment, Settings
from payments.domain.batch.state import INCOMING

LEAST_CONCURRENCY = 2
"""What SQS takes as the least maximum concurrency of an event source."""
STARTS_A_SECOND = 10
"""What one dispatcher starts with ease: a read and a start take well under the tenth of a second this leaves each."""
DISPATCH_TIMEOUT_SECONDS = 60
MESSAGES_A_CALL = 10
_DAY_SECONDS = 24 * 60 * 60


class Pace(NamedTuple):
    """How many dispatchers run at a time, and how long each spends on a message at least (a decimal text)."""

    concurrency: int
    seconds: str


def dispatch_pace(environment: Environment) -> Pace:
    """The pace at which all dispatchers together start no more payments a second than the gateway's whole rate.

    That is a little more than the slots there are (`gateway_rate_limiter.py`), so that a dispatcher that was held up
    catches up, and no slot goes unused while payments wait. Dispatchers that see slots taken ahead of time hold back,
    and so leave to payments over REST what these take.
    """
    rate = environment.gateway_rate_per_second
    concurrency = max(LEAST_CONCURRENCY, ceil(Fraction(rate, STARTS_A_SECOND)))
    microseconds = ceil(Fraction(concurrency * 1_000_000, rate))
    return Pace(concurrency, f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06}")


class PaymentQueue(Construct):
    """The queue of accepted batch payments, with its dead-letter queue. It only speaks TLS."""

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
            # six times the consumer's time-out, as AWS advises for Lambda event sources
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

    def grant_send(self, function: Function) -> None:
        """Let a function send messages."""
        function.allow(["sqs:SendMessage"], [self.queue.arn])

    def feed(self, function: Function, concurrency: int) -> None:
        """Hand messages to a function, ten at a time, to so many at once; it answers which of them failed, and may
        say when these come back."""
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
            # the lane's switch turns it off and on; an apply must not resume a lane that an incident paused
            lifecycle={"ignore_changes": ["enabled"]},
        )

    def keep_failed_events(self, function: Function) -> None:
        """Keep as a dead letter what Lambda would drop: an event that a function failed of three times, or that no
        concurrency was left for in six hours. Both are Lambda's own bounds."""
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

    def grant_look(self, function: Function) -> None:
        """Let a function see how many messages wait."""
        function.allow(["sqs:GetQueueAttributes"], [self.queue.arn])

    def grant_switch(self, function: Function) -> None:
        """Let a function turn the delivery of messages off and on."""
        function.allow(["lambda:GetEventSourceMapping", "lambda:UpdateEventSourceMapping"], [self.mapping.arn])


def _redrive(dead_letters_arn: str) -> str:
    """After five failed deliveries a message goes to the dead-letter queue."""
    return json.dumps({"deadLetterTargetArn": dead_letters_arn, "maxReceiveCount": 5}, separators=(",", ":"))


def split_on_arrival(scope: Construct, bucket: Bucket, split: Function, account_id: str) -> None:
    """Call the split function for every object that arrives below `incoming/`, whatever its ending:
    a file that is not a CSV gets an answer too. It calls itself again when its time runs out."""
    permission = LambdaPermission(
        scope,
        "bucket_calls_split",
        action="lambda:InvokeFunction",
        function_name=split.function.function_name,
        principal="s3.amazonaws.com",
        source_arn=bucket.arn,
        source_account=account_id,
    )
    S3BucketNotification(
        scope,
        "arrivals",
        bucket=bucket.name,
        lambda_function=[
            S3BucketNotificationLambdaFunction(
                lambda_function_arn=split.arn, events=["s3:ObjectCreated:*"], filter_prefix=INCOMING
            )
        ],
        depends_on=[permission],  # S3 checks that it may call the function when the notification is made
    )
    # Lambda stops a function that calls itself 16 times, as a loop; this one moves on in its file every time
    LambdaFunctionRecursionConfig(
        scope, "split_may_continue", function_name=split.function.function_name, recursive_loop="Allow"
    )
