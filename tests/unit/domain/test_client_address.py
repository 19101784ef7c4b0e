"""The address of a buyer's device: which texts are one, and which addresses are one source."""

import pytest

from payments.domain.client_address import client_address, network_of
from payments.domain.payment import InvalidRequest, accepted, parse_request
from tests.unit.builders import NOON

PAYMENT = {"payment_id": "pay_1", "amount": "1.00", "currency": "USD"}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:DB8:0:0:0:0:0:7", "2001:db8::7"),
        ("::ffff:203.0.113.7", ""),
        ("2001:db8::203.0.113.7", "2001:db8::cb00:7107"),
    ],
)
def test_address_has_one_spelling(text: str, address: str) -> None:
    assert client_address(text) == (address or "203.0.113.7")


@pytest.mark.parametrize(
    "text",
    [
        *("", "1.2.3", "203.0.113.07", "256.1.1.1", "10.0.0.1", "192.168.1.1", "172.31.0.1", "100.64.0.1"),
        *("127.0.0.1", "169.254.1.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"),  # noqa: S104 - none is listened on
        *("::", "::1", "fe80::1", "fd00::1", "ff02::1", "2001:db8::1%eth0", "2001:db8", "::ffff:10.0.0.1"),
        *("203.0.113.7:443", "203.0.113.0/24", "a.b.c.d", "٢٠٣.0.113.7", "1" * 46, "203.0.113.7, 10.0.0.1"),
    ],
)
def test_text_that_is_no_address_of_a_buyers_device_is_rejected(text: str) -> None:
    assert client_address(text) == ""
    if text:
        with pytest.raises(InvalidRequest) as refused:
            parse_request(PAYMENT | {"client_ip": text})
        assert [error.field for error in refused.value.errors] == ["client_ip"]
        assert f"{text} " not in str(refused.value)


def test_source_is_an_ipv4_address_or_a_64_of_ipv6() -> None:
    assert network_of("203.0.113.7") != network_of("203.0.113.8")
    assert network_of("2001:db8::1") == network_of("2001:db8:0:0:ffff:ffff:ffff:ffff")
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")


def test_address_is_no_part_of_the_content() -> None:
    parsed = parse_request(PAYMENT | {"client_ip": "203.0.113.7"})
    assert parsed.fingerprint == parse_request(PAYMENT).fingerprint
    assert accepted(parsed, at=NOON, source="rest").client_ip == "203.0.113.7"


def test_address_with_the_digits_of_a_card_number_is_an_address() -> None:
    address = "2223:3:1:1::4242:4242"  # in its long form
    full = "2223:0031:2200:3222::1"
    for text in (address, full):
        assert parse_request(PAYMENT | {"client_ip": text}).client_ip
    with pytest.raises(InvalidRequest, match="card number"):
        parse_request(PAYMENT | {"client_ip": "4242:4242:4242:4242::"})
