"""Records the AWS/SQS metrics of every queue at every tick of the clock: numbers of messages, age of the oldest.

MiniStack does not record them.

Probe: `queue_metrics` in tests/local/ministack/test_upstream.py.
"""

import time
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import cloudwatch, sqs

from local.ministack.fixes.cloudwatch import clock

COUNTS = {
    "ApproximateNumberOfMessagesVisible": "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible": "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed": "ApproximateNumberOfMessagesDelayed",
}


def apply() -> None:
    clock.every_tick(measure_queues)


def measure_queues() -> None:
    """Record the number of messages and the age of the oldest, in seconds, of every queue."""
    for (account, region, _), queue in sqs._queues.all_items():
        with request_scope(account, region):
            _measure(queue)


def _measure(queue: dict[str, Any]) -> None:
    sqs._refresh_counts(queue)
    dimensions = {"QueueName": queue["name"]}
    for metric, attribute in COUNTS.items():
        count = float(queue["attributes"][attribute])
        cloudwatch.record_metric("AWS/SQS", metric, count, "Count", dimensions)
    now = time.time()
    age = max((now - message.get("sent_at", now) for message in list(queue["messages"])), default=0.0)
    cloudwatch.record_metric("AWS/SQS", "ApproximateAgeOfOldestMessage", age, "Seconds", dimensions)
