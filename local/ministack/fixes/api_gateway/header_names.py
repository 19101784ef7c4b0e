"""A function behind a REST API receives header names as the client wrote them, and each value of a repeated header.

MiniStack lower-cases the names and joins the values with commas. serving.py keeps the names as they were sent.
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html

Probe: `header_names` in tests/local/ministack/test_upstream.py.
"""

from contextvars import ContextVar
from typing import Any

from ministack import app
from ministack.core.sigv4 import decode_header_value
from ministack.services import apigateway_v1

from local.ministack.fixes.patching import wrap

type RawHeaders = list[tuple[bytes, bytes]]

_sent: ContextVar[RawHeaders] = ContextVar("the request's headers as they were sent")


def apply() -> None:
    wrap(app, "pin_signed_request", _remember)
    wrap(apigateway_v1, "_build_lambda_event_v1", _give_as_sent)


def _remember(pin: Any, method: str, raw_path: str, query: Any, headers: RawHeaders, **more: Any) -> None:
    _sent.set(headers)
    pin(method, raw_path, query, headers, **more)


def _give_as_sent(build: Any, *request: Any, **more: Any) -> Any:
    event = build(*request, **more)
    values: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for name, value in _sent.get([]):
        spelled = names.setdefault(name.lower().decode("latin-1"), name.decode("latin-1"))
        values.setdefault(spelled, []).append(decode_header_value(value))
    added = {name: value for name, value in event["multiValueHeaders"].items() if name not in names}
    event["multiValueHeaders"] = added | values
    event["headers"] = {name: value[-1] for name, value in event["multiValueHeaders"].items()}
    return event
