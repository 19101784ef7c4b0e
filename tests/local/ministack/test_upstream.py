"""Each fix is still needed: MiniStack, unpatched in this process, still has the defect.

A failure here is good news: delete the fix named in it, its line in FIXES, and its probe.
"""

import asyncio
import base64
import inspect
import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
from hypercorn.config import Config
from ministack import app
from ministack.core import iam_actions, iam_evaluator, lambda_runtime
from ministack.services import (
    apigateway_v1,
    cloudwatch,
    cognito,
    dynamodb,
    eventbridge,
    lambda_svc,
    s3,
    scheduler,
    sns,
    sqs,
    stepfunctions,
    waf,
)

from local.ministack.fixes import FIXES
from local.ministack.fixes.step_functions.publish_attributes import PUBLISH

FUNCTION = "probe"


@pytest.fixture(scope="module", autouse=True)
def function() -> Iterator[None]:
    """A function in this process's own MiniStack. It raises the requested error, or prints nothing."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("code.py", "def handle(event, context):\n    if event: raise KeyError(event)")
    lambda_svc._create_function(
        {
            "FunctionName": FUNCTION,
            "Runtime": "python3.12",
            "Handler": "code.handle",
            "Role": "arn:aws:iam::000000000000:role/probe",
            "Code": {"ZipFile": base64.b64encode(package.getvalue()).decode()},
        }
    )
    yield
    lambda_runtime.reset()
    for service in (lambda_svc, cloudwatch, stepfunctions, sns):
        service.reset()


def call_from_a_machine(event: Any) -> str:
    """The error name that a state machine sees, "" for success."""
    try:
        stepfunctions._call_lambda(FUNCTION, event)
    except stepfunctions._ExecutionError as error:
        return str(error.error)
    return ""


def forked_workers(_: pytest.MonkeyPatch) -> bool:
    return "Popen" in inspect.getsource(lambda_runtime.Worker._spawn)


def lambda_errors(_: pytest.MonkeyPatch) -> bool:
    return call_from_a_machine("lost card") != "KeyError"


def lambda_places(_: pytest.MonkeyPatch) -> bool:
    record, config, _name = lambda_svc._get_func_record_for_ref(FUNCTION)
    workers = [lambda_svc.acquire_worker("crowd", config, record["code_zip"])[0] for _ in range(20)]
    return None not in workers


def lambda_throttling(patch: pytest.MonkeyPatch) -> bool:
    patch.setattr(lambda_svc, "_acquire_execution_slot", lambda *_: (None, "function"))
    return call_from_a_machine(None) != "Lambda.TooManyRequestsException"


def async_retries(_: pytest.MonkeyPatch) -> bool:
    return "request_id" not in inspect.getsource(lambda_svc.invoke_async_with_retry)


def event_destinations(patch: pytest.MonkeyPatch) -> bool:
    patch.setattr(app, "AUTH", True)
    queue = "arn:aws:sqs:us-east-1:000000000000:destination"
    sqs._act_create_queue({"QueueName": "destination"}, "")
    lambda_svc._route_async_failure(queue, FUNCTION, {}, {})
    return bool(sqs._queue_by_arn(queue)["messages"])


def batch_permissions(_: pytest.MonkeyPatch) -> bool:
    headers = {"x-amz-target": "AmazonSQS.SendMessageBatch"}
    return bool(iam_actions.extract_iam_action("sqs", "POST", "/", headers, b"", {}) != "sqs:SendMessage")


def written_attributes(_: pytest.MonkeyPatch) -> bool:
    body = b'{"Key": {"id": {"S": "1"}}, "UpdateExpression": "SET a = :a"}'
    return "dynamodb:Attributes" not in iam_actions.dynamodb_service_context(body)


def encryption_context(_: pytest.MonkeyPatch) -> bool:
    body = b'{"EncryptionContext": {"payment_id": "pay_1"}}'
    return not iam_actions.request_tag_context("kms", "kms:Decrypt", body, {})


def lambda_metrics(_: pytest.MonkeyPatch) -> bool:
    call_from_a_machine(None)
    return ("AWS/Lambda", "Invocations", f"FunctionName={FUNCTION}") not in cloudwatch._metrics


def embedded_metrics(_: pytest.MonkeyPatch) -> bool:
    directive = {"Namespace": "Probe", "Dimensions": [[]], "Metrics": [{"Name": "charged"}]}
    line = json.dumps({"_aws": {"CloudWatchMetrics": [directive]}, "charged": 1})
    lambda_svc._emit_lambda_logs(lambda_svc._functions[FUNCTION], "request", line, False, 1)
    return ("Probe", "charged", "") not in cloudwatch._metrics


def retry_delays(patch: pytest.MonkeyPatch) -> bool:
    delays: list[float] = []
    patch.setattr(stepfunctions, "_scaled_sleep", delays.append)
    retrier = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 50, "MaxDelaySeconds": 1, "MaxAttempts": 2}

    def fail() -> None:
        raise stepfunctions._ExecutionError("Failed", "")

    with pytest.raises(stepfunctions._ExecutionError):
        stepfunctions._with_retry_and_catch({"Retry": [retrier]}, {}, {"State": {}}, fail)
    return max(delays) > 1


def publish_attributes(patch: pytest.MonkeyPatch) -> bool:
    published: list[dict[str, Any]] = []

    def publish(*_: Any, message_attributes: dict[str, Any], **__: Any) -> dict[str, Any]:
        published.append(message_attributes)
        return {"message_id": "m", "sequence_number": None}

    patch.setattr(sns, "publish_internal", publish)
    sns._create_topic({"Name": "probe"})
    attributes = {"status": {"DataType": "String", "StringValue": "declined"}}
    topic = "arn:aws:sns:us-east-1:000000000000:probe"
    arguments = {"TopicArn": topic, "Message": "m", "MessageAttributes": attributes}
    stepfunctions._SERVICE_DISPATCH[PUBLISH](PUBLISH, arguments)
    return published == [{}]


def tracing(_: pytest.MonkeyPatch) -> bool:
    machine = {"name": "probe", "definition": "{}", "tracingConfiguration": {"enabled": True}}
    created = json.loads(stepfunctions._create_state_machine(machine)[2])
    described = json.loads(stepfunctions._describe_state_machine(created)[2])
    return "tracingConfiguration" not in described


def start(name: str, definition: dict[str, Any], times: int = 1) -> list[dict[str, Any]]:
    """Start a machine of this process's own MiniStack under one name; gives what each start is answered."""
    machine = {"name": name, "definition": json.dumps(definition), "roleArn": "arn:aws:iam::000000000000:role/none"}
    arn = json.loads(stepfunctions._create_state_machine(machine)[2])["stateMachineArn"]
    request = {"stateMachineArn": arn, "name": name}
    return [json.loads(stepfunctions._start_execution(request)[2]) for _ in range(times)]


