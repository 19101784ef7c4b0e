"""The gateway wrapper that reports refusals of our key or account."""

from collections.abc import Callable

import pytest

from fakes.gateway import Fault, FaultKind, MemoryGateway
from payments.application.guarded_gateway import GuardedGateway
from payments.domain.errors import Misconfigured, NotSent, OutcomeUnknown, PaymentError, RateLimited
from payments.domain.money import Money
from payments.ports.payment_gateway import ChargeRequest
from tests.unit.builders import FixedClock

REQUEST = ChargeRequest("pay_1", Money(9999, "USD"), "pm_card_visa")
CALLS: dict[str, Callable[[GuardedGateway, str], object]] = {
    "charge": lambda gateway, reference: gateway.charge(REQUEST),
    "find": lambda gateway, reference: gateway.find("pay_1", reference),
    "cancel": lambda gateway, reference: gateway.cancel(reference),
    "check_account": lambda gateway, reference: gateway.check_account(),
}


PAYMENTS = {"charge": "pay_1", "find": "pay_1", "cancel": "", "check_account": ""}
"""The payment id that a refusal of each call names."""


def guarded() -> tuple[GuardedGateway, MemoryGateway, str, list[tuple[str, PaymentError]]]:
    """A guarded gateway, the one behind it, the reference of a charge, and the reported refusals."""
    gateway = MemoryGateway(FixedClock())
    reported: list[tuple[str, PaymentError]] = []
    guard = GuardedGateway(gateway, lambda payment_id, error: reported.append((payment_id, error)))
    return guard, gateway, gateway.charge(REQUEST).reference, reported


@pytest.mark.fault(19)
@pytest.mark.parametrize("call", CALLS)
def test_unauthorized_call_is_reported_and_still_raised(call: str) -> None:
    guard, gateway, reference, reported = guarded()
    gateway.fail(Fault(FaultKind.UNAUTHORIZED))
    with pytest.raises(Misconfigured) as refused:
        CALLS[call](guard, reference)
    assert reported == [(PAYMENTS[call], refused.value)]


@pytest.mark.fault(86)
@pytest.mark.parametrize("call", CALLS)
def test_outage_is_reported_and_every_other_answer_as_such(call: str) -> None:
    _, gateway, reference, reported = guarded()
    answers: list[str] = []
    guard = GuardedGateway(
        gateway, lambda payment_id, error: reported.append((payment_id, error)), lambda: answers.append(call)
    )
    gateway.fail(Fault(FaultKind.NOT_SENT))
    gateway.fail(Fault(FaultKind.RATE_LIMITED))
    for error in (NotSent, RateLimited):
        with pytest.raises(error):
            CALLS[call](guard, reference)
    CALLS[call](guard, reference)
    assert [(payment_id, type(error)) for payment_id, error in reported] == [(PAYMENTS[call], NotSent)]
    assert answers == [call, call]


@pytest.mark.parametrize("call", CALLS)
def test_call_to_a_busy_gateway_is_not_reported(call: str) -> None:
    guard, gateway, reference, reported = guarded()
    gateway.fail(Fault(FaultKind.RATE_LIMITED))
    with pytest.raises(RateLimited):
        CALLS[call](guard, reference)
    assert reported == []


@pytest.mark.parametrize("call", CALLS)
def test_call_when_all_is_well_then_the_answer_of_the_gateway_itself(call: str) -> None:
    guard, gateway, reference, reported = guarded()
    expected = {"charge": gateway.charge(REQUEST), "find": gateway.find("pay_1", reference), "cancel": False}
    assert CALLS[call](guard, reference) == expected.get(call)
    assert (guard.name, reported) == (gateway.name, [])


@pytest.mark.fault(53)
@pytest.mark.parametrize("call", ["find", "cancel"])
def test_call_for_an_unknown_charge_is_not_reported(call: str) -> None:
    guard, _, _, reported = guarded()
    with pytest.raises(OutcomeUnknown):
        CALLS[call](guard, "mem_of_another_account")
    assert reported == []


def test_call_with_a_declined_card_is_not_reported() -> None:
    guard, _, _, reported = guarded()
    with pytest.raises(PaymentError):
        guard.charge(ChargeRequest("pay_2", Money(9999, "USD"), "pm_card_chargeDeclined"))
    assert reported == []
