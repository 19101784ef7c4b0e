"""Invocations wait in turn for the local AWS's processes, and never for their own caller."""

import threading
from collections.abc import Callable

import pytest

from local.ministack.fixes.lambda_functions.lambda_places import Places

WAIT_SECONDS = 20


@pytest.fixture
def ran() -> list[str]:
    """The invocations in the order in which they ran."""
    return []


@pytest.fixture
def come(ran: list[str]) -> Callable[[Places, str], threading.Thread]:
    """Start an invocation of a function. On return it waits in the queue or runs."""

    def start(places: Places, function: str) -> threading.Thread:
        def run() -> None:
            places.take(function)
            ran.append(function)

        before = places.waiting + places.running
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while places.waiting + places.running == before:
            pass
        return thread

    return start


type Come = Callable[[Places, str], threading.Thread]


def test_places_when_all_are_taken_then_the_next_wait_in_their_order(come: Come, ran: list[str]) -> None:
    places = Places(total=1, each=1)
    places.take("first")
    threads = [come(places, name) for name in ("second", "third", "fourth")]
    for leaves, thread in zip(("first", "second", "third"), threads, strict=True):
        places.give_back(leaves)
        thread.join(WAIT_SECONDS)
    assert ran == ["second", "third", "fourth"]
    assert places.peak == 1


def test_places_when_one_function_has_its_share_then_another_goes_before(come: Come, ran: list[str]) -> None:
    places = Places(total=3, each=1)
    places.take("slow")
    waits = come(places, "slow")
    come(places, "quick").join(WAIT_SECONDS)
    assert ran == ["quick"]
    places.give_back("slow")
    waits.join(WAIT_SECONDS)
    assert ran == ["quick", "slow"]


def test_nested_call_does_not_wait_and_is_refused_at_twice_the_bound() -> None:
    places = Places(total=2, each=1)
    assert [places.take("itself", nested=True) for _ in range(5)] == [True, True, True, True, False]


def test_places_when_nothing_moves_then_the_first_in_the_queue_is_let_in(come: Come, ran: list[str]) -> None:
    places = Places(total=1, each=1, stall_seconds=0.05)
    places.take("calls another over the API")
    come(places, "the other").join(WAIT_SECONDS)
    assert ran == ["the other"]
    assert places.peak == 2


def test_places_when_only_others_move_then_the_stuck_function_is_let_in(come: Come, ran: list[str]) -> None:
    places = Places(total=4, each=1, stall_seconds=0.1)
    places.take("calls itself over the API")
    waits = come(places, "calls itself over the API")
    while waits.is_alive():
        places.take("sweeps every second")
        places.give_back("sweeps every second")
        waits.join(0.02)
    assert ran == ["calls itself over the API"]
