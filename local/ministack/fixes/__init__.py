"""Fixes for the differences between MiniStack 1.5.33 and AWS: one module per defect, each with an `apply()`.

The docstring of a module says what AWS does, then what MiniStack does instead. `apply()` replaces the functions of
MiniStack that are wrong; it takes nothing, returns nothing and has no docstring of its own.

Each fix has a probe with the module's name in tests/local/ministack/test_upstream.py. The probe fails when upstream has
fixed the defect. Then delete the module, its line here and the probe.
"""

from importlib import import_module
from typing import Final

FIXES: Final = (
    "lambda_functions.forked_workers",
    "lambda_functions.lambda_errors",
    "lambda_functions.lambda_places",
    "lambda_functions.lambda_throttling",
    "lambda_functions.async_retries",
    "lambda_functions.event_destinations",
    "sqs.batch_permissions",
    "kms.encryption_context",
    "lambda_functions.lambda_metrics",
    "lambda_functions.embedded_metrics",
    "step_functions.retry_delays",
    "step_functions.publish_attributes",
    "step_functions.tracing",
    "step_functions.execution_names",
    "step_functions.state_machine_roles",
    "lambda_functions.mapping_roles",
    "lambda_functions.mapping_permissions",
    "lambda_functions.mapping_states",
    "scheduler.schedule_times",
    "scheduler.schedule_roles",
    "api_gateway.api_permissions",
    "api_gateway.header_names",
    "api_gateway.request_models",
    "api_gateway.validation_errors",
    "api_gateway.access_denied",
    "dynamodb.condition_grammar",
    "dynamodb.written_attributes",
    "api_gateway.stage_settings",
    "api_gateway.usage_keys",
    "api_gateway.usage_plans",
    "waf.web_acls",
    "iam.principal_arn",
    "s3.upload_tags",
    "s3.version_ranges",
    "s3.uploading_principal",
    "cloudwatch.alarm_settings",
    "cloudwatch.alarm_listing",
    "cloudwatch.alarm_states",
    "sqs.queue_metrics",
    "step_functions.execution_metrics",
    "api_gateway.api_metrics",
    "cognito.token_groups",
)


def apply_all() -> None:
    """Patch MiniStack in this process, before it serves, and start the clock that updates metrics and alarms."""
    for name in FIXES:
        import_module(f"{__name__}.{name}").apply()
    import_module(f"{__name__}.cloudwatch.clock").start()