def execution_names(_: pytest.MonkeyPatch) -> bool:
    wait = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 1, "End": True}}}
    first, again = start("named", wait, times=2)
    return bool(first != again)


def state_machine_roles(patch: pytest.MonkeyPatch) -> bool:
    task = {"Type": "Task", "Resource": lambda_svc._func_arn(FUNCTION), "End": True}
    patch.setattr(app, "AUTH", False)
    execution = start("unguarded", {"StartAt": "Call", "States": {"Call": task}})[0]["executionArn"]
    patch.setattr(app, "AUTH", True)
    while stepfunctions._executions[execution]["status"] == "RUNNING":
        time.sleep(0.05)
    return bool(stepfunctions._executions[execution]["status"] == "SUCCEEDED")


def mapping_roles(patch: pytest.MonkeyPatch) -> bool:
    patch.setattr(app, "AUTH", True)
    patch.setattr(lambda_svc, "_ensure_poller", lambda: None)
    mapping = {"FunctionName": FUNCTION, "EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:probe"}
    return bool(lambda_svc._create_esm(mapping)[0] == 202)


def mapping_permissions(_: pytest.MonkeyPatch) -> bool:
    path = "/2015-03-31/event-source-mappings/1"
    return bool(iam_actions.extract_iam_action("lambda", "PUT", path, {}, b"", {}) != "lambda:UpdateEventSourceMapping")


def mapping_states(patch: pytest.MonkeyPatch) -> bool:
    mapping = {"UUID": "1", "Enabled": True, "State": "Enabled"}
    patch.setattr(lambda_svc, "_esms", {"1": mapping})
    return bool(json.loads(lambda_svc._update_esm("1", {"Enabled": False})[2])["State"] != "Disabling")


def schedule_times(_: pytest.MonkeyPatch) -> bool:
    return bool(max(scheduler._SCHEDULE_TICK_INTERVAL, eventbridge._SCHEDULER_TICK_INTERVAL) > 1)


def schedule_roles(patch: pytest.MonkeyPatch) -> bool:
    called: list[str] = []
    patch.setattr(app, "AUTH", True)
    patch.setattr(eventbridge, "_dispatch_to_lambda", lambda function, _: called.append(function))
    target = {"Arn": lambda_svc._func_arn(FUNCTION), "RoleArn": "arn:aws:iam::000000000000:role/none"}
    eventbridge._invoke_target(target, {"Detail": "{}"}, {"FlexibleTimeWindow": {"Mode": "OFF"}})
    return called == [target["Arn"]]


