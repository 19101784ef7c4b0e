"""The sparse index `by-due` of a table, and the older index that it replaces."""

import heapq
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from payments.adapters.dynamodb.tables import BY_DUE, Table
from payments.domain.clock import iso
from payments.domain.due import OF_PAYMENTS, SHARES, Due, Kind

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def due_values(due: Due | None, share: str = "") -> dict[str, str]:
    """The attributes of the index's key, empty for a row that nothing waits for.

    `share` is a hexadecimal digit of a payment. The other kinds have one partition each.
    """
    if due is None:
        return {"due_kind": "", "due_at": ""}
    return {"due_kind": f"{due.kind}#{int(share, 16) % SHARES}" if share else due.kind.value, "due_at": due.at}


class DynamoDueIndex:
    """The index of one table, whose partition key is the row's id."""

    def __init__(self, client: "DynamoDBClient", table: str, schema: Table) -> None:
        """`table` is the deployed name."""
        self._client = client
        self._table = table
        self._schema = schema

    def due(self, kind: Kind, until: datetime) -> Iterator[tuple[str, Due]]:
        """The due rows of all shares, merged in the order of their times. Reads a page when it is needed."""
        return heapq.merge(*(self._share(share, kind, until) for share in _shares(kind)), key=lambda row: row[1].at)

    def count(self, kind: Kind, until: datetime) -> int:
        """The number of due rows of all shares, counted by DynamoDB."""
        pages = (page for share in _shares(kind) for page in self._pages(share, until, Select="COUNT"))
        return sum(page["Count"] for page in pages)

    def _share(self, share: str, kind: Kind, until: datetime) -> Iterator[tuple[str, Due]]:
        for page in self._pages(share, until):
            for item in page["Items"]:
                yield item[self._schema.key.partition]["S"], Due(kind, item["due_at"]["S"])

    def _pages(self, share: str, until: datetime, **more: Any) -> Iterator[Mapping[str, Any]]:
        return iter(
            self._client.get_paginator("query").paginate(
                TableName=self._table,
                IndexName=BY_DUE,
                KeyConditionExpression="due_kind = :kind AND due_at <= :until",
                ExpressionAttributeValues={":kind": {"S": share}, ":until": {"S": iso(until)}},
                **more,
            )
        )

    def adopt_share(self, index: str, partition: str, kind: str | Callable[[Mapping[str, Any]], str]) -> Iterator[str]:
        """Move the rows of one partition of an older index into this one, and yield their ids.

        `kind` is their partition, or names it from what the older index has of a row. Each row is due since its sort
        key there.
        """
        old = self._schema.indexes[index]
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            IndexName=index,
            KeyConditionExpression="#old = :share",
            ExpressionAttributeNames={"#old": old.partition},
            ExpressionAttributeValues={":share": {"S": partition}},
        )
        for page in pages:
            for item in page["Items"]:
                key = {name: item[name] for name in self._schema.key.attributes}
                share = kind if isinstance(kind, str) else kind(item)
                self._adopt(key, old.partition, {":kind": {"S": share}, ":at": item[old.sort]})
                yield item[self._schema.key.partition]["S"]

    def _adopt(self, key: Any, old: str, due: Any) -> None:
        try:
            self._client.update_item(
                TableName=self._table,
                Key=key,
                UpdateExpression="SET due_kind = :kind, due_at = :at REMOVE #old",
                ConditionExpression="attribute_exists(#old)",
                ExpressionAttributeNames={"#old": old},
                ExpressionAttributeValues=due,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return  # it was settled or adopted meanwhile


def _shares(kind: Kind) -> list[str]:
    return [f"{kind}#{share}" for share in range(SHARES)] if kind in OF_PAYMENTS else [kind.value]
