"""Reads whole tables with parallel scans."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from payments.domain.backup import Row
from payments.ports.table_source import Page

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoTableScan:
    """Strongly consistent scans. `tables` gives the deployed name of each table of the schema."""

    def __init__(self, client: "DynamoDBClient", tables: Mapping[str, str]) -> None:
        self._client = client
        self._tables = tables

    def page(self, table: str, segment: int, segments: int, after: Row | None = None) -> Page:
        """One page of a segment, of at most a megabyte."""
        more: Any = {"ExclusiveStartKey": after} if after else {}
        answer = self._client.scan(
            TableName=self._tables[table],
            Segment=segment,
            TotalSegments=segments,
            ConsistentRead=True,
            ReturnConsumedCapacity="TOTAL",
            **more,
        )
        units = answer.get("ConsumedCapacity", {}).get("CapacityUnits", 0.0)
        return Page(answer["Items"], answer.get("LastEvaluatedKey") or None, units)
