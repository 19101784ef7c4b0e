"""Structured logs: JSON lines with ids and outcomes, never a request, a row's content or a token."""

from functools import cache

from aws_lambda_powertools import Logger


@cache
def logger() -> Logger:
    """The function's logger. Powertools reads the service name and the level from the environment."""
    return Logger(utc=True)
