"""A wait ends when nothing changes, not when the whole takes long."""

from payctl.deadline import MOST_PERIODS, Deadline


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_deadline_when_something_changes_then_it_starts_anew() -> None:
    clock = Clock()
    deadline = Deadline(10, clock)
    for rows in range(5):
        clock.seconds += 9
        assert not deadline.over(rows)
    clock.seconds += 9
    assert not deadline.over(4)
    clock.seconds += 1
    assert deadline.over(4)
    assert deadline.waited == 55


def test_deadline_is_over_after_its_seconds_without_a_change() -> None:
    clock = Clock()
    deadline = Deadline(10, clock)
    clock.seconds += 9.9
    assert not deadline.over(None)
    clock.seconds += 0.1
    assert deadline.over(None)


def test_deadline_when_it_changes_for_ever_then_it_is_over_all_the_same() -> None:
    clock = Clock()
    deadline = Deadline(10, clock)
    changes = 0
    while not deadline.over(changes):
        changes += 1
        clock.seconds += 5
    assert deadline.waited == MOST_PERIODS * 10
