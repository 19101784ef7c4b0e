"""What every PaymentGateway does, run against the in-memory fake and against Stripe's adapter on the fake Stripe."""

import logging
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from fakes.gateway import TEST_PAYMENT_METHODS
from local.fake_stripe.cards import CARDS
from local.fake_stripe.faults import Fault as StripeFault
from local.fake_stripe.faults import Kind
from local.fake_stripe.server import in_process
from payments.adapters.stripe.gateway import StripeGateway
from payments.domain.errors import (
    AttemptDeclined,
    Conflict,
    Declined,
    InvalidPayment,
    Misconfigured,
    NotSent,
    OutcomeUnknown,
    PaymentError,
    RateLimited,
    RequiresAction,
)
from payments.domain.money import Money
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge, Listed
from tests.contract.gateway_benches import SECRET_KEY, USD, Bench, MemoryBench, bench_of, error_of, request_for


@pytest.fixture(params=["memory", "stripe"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench_of(request.param) as bench:
        yield bench


def calling(bench: Bench, call: str, payment_id: str = "pay-1") -> Callable[[], object]:
    """One of the port's two calls, ready to be made."""
    if call == "find":
        return lambda: bench.gateway.find(payment_id)
    return lambda: bench.gateway.charge(request_for(payment_id))


# Outcomes --------------------------------------------------------------------------------------------------------


def test_charge_when_card_is_good_then_captures_the_amount_once(bench: Bench) -> None:
    charged = bench.gateway.charge(request_for())
    assert charged.status is Status.SUCCEEDED
    assert charged.money == USD
    assert charged.reference
    assert bench.captured() == [("pay-1", USD)]


@pytest.mark.parametrize("method", sorted(CARDS))
def test_charge_with_a_documented_test_card_has_its_documented_outcome(bench: Bench, method: str) -> None:
    card = CARDS[method]
    if card.authenticates:
        expected: type[PaymentError] | None = RequiresAction
    else:
        expected = AttemptDeclined if card.code else None
    if expected is None:
        assert bench.gateway.charge(request_for(method=method)).status is Status.SUCCEEDED
        return
    error = error_of(lambda: bench.gateway.charge(request_for(method=method)))
    assert type(error) is expected
    assert error.code == ("authentication_required" if card.authenticates else card.decline_code or card.code)
    assert error.gateway_reference
    assert bench.captured() == []


def test_test_cards_of_memory_gateway_and_fake_stripe_are_the_same() -> None:
    assert set(TEST_PAYMENT_METHODS) == set(CARDS)


def test_insufficient_funds_are_declined_again_without_a_second_attempt(bench: Bench) -> None:
    """A repeated request gets the same answer."""
    request = request_for(method="pm_card_visa_chargeDeclinedInsufficientFunds")
    first, again = (error_of(lambda: bench.gateway.charge(request)) for _ in range(2))
    assert (type(again), again.code, again.gateway_reference) == (
        AttemptDeclined,
        "insufficient_funds",
        first.gateway_reference,
    )


@pytest.mark.parametrize(("card", "code"), [("LostCard", "lost_card"), ("StolenCard", "stolen_card")])
def test_charge_of_a_lost_or_stolen_card_is_declined_with_that_code(bench: Bench, card: str, code: str) -> None:
    """The code is what fraud velocity counts."""
    request = request_for(method=f"pm_card_visa_chargeDeclined{card}")
    error = error_of(lambda: bench.gateway.charge(request))
    assert (type(error), error.code) == (AttemptDeclined, code)
    assert bench.captured() == []


def test_charge_needing_authentication_requires_action_and_find_agrees(bench: Bench) -> None:
    request = request_for(method="pm_card_threeDSecure2Required")
    charged, found = (
        error_of(lambda: bench.gateway.charge(request)),
        error_of(lambda: bench.gateway.find("pay-1")),
    )
    assert type(charged) is type(found) is RequiresAction
    assert charged.gateway_reference == found.gateway_reference != ""


def test_charge_of_an_unknown_method_is_declined_and_nothing_is_stored(bench: Bench) -> None:
    error = error_of(lambda: bench.gateway.charge(request_for(method="pm_1NoSuchMethod")))
    assert (type(error), error.code) == (Declined, "invalid_payment_method")
    assert bench.gateway.find("pay-1") is None


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (request_for(money=Money(5124, "KWD")), "amount_not_supported"),
        (request_for(money=Money(1000, "IQD")), "amount_not_supported"),
        (request_for(method=""), "payment_method_missing"),
        (replace(request_for(), metadata={"a[b]": "c"}), "metadata_not_supported"),
    ],
)
def test_charge_when_it_can_never_be_charged_then_is_invalid(bench: Bench, request_: ChargeRequest, code: str) -> None:
    error = error_of(lambda: bench.gateway.charge(request_))
    assert (type(error), error.code) == (InvalidPayment, code)
    assert bench.gateway.find("pay-1") is None


