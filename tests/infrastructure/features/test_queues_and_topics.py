"""The payment queue with its dead-letter queue, and the topics."""

import json
from fractions import Fraction

import pytest

from lib.dispatch_rate import LEAST_CONCURRENCY, STARTS_A_SECOND, dispatch_rate
from lib.settings import Environment
from tests.infrastructure.synth import ACCOUNT, REGION, Stack, arn

_DAYS_14 = 14 * 24 * 60 * 60


def test_message_goes_to_the_dead_letters_after_five_failures(stack: Stack) -> None:
    dead_letters, _ = stack.named("aws_sqs_queue", "payment-dead-letter-queue")
    _, queue = stack.named("aws_sqs_queue", "payment-queue")

    assert json.loads(queue["redrive_policy"]) == {"deadLetterTargetArn": arn(dead_letters), "maxReceiveCount": 5}


def test_file_event_goes_to_the_dead_letters_after_three_split_failures(stack: Stack) -> None:
    dead_letters, _ = stack.named("aws_sqs_queue", "payment-dead-letter-queue")
    split, _ = stack.named("aws_lambda_function", "payment-split")
    _, kept = stack.only("aws_lambda_function_event_invoke_config", function_name=f"${{{split}.function_name}}")

    assert kept["destination_config"] == {"on_failure": {"destination": arn(dead_letters)}}
    assert kept["maximum_retry_attempts"] == 2


def test_dead_letters_when_redriven_then_only_from_the_payment_queue(stack: Stack) -> None:
    queue, _ = stack.named("aws_sqs_queue", "payment-queue")
    _, allowed = stack.only("aws_sqs_queue_redrive_allow_policy")

    assert json.loads(allowed["redrive_allow_policy"]) == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [arn(queue)],
    }


def test_queues_keep_messages_as_long_as_sqs_can(stack: Stack) -> None:
    assert {queue["message_retention_seconds"] for queue in stack.all("aws_sqs_queue").values()} == {_DAYS_14}


def test_queue_hides_a_message_for_six_times_the_dispatch_time_out(stack: Stack) -> None:
    _, queue = stack.named("aws_sqs_queue", "payment-queue")
    _, dispatch = stack.named("aws_lambda_function", "payment-dispatch")

    assert queue["visibility_timeout_seconds"] == 6 * dispatch["timeout"]


def test_dispatch_mapping_sets_batch_size_partial_failures_and_concurrency(stack: Stack) -> None:
    queue, _ = stack.named("aws_sqs_queue", "payment-queue")
    dispatch, _ = stack.named("aws_lambda_function", "payment-dispatch")
    _, mapping = stack.only("aws_lambda_event_source_mapping", event_source_arn=arn(queue))

    assert mapping["function_name"] == arn(dispatch)
    assert mapping["batch_size"] == 10
    assert mapping["function_response_types"] == ["ReportBatchItemFailures"]
    assert mapping["scaling_config"]["maximum_concurrency"] >= LEAST_CONCURRENCY


def test_paused_dispatch_is_not_resumed_by_an_apply(stack: Stack) -> None:
    _, mapping = stack.only("aws_lambda_event_source_mapping")

    assert mapping["lifecycle"] == {"ignore_changes": ["enabled"]}
    assert "enabled" not in mapping


def test_slots_keep_all_senders_within_the_gateway_rate_less_reserve(
    stack: Stack,
) -> None:
    environment = stack.settings.effective
    allowed = Fraction(environment.gateway_rate_per_second * (100 - environment.gateway_reserve_percent), 100)
    slots = {
        function["environment"]["variables"]["SLOT_MICROSECONDS"]
        for function in stack.all("aws_lambda_function").values()
        if "SLOT_MICROSECONDS" in function["environment"]["variables"]
    }
    (microseconds,) = slots  # charge takes slots, dispatch reads the same counter

    assert allowed * Fraction(999, 1000) <= Fraction(1_000_000, int(microseconds)) <= allowed


