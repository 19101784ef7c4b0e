"""Alarms keep their settings and change their state as in CloudWatch."""

import json
from collections.abc import Callable
from typing import Any

import botocore.session
import pytest

from local.ministack.fixes.cloudwatch.alarm_states import verdict
from local.ministack.fixes.cloudwatch.metric_math import evaluate
from local.ministack.server import REGION, LocalAws
from tests.waiting import eventually

type PutAlarm = Callable[..., str]


@pytest.fixture(scope="module")
def put_alarm(aws: LocalAws) -> PutAlarm:
    def put(name: str, **settings: Any) -> str:
        usual = {"EvaluationPeriods": 1, "Threshold": 5, "ComparisonOperator": "GreaterThanThreshold"}
        aws.client("cloudwatch").put_metric_alarm(AlarmName=name, **usual | settings)
        return name

    return put


@pytest.fixture(scope="module")
def query_client(aws: LocalAws) -> Any:
    """CloudWatch over the protocol that Terraform's provider 5.x speaks."""
    session = botocore.session.Session()
    model = session.get_component("data_loader").load_service_model("cloudwatch", "service-2")
    model["metadata"]["protocols"] = ["query"]
    model["metadata"]["protocol"] = "query"
    environment = aws.environment()
    return session.create_client(
        "cloudwatch",
        region_name=REGION,
        endpoint_url=aws.endpoint_url,
        verify=environment["AWS_CA_BUNDLE"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def put_value(aws: LocalAws, value: float, metric: str, **dimensions: str) -> None:
    named = [{"Name": name, "Value": dimension} for name, dimension in dimensions.items()]
    datum = {"MetricName": metric, "Value": value, "Dimensions": named}
    aws.client("cloudwatch").put_metric_data(Namespace="Test", MetricData=[datum])


def on(metric: str, **dimensions: str) -> dict[str, Any]:
    """The settings of an alarm on one metric's sum in a minute."""
    named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    return {
        "Namespace": "Test",
        "MetricName": metric,
        "Dimensions": named,
        "Period": 60,
        "Statistic": "Sum",
    }


def state(aws: LocalAws, name: str) -> str:
    alarms = aws.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return str(alarms[0]["StateValue"])


def reaches(aws: LocalAws, name: str, wanted: str) -> bool:
    return bool(eventually(f"the alarm {name} to be {wanted}", lambda: state(aws, name), lambda now: now == wanted))


def test_alarm_when_only_another_dimension_breaches_then_it_stays_ok(aws: LocalAws, put_alarm: PutAlarm) -> None:
    quiet = put_alarm("quiet", **on("errors", function="refund"))
    loud = put_alarm("loud", **on("errors", function="charge"))
    put_value(aws, 1, "errors", function="refund")
    put_value(aws, 9, "errors", function="charge")
    assert reaches(aws, loud, "ALARM")
    assert reaches(aws, quiet, "OK")


def test_alarm_when_data_is_missing_then_it_is_treated_as_asked(aws: LocalAws, put_alarm: PutAlarm) -> None:
    for treatment, wanted in (
        ("breaching", "ALARM"),
        ("notBreaching", "OK"),
        ("missing", "INSUFFICIENT_DATA"),
    ):
        assert reaches(aws, put_alarm(treatment, **on("nothing"), TreatMissingData=treatment), wanted)


def test_alarm_when_two_of_two_minutes_must_breach_then_one_is_not_enough(aws: LocalAws, put_alarm: PutAlarm) -> None:
    put_value(aws, 9, "spike")
    twice = on("spike") | {"EvaluationPeriods": 2, "TreatMissingData": "notBreaching"}
    assert reaches(aws, put_alarm("one-of-two", **twice | {"DatapointsToAlarm": 1}), "ALARM")
    assert reaches(aws, put_alarm("two-of-two", **twice), "OK")


def ratio_of_errors() -> dict[str, Any]:
    def query(identity: str, metric: str) -> dict[str, Any]:
        stat = {"Metric": {"Namespace": "Test", "MetricName": metric}, "Period": 60, "Stat": "Sum"}
        return {"Id": identity, "MetricStat": stat, "ReturnData": False}

    ratio = {"Id": "ratio", "Expression": "IF(calls > 3, 100 * FILL(fails, 0) / calls, 0)", "Label": "errors %"}
    return {"Metrics": [query("calls", "calls"), query("fails", "fails"), ratio | {"ReturnData": True}]}


def test_alarm_when_it_is_metric_math_then_the_expression_decides(aws: LocalAws, put_alarm: PutAlarm) -> None:
    put_value(aws, 10, "calls")
    name = put_alarm("ratio", **ratio_of_errors())
    assert reaches(aws, name, "OK")
    put_value(aws, 2, "fails")
    assert reaches(aws, name, "ALARM")


def test_alarm_state_change_notifies_its_topic_once(aws: LocalAws, put_alarm: PutAlarm) -> None:
    sqs, sns = aws.client("sqs"), aws.client("sns")
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    queue = sqs.create_queue(QueueName="alarms")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps({"Statement": [allow]})})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    put_alarm("notified", **on("notified"), AlarmActions=[topic])
    put_value(aws, 9, "notified")
    for number in range(2):  # two more ticks of the clock, each of which could notify again
        put_alarm(f"later-{number}", **on(f"later-{number}"))
        put_value(aws, 9, f"later-{number}")
        assert reaches(aws, f"later-{number}", "ALARM")
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    assert [json.loads(message["Body"])["NewStateValue"] for message in messages] == ["ALARM"]