@pytest.mark.fault(59)
@pytest.mark.parametrize(
    ("money", "limit"),
    [(Money(1_000_000_00, "USD"), "999999.99 USD"), (Money(10_000_000_000_00, "IDR"), "9999999999.99 IDR")],
    ids=str,
)
def test_charge_above_the_maximum_is_invalid_and_is_not_sent(bench: Bench, money: Money, limit: str) -> None:
    bench.fault("server_error")  # the answer to the first request
    error = error_of(lambda: bench.gateway.charge(request_for(money=money)))
    assert (type(error), error.code) == (InvalidPayment, "amount_not_supported")
    assert f"at most {limit}" in error.message
    assert type(error_of(lambda: bench.gateway.charge(request_for()))) is OutcomeUnknown


@pytest.mark.fault(59)
def test_charge_below_the_minimum_rejects_that_payment_and_no_other(bench: Bench) -> None:
    error = error_of(lambda: bench.gateway.charge(request_for(money=Money(49, "USD"))))
    assert (type(error), error.code) == (InvalidPayment, "amount_too_small")
    assert "at least 0.50 USD" in error.message
    assert bench.gateway.find("pay-1") is None
    assert bench.gateway.charge(request_for("pay-2", money=Money(50, "USD"))).status is Status.SUCCEEDED


@pytest.mark.fault(59)
@pytest.mark.parametrize("money", [Money(1_000_000_00, "IDR"), Money(9_999_999_999_99, "IDR")], ids=str)
def test_charge_takes_twelve_digits_of_rupiah(bench: Bench, money: Money) -> None:
    assert bench.gateway.charge(request_for(money=money)).money == money
    assert bench.captured() == [("pay-1", money)]


@pytest.mark.parametrize(
    "money",
    [Money(500, "JPY"), Money(5, "ISK"), Money(700, "UGX"), Money(120000, "MGA"), Money(5120, "KWD")],
    ids=str,
)
def test_charge_returns_the_same_money_in_currencies_with_other_units(bench: Bench, money: Money) -> None:
    assert bench.gateway.charge(request_for(money=money)).money == money
    found = bench.gateway.find("pay-1")
    assert found is not None
    assert found.money == money
    assert bench.captured() == [("pay-1", money)]


# Once, under every failure -------------------------------------------------------------------------------------------


def test_charge_when_repeated_then_answers_the_same_and_captures_once(bench: Bench) -> None:
    assert bench.gateway.charge(request_for()) == bench.gateway.charge(request_for())
    assert len(bench.captured()) == 1


def test_charge_when_repeated_with_other_content_then_conflicts(bench: Bench) -> None:
    bench.gateway.charge(request_for())
    error = error_of(lambda: bench.gateway.charge(request_for(money=Money(5000, "USD"))))
    assert (type(error), error.code) == (Conflict, "idempotency_error")
    assert bench.captured() == [("pay-1", USD)]


