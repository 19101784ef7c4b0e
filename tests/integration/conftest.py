"""AWS in memory, with the environment as it was before each test."""

import os
from collections.abc import Iterator
from unittest.mock import patch

import boto3
import pytest

from payments.stores.dynamodb import DynamoPaymentStore
from payments.stores.tables import PAYMENTS
from tests.integration.executions import Executions
from tests.moto_tables import aws_in_memory, create_table


@pytest.fixture
def aws() -> Iterator[None]:
    """moto; the settings that a test makes for a function go with it."""
    with patch.dict(os.environ, {"ENVIRONMENT_SUFFIX": "test"}), aws_in_memory():
        yield


@pytest.fixture
def payments(aws: None) -> DynamoPaymentStore:
    """The payments table."""
    return DynamoPaymentStore(create_table(PAYMENTS), PAYMENTS.name)


@pytest.fixture
def executions(aws: None) -> Executions:
    """The workflow."""
    machine = boto3.client("stepfunctions").create_state_machine(
        name="payment-processor",
        definition='{"StartAt": "Record", "States": {"Record": {"Type": "Pass", "End": true}}}',
        roleArn="arn:aws:iam::123456789012:role/payment-processor",
    )
    return Executions(machine["stateMachineArn"])
