"""Handlers as Lambda loads them: settings first, then the module, on moto."""

import importlib
import json
import os
from collections import Counter
from types import ModuleType


class Context:
    """The context that Lambda passes to a function."""

    function_name = "split"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:split"
    aws_request_id = "request-1"

    def __init__(self, milliseconds: int = 900_000) -> None:
        self._milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        """The time left to the function."""
        return self._milliseconds


def load(name: str, **settings: str) -> ModuleType:
    """A handler's module, loaded as in a new function, with its clients and settings.

    Changes the environment, which the caller must restore.
    """
    os.environ.update(settings)
    return importlib.reload(importlib.import_module(f"handlers.{name}"))


def metrics_in(printed: str) -> Counter[str]:
    """The metrics that a function printed, in CloudWatch's embedded format."""
    counted: Counter[str] = Counter()
    for line in printed.splitlines():
        if "CloudWatchMetrics" in line:
            values = json.loads(line)
            for group in values["_aws"]["CloudWatchMetrics"]:
                counts = [metric["Name"] for metric in group["Metrics"] if metric["Unit"] == "Count"]
                counted.update({name: sum(values[name]) for name in counts})
    return counted
