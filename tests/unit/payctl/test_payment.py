"""payctl pay and payctl status, against an API on loopback."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from payctl.app import app
from payctl.failures import MEANING, Exit
from tests.unit.payctl.scenarios import ACCEPTED, FakeApi, Payctl, fake_api, payctl_with, payment_view

PAY = ("pay", "--id", "pay_1", "--amount", "99.99", "--currency", "USD")


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api() as started:
        yield started


@pytest.fixture
def payctl(api: FakeApi, tmp_path: Path) -> Payctl:
    return payctl_with(tmp_path, api_url=api.url)


def test_pay_when_charged_then_shows_status_amount_and_reference(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(202, ACCEPTED)
    api.will_answer(200, payment_view("processing"))
    api.will_answer(200, payment_view())
    result = payctl(*PAY)
    assert result.exit_code == Exit.DONE
    for shown in ("succeeded", "99.99 USD", "pi_1", "test"):
        assert shown in result.stdout
    assert [(request.method, request.path) for request in api.received] == [
        ("POST", "/test/payments"),
        ("GET", "/test/payments/pay_1"),
        ("GET", "/test/payments/pay_1"),
    ]


def test_pay_sends_all_options_with_the_amount_as_text(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(202, ACCEPTED)
    more = ("--customer", "cus_1", "--method", "pm_card_visa", "--description", "a, b", "--metadata", "order=A=1")
    payctl(*PAY, *more, "--metadata", "shop=", "--no-wait")
    assert api.received[0].body == {
        "payment_id": "pay_1",
        "amount": "99.99",
        "currency": "USD",
        "customer_id": "cus_1",
        "payment_method": "pm_card_visa",
        "description": "a, b",
        "metadata": {"order": "A=1", "shop": ""},
    }


def test_pay_when_no_id_given_then_makes_a_new_one_each_time(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(202, ACCEPTED)
    for _ in range(2):
        payctl("pay", "--amount", "1", "--currency", "USD", "--no-wait")
    first, second = (request.body["payment_id"] for request in api.received)
    assert first.startswith("pay_")
    assert first != second


def test_pay_when_json_then_prints_the_payment_alone_with_all_digits(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(202, ACCEPTED, Idempotent_Replayed="true")
    api.will_answer(200, json.dumps(payment_view()).replace("99.99", "99.90"))
    result = payctl(*PAY, "--json")
    assert json.loads(result.stdout)["references"]["gateway_reference"] == "pi_1"
    assert '"amount": 99.90' in result.stdout
    assert "accepted before" in result.stderr


def test_pay_when_not_waiting_then_says_where_to_ask(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(202, ACCEPTED)
    result = payctl(*PAY, "--no-wait")
    assert result.exit_code == Exit.DONE
    assert "payctl status pay_1" in result.stdout


def test_pay_when_declined_then_tells_the_reason_and_exits_3(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(202, ACCEPTED)
    reason = {"code": "generic_decline", "message": "the card was declined"}
    api.will_answer(200, payment_view("declined", reason=reason))
    result = payctl(*PAY)
    assert result.exit_code == Exit.NOT_CHARGED
    assert "the card was declined (generic_decline)" in result.stdout


def test_pay_when_time_is_over_then_exits_4_and_names_the_next_commands(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(202, ACCEPTED)
    api.will_answer(200, payment_view("pending"))
    result = payctl(*PAY, "--timeout", "0.1")
    assert result.exit_code == Exit.STILL_OPEN
    assert "gave up waiting for an outcome of pay_1: no progress for 0.1 s" in result.stderr
    assert "the last was pending, version 2" in result.stderr
    assert "payctl status pay_1" in result.stderr
    assert "payctl gateway set-key" in result.stderr


def test_pay_when_a_card_number_is_given_then_sends_nothing(api: FakeApi, payctl: Payctl) -> None:
    result = payctl(*PAY, "--description", "4242 4242 4242 4242")
    assert result.exit_code == Exit.USAGE
    assert "card number" in result.stderr
    assert "4242" not in result.output
    assert api.received == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--amount", "10.50", "--currency", "JPY"), "no decimal digits"),
        (("--amount", "1", "--currency", "usd"), "three capital letters"),
        (("--amount", "1", "--currency", "USD", "--id", "a b"), "payment_id"),
        (("--amount", "1", "--currency", "USD", "--metadata", "order"), "order=A-17"),
    ],
)
def test_pay_when_a_value_is_wrong_then_says_what_is_allowed(
    arguments: tuple[str, ...], message: str, api: FakeApi, payctl: Payctl
) -> None:
    result = payctl("pay", *arguments)
    assert result.exit_code == Exit.USAGE
    assert message in result.stderr
    assert api.received == []


def test_pay_when_the_id_is_taken_then_shows_the_problem(api: FakeApi, payctl: Payctl) -> None:
    problem = {
        "type": "urn:problem:payment-api:conflict",
        "title": "This payment_id belongs to another payment",
        "status": 409,
        "detail": "Send a new payment under a new payment_id.",
        "instance": "request-7",
        "errors": [{"field": "amount", "message": "it is another one"}],
    }
    api.will_answer(409, problem)
    result = payctl(*PAY)
    assert result.exit_code == Exit.FAILED
    for message in ("belongs to another payment (409)", "under a new payment_id", "amount: it is another", "request-7"):
        assert message in result.stderr
    assert result.stdout == ""


def test_pay_when_the_quota_of_the_day_is_used_up_then_says_so_at_once(payctl: Payctl, api: FakeApi) -> None:
    api.will_answer(429, {"title": "Quota exceeded"}, Retry_After="86400")
    result = payctl(*PAY)
    assert result.exit_code == Exit.FAILED
    assert "Quota exceeded (429)" in result.stderr
    assert len(api.received) == 1


def test_pay_when_throttled_then_tries_again(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(429, {"title": "Too many requests"}, Retry_After="0")
    api.will_answer(202, ACCEPTED)
    assert payctl(*PAY, "--no-wait").exit_code == Exit.DONE
    assert len(api.received) == 2


def test_pay_says_a_repeat_is_safe_when_the_api_keeps_failing(
    api: FakeApi, payctl: Payctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payctl.api.RETRIES", 1)
    api.will_answer(500, {"title": "Internal error"}, Retry_After="0")
    result = payctl(*PAY)
    assert result.exit_code == Exit.FAILED
    assert "not known whether" in result.stderr
    assert "--id pay_1: it is charged at most once" in result.stderr


def test_pay_when_nothing_answers_then_says_that_a_repetition_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payctl.api.RETRIES", 0)
    result = payctl_with(tmp_path, api_url="http://127.0.0.1:1/test")(*PAY)
    assert result.exit_code == Exit.FAILED
    assert "--id pay_1: it is charged at most once" in result.stderr


def test_pay_suggests_checking_the_outputs_when_the_answer_is_not_json(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(404, "<html>")
    assert "check api_url in the outputs" in payctl(*PAY).stderr


def test_status_when_found_then_shows_history_and_references(api: FakeApi, payctl: Payctl) -> None:
    references = {"gateway_reference": "pi_1", "batch_id": "payroll-1", "batch_line": 7}
    api.will_answer(200, payment_view("refunded", references=references, description="[red]not red[/red]"))
    result = payctl("status", "pay_1")
    assert result.exit_code == Exit.DONE
    for shown in ("refunded", "pending", "workflow", "pi_1", "payroll-1, line 7", "[red]not red[/red]"):
        assert shown in result.stdout


def test_status_when_json_then_prints_the_answer_of_the_api(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(200, payment_view("declined"))
    result = payctl("status", "pay_1", "--json")
    assert result.exit_code == Exit.NOT_CHARGED
    assert json.loads(result.stdout) == payment_view("declined")


@pytest.mark.parametrize("status", ["in_review", "requires_action", "unknown"])
def test_pay_and_status_of_what_may_be_charged_exit_7(api: FakeApi, payctl: Payctl, status: str) -> None:
    api.will_answer(202, ACCEPTED)
    api.will_answer(200, payment_view(status))
    assert payctl(*PAY).exit_code == Exit.NOT_SETTLED
    assert payctl("status", "pay_1").exit_code == Exit.NOT_SETTLED


def test_status_when_it_is_in_progress_then_exits_4(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(200, payment_view("processing"))
    assert payctl("status", "pay_1").exit_code == Exit.STILL_OPEN


def test_status_when_unknown_then_exits_1(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(404, {"title": "No such payment", "detail": "check it"})
    result = payctl("status", "../health")
    assert result.exit_code == Exit.FAILED
    assert "No such payment (404): check it" in result.stderr
    assert api.received[0].path == "/test/payments/..%2Fhealth"


def test_help_when_asked_then_explains_every_exit_code() -> None:
    text = " ".join(CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout.split())
    for code, meaning in MEANING.items():
        assert f"{code.value} {meaning}" in text


def test_a_wrong_command_line_when_given_then_exits_2() -> None:
    assert CliRunner().invoke(app, ["pay", "--amount", "1"]).exit_code == Exit.USAGE
