"""The fake Stripe while it refuses connections: what clients see, and that it accepts connections again on time."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import stripe

from local.fake_stripe import server
from local.fake_stripe.listener import Listener
from local.fake_stripe.server import accept_connections, running
from tests.local.fake_stripe.test_app import SECRET_KEY, Api, serving
from tests.waiting import eventually

LONG_SECONDS = 300
"""The test opens the port itself: it might miss a shorter time."""


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Listener:
    """The port of the fake Stripe in this process."""
    listener = Listener()
    monkeypatch.setattr(server, "Listener", lambda: listener)
    return listener


@pytest.fixture
def api(listener: Listener) -> Iterator[Api]:
    with serving() as api:
        yield api


def connects(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except (
        ConnectionRefusedError,
        ConnectionResetError,
    ):  # a reset is for a client that connects while the port closes
        return False
    return True


def wait_until(url: str, *, up: bool) -> None:
    eventually(f"the port to be {'open' if up else 'closed'}", lambda: connects(url), lambda is_up: is_up == up)


@pytest.mark.fault(14)
def test_refused_connection_reaches_a_pooled_client_and_the_port_returns(api: Api, listener: Listener) -> None:
    before = api.pay("pay-1")  # leaves a connection in the SDK's pool
    api.control("POST", "refuse_connections", {"seconds": LONG_SECONDS})
    wait_until(api.url, up=False)
    with pytest.raises(stripe.APIConnectionError) as caught:
        api.pay("pay-2")
    assert "Connection refused" in str(caught.value)
    with pytest.raises(requests.ConnectionError, match="Connection refused"):
        api.web.get(f"{api.url}/_stand_in/health", timeout=5)
    listener.open()
    wait_until(api.url, up=True)
    assert api.intents.retrieve(before.id).status == "succeeded"
    assert [charge["payment_id"] for charge in api.fake_stripe.ledger.captured()] == ["pay-1"]


def test_open_connection_is_hung_up_and_the_port_returns_on_time(api: Api) -> None:
    host, port = api.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"GET /_stand_in/health HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}\n"):
            answer += connection.recv(4096)
        api.control("POST", "refuse_connections", {"seconds": 0.2})
        assert connection.recv(4096) == b""
    wait_until(api.url, up=True)


def test_connection_when_refused_for_the_second_time_then_comes_back_again(api: Api, listener: Listener) -> None:
    for _ in range(2):
        api.control("POST", "refuse_connections", {"seconds": LONG_SECONDS})
        wait_until(api.url, up=False)
        listener.open()
        wait_until(api.url, up=True)
    assert api.pay().status == "succeeded"


def test_port_of_a_separate_process_returns_after_refusing_connections(tmp_path: Path) -> None:
    with running(tmp_path) as gateway, requests.Session() as web:
        web.trust_env = False
        web.post(f"{gateway.url}/_stand_in/refuse_connections", json={"seconds": LONG_SECONDS}).raise_for_status()
        wait_until(gateway.url, up=False)
        accept_connections(gateway.pid)
        wait_until(gateway.url, up=True)
        assert web.get(f"{gateway.url}/v1/balance", auth=(SECRET_KEY, "")).status_code == 200


@pytest.mark.parametrize("body", [{}, {"seconds": 0}, {"seconds": "2"}, {"seconds": 10_000}])
def test_refusal_with_a_wrong_duration_gets_400_and_keeps_the_port_open(api: Api, body: dict[str, int]) -> None:
    assert api.web.post(f"{api.url}/_stand_in/refuse_connections", json=body).status_code == 400
    assert connects(api.url)
