"""What MiniStack 1.5.33 does differently from AWS, mended: one module a defect, each with an `apply()`.

Each module stands on its own. When upstream mends a defect, its test in tests/emulator/test_upstream.py says so;
then delete the module and its line here.
"""

from importlib import import_module
from typing import Final

FIXES: Final = (
    "forked_workers",
    "lambda_errors",
    "lambda_places",
    "lambda_throttling",
    "async_retries",
    "event_destinations",
    "batch_permissions",
    "encryption_context",
    "lambda_metrics",
    "embedded_metrics",
    "retry_delays",
    "publish_attributes",
    "tracing",
    "execution_names",
    "state_machine_roles",
    "mapping_roles",
    "mapping_permissions",
    "mapping_states",
    "schedule_times",
    "schedule_roles",
    "api_permissions",
    "header_names",
    "request_models",
    "validation_errors",
    "access_denied",
    "condition_grammar",
    "stage_settings",
    "usage_keys",
    "usage_plans",
    "web_acls",
    "upload_tags",
    "alarm_settings",
    "alarm_listing",
    "alarm_states",
    "queue_metrics",
    "execution_metrics",
    "api_metrics",
)


def apply_all() -> None:
    """Mend MiniStack in this process, before it serves, and start the clock that feeds metrics and alarms."""
    for name in FIXES:
        import_module(f"{__name__}.{name}").apply()
    import_module(f"{__name__}.clock").start()