def test_charge_when_many_ask_at_once_for_one_payment_then_captures_once(bench: Bench) -> None:
    def attempt(_: int) -> GatewayCharge | PaymentError:
        try:
            return bench.gateway.charge(request_for())
        except OutcomeUnknown as error:  # the key is in use by one of the others
            return error

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(24)))
    charges = {answer.reference for answer in answers if isinstance(answer, GatewayCharge)}
    assert len(charges) == len(bench.captured()) == 1


def test_find_when_nothing_was_charged_then_is_none(bench: Bench) -> None:
    """The function crashed before the call; the next one may charge."""
    bench.gateway.charge(request_for("pay-2"))
    assert bench.gateway.find("pay-1") is None


def test_find_by_payment_id_finds_the_charge_of_a_crashed_function(bench: Bench) -> None:
    charged = bench.gateway.charge(request_for())
    assert bench.gateway.find("pay-1") == charged
    assert len(bench.captured()) == 1


@pytest.mark.fault(51)
def test_find_never_adopts_the_charge_of_an_id_in_another_case(bench: Bench) -> None:
    """The gateway's search ignores case."""
    other = bench.gateway.charge(request_for("ORDER-7"))
    assert bench.gateway.find("order-7") is None
    own = bench.gateway.charge(request_for("order-7"))
    assert bench.gateway.find("order-7") == own
    assert bench.gateway.find("ORDER-7") == other


def test_find_of_a_declined_charge_has_the_same_code_and_reference(bench: Bench) -> None:
    request = request_for(method="pm_card_visa_chargeDeclinedLostCard")
    charged, found = (
        error_of(lambda: bench.gateway.charge(request)),
        error_of(lambda: bench.gateway.find("pay-1")),
    )
    assert (type(found), found.code, found.gateway_reference) == (
        AttemptDeclined,
        charged.code,
        charged.gateway_reference,
    )


def test_lost_charge_answer_is_unknown_and_the_same_key_finds_one_charge(bench: Bench) -> None:
    """Never `failed`; a query and a repeated request both return the same charge."""
    bench.fault("answer_lost", payment_id="pay-1")
    error = error_of(lambda: bench.gateway.charge(request_for()))
    assert (type(error), error.code) == (OutcomeUnknown, "no_answer")
    assert bench.gateway.find("pay-1") == bench.gateway.charge(request_for())
    assert len(bench.captured()) == 1


def test_lost_charge_request_is_unknown_and_the_same_key_charges_once(bench: Bench) -> None:
    bench.fault("answer_lost", executes=False)
    assert type(error_of(lambda: bench.gateway.charge(request_for()))) is OutcomeUnknown
    assert bench.gateway.find("pay-1") is None
    assert bench.gateway.charge(request_for()).status is Status.SUCCEEDED
    assert len(bench.captured()) == 1


@pytest.mark.parametrize("executes", [True, False], ids=["charged", "not-charged"])
def test_charge_with_a_replayed_500_is_unknown_until_find_settles_it(bench: Bench, executes: bool) -> None:
    """The 500 is replayed for the key, charged or not; only the search shows the result."""
    bench.fault("server_error", executes=executes)
    for _ in range(2):
        error = error_of(lambda: bench.gateway.charge(request_for()))
        assert (type(error), error.code) == (OutcomeUnknown, "gateway_error")
    found = bench.gateway.find("pay-1")
    assert (found is not None) == executes
    assert len(bench.captured()) == executes


def test_rate_limited_charge_says_the_delay_and_the_same_key_charges(bench: Bench) -> None:
    bench.fault("rate_limited", retry_after_seconds=7)
    error = error_of(lambda: bench.gateway.charge(request_for()))
    assert isinstance(error, RateLimited)
    assert error.retry_after_seconds == 7
    assert bench.captured() == []
    bench.gateway.charge(request_for())
    assert len(bench.captured()) == 1


def test_charge_with_a_key_in_use_is_unknown_and_charges_later(bench: Bench) -> None:
    """The request that holds the key may be charging; the result is unknown."""
    bench.fault("key_in_use")
    error = error_of(lambda: bench.gateway.charge(request_for()))
    assert (type(error), error.code) == (OutcomeUnknown, "idempotency_key_in_use")
    bench.gateway.charge(request_for())
    assert len(bench.captured()) == 1


