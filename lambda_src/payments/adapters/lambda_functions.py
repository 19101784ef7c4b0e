"""Starting a function of ours without waiting for it. Lambda keeps the event and repeats it if the run dies."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


class FunctionStarter:
    """Starts one function: `FunctionStarter(client, name)({"batch_id": …})`."""

    def __init__(self, client: "LambdaClient", function_name: str) -> None:
        self._client = client
        self._function_name = function_name

    def __call__(self, event: dict[str, Any]) -> None:
        self._client.invoke(
            FunctionName=self._function_name, InvocationType="Event", Payload=json.dumps(event).encode()
        )
