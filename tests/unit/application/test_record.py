"""The record step, and what a caught error means."""

import json
from dataclasses import replace

import pytest

from fakes.payments import MemoryPaymentStore
from payments.application.record import record
from payments.domain.errors import NotSent
from payments.domain.outcome import NOT_CHARGED, Outcome, outcome_of
from payments.domain.payment import IllegalMove, Payment, moved
from payments.domain.statuses import Status
from payments.ports.payment_store import VersionConflict
from tests.unit.builders import NOON, FixedClock, payment


def stored(*path: Status) -> MemoryPaymentStore:
    store, row = MemoryPaymentStore(), payment()
    for status in path:
        row = moved(row, status, at=NOON, actor="test")
    store.rows[row.payment_id] = row
    return store


def recorded(store: MemoryPaymentStore, outcome: Outcome) -> Payment:
    return record("pay_1", outcome, store=store, clock=FixedClock())


CHARGED = Outcome(Status.SUCCEEDED, gateway="stripe", gateway_reference="pi_1")


def test_record_when_run_twice_then_the_second_changes_nothing() -> None:
    store = stored(Status.PROCESSING)
    assert recorded(store, CHARGED) == recorded(store, CHARGED)
    assert store.rows["pay_1"].version == 3


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.PARTIALLY_REFUNDED])
def test_record_of_the_same_outcome_sealed_anew_changes_nothing(status: Status) -> None:
    """Two executions queried while the row had no reference: the last one must not write a version without an event."""
    store = stored(Status.PROCESSING, Status.UNKNOWN)
    first = recorded(store, Outcome(status, gateway_reference="sealed.v1.one"))
    assert first.status is status
    assert recorded(store, Outcome(status, gateway_reference="sealed.v1.two")) == first
    assert store.rows["pay_1"] == first


def test_record_keeps_the_last_reference_while_still_processing() -> None:
    store = stored(Status.PROCESSING)
    for reference in ("pi_1", "pi_2"):
        recorded(store, Outcome(Status.PROCESSING, gateway_reference=reference))
    assert store.rows["pay_1"].gateway_reference == "pi_2"


def test_record_when_settling_then_the_reference_is_kept() -> None:
    row = recorded(stored(Status.PROCESSING), Outcome(Status.PROCESSING, gateway_reference="pi_1"))
    assert (row.status, row.gateway_reference) == (Status.PROCESSING, "pi_1")


def test_record_when_the_outcome_names_no_gateway_then_the_rows_own_stays() -> None:
    store = stored(Status.PROCESSING)
    assert recorded(store, Outcome(Status.PROCESSING, gateway="stripe", gateway_reference="pi_1")).gateway == "stripe"
    done = recorded(store, Outcome(Status.SUCCEEDED))
    assert (done.gateway, done.gateway_reference) == ("stripe", "pi_1")


@pytest.mark.fault(22)
def test_record_when_a_webhook_was_faster_then_its_word_stands() -> None:
    store = stored(Status.PROCESSING, Status.SUCCEEDED, Status.REFUNDED)
    assert recorded(store, CHARGED).status is Status.REFUNDED


@pytest.mark.fault(22)
def test_record_when_the_row_changes_meanwhile_then_it_decides_anew() -> None:
    class Raced(MemoryPaymentStore):
        def save(self, payment: Payment) -> None:
            if not getattr(self, "raced", False):
                self.raced = True
                super().save(moved(self.rows["pay_1"], Status.UNKNOWN, at=NOON, actor="another"))
            super().save(payment)

    store = Raced()
    store.rows = stored(Status.PROCESSING).rows
    assert [change.status for change in recorded(store, CHARGED).history][-2:] == [Status.UNKNOWN, Status.SUCCEEDED]


def test_record_when_races_never_end_then_it_gives_up_loudly() -> None:
    class AlwaysChanged(MemoryPaymentStore):
        def save(self, payment: Payment) -> None:
            raise VersionConflict("again")

    store = AlwaysChanged()
    store.rows = stored(Status.PROCESSING).rows
    with pytest.raises(VersionConflict, match="changed 5 times"):
        recorded(store, CHARGED)


def test_record_raises_on_an_impossible_outcome_of_an_open_payment() -> None:
    with pytest.raises(IllegalMove):
        recorded(stored(Status.PROCESSING), Outcome(Status.REJECTED))


def test_record_after_a_crash_with_nothing_sent_leaves_it_pending() -> None:
    store = stored()
    assert recorded(store, Outcome(Status.UNKNOWN, "lambda_unknown")) == store.rows["pay_1"]
    assert store.rows["pay_1"].status is Status.PENDING