def refused_request(patch: pytest.MonkeyPatch, content_type: str) -> Any:
    """The answer to {} where JSON requires `a`: None, or API Gateway's own error."""
    patch.setattr(apigateway_v1, "_request_validators", {"api": {"v": {"validateRequestBody": True}}})
    patch.setattr(apigateway_v1, "_models", {"api": {"Model": {"schema": '{"required": ["a"]}'}}})
    method = {"requestValidatorId": "v", "requestModels": {"application/json": "Model"}}
    headers = {"content-type": content_type}
    return apigateway_v1._check_request_validation(method, "api", {}, headers, b"{}", {})


def api_permissions(patch: pytest.MonkeyPatch) -> bool:
    async def call(function: str, *_: Any, **__: Any) -> Any:
        return {"body": {"statusCode": 200}}, None

    patch.setattr(app, "AUTH", True)
    patch.setattr(apigateway_v1, "_call_lambda_raw", call)
    patch.setattr(apigateway_v1, "_build_lambda_event_v1", lambda *_, **__: {})
    integration = {"uri": lambda_svc._func_arn(FUNCTION)}
    resource = {"path": "/", "id": "1"}
    answer = asyncio.run(
        apigateway_v1._invoke_lambda_proxy_v1(integration, "api", "dev", {}, resource, "/", "POST", {}, b"", {}, {})
    )
    return bool(answer[0] == 200)


def header_names(_: pytest.MonkeyPatch) -> bool:
    return not Config.h11_pass_raw_headers


def request_models(patch: pytest.MonkeyPatch) -> bool:
    return refused_request(patch, "text/csv") is not None


def validation_errors(patch: pytest.MonkeyPatch) -> bool:
    error = refused_request(patch, "application/json")
    template = {"responseTemplates": {"application/json": "$context.error.validationErrorString"}}
    patch.setattr(apigateway_v1, "_gateway_responses", {"api": {"BAD_REQUEST_BODY": template}})
    request = {"api_id": "api", "stage": {}, "request_id": "", "resource_path": "", "stage_name": ""}
    body = apigateway_v1._gateway_error_response(error, request)[2]
    return bool(body.startswith(b"$context"))


def access_denied(patch: pytest.MonkeyPatch) -> bool:
    patch.setattr(app, "AUTH", True)
    patch.setattr(iam_evaluator, "enforce", lambda *_, **__: iam_evaluator.EvalResult("ImplicitDeny"))
    patch.setattr(apigateway_v1, "stages_for_api", lambda _: {"dev": {}})
    patch.setattr(apigateway_v1, "find_api_scope", lambda _: ("000000000000", "us-east-1"))
    patch.setattr(apigateway_v1, "_gateway_responses", {"api": {"ACCESS_DENIED": {"statusCode": "418"}}})
    return bool(app._enforce_execute_api("api", "dev", "POST", "/", {}, {})[0] == 403)


def put_alarm(name: str, **settings: str) -> dict[str, Any]:
    """Put an alarm over the query protocol; gives what MiniStack keeps of it."""
    usual = {"ComparisonOperator": "GreaterThanThreshold", "Threshold": "5", "EvaluationPeriods": "1"}
    cloudwatch._put_metric_alarm({"AlarmName": name, **usual, **settings}, {}, False)
    alarm: dict[str, Any] = cloudwatch._alarms[name]
    return alarm


def alarm_settings(_: pytest.MonkeyPatch) -> bool:
    math = put_alarm("math", **{"Metrics.member.1.Id": "m", "Metrics.member.1.Expression": "1"})
    return "Metrics" not in math or bool(math.get("Statistic"))


def alarm_listing(_: pytest.MonkeyPatch) -> bool:
    put_alarm("listed", Namespace="Probe", MetricName="m", TreatMissingData="breaching")
    return b"TreatMissingData" not in cloudwatch._describe_alarms({}, {}, False)[2]


def alarm_states(_: pytest.MonkeyPatch) -> bool:
    cloudwatch.record_metric("Probe", "errors", 9, dimensions={"function": "charge"})
    settings = {"Dimensions.member.1.Name": "function", "Dimensions.member.1.Value": "refund"}
    alarm = put_alarm("other", Namespace="Probe", MetricName="errors", Period="60", **settings)
    return bool(alarm["StateValue"] == "ALARM")


def queue_metrics(_: pytest.MonkeyPatch) -> bool:
    return "AWS/SQS" not in inspect.getsource(sqs)


def execution_metrics(_: pytest.MonkeyPatch) -> bool:
    return "AWS/States" not in inspect.getsource(stepfunctions)


def api_metrics(_: pytest.MonkeyPatch) -> bool:
    return "AWS/ApiGateway" not in inspect.getsource(apigateway_v1)