@pytest.mark.parametrize("other", [Money(9998, "USD"), Money(9999, "EUR")], ids=["another-amount", "another-currency"])
def test_charge_hands_on_other_money_as_the_gateway_reports_it(bench: Bench, other: Money) -> None:
    """The charge step compares, and holds the payment."""
    bench.fault("altered", money=other)
    assert bench.gateway.charge(request_for()).money == other


@pytest.mark.parametrize(
    "status", ["requires_capture", "requires_confirmation", "requires_reauthorization", "expired", "teleported"]
)
@pytest.mark.parametrize("call", ["charge", "find"])
def test_unknown_gateway_status_makes_the_outcome_unknown(bench: Bench, call: str, status: str) -> None:
    bench.fault("altered", call=call, status=status)
    if call == "find":
        bench.gateway.charge(request_for())
    error = error_of(calling(bench, call))
    assert (type(error), error.code) == (OutcomeUnknown, "unknown_status")
    assert status in error.message
    assert error.gateway_reference


def test_charge_when_gateway_is_still_settling_then_is_processing(bench: Bench) -> None:
    bench.fault("altered", status="processing")
    assert bench.gateway.charge(request_for()).status is Status.PROCESSING


@pytest.mark.parametrize("call", ["charge", "find"])
def test_wrong_api_key_is_misconfigured_and_declines_nothing(bench: Bench, call: str) -> None:
    """No payment fails because of it."""
    bench.fault("unauthorized", times=3)
    for number in range(3):
        assert type(error_of(calling(bench, call, f"pay-{number}"))) is Misconfigured
    assert bench.gateway.charge(request_for()).status is Status.SUCCEEDED


def test_find_after_25_hours_returns_the_charge_the_key_has_forgotten(bench: Bench) -> None:
    """Query first. Sending first would charge again."""
    charged = bench.gateway.charge(request_for())
    bench.clock.advance(hours=25)
    assert bench.gateway.find("pay-1") == charged
    assert bench.gateway.charge(request_for()).reference != charged.reference
    assert len(bench.captured()) == 2


def test_charge_when_repeated_within_24_hours_then_the_key_still_holds(bench: Bench) -> None:
    charged = bench.gateway.charge(request_for())
    bench.clock.advance(hours=23, minutes=59)
    assert bench.gateway.charge(request_for()) == charged


def test_find_prefers_a_captured_over_a_declined_attempt(bench: Bench) -> None:
    captured = bench.gateway.charge(request_for())
    bench.clock.advance(hours=25)
    error_of(lambda: bench.gateway.charge(request_for(method="pm_card_visa_chargeDeclined")))
    assert bench.gateway.find("pay-1") == captured


def two_captured(bench: Bench) -> list[str]:
    """The references of two captured charges under one payment id, the older one first."""
    first = bench.gateway.charge(request_for())
    bench.clock.advance(hours=25)
    return [first.reference, bench.gateway.charge(request_for()).reference]


def test_find_never_chooses_between_several_captured_charges(bench: Bench) -> None:
    older, newer = two_captured(bench)
    error = error_of(lambda: bench.gateway.find("pay-1"))
    assert (type(error), error.code, error.gateway_reference) == (Conflict, "several_charges", older)
    bench.refund(older, 9998)
    assert isinstance(error_of(lambda: bench.gateway.find("pay-1")), Conflict)
    bench.refund(older, 1)
    found = bench.gateway.find("pay-1")
    assert found is not None
    assert (found.reference, found.status) == (newer, Status.SUCCEEDED)


