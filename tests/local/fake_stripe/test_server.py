"""Starting and stopping the fake Stripe in its own process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.fake_stripe.server import PROJECT, FakeStripeFailed, clean_environment, healthy, running, start, stop
from payments.adapters.stripe.gateway import StripeGateway
from payments.domain.money import Money
from payments.ports.payment_gateway import ChargeRequest


def test_running_when_used_then_serves_the_sdk_and_is_gone_afterwards(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        charged = StripeGateway(lambda: "sk_test_x", base_url=gateway.url).charge(
            ChargeRequest("pay-1", Money(9999, "USD"), "pm_card_visa")
        )
        assert charged.money == Money(9999, "USD")
    assert not healthy(gateway.url)
    with pytest.raises(ProcessLookupError):
        os.kill(gateway.pid, 0)


def test_clean_environment_when_ours_holds_secrets_then_leaves_them_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_live_never")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert "PATH" in clean_environment()
    assert not {"STRIPE_SECRET_KEY", "HTTP_PROXY"} & set(clean_environment())


def test_stop_from_another_process_ends_the_server_and_is_idempotent(tmp_path: Path) -> None:
    gateway = start(tmp_path)
    code = f"from local.fake_stripe.server import stop; stop({gateway.pid})"
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True)
    assert not healthy(gateway.url)
    stop(gateway.pid)


def test_start_when_port_is_taken_then_fails_with_the_end_of_the_log(tmp_path: Path) -> None:
    with running(tmp_path / "first") as gateway:
        port = int(gateway.url.rpartition(":")[2])
        with pytest.raises(FakeStripeFailed, match="Address already in use"):
            start(tmp_path / "second", port)
