"""A schedule works under its role, a rule under the function's policy, and both invoke functions asynchronously.

MiniStack checks no permission, accepts any role, and calls a function once. AWS retries a failed invocation twice.
https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html

Probe: `schedule_roles` in tests/local/ministack/test_upstream.py.
"""

import json
import logging
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, lambda_svc, scheduler

from local.ministack.fixes.patching import wrap
from local.ministack.permissions import policy_lets_service, role_lets_service, service_may

log = logging.getLogger("local_aws.schedules")

SCHEDULER = "scheduler.amazonaws.com"
INVOKE = "lambda:InvokeFunction"
UNTRUSTED = "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."


def apply() -> None:
    wrap(scheduler, "_create_schedule", _refuse_an_untrusting_role)
    wrap(scheduler, "_update_schedule", _refuse_an_untrusting_role)
    wrap(eventbridge, "_invoke_target", _invoke_if_allowed)
    wrap(eventbridge, "_dispatch_to_lambda", _call_asynchronously)


def _refuse_an_untrusting_role(change: Any, name: str, request: dict[str, Any]) -> Any:
    role = request.get("Target", {}).get("RoleArn")
    if role and not role_lets_service(role, SCHEDULER, _group_arn(request)):
        return scheduler._error(400, "ValidationException", UNTRUSTED)
    return change(name, request)


def _invoke_if_allowed(
    invoke: Any, target: dict[str, Any], event: dict[str, Any], source: dict[str, Any], *more: Any
) -> None:
    if target["Arn"].startswith("arn:aws:lambda:") and not _allowed(target, source):
        log.warning("%s may not call %s", source["Arn"], target["Arn"])
        return
    invoke(target, event, source, *more)


def _allowed(target: dict[str, Any], source: dict[str, Any]) -> bool:
    function = target["Arn"]
    if "FlexibleTimeWindow" in source:  # a schedule; rules do not have this field
        role = target["RoleArn"]
        return role_lets_service(role, SCHEDULER, _group_arn(source)) and service_may(
            "scheduler", role, INVOKE, function
        )
    record, _, _ = lambda_svc._get_func_record_for_ref(function)
    policy = (record or {}).get("policy")
    return policy_lets_service(policy, "events.amazonaws.com", INVOKE, function, source["Arn"])


def _group_arn(schedule: dict[str, Any]) -> str:
    """The aws:SourceArn of Scheduler: always the schedule's group, never the schedule."""
    group = schedule.get("GroupName") or "default"
    return f"arn:aws:scheduler:{get_region()}:{get_account_id()}:schedule-group/{group}"


def _call_asynchronously(_call: Any, function: str, payload: str) -> None:
    record, config, _ = lambda_svc._get_func_record_for_ref(function)
    if record and config:
        execution = lambda_svc._execution_record_for_config(record, config)
        lambda_svc.invoke_async_with_retry(execution, json.loads(payload))