def test_charges_of_a_payment_are_all_that_carry_its_ids(bench: Bench) -> None:
    older, newer = two_captured(bench)
    bench.gateway.charge(request_for("PAY-1"))
    bench.gateway.charge(replace(request_for(), environment_id="0123456789abcdef"))
    bench.clock.advance(hours=25)
    open_one = error_of(lambda: bench.gateway.charge(request_for(method="pm_card_chargeDeclined"))).gateway_reference
    found = {one.reference: (one.captured, one.may_capture) for one in bench.gateway.charges_of("pay-1")}
    assert found == {older: (True, True), newer: (True, True), open_one: (False, True)}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("answer_lost", OutcomeUnknown), ("server_error", OutcomeUnknown), ("rate_limited", RateLimited)],
)
def test_find_with_a_failing_gateway_never_says_nothing_was_charged(
    bench: Bench, kind: str, expected: type[PaymentError]
) -> None:
    charged = bench.gateway.charge(request_for())
    bench.fault(kind, call="find")
    assert type(error_of(lambda: bench.gateway.find("pay-1"))) is expected
    assert bench.gateway.find("pay-1") == charged


# Several environments on one account -------------------------------------------------------------------------------


@pytest.mark.fault(57)
def test_charge_of_one_id_in_two_environments_is_two_charges(bench: Bench) -> None:
    ours, theirs, old = (bench.gateway.charge(request_for(environment_id=name)) for name in ("ours", "theirs", ""))
    assert len({ours.reference, theirs.reference, old.reference}) == len(bench.captured()) == 3
    assert bench.gateway.charge(request_for(environment_id="ours")) == ours
    for environment_id, charged in (("ours", ours), ("theirs", theirs), ("", old)):
        assert bench.gateway.find("pay-1", environment_id=environment_id) == charged
    assert bench.gateway.find("pay-1", environment_id="Ours") is None


# The list: proof that a charge exists or does not ------------------------------------------------------------------

MINUTE = timedelta(minutes=1)


def listed(bench: Bench, *, after: str = "") -> Listed:
    """A page of the list of the last minute."""
    return bench.gateway.listed(bench.clock() - MINUTE, bench.clock() + MINUTE, after)


@pytest.mark.fault(50)
@pytest.mark.parametrize("name", ["memory", "stripe"])
def test_listed_shows_a_charge_that_the_search_never_shows(name: str) -> None:
    with bench_of(name, search_lag=timedelta(days=365)) as lagging:
        charged = lagging.gateway.charge(request_for())
        assert lagging.gateway.find("pay-1") is None
        [charge] = listed(lagging).charges
        assert (charge.reference, charge.payment_id, charge.environment_id) == (charged.reference, "pay-1", "")
        assert (charge.captured, charge.may_capture) == (True, True)


def test_listed_shows_ids_exactly_and_what_may_still_capture(bench: Bench) -> None:
    bench.gateway.charge(request_for("PAY-1", environment_id="env1"))
    waiting = error_of(lambda: bench.gateway.charge(request_for("pay-2", "pm_card_threeDSecure2Required")))
    canceled = error_of(lambda: bench.gateway.charge(request_for("pay-3", "pm_card_threeDSecure2Required")))
    bench.gateway.cancel(canceled.gateway_reference)
    charges = {charge.payment_id: charge for charge in listed(bench).charges}
    assert list(charges) == ["pay-3", "pay-2", "PAY-1"]
    assert charges["PAY-1"].environment_id == "env1"
    assert [(charge.captured, charge.may_capture) for charge in charges.values()] == [
        (False, False),
        (False, True),
        (True, True),
    ]
    assert charges["pay-2"].reference == waiting.gateway_reference


def test_listed_shows_only_charges_of_its_window(bench: Bench) -> None:
    charged = bench.gateway.charge(request_for())
    bench.clock.advance(minutes=3)
    assert listed(bench) == Listed((), None, "")
    began = bench.clock() - 3 * MINUTE
    page = bench.gateway.listed(began, began)
    assert [charge.reference for charge in page.charges] == [charged.reference]
    assert page.oldest_at == page.charges[0].created_at