def condition_grammar(_: pytest.MonkeyPatch) -> bool:
    return not hasattr(dynamodb._condition_syntax_error, "cache_info")


def stage_settings(_: pytest.MonkeyPatch) -> bool:
    return '"accessLogSettings": {}' in inspect.getsource(apigateway_v1)


def principal_arn(_: pytest.MonkeyPatch) -> bool:
    session = "arn:aws:sts::123456789012:assumed-role/probe/session"
    context = iam_evaluator.EvalContext(session, "AssumedRole", "123456789012", "s3:PutObject", "*", "us-east-1")
    return bool(iam_evaluator._resolve_condition_key("aws:PrincipalArn", context) == session)


def upload_tags(_: pytest.MonkeyPatch) -> bool:
    return "tagging" not in inspect.getsource(s3._create_multipart_upload)


def version_ranges(_: pytest.MonkeyPatch) -> bool:
    of_versions = inspect.getsource(s3._get_object).partition('if key not in bucket["objects"]')[0]
    return "_parse_range" not in of_versions


def uploading_principal(_: pytest.MonkeyPatch) -> bool:
    return '"userIdentity": {"principalId": "EXAMPLE"}' in inspect.getsource(s3._fire_s3_event)


def usage_keys(_: pytest.MonkeyPatch) -> bool:
    return "usageIdentifierKey" not in inspect.getsource(apigateway_v1)


def usage_plans(_: pytest.MonkeyPatch) -> bool:
    return "quota" in json.loads(apigateway_v1._create_usage_plan({"name": "probe"})[2])


def web_acls(_: pytest.MonkeyPatch) -> bool:
    acl = waf.create_web_acl_record("probe", "REGIONAL", {"CustomResponseBodies": {}, "AssociationConfig": {}})[2]
    return "CustomResponseBodies" not in acl and "AssociationConfig" not in acl


def token_groups(patch: pytest.MonkeyPatch) -> bool:
    answer: dict[str, Any] = {
        "response": {"claimsAndScopeOverrideDetails": {"groupOverrideDetails": {"groupsToOverride": []}}}
    }
    patch.setattr(lambda_svc, "_execute_function_with_config_scope", lambda *_: {"body": answer})
    trigger = {"LambdaArn": FUNCTION, "LambdaVersion": "V2_0"}
    patch.setitem(cognito._user_pools, "probe", {"LambdaConfig": {"PreTokenGenerationConfig": trigger}})
    claims = {"cognito:groups": ["admin"]}
    made = cognito._apply_pretoken_trigger("probe", claims, "access", "", "", "", {}, ["admin"])
    return bool(made["cognito:groups"])


PROBES: tuple[Callable[[pytest.MonkeyPatch], bool], ...] = (
    forked_workers,
    lambda_errors,
    lambda_places,
    lambda_throttling,
    async_retries,
    event_destinations,
    batch_permissions,
    encryption_context,
    lambda_metrics,
    embedded_metrics,
    retry_delays,
    publish_attributes,
    tracing,
    execution_names,
    state_machine_roles,
    mapping_roles,
    mapping_permissions,
    mapping_states,
    schedule_times,
    schedule_roles,
    api_permissions,
    header_names,
    request_models,
    validation_errors,
    access_denied,
    condition_grammar,
    written_attributes,
    stage_settings,
    usage_keys,
    usage_plans,
    web_acls,
    principal_arn,
    upload_tags,
    version_ranges,
    uploading_principal,
    alarm_settings,
    alarm_listing,
    alarm_states,
    queue_metrics,
    execution_metrics,
    api_metrics,
    token_groups,
)


@pytest.mark.parametrize("still_misbehaves", PROBES, ids=lambda probe: probe.__name__)
def test_fix_when_upstream_is_as_it_was_then_it_is_still_needed(
    still_misbehaves: Callable[[pytest.MonkeyPatch], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloudwatch.reset()
    name = still_misbehaves.__name__
    assert still_misbehaves(monkeypatch), f"upstream mended {name}: remove {name}.py below local/ministack/fixes"


def test_fixes_when_listed_then_each_has_its_probe() -> None:
    assert [probe.__name__ for probe in PROBES] == [fix.rpartition(".")[2] for fix in FIXES]


@pytest.mark.parametrize("fix", FIXES)
def test_fix_says_what_ministack_does_and_where_its_probe_is(fix: str) -> None:
    module = inspect.getdoc(import_module(f"local.ministack.fixes.{fix}")) or ""
    aws, _, ministack = module.partition("\n\n")
    assert aws
    assert "MiniStack" in ministack
    assert f"Probe: `{fix.rpartition('.')[2]}` in tests/local/ministack/test_upstream.py." in ministack
