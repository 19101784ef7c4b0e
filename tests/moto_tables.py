"""The tables on moto, made from the same description as the deployed ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
from moto import mock_aws

from payments.adapters.dynamodb.tables import Key, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_ACCOUNT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def aws_in_memory() -> Iterator[None]:
    """moto for all of AWS; nothing reaches the network."""
    with patch.dict("os.environ", _ACCOUNT), mock_aws():
        yield


def create_table(table: Table, client: "DynamoDBClient | None" = None) -> "DynamoDBClient":
    """Create a table under its bare name, with the given client or a new one of moto. Returns the client."""
    client = client or boto3.client("dynamodb")
    indexes: Any = [
        {
            "IndexName": name,
            "KeySchema": _schema(key),
            "Projection": {"ProjectionType": "KEYS_ONLY" if name in table.keys_only else "ALL"},
        }
        for name, key in table.indexes.items()
    ]
    client.create_table(
        TableName=table.name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": kind}  # type: ignore[typeddict-item]
            for name, kind in table.attributes.items()
        ],
        KeySchema=_schema(table.key),
        **({"GlobalSecondaryIndexes": indexes} if indexes else {}),
    )
    return client


def _schema(key: Key) -> Any:
    return [
        {"AttributeName": name, "KeyType": kind} for name, kind in zip(key.attributes, ("HASH", "RANGE"), strict=False)
    ]