def test_listed_goes_on_with_older_charges_on_the_next_page(bench: Bench) -> None:
    charged = bench.gateway.charge(request_for())
    for number in range(100):
        bench.gateway.charge(request_for(f"other-{number}"))
    first = listed(bench)
    assert (len(first.charges), bool(first.next_page)) == (100, True)
    second = listed(bench, after=first.next_page)
    assert [charge.reference for charge in second.charges] == [charged.reference]
    assert second.next_page == ""


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("answer_lost", OutcomeUnknown),
        ("server_error", OutcomeUnknown),
        ("rate_limited", RateLimited),
        ("unauthorized", Misconfigured),
    ],
)
def test_listed_with_a_failing_gateway_proves_nothing(bench: Bench, kind: str, expected: type[PaymentError]) -> None:
    bench.fault(kind, call="listed")
    assert type(error_of(lambda: listed(bench))) is expected


# The account --------------------------------------------------------------------------------------------------------


def test_check_account_answers_before_the_first_payment_and_later(bench: Bench) -> None:
    bench.gateway.check_account()
    bench.gateway.charge(request_for())
    bench.gateway.check_account()
    assert len(bench.captured()) == 1


@pytest.mark.fault(53)
@pytest.mark.parametrize("method", ["pm_card_chargeDeclined", "pm_card_threeDSecure2Required"])
def test_check_account_asks_about_no_payment_of_any_name(bench: Bench, method: str) -> None:
    """`gateway` was the payment id that the question used."""
    error_of(lambda: bench.gateway.charge(request_for("gateway", method)))
    bench.gateway.check_account()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("unauthorized", Misconfigured),
        ("rate_limited", RateLimited),
        ("server_error", OutcomeUnknown),
        ("answer_lost", OutcomeUnknown),
    ],
)
def test_check_account_reports_a_refusing_or_failing_gateway(
    bench: Bench, kind: str, expected: type[PaymentError]
) -> None:
    bench.fault(kind, call="check_account")
    assert type(error_of(bench.gateway.check_account)) is expected
    bench.gateway.check_account()


@pytest.mark.fault(53)
def test_stripe_account_without_search_is_no_refused_account() -> None:
    """As in India: the search is refused, and everything else works."""
    with in_process() as (url, fake_stripe):
        fake_stripe.faults.add(StripeFault(Kind.SEARCH_REFUSED, times=10))
        gateway = StripeGateway(lambda: SECRET_KEY, base_url=url)
        error = error_of(lambda: gateway.find("pay-1"))
        assert (type(error), error.code) == (OutcomeUnknown, "search_refused")
        gateway.check_account()
        charged = gateway.charge(request_for())
        assert gateway.find("pay-1", charged.reference) == charged


# The content of errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("pm_1SecretLooking", ""),
        ("pm_card_visa_chargeDeclined", ""),
        ("pm_card_visa", "unauthorized"),
        ("pm_card_visa", "server_error"),
        ("pm_card_visa", "answer_lost"),
    ],
)
def test_error_tracebacks_hold_no_token_and_no_key(bench: Bench, method: str, kind: str) -> None:
    if kind:
        bench.fault(kind)
    error = error_of(lambda: bench.gateway.charge(request_for(method=method)))
    shown = "".join(traceback.format_exception(error))
    assert method not in shown
    assert "sk_test" not in shown


def test_debug_logs_hold_no_token_and_no_key(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bench.gateway.charge(request_for())
    error_of(lambda: bench.gateway.charge(request_for("pay-2", "pm_1SecretLooking")))
    assert "pm_" not in caplog.text
    assert "sk_test" not in caplog.text


# Unreachable, for each gateway --------------------------------------------------------------------------


def test_memory_charge_not_sent_is_reported_so_and_a_retry_charges_once() -> None:
    bench = MemoryBench()
    bench.fault("not_sent")
    assert type(error_of(lambda: bench.gateway.charge(request_for()))) is NotSent
    assert bench.gateway.find("pay-1") is None
    bench.gateway.charge(request_for())
    assert len(bench.captured()) == 1


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:1", "http://gateway.invalid"], ids=["connection-refused", "no-such-host"]
)
def test_stripe_charge_when_no_connection_is_made_then_is_not_sent(base_url: str) -> None:
    gateway = StripeGateway(lambda: SECRET_KEY, base_url=base_url, connect_timeout_seconds=2)
    error = error_of(lambda: gateway.charge(request_for()))
    assert (type(error), error.code) == (NotSent, "gateway_unreachable")


