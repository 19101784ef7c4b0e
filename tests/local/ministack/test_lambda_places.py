"""Invocations wait in turn for the local AWS's processes, and never for their own caller."""

import contextvars
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from ministack.services import stepfunctions

from local.ministack.fixes.lambda_functions import async_retries, lambda_places
from local.ministack.fixes.lambda_functions.lambda_places import Places, QueueTime, _Waiting, queue_time
from local.ministack.speed import threads
from tests.waiting import eventually

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


def test_stall_lets_in_the_oldest_of_a_function_if_another_notices(come: Come, ran: list[str]) -> None:
    places = Places(total=4, each=1, stall_seconds=1000)
    places.take("f")
    oldest, newest = come(places, "f"), come(places, "f")
    first = places._queue[0]
    places._stall_seconds = 0
    places._admit_if_stuck("f")
    oldest.join(WAIT_SECONDS)
    assert first.turn.is_set()
    assert newest.is_alive()


def test_stall_leaves_the_last_places_to_nested_calls() -> None:
    places = Places(total=2, each=1, stall_seconds=0)
    for _ in range(3):
        places.take("f", nested=True)
    places._queue.append(waiting := _Waiting("f", 0.0, threading.Event()))
    places._admit_if_stuck("f")
    assert not waiting.turn.is_set()
    assert places.take("f", nested=True)


def test_time_in_the_queue_is_counted_for_the_caller_and_ends_with_it(come: Come) -> None:
    places = Places(total=1, each=1)
    places.take("first")
    queued = QueueTime()
    context = contextvars.copy_context()
    context.run(queue_time.set, queued)
    thread = threading.Thread(target=context.run, args=(places.take, "second"), daemon=True)
    thread.start()
    eventually("time in the queue", lambda: queued.seconds)
    places.give_back("first")
    thread.join(WAIT_SECONDS)
    assert queued.seconds == queued.seconds > 0


def test_task_does_not_time_out_while_its_function_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    limit, now, looks = 0.05, 0.0, 0

    def look() -> float:
        nonlocal looks
        looks += 1
        return now

    def wait_then_answer(_resource: str, _arguments: object) -> str:
        nonlocal now
        eventually("a look at the time limit", lambda: looks >= 2, every=0.001)
        with queue_time.get().counted():
            now += 4 * limit
            eventually("further looks at the time limit", lambda: looks >= 6, every=0.001)
        return "answer"

    monkeypatch.setattr(threads, "time", SimpleNamespace(monotonic=look))
    monkeypatch.setattr(lambda_places, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(stepfunctions, "_invoke_resource", wait_then_answer)
    assert threads.invoke_with_timeout("arn", {}, limit) == "answer"


def test_throttled_event_is_repeated_without_using_up_its_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    throttled: dict[str, object] = {"throttle": True, "error": True}
    results = iter([throttled] * 4 + [{"error": True, "body": "of the function"}])

    def execute(function: object, event: object) -> dict[str, object]:
        return next(results)

    event = async_retries.AsyncEvent()
    assert async_retries._again_while_throttled(execute, {"config": {}}, event)["body"] == "of the function"
    assert pauses == [1, 2, 4, 8]


def test_throttled_call_that_waits_for_its_answer_is_not_repeated() -> None:
    throttled = {"throttle": True, "error": True}
    results = iter([throttled])
    assert async_retries._again_while_throttled(lambda *_: next(results), {"config": {}}, {}) == throttled


def test_throttled_event_of_a_function_switched_off_fails_at_once() -> None:
    results = iter([{"throttle": True}])
    off = {"config": {}, "concurrency": 0}
    assert async_retries._again_while_throttled(lambda *_: next(results), off, async_retries.AsyncEvent())


def test_throttled_event_ends_with_its_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waits beyond its age"))
    results = iter([{"throttle": True}])
    function = {"config": {}, "event_invoke_config": {"MaximumEventAgeInSeconds": 1}}
    assert async_retries._again_while_throttled(lambda *_: next(results), function, async_retries.AsyncEvent())


def test_places_when_only_others_move_then_the_stuck_function_is_let_in(come: Come, ran: list[str]) -> None:
    places = Places(total=4, each=1, stall_seconds=0.1)
    places.take("calls itself over the API")
    waits = come(places, "calls itself over the API")
    while waits.is_alive():
        places.take("sweeps every second")
        places.give_back("sweeps every second")
        waits.join(0.02)
    assert ran == ["calls itself over the API"]
