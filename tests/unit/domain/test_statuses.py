"""The transition table, and the errors that end in its statuses."""

import pytest

from payments.domain.errors import POLICIES, UNEXPECTED, PaymentError, policy_of
from payments.domain.statuses import CAPTURED, FINAL, TRANSITIONS, Status, may_move


def test_every_status_has_its_line() -> None:
    assert set(TRANSITIONS) == set(Status)


@pytest.mark.parametrize("final", [Status.DECLINED, Status.REJECTED, Status.FAILED])
def test_final_statuses_are_never_left(final: Status) -> None:
    assert final in FINAL
    assert not any(may_move(final, target) for target in Status)


def test_unknown_never_becomes_failed_by_a_policy() -> None:
    assert UNEXPECTED.status is Status.UNKNOWN
    ends_in_failed = {error.__name__ for error, policy in POLICIES.items() if policy.status is Status.FAILED}
    assert ends_in_failed == {"RateLimited"}


def test_captured_money_is_never_forgotten() -> None:
    for status in CAPTURED:
        assert TRANSITIONS[status] <= CAPTURED


def test_every_error_class_has_a_policy_and_is_found_by_name() -> None:
    assert set(PaymentError.__subclasses__()) == set(POLICIES)
    for error, policy in POLICIES.items():
        assert policy_of(error.__name__) is policy
    assert policy_of("States.Timeout") is UNEXPECTED