def test_record_after_a_crash_following_the_intent_is_unknown_not_failed() -> None:
    assert recorded(stored(Status.PROCESSING), Outcome(Status.UNKNOWN)).status is Status.UNKNOWN


@pytest.mark.parametrize("status", [Status.PENDING, Status.FAILED])
@pytest.mark.parametrize("path", [(), (Status.UNKNOWN,), (Status.REQUIRES_ACTION,)])
def test_record_of_no_charge_changes_nothing_if_another_may_have_charged(
    status: Status, path: tuple[Status, ...]
) -> None:
    store = stored(Status.PROCESSING, *path)
    before = store.rows["pay_1"]
    assert recorded(store, Outcome(status, "connection_refused")) == before


@pytest.mark.fault(50)
def test_record_of_a_proof_is_dropped_once_an_event_named_the_charge() -> None:
    store = stored(Status.PROCESSING, Status.UNKNOWN)
    store.keep_reference("pay_1", "sealed.v1.a.b", "digest")
    row = recorded(store, Outcome(Status.FAILED, NOT_CHARGED, "the list has no such charge"))
    assert (row.status, row.gateway_reference) == (Status.UNKNOWN, "sealed.v1.a.b")


@pytest.mark.fault(36)
@pytest.mark.parametrize("refunded", [Status.PARTIALLY_REFUNDED, Status.REFUNDED])
@pytest.mark.parametrize("missed", [(), (Status.UNKNOWN,), (Status.REQUIRES_ACTION,), (Status.IN_REVIEW,)])
def test_record_of_a_refund_before_we_knew_the_success_records_both(
    missed: tuple[Status, ...], refunded: Status
) -> None:
    row = recorded(stored(Status.PROCESSING, *missed), Outcome(refunded, gateway_reference="pi_1"))
    assert [change.status for change in row.history][-2:] == [Status.SUCCEEDED, refunded]
    assert (row.version, row.gateway_reference) == (len(row.history), "pi_1")


def refunded(row: Payment, minor_units: int, *, seen_version: int = 0) -> Outcome:
    """The answer of a gateway that was asked when the row had `seen_version`; by default, the one it has now."""
    status = {0: Status.SUCCEEDED, row.money.minor_units: Status.REFUNDED}.get(minor_units, Status.PARTIALLY_REFUNDED)
    return Outcome(status, refunded_minor_units=minor_units, seen_version=seen_version or row.version)


def test_record_follows_refunds_and_failed_refunds_to_the_amount() -> None:
    store = stored(Status.PROCESSING, Status.SUCCEEDED)
    for minor_units in (1000, 3000, 9999, 3000, 0, 9999, 0):
        row = recorded(store, refunded(store.rows["pay_1"], minor_units))
        assert (row.refunded_minor_units, row.refunded) == (minor_units, minor_units)
    assert [change.status for change in row.history][3:] == [
        Status.PARTIALLY_REFUNDED,
        Status.PARTIALLY_REFUNDED,
        Status.REFUNDED,
        Status.PARTIALLY_REFUNDED,
        Status.SUCCEEDED,
        Status.REFUNDED,
        Status.SUCCEEDED,
    ]


def test_record_raises_if_a_refund_that_resolved_a_conflict_failed() -> None:
    store = stored(Status.PROCESSING, Status.IN_REVIEW, Status.SUCCEEDED, Status.REFUNDED)
    with pytest.raises(IllegalMove, match="resolved its conflict failed"):
        recorded(store, Outcome(Status.IN_REVIEW, "amount_differs", seen_version=5))


def test_record_of_the_same_refunded_amount_again_changes_nothing() -> None:
    store = stored(Status.PROCESSING, Status.SUCCEEDED)
    first = recorded(store, refunded(store.rows["pay_1"], 1000))
    assert recorded(store, refunded(first, 1000)) == first


@pytest.mark.parametrize("overtaken", [0, 1000, 9999])
def test_record_drops_an_answer_from_before_the_last_refund(overtaken: int) -> None:
    store = stored(Status.PROCESSING, Status.SUCCEEDED)
    before = store.rows["pay_1"]
    newer = recorded(store, refunded(before, 3000))
    assert recorded(store, refunded(before, overtaken)) == newer


def test_record_of_a_payment_refunded_before_amounts_were_stored_adds_it() -> None:
    store = stored(Status.PROCESSING, Status.SUCCEEDED, Status.PARTIALLY_REFUNDED)
    assert store.rows["pay_1"].refunded is None
    assert recorded(store, refunded(store.rows["pay_1"], 1000)).refunded == 1000
    full = stored(Status.PROCESSING, Status.SUCCEEDED, Status.REFUNDED)
    assert full.rows["pay_1"].refunded == 9999
    assert recorded(full, refunded(full.rows["pay_1"], 9999)).version == 4


