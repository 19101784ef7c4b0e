"""Calls of Lambda functions: starts that Lambda stores and retries, and calls that wait for the result."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


class CallFailed(Exception):
    """A called function failed. `error_type` is the name of its exception."""

    def __init__(self, function_name: str, error_type: str) -> None:
        self.error_type = error_type
        super().__init__(f"{function_name} failed: {error_type}")


class FunctionStarter:
    """Starts one function without waiting for it: `FunctionStarter(client, name)({"batch_id": …})`."""

    def __init__(self, client: "LambdaClient", function_name: str) -> None:
        self._client = client
        self._function_name = function_name

    def __call__(self, event: dict[str, Any]) -> None:
        self._client.invoke(
            FunctionName=self._function_name, InvocationType="Event", Payload=json.dumps(event).encode()
        )


class FunctionCaller:
    """Calls one function and waits for it: `FunctionCaller(client, name)({"payment_id": …})`. Raises CallFailed."""

    def __init__(self, client: "LambdaClient", function_name: str) -> None:
        self._client = client
        self._function_name = function_name

    def __call__(self, event: dict[str, Any]) -> None:
        answer = self._client.invoke(FunctionName=self._function_name, Payload=json.dumps(event).encode())
        if "FunctionError" in answer:
            raise CallFailed(self._function_name, str(json.loads(answer["Payload"].read()).get("errorType", "")))
