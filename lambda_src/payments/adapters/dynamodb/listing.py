"""Lists of payments from the indexes of the payments table, each read from its newest end.

The indexes hold only keys, except that by batch: the rows are read after them. A filter looks at whole rows, at most
`EXAMINED` of them a call.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from payments.adapters.dynamodb.payments import payment_of
from payments.adapters.dynamodb.tables import BY_BATCH, BY_CUSTOMER, BY_DAY, BY_METADATA, BY_STATUS_DAY, PAYMENTS
from payments.domain.clock import iso
from payments.domain.listing import EVERYTHING, Cursor, Page, Where
from payments.domain.payment import Payment

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


READS_A_CALL = 32
"""The most queries of one call: one for each day of a month, and one to see that no more follow."""
ROWS_A_READ = 100
"""The rows that a query reads when a filter may drop most of them: as many as one request for rows may name."""
EXAMINED = 500
"""The rows after which a call with a filter ends its page: 250 read units at most."""
_BEGINNING, _END = "0", "9"
"""Texts before and after every ISO 8601 time."""
_DAY = timedelta(days=1)
_TICK = timedelta(milliseconds=1)

Item = Mapping[str, Any]

_CHOSEN: dict[str, Callable[[Where], Where]] = {
    BY_CUSTOMER: lambda where: Where(customer_id=where.customer_id),
    BY_METADATA: lambda where: Where(metadata_hash=where.metadata_hash),
    BY_STATUS_DAY: lambda where: Where(status=where.status),
}
"""The part of a filter that the partition of an index applies."""


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

    @property
    def sort(self) -> str:
        """The name of the attribute with the times."""
        return PAYMENTS.indexes[self.index].sort


class DynamoPaymentListing:
    """The payments table's indexes by customer, by metadata, by batch, by day, and by status and day."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def of_customer(
        self,
        customer_id: str,
        *,
        where: Where,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int,
        after: Cursor | None = None,
    ) -> Page:
        """Query the index by customer, newest first. Eventually consistent."""
        return self._of_one(BY_CUSTOMER, customer_id, where, since, until, limit, after)

    def of_metadata(
        self,
        metadata_hash: str,
        *,
        where: Where,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int,
        after: Cursor | None = None,
    ) -> Page:
        """Query the sparse index by metadata, newest first. Eventually consistent."""
        return self._of_one(BY_METADATA, metadata_hash, where, since, until, limit, after)

    def of_batch(self, batch_id: str, *, where: Where, limit: int, after: Cursor | None = None) -> Page:
        """Query the index by batch, which holds whole rows, from the line after the cursor's. Eventually consistent."""
        found: list[Payment] = []
        examined, line = 0, (after.line if after else None) or 0
        while True:
            page = self._client.query(
                TableName=self._table,
                IndexName=BY_BATCH,
                KeyConditionExpression="batch_id = :batch AND batch_line > :line",
                ExpressionAttributeValues={":batch": {"S": batch_id}, ":line": {"N": str(line)}},
                Limit=ROWS_A_READ,
            )
            for item in page["Items"]:
                row = payment_of(item)
                if len(found) == limit and where.admits(row):
                    return Page(found, str(Cursor.of_line(line)), examined)
                line, examined = row.batch_line, examined + 1
                found += [row] if where.admits(row) else []
            if "LastEvaluatedKey" not in page:
                return Page(found, "", examined)
            if examined >= EXAMINED:
                return Page(found, str(Cursor.of_line(line)), examined)

    def all(self, *, where: Where, since: datetime, until: datetime, limit: int, after: Cursor | None = None) -> Page:
        """Query the index by day, or by status and day, one day after another. A page may be short. Eventually
        consistent."""
        low, high = iso(since), _newest(iso(until - _TICK), after)
        days = _days_back(high, low)
        prefix = f"{where.status.value}#" if where.status else ""
        partitions = ((f"{prefix}{day}", Cursor(day)) for day in days)
        index = BY_STATUS_DAY if where.status else BY_DAY
        return self._page(index, partitions, (low, high), where, limit, after)

    def _of_one(
        self,
        index: str,
        partition: str,
        where: Where,
        since: datetime | None,
        until: datetime | None,
        limit: int,
        after: Cursor | None,
    ) -> Page:
        low, high = iso(since) if since else _BEGINNING, _newest(iso(until - _TICK) if until else _END, after)
        return self._page(index, iter([(partition, None)]), (low, high), where, limit, after)

    def _page(
        self,
        index: str,
        partitions: Iterator[tuple[str, Cursor | None]],
        times: tuple[str, str],
        where: Where,
        limit: int,
        after: Cursor | None,
    ) -> Page:
        """The rows of a page. Without a filter, only those that it shows are read."""
        low, high = times
        filtered = where != (_CHOSEN[index](where) if index in _CHOSEN else EVERYTHING)
        asked = _Range(index, partitions, low, high, ROWS_A_READ if filtered else limit + 1)
        if not filtered:
            return self._unfiltered(asked, where, after, limit)
        found: list[tuple[Payment, Item]] = []
        examined, position = 0, None
        for keys, position in islice(self._reads(asked, after), READS_A_CALL):  # noqa: B007 - the last one counts
            rows = {row.payment_id: row for row in self._rows([key["payment_id"]["S"] for key in keys])}
            examined += len(keys)
            for key in keys:
                row = rows.get(key["payment_id"]["S"])
                if row and where.admits(row):
                    found.append((row, key))
            if len(found) > limit:
                end = _position(found[limit - 1][1], asked.sort)
                return Page([row for row, _ in found[:limit]], str(end), examined)
            if examined >= EXAMINED:
                break
        return Page([row for row, _ in found], str(position) if position else "", examined)

    def _unfiltered(self, asked: _Range, where: Where, after: Cursor | None, limit: int) -> Page:
        keys: list[Item] = []
        cursor = ""
        for page, position in islice(self._reads(asked, after), READS_A_CALL):
            keys += page
            cursor = str(position) if position else ""
            if len(keys) > limit:
                keys, cursor = keys[:limit], str(_position(keys[limit - 1], asked.sort))
                break
        rows = self._rows([key["payment_id"]["S"] for key in keys])
        return Page([row for row in rows if where.admits(row)], cursor, len(keys))  # the index may lag behind a row

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
        more: dict[str, Any] = {"ExclusiveStartKey": start} if start else {}
        return self._client.query(
            TableName=self._table,
            IndexName=asked.index,
            KeyConditionExpression="#partition = :partition AND #sort BETWEEN :low AND :high",
            ExpressionAttributeNames={"#partition": key.partition, "#sort": key.sort},
            ExpressionAttributeValues={
                ":partition": {"S": partition},
                ":low": {"S": asked.low},
                ":high": {"S": asked.high},
            },
            ScanIndexForward=False,
            Limit=asked.rows_a_read,
            **more,
        )

    def _rows(self, payment_ids: Sequence[str]) -> list[Payment]:
        """The rows of these payments, in this order. At most 100."""
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
