"""Tokens, and their status over time."""

import hashlib
from datetime import timedelta

import pytest

from payments.domain.clock import iso
from payments.domain.token import TOKEN, Token, TokenStatus, random_token, token_id_of
from tests.unit.builders import NOON

HOUR = timedelta(hours=1)


def test_random_token_is_unique_and_has_the_token_format() -> None:
    made = {random_token() for _ in range(200)}
    assert len(made) == 200
    assert all(TOKEN.fullmatch(each) for each in made)


def test_token_id_of_when_asked_then_sha_256_which_does_not_lead_back() -> None:
    assert token_id_of("ptok_x") == hashlib.sha256(b"ptok_x").hexdigest()


@pytest.mark.parametrize(
    ("revoked_at", "after", "status"),
    [
        ("", timedelta(), TokenStatus.ACTIVE),
        ("", HOUR - timedelta(milliseconds=1), TokenStatus.ACTIVE),
        ("", HOUR, TokenStatus.EXPIRED),
        ("2026-11-21T12:00:00.000Z", timedelta(), TokenStatus.REVOKED),
        ("2026-11-21T12:00:00.000Z", 2 * HOUR, TokenStatus.REVOKED),
    ],
)
def test_status_when_time_goes_on_then_until_its_end_or_its_revocation(
    revoked_at: str, after: timedelta, status: TokenStatus
) -> None:
    token = Token("t1", "cus_1", "sealed.v1.m", {}, iso(NOON), iso(NOON + HOUR), "sub_shop", revoked_at)
    assert token.status(NOON + after) is status