def test_dispatch_rate_exceeds_the_slots_but_never_the_gateway_rate(
    stack: Stack,
) -> None:
    _, dispatch = stack.named("aws_lambda_function", "payment-dispatch")
    environment = stack.settings.effective

    seconds = float(dispatch["environment"]["variables"]["DISPATCH_PACE_SECONDS"])
    _, mapping = stack.only("aws_lambda_event_source_mapping")
    concurrency = mapping["scaling_config"]["maximum_concurrency"]
    payments_a_second = concurrency / seconds

    rate, reserve = environment.gateway_rate_per_second, environment.gateway_reserve_percent
    assert rate * (100 - reserve) / 100 < payments_a_second <= rate


def test_dispatch_of_ten_paced_messages_ends_before_its_time_out(stack: Stack) -> None:
    _, dispatch = stack.named("aws_lambda_function", "payment-dispatch")

    assert 10 * float(dispatch["environment"]["variables"]["DISPATCH_PACE_SECONDS"]) < dispatch["timeout"] / 2


def test_uploads_below_incoming_call_split_only_from_the_own_bucket(stack: Stack) -> None:
    split, _ = stack.named("aws_lambda_function", "payment-split")
    _, notification = stack.only("aws_s3_bucket_notification")
    permission_address, permission = stack.only("aws_lambda_permission", principal="s3.amazonaws.com")
    (called,) = notification["lambda_function"]

    assert called == {
        "lambda_function_arn": arn(split),
        "events": ["s3:ObjectCreated:*"],
        "filter_prefix": "incoming/",
    }
    assert stack.resolve(permission["source_arn"]) == f"arn:aws:s3:::payment-batch-files-{stack.suffix}-{ACCOUNT}"
    assert stack.resolve(permission["source_account"]) == ACCOUNT
    assert permission_address in notification["depends_on"]


def test_topics_are_one_for_payment_events_and_one_for_alarms(stack: Stack) -> None:
    names = {topic["name"] for topic in stack.all("aws_sns_topic").values()}

    assert names == {f"payment-events-{stack.suffix}", f"payment-alarms-{stack.suffix}"}


def test_alarms_topic_when_cloudwatch_publishes_then_only_for_this_account(stack: Stack) -> None:
    alarms, _ = stack.named("aws_sns_topic", "payment-alarms")
    _, policy = stack.only("aws_sns_topic_policy", arn=arn(alarms))
    (statement,) = stack.statements(policy["policy"])

    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert statement["Action"] == "sns:Publish"
    assert statement["Resource"] == f"arn:aws:sns:{REGION}:{ACCOUNT}:payment-alarms-{stack.suffix}"
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_alarm_recipients_when_set_then_each_is_subscribed(prod: Stack, dev: Stack) -> None:
    alarms, _ = prod.named("aws_sns_topic", "payment-alarms")
    _, subscription = prod.only("aws_sns_topic_subscription", endpoint="oncall@example.com")

    assert subscription["protocol"] == "email"
    assert subscription["topic_arn"] == arn(alarms)
    assert dev.all("aws_sns_topic_subscription") == {}


@pytest.mark.parametrize("rate", [1, 2, 7, 25, 100, 333, 1000])
@pytest.mark.parametrize("reserve", [0, 8, 50])
def test_dispatch_rate_adds_dispatchers_within_what_the_gateway_allows(rate: int, reserve: int) -> None:
    dispatchers = dispatch_rate(Environment(gateway_rate_per_second=rate, gateway_reserve_percent=reserve))

    assert rate * Fraction(999, 1000) <= dispatchers.concurrency / Fraction(dispatchers.seconds) <= rate
    assert dispatchers.concurrency == LEAST_CONCURRENCY or Fraction(dispatchers.seconds) >= Fraction(
        9, 10 * STARTS_A_SECOND
    )
