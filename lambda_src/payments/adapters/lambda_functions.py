"""Asynchronous starts of Lambda functions. Lambda stores the event and retries it if the run fails."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


class FunctionStarter:
    """Starts one function without waiting for it: `FunctionStarter(client, name)({"batch_id": …})`."""

    def __init__(self, client: "LambdaClient", function_name: str) -> None:
        self._client = client
        self._function_name = function_name

    def __call__(self, event: dict[str, Any]) -> None:
        self._client.invoke(
            FunctionName=self._function_name, InvocationType="Event", Payload=json.dumps(event).encode()
        )
