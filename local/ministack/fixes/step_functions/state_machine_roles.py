"""A state machine calls functions and publishes messages only if its role allows it.

MiniStack does not check the role. Of the service integrations only Lambda and sns:publish are checked: our workflows
use no others.

Probe: `state_machine_roles` in tests/local/ministack/test_upstream.py.
"""

from contextvars import ContextVar
from typing import Any, NamedTuple

from ministack.services import lambda_svc, stepfunctions

from local.ministack.fixes.patching import wrap
from local.ministack.permissions import service_may

_role: ContextVar[str] = ContextVar("the running state machine's role")


class Permission(NamedTuple):
    """The permission that a task needs, and its error on AWS if the role lacks it."""

    action: str
    resource: str
    error: str


def apply() -> None:
    wrap(stepfunctions, "_run_execution", _remember_the_role)
    wrap(stepfunctions, "_invoke_resource", _ask_the_role)


def _remember_the_role(run: Any, execution_arn: str) -> None:
    machine_arn = stepfunctions._executions[execution_arn]["stateMachineArn"]
    token = _role.set(stepfunctions._state_machines[machine_arn]["roleArn"])
    try:
        run(execution_arn)
    finally:
        _role.reset(token)


def _ask_the_role(invoke: Any, resource: str, arguments: Any) -> Any:
    role = _role.get("")
    needed = permission(resource, arguments)
    if role and needed and not service_may("states", role, needed.action, needed.resource):
        cause = f"{role} is not authorized to perform: {needed.action} on resource: {needed.resource}"
        raise stepfunctions._ExecutionError(needed.error, cause)
    return invoke(resource, arguments)


def permission(resource: str, arguments: Any) -> Permission | None:
    """The permission that a task needs. None for tasks that are not checked."""
    if resource.startswith("arn:aws:states:::sns:publish"):
        return Permission("sns:Publish", arguments["TopicArn"], "SNS.AuthorizationErrorException")
    function = arguments["FunctionName"] if resource.startswith("arn:aws:states:::lambda:invoke") else resource
    if resource.startswith(("arn:aws:lambda:", "arn:aws:states:::lambda:invoke")):
        arn = function if function.startswith("arn:") else lambda_svc._func_arn(function)
        return Permission("lambda:InvokeFunction", arn, "Lambda.AWSLambdaException")
    return None
