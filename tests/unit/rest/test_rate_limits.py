"""Limits per address and per customer: counted over all instances, and answered with the time to wait."""

from datetime import datetime, timedelta
from unittest.mock import Mock

import pytest

from fakes.limits import MemoryLimitStore
from payments.domain.identity import Caller, Role
from payments.ports.limit_store import LimitsUnavailable
from payments.rest.http import problem_answer
from payments.rest.rate_limits import Limiter, TooMany
from payments.rest.request import Request
from tests.unit.builders import NOON

PER_MINUTE = {"ip": 3, "customer": 2, "reader": 4}
ANNA = Caller("anna", frozenset({Role.CUSTOMER}))
SHOP = Caller("shop", frozenset({Role.MERCHANT}))


def call(
    verb: str = "POST", ip: str = "203.0.113.7", caller: Caller = SHOP, at: datetime = NOON, header: str = ""
) -> Request:
    event = {"httpMethod": verb, "headers": {"X-Forwarded-For": header}}
    return Request("create_payment", caller, at, "request-1", ip, {}, {}, event)


def limiter(store: MemoryLimitStore | None = None) -> Limiter:
    return Limiter(store or MemoryLimitStore(), PER_MINUTE)


def test_check_refuses_an_address_over_its_limit_until_the_window_ends() -> None:
    limits = limiter()
    for _ in range(3):
        limits.check(call())

    with pytest.raises(TooMany) as refused:
        limits.check(call(at=NOON + timedelta(seconds=12, milliseconds=1)))

    assert refused.value.retry_after_seconds == 48
    limits.check(call(at=NOON + timedelta(seconds=60)))


def test_check_applies_the_limit_across_instances_sharing_the_table() -> None:
    store = MemoryLimitStore()
    instances = [limiter(store), limiter(store)]
    for n in range(3):
        instances[n % 2].check(call())

    for instance in instances:
        with pytest.raises(TooMany):
            instance.check(call())


def test_check_counts_the_real_address_and_ignores_the_header() -> None:
    limits = limiter()
    for n in range(3):
        limits.check(call(header=f"198.51.100.{n}"))

    with pytest.raises(TooMany):
        limits.check(call(header="198.51.100.9"))


def test_check_when_another_address_then_it_has_its_own_count() -> None:
    limits = limiter()
    for n in range(9):
        limits.check(call(ip=f"198.51.100.{n}"))


def test_check_when_a_merchant_reads_then_nothing_is_counted() -> None:
    store = MemoryLimitStore()
    for _ in range(9):
        limiter(store).check(call("GET"), customer_id="cus_1")

    assert not store.hits


def test_check_limits_the_reads_of_a_customer_apart_from_changes() -> None:
    limits = limiter()
    for _ in range(4):
        limits.check(call("GET", caller=ANNA))

    with pytest.raises(TooMany, match="from you;"):
        limits.check(call("GET", caller=ANNA))
    limits.check(call("POST", caller=ANNA))


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH", "DELETE"])
def test_check_when_something_is_changed_then_one_write_for_each_counter(verb: str) -> None:
    store = MemoryLimitStore()
    limiter(store).check(call(verb, caller=ANNA), customer_id="cus_1")

    assert sorted(store.hits) == [
        "customer#caller anna#2026-11-21T12:01",
        "customer#cus_1#2026-11-21T12:01",
        "ip#203.0.113.7#2026-11-21T12:01",
    ]


def test_check_limits_a_caller_across_addresses() -> None:
    limits = limiter()
    for n in range(2):
        limits.check(call(caller=ANNA, ip=f"198.51.100.{n}"))

    with pytest.raises(TooMany, match="from you;"):
        limits.check(call(caller=ANNA, ip="198.51.100.9"))


def test_check_limits_payments_for_one_customer_only() -> None:
    limits = limiter()
    for n in range(2):
        limits.check(call(ip=f"198.51.100.{n}"), customer_id="cus_1")

    with pytest.raises(TooMany, match="for this customer"):
        limits.check(call(), customer_id="cus_1")
    limits.check(call(), customer_id="cus_2")


def test_check_counts_a_customer_id_apart_from_an_equal_caller_subject() -> None:
    limits = limiter()
    for n in range(2):
        limits.check(call(caller=ANNA, ip=f"198.51.100.{n}"))

    limits.check_customer("anna", NOON)


def test_check_without_caller_and_address_counts_nothing() -> None:
    store = MemoryLimitStore()
    limiter(store).check(call(ip="", caller=Caller("machine", frozenset())))

    assert not store.hits


class Unreachable(MemoryLimitStore):
    """A table that cannot be reached."""

    def count(self, counter: str, ends: datetime) -> int:
        raise LimitsUnavailable("EndpointConnectionError of the limits table")


def test_check_allows_the_call_and_logs_when_the_table_is_unreachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = Mock()
    monkeypatch.setattr("payments.rest.rate_limits.logger", lambda: log)
    limiter(Unreachable()).check(call(), customer_id="cus_1")

    printed = str(log.warning.call_args_list)
    assert printed.count("the limits table cannot be reached") == 2
    assert "203.0.113.7" not in printed


def test_too_many_when_answered_then_429_with_retry_after_and_what_to_do() -> None:
    answer = problem_answer(TooMany("from your address", 48), "request-1")

    assert answer["statusCode"] == 429
    assert answer["headers"]["Retry-After"] == "48"
    assert "urn:problem:payment-api:throttled" in answer["body"]
    assert "wait 48 seconds, then send the same request again" in answer["body"]
