"""AWS in memory, with the environment restored after each test."""

import os
from collections.abc import Iterator
from unittest.mock import patch

import boto3
import pytest

from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.tables import PAYMENTS
from payments.adapters.kms import KmsFieldEncryptor
from payments.domain.payment import Payment
from payments.domain.sealed_fields import rewritten
from tests.integration.executions import Executions
from tests.moto_tables import aws_in_memory, create_table


def stack_encryptor() -> KmsFieldEncryptor:
    """The field encryptor of the deployed functions."""
    return KmsFieldEncryptor(boto3.client("kms"), os.environ["VAULT_KEY_ARN"])


class SealedRows(DynamoPaymentStore):
    """Encrypts every version of a row, as charge does in the workflow."""

    def save(self, payment: Payment) -> None:
        """Store the encrypted version."""
        super().save(rewritten(payment, stack_encryptor().seal))


@pytest.fixture
def aws() -> Iterator[None]:
    """moto with a key for field encryption. A function's settings made by a test are removed at the end."""
    with patch.dict(os.environ, {"ENVIRONMENT_SUFFIX": "test"}), aws_in_memory():
        os.environ["VAULT_KEY_ARN"] = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
        yield


@pytest.fixture
def payments(aws: None) -> DynamoPaymentStore:
    """The payments table. It encrypts the plain-text rows that a test writes."""
    return SealedRows(create_table(PAYMENTS), PAYMENTS.name, stack_encryptor())


@pytest.fixture
def executions(aws: None) -> Executions:
    """The workflow."""
    machine = boto3.client("stepfunctions").create_state_machine(
        name="payment-processor",
        definition='{"StartAt": "Record", "States": {"Record": {"Type": "Pass", "End": true}}}',
        roleArn="arn:aws:iam::123456789012:role/payment-processor",
    )
    return Executions(machine["stateMachineArn"])
