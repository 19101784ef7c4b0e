"""The executions of the workflow in moto, which starts them and runs nothing."""

import json
from dataclasses import dataclass
from typing import Any

import boto3


@dataclass(frozen=True)
class Executions:
    """Of one state machine."""

    arn: str

    def started(self) -> dict[str, dict[str, Any]]:
        """Their names, each with its input."""
        client = boto3.client("stepfunctions")
        listed = client.list_executions(stateMachineArn=self.arn)["executions"]
        return {
            execution["name"]: json.loads(client.describe_execution(executionArn=execution["executionArn"])["input"])
            for execution in listed
        }
