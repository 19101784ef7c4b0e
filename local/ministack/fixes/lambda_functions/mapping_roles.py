"""A queue is read for a function only if the function's role allows it.

MiniStack does not check the role.

Probe: `mapping_roles` in tests/local/ministack/test_upstream.py.
"""

from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import lambda_svc

from local.ministack.fixes.patching import wrap
from local.ministack.permissions import service_may

NEEDED = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")


def apply() -> None:
    wrap(lambda_svc, "_create_esm", _create_if_allowed)
    wrap(lambda_svc, "_sqs_esm_concurrency", _no_batch_unless_allowed)


def _create_if_allowed(create: Any, request: dict[str, Any]) -> Any:
    _, config, _ = lambda_svc._get_func_record_for_ref(request.get("FunctionName", ""))
    lacking = _lacking(config, request.get("EventSourceArn", "")) if config else None
    if lacking:
        message = f"The provided execution role does not have permissions to call {lacking} on SQS"
        return error_response_json("InvalidParameterValueException", message, 400)
    return create(request)


def _no_batch_unless_allowed(
    concurrency: Any, mapping: dict[str, Any], function: Any, config: dict[str, Any], *more: Any
) -> int:
    lacking = _lacking(config, mapping["EventSourceArn"])
    if lacking:
        mapping["LastProcessingResult"] = f"PROBLEM: the function's role may not call {lacking} on SQS"
        return 0
    return int(concurrency(mapping, function, config, *more))


def _lacking(config: dict[str, Any], source: str) -> str | None:
    """The first required action on the queue that the function's role does not allow."""
    if not source.startswith("arn:aws:sqs:"):
        return None
    return next((name for name in NEEDED if not service_may("lambda", config["Role"], f"sqs:{name}", source)), None)
