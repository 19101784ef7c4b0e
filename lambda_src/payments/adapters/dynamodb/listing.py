"""Lists of payments from the indexes of the payments table, each read from its newest end."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from payments.adapters.dynamodb.payments import payment_of
from payments.adapters.dynamodb.tables import BY_CUSTOMER, BY_DAY, BY_STATUS_DAY, PAYMENTS
from payments.domain.clock import iso
from payments.domain.listing import Cursor, Page
from payments.domain.payment import Payment
from payments.domain.statuses import Status

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


READS_A_CALL = 32
"""The most queries of one call: one for each day of a month, and one to see that no more follow."""
ROWS_A_READ = 100
"""The rows that a query reads when a filter may drop most of them."""
_BEGINNING, _END = "0", "9"
"""Texts before and after every ISO 8601 time."""
_DAY = timedelta(days=1)
_TICK = timedelta(milliseconds=1)

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Range:
    """A range of an index: its partitions from the newest on, and the times in them (both ends included).

    Each partition comes with the position after it, or None after the last one.
    """

    index: str
    partitions: Iterator[tuple[str, Cursor | None]]
    low: str
    high: str
    rows_a_read: int
    filters: Mapping[str, str] = field(default_factory=dict)

    @property
    def sort(self) -> str:
        """The name of the attribute with the times."""
        return PAYMENTS.indexes[self.index].sort


class DynamoPaymentListing:
    """The payments table's indexes by customer, by day, and by status and day."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def of_customer(
        self,
        customer_id: str,
        *,
        status: Status | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int,
        after: Cursor | None = None,
        submitted_by: str = "",
    ) -> Page:
        """Query the index by customer, newest first, and read the full rows. Eventually consistent."""
        asked = {"status": status.value if status else "", "submitted_by": submitted_by}
        filters = {name: value for name, value in asked.items() if value}
        low, high = iso(since) if since else _BEGINNING, _newest(iso(until - _TICK) if until else _END, after)
        partitions = iter([(customer_id, None)])
        rows_a_read = ROWS_A_READ if filters else limit + 1
        items, cursor = self._collect(_Range(BY_CUSTOMER, partitions, low, high, rows_a_read, filters), after, limit)
        return Page([payment_of(item) for item in items], cursor)

    def all(
        self, *, status: Status | None = None, since: datetime, until: datetime, limit: int, after: Cursor | None = None
    ) -> Page:
        """Query the index by day, or by status and day, one day after another. A page may be short. Eventually
        consistent."""
        low, high = iso(since), _newest(iso(until - _TICK), after)
        days = _days_back(high, low)
        if status:
            partitions = ((f"{status.value}#{day}", Cursor(day)) for day in days)
            items, cursor = self._collect(_Range(BY_STATUS_DAY, partitions, low, high, limit + 1), after, limit)
            return Page([payment_of(item) for item in items], cursor)
        partitions = ((day, Cursor(day)) for day in days)
        keys, cursor = self._collect(_Range(BY_DAY, partitions, low, high, limit + 1), after, limit)
        return Page(self._rows([key["payment_id"]["S"] for key in keys]), cursor)

    def _collect(self, asked: _Range, after: Cursor | None, limit: int) -> tuple[Sequence[Item], str]:
        """The items of a page, and the cursor of the next page, or "" on the last one."""
        found: list[Item] = []
        position = None
        for items, position in islice(self._reads(asked, after), READS_A_CALL):  # noqa: B007 - the last one counts
            found += items
            if len(found) > limit:
                return found[:limit], str(_position(found[limit - 1], asked.sort))
        return found, str(position) if position else ""

    def _reads(self, asked: _Range, after: Cursor | None) -> Iterator[tuple[Sequence[Item], Cursor | None]]:
        """The results of one query after another, each with the position after it, or None after the last one."""
        # DynamoDB rejects a start key outside of the requested times; in that case all items are still to come
        resumes = after if after and after.payment_id and after.at == asked.high else None
        for partition, done in asked.partitions:
            start = _start_key(asked.index, partition, resumes) if resumes else None
            resumes = None
            while asked.low <= asked.high:
                page = self._query(asked, partition, start)
                start = page.get("LastEvaluatedKey")
                yield page["Items"], _position(start, asked.sort) if start else done
                if not start:
                    break
        yield [], None

    def _query(self, asked: _Range, partition: str, start: Any) -> Any:
        key = PAYMENTS.indexes[asked.index]
        names = {"#partition": key.partition, "#sort": key.sort}
        values = {":partition": {"S": partition}, ":low": {"S": asked.low}, ":high": {"S": asked.high}}
        more: dict[str, Any] = {"ExclusiveStartKey": start} if start else {}
        if asked.filters:
            more["FilterExpression"] = " AND ".join(f"#{name} = :{name}" for name in asked.filters)
            names |= {f"#{name}": name for name in asked.filters}
            values |= {f":{name}": {"S": value} for name, value in asked.filters.items()}
        return self._client.query(
            TableName=self._table,
            IndexName=asked.index,
            KeyConditionExpression="#partition = :partition AND #sort BETWEEN :low AND :high",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
            ScanIndexForward=False,
            Limit=asked.rows_a_read,
            **more,
        )

    def _rows(self, payment_ids: Sequence[str]) -> list[Payment]:
        """The rows of these payments, in this order."""
        rows: dict[str, Payment] = {}
        wanted: Any = [{"payment_id": {"S": payment_id}} for payment_id in payment_ids]
        while wanted:  # DynamoDB returns 16 MB at a time, and less when it is busy
            answer = self._client.batch_get_item(RequestItems={self._table: {"Keys": wanted}})
            for item in answer["Responses"].get(self._table, []):
                row = payment_of(item)
                rows[row.payment_id] = row
            unread: Any = answer.get("UnprocessedKeys", {})
            wanted = unread.get(self._table, {}).get("Keys")
        return [rows[payment_id] for payment_id in payment_ids if payment_id in rows]


def _newest(high: str, after: Cursor | None) -> str:
    """The newest time that may still follow: `high`, or the position reached."""
    return min(high, after.newest) if after else high


def _days_back(newest: str, oldest: str) -> Iterator[str]:
    """The days from the newest time to the oldest."""
    day, last = date.fromisoformat(newest[:10]), date.fromisoformat(oldest[:10])
    while day >= last:
        yield day.isoformat()
        day -= _DAY


def _position(item: Item, sort: str) -> Cursor:
    return Cursor(item[sort]["S"], item["payment_id"]["S"])


def _start_key(index: str, partition: str, after: Cursor) -> dict[str, Any]:
    key = PAYMENTS.indexes[index]
    return {key.partition: {"S": partition}, key.sort: {"S": after.at}, "payment_id": {"S": after.payment_id}}
