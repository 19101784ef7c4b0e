"""One suite for the log of denied accesses on DynamoDB (moto) and for its in-memory fake."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

import boto3
import pytest

from fakes.access_log import MemoryAccessLog
from payments.adapters.dynamodb.access_log import DynamoAccessLog
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.tables import AUDIT_LOG, PAYMENTS
from payments.domain.identity import Caller, Role
from payments.domain.payment import PAYMENT_ID
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
        client = create_table(AUDIT_LOG)
        yield Bench(DynamoAccessLog(client, AUDIT_LOG.name), DynamoAccessLog(client, AUDIT_LOG.name), in_table)


def in_table() -> list[Denied]:
    items = boto3.client("dynamodb").scan(TableName=AUDIT_LOG.name)["Items"]
    items.sort(key=lambda item: (item["payment_id"]["S"], int(item["sequence"]["N"])))
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


def test_denied_entry_is_not_among_a_payments_audit_entries() -> None:
    with aws_in_memory():
        create_table(PAYMENTS)
        client = create_table(AUDIT_LOG)
        record_denied(DynamoAccessLog(client, AUDIT_LOG.name), asked(), "payment", "pay_1")
        assert DynamoAuditStore(client, AUDIT_LOG.name, PAYMENTS.name).entries("pay_1") == []
        [key] = [item["payment_id"]["S"] for item in client.scan(TableName=AUDIT_LOG.name)["Items"]]
        assert key == "denied:payment:pay_1"
        assert not PAYMENT_ID.fullmatch(key)  # so that no payment can ever have it