def test_alarm_set_over_either_protocol_is_described_completely_over_both(aws: LocalAws, query_client: Any) -> None:
    settings = {
        "AlarmDescription": "Read <the> runbook & act",
        "ActionsEnabled": True,
        "AlarmActions": ["arn:aws:sns:us-east-1:000000000000:ops"],
        "InsufficientDataActions": ["arn:aws:sns:us-east-1:000000000000:ops"],
        "EvaluationPeriods": 3,
        "DatapointsToAlarm": 2,
        "Threshold": 2.5,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
    }
    for kind, subject in (("plain", on("errors", function="charge")), ("math", ratio_of_errors())):
        for client in (query_client, aws.client("cloudwatch")):
            client.put_metric_alarm(AlarmName=kind, **settings, **subject)
            for reader in (query_client, aws.client("cloudwatch")):
                alarm = reader.describe_alarms(AlarmNames=[kind])["MetricAlarms"][0]
                assert {key: alarm.get(key) for key in settings | subject} == settings | subject
                assert set(alarm) & {"MetricName", "Statistic", "Period"} <= set(subject)


@pytest.mark.parametrize(
    ("points", "needed", "expected"),
    [  # AWS's own table, newest datapoint last; X breaches, 0 does not, - is missing
        ("0-X", 3, {"missing": "OK", "ignore": "OK", "breaching": "OK", "notBreaching": "OK"}),
        ("--0", 3, {"missing": "OK", "ignore": "OK", "breaching": "OK", "notBreaching": "OK"}),
        ("---", 3, {"missing": "INSUFFICIENT_DATA", "ignore": None, "breaching": "ALARM", "notBreaching": "OK"}),
        ("XXX", 3, {"missing": "ALARM", "ignore": "ALARM", "breaching": "ALARM", "notBreaching": "ALARM"}),
        ("X--", 3, {"missing": "ALARM", "ignore": None, "breaching": "ALARM", "notBreaching": "OK"}),
        ("--X", 3, {"missing": "OK", "ignore": None, "breaching": "ALARM", "notBreaching": "OK"}),
        ("0X0", 2, {"missing": "OK", "ignore": "OK", "breaching": "OK", "notBreaching": "OK"}),
        ("X0X", 2, {"missing": "ALARM", "ignore": "ALARM", "breaching": "ALARM", "notBreaching": "ALARM"}),
        ("-X-", 2, {"missing": "ALARM", "ignore": None, "breaching": "ALARM", "notBreaching": "OK"}),
    ],
)
def test_verdict_when_points_are_missing_then_it_follows_the_treatment(
    points: str, needed: int, expected: dict[str, str | None]
) -> None:
    newest_first = [{"X": True, "0": False, "-": None}[point] for point in reversed(points)]
    assert {kind: verdict(newest_first, needed=needed, missing=kind) for kind in expected} == expected


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("a + b * 2", 10),
        ("-a / 0", None),
        ("a + none", None),
        ("FILL(none, 7) - a", 5),
        ("IF(a > 1 && b > 9, 1, 0)", 0),
        ("IF(a > 1 OR b > 9, 1, 0)", 1),
        ("SUM(METRICS())", 6),
        ("MAX([a, b, none])", 4),
        ("double + 1", 5),
    ],
)
def test_metric_math_when_it_is_evaluated_then_it_follows_cloudwatch(expression: str, value: float | None) -> None:
    metrics = {"a": 2.0, "b": 4.0, "none": None}
    assert evaluate("asked", metrics, {"asked": expression, "double": "a * 2"}) == value


def test_metric_math_when_it_is_unknown_then_it_is_refused() -> None:
    with pytest.raises(ValueError, match="not supported here"):
        evaluate("asked", {"a": 1.0}, {"asked": "ANOMALY_DETECTION_BAND(a, 2)"})