@pytest.mark.parametrize("refunded", [Status.PARTIALLY_REFUNDED, Status.REFUNDED])
def test_record_when_a_disputed_payment_is_refunded_then_in_one_step(refunded: Status) -> None:
    disputed = stored(Status.PROCESSING, Status.SUCCEEDED, Status.DISPUTED)
    row = recorded(disputed, Outcome(refunded, seen_version=4))
    assert [change.status for change in row.history][-2:] == [Status.DISPUTED, refunded]


def test_record_fails_a_payment_proven_not_charged() -> None:
    store = stored(Status.PROCESSING, Status.UNKNOWN)
    assert recorded(store, Outcome(Status.FAILED, NOT_CHARGED)).status is Status.FAILED


@pytest.mark.parametrize("final", [Status.DECLINED, Status.FAILED])
def test_record_raises_when_the_gateway_holds_money_for_an_ended_payment(final: Status) -> None:
    store = stored(Status.PROCESSING, final)
    with pytest.raises(IllegalMove, match=f"is {final}, but the gateway holds a charge"):
        recorded(store, CHARGED)
    assert store.rows["pay_1"].status is final


@pytest.mark.fault(36)
@pytest.mark.parametrize("outcome", [Status.DECLINED, Status.UNKNOWN, Status.REQUIRES_ACTION, Status.IN_REVIEW])
def test_record_when_captured_then_a_late_answer_does_not_take_it_back(outcome: Status) -> None:
    assert recorded(stored(Status.PROCESSING, Status.SUCCEEDED), Outcome(outcome)).status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("code", "status"), [("unknown_status", Status.UNKNOWN), ("no_answer", Status.REQUIRES_ACTION)]
)
def test_record_of_a_waiting_customer_takes_an_unknown_status_as_news(code: str, status: Status) -> None:
    """No answer is no news. A status that we do not know is: an operator must look at it."""
    outcome = Outcome(Status.UNKNOWN, code, "Stripe reports the status requires_capture", gateway_reference="pi_2")
    changed = recorded(stored(Status.PROCESSING, Status.REQUIRES_ACTION), outcome)
    assert (changed.status, changed.code) == (status, code if status is Status.UNKNOWN else "")


def test_record_when_the_payment_is_not_stored_then_it_is_named() -> None:
    with pytest.raises(LookupError, match="pay_1"):
        recorded(MemoryPaymentStore(), CHARGED)


def test_outcome_of_an_error_of_ours_has_its_policy_and_message() -> None:
    error = NotSent("connection_refused", "the gateway could not be reached")
    cause = json.dumps({"errorMessage": str(error), "errorType": "NotSent"})
    outcome = outcome_of({"payment_id": "p", "error": {"Error": "NotSent", "Cause": cause}})
    assert (outcome.status, outcome.code, outcome.message) == (
        Status.PENDING,
        "connection_refused",
        "the gateway could not be reached",
    )


@pytest.mark.fault(86)
def test_record_tells_once_why_a_pending_payment_waits() -> None:
    store = stored()
    why = Outcome(Status.PENDING, "gateway_unreachable", "no connection")
    for _ in range(2):
        row = recorded(store, why)
    assert (row.status, row.version, row.code, row.message) == (Status.PENDING, 2, why.code, why.message)
    assert recorded(store, Outcome(Status.UNKNOWN, "states_timeout")).version == 2


@pytest.mark.parametrize(
    "cause", ["", "no json", '{"errorMessage": "boom 4242424242424242"}', '{"errorMessage": "[]"}']
)
def test_outcome_of_any_other_error_is_unknown_without_its_text(cause: str) -> None:
    outcome = outcome_of({"payment_id": "p", "error": {"Error": "States.Timeout", "Cause": cause}})
    assert (outcome.status, outcome.code) == (Status.UNKNOWN, "states_timeout")
    assert "4242" not in outcome.message


@pytest.mark.fault(43)
@pytest.mark.parametrize("since", [(Status.PENDING,), (Status.PENDING, Status.PROCESSING), (Status.REJECTED,)])
def test_record_of_a_late_hold_keeps_what_the_operator_decided(
    since: tuple[Status, ...],
) -> None:
    store = stored(Status.IN_REVIEW, *since)
    store.rows["pay_1"] = replace(store.rows["pay_1"], hold="card_testing")
    assert recorded(store, Outcome(Status.IN_REVIEW, "card_testing")).status is since[-1]
    assert store.rows["pay_1"].version == 2 + len(since)
