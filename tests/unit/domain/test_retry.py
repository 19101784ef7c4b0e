"""The ids of retries, and which payment is a retry of which."""

from dataclasses import replace
from typing import Any

import pytest

from payments.domain.events import payment_event
from payments.domain.payment import PAYMENT_ID, Payment, accepted
from payments.domain.retry import (
    RETRY,
    RETRY_REFUSED,
    former_id_of,
    former_ids_of,
    is_retry_of,
    may_be_retried,
    retried,
    retry_id_of,
)
from payments.domain.statuses import Status
from tests.unit.builders import NOON, after, payment, request

LONG = "p" * 64


@pytest.mark.parametrize(
    ("payment_id", "retry_id"),
    [
        ("pay_1", "pay_1_r2"),
        ("pay_1_r2", "pay_1_r3"),
        ("pay_1_r9", "pay_1_r10"),
        ("pay_r", "pay_r_r2"),
        ("pay_r1", "pay_r1_r2"),
        ("pay_r02", "pay_r02_r2"),
        ("r2", "r2_r2"),
        ("p" * 61, "p" * 61 + "_r2"),
    ],
)
def test_retry_id_counts_up_and_leads_back(payment_id: str, retry_id: str) -> None:
    assert (retry_id_of(payment_id), former_id_of(retry_id)) == (retry_id, payment_id)


@pytest.mark.parametrize("payment_id", ["p" * 62, LONG, "p" * 61 + "_r9", "x_r" + "9" * 60])
def test_retry_id_when_too_long_then_shortened_with_a_digest(payment_id: str) -> None:
    one, two = retry_id_of(payment_id), retry_id_of(payment_id[:-1] + "0")
    assert PAYMENT_ID.fullmatch(one)
    assert (one, one != two) == (retry_id_of(payment_id), True)
    assert PAYMENT_ID.fullmatch(retry_id_of(one))
    assert former_id_of(retry_id_of(one)) == one
    assert former_id_of(one) != payment_id


@pytest.mark.parametrize("payment_id", ["pay_1", "pay_r1", "_r2", "pay_r02", "pay_r2x", ""])
def test_former_id_when_the_id_is_of_no_retry_then_empty(payment_id: str) -> None:
    assert former_id_of(payment_id) == ""


def test_former_ids_lead_back_to_the_first() -> None:
    assert list(former_ids_of("pay_1_r4")) == ["pay_1_r3", "pay_1_r2", "pay_1"]
    assert list(former_ids_of("pay_1")) == []
    assert list(former_ids_of("p_r99"))[-2:] == ["p_r91", "p"]


def failed(**more: object) -> Payment:
    return after(replace(payment(), **more), Status.FAILED)  # type: ignore[arg-type]


def test_retried_keeps_what_is_charged_and_says_what_it_is() -> None:
    former = failed(metadata={"order": "A-17"}, customer_id="cus_1", token_id="t" * 64, metadata_hash="h")
    retry = retried(former, by="admin:jo", at=NOON, correlation_id="request-2")
    kept = ("money", "customer_id", "payment_method", "metadata", "token_id", "metadata_hash", "submitted_by")
    assert [getattr(retry, name) for name in kept] == [getattr(former, name) for name in kept]
    assert (retry.payment_id, retry.status, retry.version, retry.attempts) == ("pay_1_r2", Status.PENDING, 1, 0)
    (change,) = retry.history
    assert (change.actor, change.code, change.message) == ("admin:jo", RETRY, "retry of pay_1")
    assert is_retry_of(retry, former)
    assert (payment_event(retry)["retry_of"], payment_event(former)["retry_of"]) == ("pay_1", "")


@pytest.mark.parametrize("off_session", [False, True])
@pytest.mark.parametrize("method", ["pm_card_visa", ""])
def test_retried_has_the_fingerprint_of_the_request_under_its_id(method: str, off_session: bool) -> None:
    how: dict[str, Any] = {"payment_method": method, "metadata": {"a": "b"}, "off_session": off_session}
    former = accepted(request(**how, usually_off_session=True), at=NOON, source="batch")
    sent = after(former, Status.PROCESSING, Status.FAILED, payment_method=method or "pm_default")
    again = request("pay_1_r2", **how, usually_off_session=True)
    assert retried(sent, by="x", at=NOON, correlation_id="").fingerprint == again.fingerprint


def test_retried_with_a_token_has_a_fingerprint_of_its_own() -> None:
    former = after(accepted(request(token="ptok_" + "x" * 43), at=NOON, source="rest"), Status.FAILED)
    one = retried(former, by="x", at=NOON, correlation_id="")
    assert one.fingerprint not in ("", former.fingerprint)
    assert one.fingerprint == retried(former, by="y", at=NOON, correlation_id="").fingerprint


def test_is_retry_of_by_its_id_only_with_the_same_money_and_customer() -> None:
    former = failed()
    assert is_retry_of(payment("pay_1_r2"), former)
    assert not is_retry_of(payment("pay_1_r2", customer_id="cus_2"), former)
    assert not is_retry_of(payment("pay_1_r3"), former)
    assert not is_retry_of(accepted(request("pay_1_r2", 1), at=NOON, source="rest"), former)
    assert is_retry_of(replace(payment("any"), retry_of="pay_1"), former)
    assert not is_retry_of(replace(payment("pay_1_r2"), retry_of="other"), former)


@pytest.mark.parametrize("status", Status)
def test_may_be_retried_only_when_failed_or_refused_as_a_retry(status: Status) -> None:
    row = replace(payment(), status=status)
    assert may_be_retried(row) is (status is Status.FAILED)
    assert may_be_retried(replace(row, code=RETRY_REFUSED)) is (status in (Status.FAILED, Status.REJECTED))
