"""The tables on moto, made from the same description as the deployed ones."""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
import botocore.session
import moto.kms.models
import moto.kms.utils
from moto import mock_aws

from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.tables import CONTROLS, Key, Table
from payments.domain.clock import utc_now

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_ACCOUNT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


_create_client = botocore.session.Session.create_client
_clients: dict[Any, Any] = {}
_added: list[tuple[Any, str, Any]] = []
_private_key = functools.cache(moto.kms.utils.generate_private_key)


@contextmanager
def aws_in_memory() -> Iterator[None]:
    """moto for all of AWS; nothing reaches the network.

    What takes longest is made once a process: clients, whose handlers of a test are removed at its end, and the private
    key of KMS keys, which no test uses.
    """
    with (
        patch.dict("os.environ", _ACCOUNT),
        patch.object(botocore.session.Session, "create_client", _known_client),
        patch.object(moto.kms.models, "generate_private_key", _private_key),
        mock_aws(),
    ):
        try:
            yield
        finally:
            while _added:
                events, name, handler = _added.pop()
                events.unregister(name, handler)


def _known_client(session: Any, service_name: str, config: Any = None, **settings: Any) -> Any:
    options = repr(vars(config)) if config else ""
    aws = sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
    key = repr((service_name, options, sorted(settings.items()), session.profile, aws))
    if key not in _clients:
        client = _clients[key] = _create_client(session, service_name, config=config, **settings)
        events = client.meta.events
        register = events.register

        def register_until_the_end(name: str, handler: Any, *more: Any, **named: Any) -> None:
            register(name, handler, *more, **named)
            _added.append((events, name, handler))

        events.register = register_until_the_end  # type: ignore[assignment, method-assign]
    return _clients[key]


def create_table(table: Table, client: "DynamoDBClient | None" = None, *, is_open: bool = True) -> "DynamoDBClient":
    """Create a table under its bare name, with the given client or a new one of moto. Returns the client.

    The controls table says that the environment is open, unless `is_open` is False, as after a first deployment.
    """
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
    if table is CONTROLS and is_open:
        DynamoBreakerStore(client, table.name).open("operator:test", utc_now())
    return client


def _schema(key: Key) -> Any:
    return [
        {"AttributeName": name, "KeyType": kind} for name, kind in zip(key.attributes, ("HASH", "RANGE"), strict=False)
    ]
