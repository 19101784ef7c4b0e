"""One suite for the log of denied accesses on DynamoDB (moto) and for its in-memory fake."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest

from fakes.access_log import MemoryAccessLog
from payments.adapters.dynamodb.access_log import DynamoAccessLog
from payments.adapters.dynamodb.tables import DENIED_ATTEMPTS
from payments.domain.identity import Caller, Role
from payments.ports.access_log import AccessLog, Denied
from payments.rest.denied_access import record_denied
from payments.rest.request import Request
from tests.moto_tables import aws_in_memory, create_table
from tests.unit.builders import NOON

JO = Caller("sub_jo", frozenset({Role.CUSTOMER, Role.MERCHANT}))


@dataclass
class Bench:
    """A log, another instance's log on the same table, and the stored entries in order of arrival."""

    log: AccessLog
    other: AccessLog
    kept: Callable[[], list[Denied]]


@pytest.fixture(params=["memory", "dynamodb"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "memory":
        log = MemoryAccessLog()
        yield Bench(log, log, lambda: log.entries)
        return
    with aws_in_memory():
        client = create_table(DENIED_ATTEMPTS)
        yield Bench(on_dynamodb(client), on_dynamodb(client), in_table)


def on_dynamodb(client: Any) -> DynamoAccessLog:
    return DynamoAccessLog(client, DENIED_ATTEMPTS.name, timedelta(days=400))


def in_table() -> list[Denied]:
    items = boto3.client("dynamodb").scan(TableName=DENIED_ATTEMPTS.name)["Items"]
    items.sort(key=lambda item: (item["resource"]["S"], int(item["sequence"]["N"])))
    return [Denied(**{field.name: item[field.name]["S"] for field in fields(Denied)}) for item in items]


def asked(at: datetime = NOON, request_id: str = "request-1") -> Request:
    event = {"headers": {"Authorization": "Bearer eyJh.eyJz.c2ln"}, "body": '{"email": "jo@example.com"}'}
    return Request("get_payment", JO, at, request_id, "192.0.2.1", {"payment_id": "pay_1"}, {}, event)


@pytest.mark.fault(41)
def test_denied_entry_says_who_asked_for_what_when_how_and_from_where(bench: Bench) -> None:
    record_denied(bench.log, asked(), "payment", "pay_1")
    assert bench.kept() == [
        Denied(
            kind="payment",
            resource_id="pay_1",
            at="2026-11-21T12:00:00.000Z",
            subject="sub_jo",
            roles="customer,merchant",
            operation="get_payment",
            ip="192.0.2.1",
            correlation_id="request-1",
        )
    ]


def test_denied_when_two_come_at_the_very_same_time_then_both_are_kept(bench: Bench) -> None:
    record_denied(bench.log, asked(request_id="request-1"), "payment", "pay_1")
    record_denied(bench.other, asked(request_id="request-2"), "payment", "pay_1")
    record_denied(bench.log, asked(request_id="request-3"), "payment", "pay_1")
    assert [entry.correlation_id for entry in bench.kept()] == ["request-1", "request-2", "request-3"]


def test_denied_when_it_happens_again_then_in_the_order_of_time(bench: Bench) -> None:
    for n in range(3):
        record_denied(bench.log, asked(NOON + n * timedelta(microseconds=1), f"request-{n}"), "token", "a" * 64)
    assert [entry.correlation_id for entry in bench.kept()] == ["request-0", "request-1", "request-2"]


def test_denied_entries_of_the_same_id_are_separate_per_kind(bench: Bench) -> None:
    for kind in ("customer", "payment"):
        record_denied(bench.log, asked(), kind, "same")
    assert [(entry.kind, entry.resource_id) for entry in bench.kept()] == [("customer", "same"), ("payment", "same")]


def test_denied_when_kept_then_nothing_of_the_request_but_that(bench: Bench) -> None:
    record_denied(bench.log, asked(), "payment", "pay_1")
    assert not any(secret in repr(bench.kept()) for secret in ("eyJ", "@", "Bearer"))


def test_denied_entry_is_kept_for_its_time_and_then_deleted() -> None:
    with aws_in_memory():
        client = create_table(DENIED_ATTEMPTS)
        record_denied(on_dynamodb(client), asked(), "payment", "pay_1")
        [item] = client.scan(TableName=DENIED_ATTEMPTS.name)["Items"]
        assert item["resource"]["S"] == "payment:pay_1"
        assert item[DENIED_ATTEMPTS.expires] == {"N": str(int((NOON + timedelta(days=400)).timestamp()))}
