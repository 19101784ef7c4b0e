"""A request as the operations receive it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from payments.domain.identity import Caller
from payments.rest.http import json_body


@dataclass(frozen=True)
class Request:
    """One call of an operation. `path` and `query` are decoded parameters. `event` is API Gateway's event."""

    operation: str
    caller: Caller
    at: datetime
    request_id: str
    ip: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    event: Mapping[str, Any]

    def json(self) -> dict[str, Any]:
        """The body's JSON object. Raises Problem 400."""
        return json_body(self.event)