@contextmanager
def listener(answer: bytes | None) -> Iterator[tuple[int, list[socket.socket]]]:
    """The port of a server that is no gateway, and its connections. None: it stays silent."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                held.append(server.accept()[0])
                if answer is not None:
                    with held[-1] as connection:
                        connection.recv(65_536)
                        connection.sendall(answer)

    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], held


@pytest.mark.fault(14)
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n", None], ids=["closed", "no-tls", "silent"])
def test_stripe_charge_when_the_tls_handshake_fails_then_is_not_sent(answer: bytes | None) -> None:
    with listener(answer) as (port, connections):
        gateway = StripeGateway(lambda: SECRET_KEY, base_url=f"https://127.0.0.1:{port}", connect_timeout_seconds=0.5)
        error = error_of(lambda: gateway.charge(request_for()))
    assert (type(error), error.code, len(connections)) == (NotSent, "gateway_unreachable", 1)


@pytest.mark.fault(10)
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"], ids=["closed", "cut-off"])
def test_stripe_charge_when_the_connection_breaks_later_then_is_unknown(answer: bytes) -> None:
    with listener(answer) as (port, connections):
        gateway = StripeGateway(lambda: SECRET_KEY, base_url=f"http://127.0.0.1:{port}")
        error = error_of(lambda: gateway.charge(request_for()))
    assert (type(error), error.code, len(connections)) == (OutcomeUnknown, "no_answer", 1)  # nothing sends it again


@pytest.mark.fault(59)
def test_stripe_maximum_of_a_card_brand_rejects_that_payment_and_no_other() -> None:
    """Which brand a payment method has is known only to Stripe."""
    rupiah = Money(10_000_000_00, "IDR")
    with bench_of("stripe") as bench:
        error = error_of(lambda: bench.gateway.charge(request_for(method="pm_card_amex", money=rupiah)))
        assert (type(error), error.code) == (InvalidPayment, "amount_too_large")
        assert "at most 9999999999.99 IDR, and less on some cards" in error.message
        assert bench.gateway.charge(request_for("pay-2", money=rupiah)).status is Status.SUCCEEDED


def test_stripe_charge_answered_after_the_timeout_is_unknown_but_made_once() -> None:
    """The read timeout, in contrast to the closed connection above."""
    with in_process() as (url, fake_stripe):
        fake_stripe.faults.add(StripeFault(Kind.LATENCY, seconds=0.6))
        hasty = StripeGateway(lambda: SECRET_KEY, base_url=url, read_timeout_seconds=0.2)
        error = error_of(lambda: hasty.charge(request_for()))
        assert (type(error), error.code) == (OutcomeUnknown, "no_answer")
        gateway = StripeGateway(lambda: SECRET_KEY, base_url=url)
        found = gateway.find("pay-1")
        assert found is not None
        assert found.status is Status.SUCCEEDED
        assert len(fake_stripe.ledger.captured()) == 1


def test_stripe_authorized_charge_is_no_captured_money_until_captured() -> None:
    """Such an intent was made by hand: our requests capture at once."""
    with in_process() as (url, fake_stripe):
        gateway = StripeGateway(lambda: SECRET_KEY, base_url=url)
        params = {"amount": "9999", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"}
        more = {"capture_method": "manual", "payment_method_types": {"0": "card"}, "metadata": {"payment_id": "pay-1"}}
        made = fake_stripe.ledger.create(params | more)
        error = error_of(lambda: gateway.find("pay-1"))
        assert (type(error), error.message) == (OutcomeUnknown, "Stripe reports the status requires_capture")
        assert [one.captured for one in gateway.charges_of("pay-1")] == [False]
        fake_stripe.ledger.capture({}, made["id"])
        found = gateway.find("pay-1")
        assert found is not None
        assert (found.status, found.money) == (Status.SUCCEEDED, USD)
