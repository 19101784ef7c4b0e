"""Structured logs: JSON lines with ids and outcomes, never a request, a row's content or a token.

Every line passes the redactor. The exceptions of a function pass it too, because Lambda prints them.
"""

import json
import logging
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from payments.domain.errors import PaymentError
from payments.domain.payment import Payment
from payments.observability.redaction import redacted, redacted_text


class RedactingFormatter(LambdaPowertoolsFormatter):
    """Formats a record as one line of redacted JSON. Never raises: logging would then print the arguments."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        try:
            return super().format(record)
        except Exception as error:  # noqa: BLE001 - for example a text whose placeholders do not match its arguments
            where = f"{record.funcName}:{record.lineno}"
            return self.serialize({"level": record.levelname, "location": where, "message": f"not readable: {error}"})

    def serialize(self, log: Any) -> str:
        """The fields of a line as redacted JSON."""
        return json.dumps(redacted(log), ensure_ascii=False, separators=(",", ":"))


@cache
def logger() -> Logger:
    """The function's logger. Powertools reads the service name and the level from the environment."""
    formatter = RedactingFormatter(utc=True)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter)  # for the warnings of libraries
    return Logger(logger_formatter=formatter)


def bind_log_context(payment: Payment | None) -> None:
    """Add the payment's id and correlation id to all further lines of this invocation. None removes them."""
    log = logger()
    log.remove_keys(["payment_id", "correlation_id"])
    if payment:
        log.append_keys(payment_id=payment.payment_id, correlation_id=payment.correlation_id)


def invocation[E, C, R](handler: Callable[[E, C], R]) -> Callable[[E, C], R]:
    """Wrap a handler: its log lines have the API's request id, if there is one, and no payment of an earlier
    invocation. Its exceptions are redacted, because Lambda prints their texts."""

    @wraps(handler)
    def run(event: E, context: C) -> R:
        log = logger()
        bind_log_context(None)
        if request_id := _request_id(event):
            log.append_keys(request_id=request_id)
        try:
            return handler(event, context)
        except Exception as error:
            redact_exception(error)
            raise
        finally:
            bind_log_context(None)
            log.remove_keys(["request_id"])

    return run


def _request_id(event: object) -> str:
    context = event.get("requestContext") if isinstance(event, dict) else None
    return str(context.get("requestId", "")) if isinstance(context, dict) else ""


def redact_exception(error: BaseException) -> None:
    """Redact the text and notes of an error, and of the errors within it. Its class stays, and so does the encrypted
    reference in a payment error: the workflow reads both."""
    if isinstance(error, PaymentError):
        code, message = redacted_text(error.code), redacted_text(error.message)
        error.args = type(error)(code, message, gateway_reference=error.gateway_reference).args
    else:
        error.args = tuple(_redacted_argument(argument) for argument in error.args)
    if notes := getattr(error, "__notes__", None):
        error.__notes__ = [redacted_text(str(note)) for note in notes]
    for one in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        redact_exception(one)


def _redacted_argument(argument: object) -> object:
    return redacted_text(argument) if isinstance(argument, str) else argument
