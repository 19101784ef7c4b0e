"""A wait ends when nothing changes, not when the whole takes long."""

from payctl.deadline import LONGEST_PROGRESS, Deadline


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_deadline_when_something_changes_then_it_starts_anew() -> None:
    clock = Clock()
    deadline = Deadline(10, "the rows", clock)
    for rows in range(1000):
        clock.seconds += 9
        assert not deadline.over(rows)
    clock.seconds += 9
    assert not deadline.over(999)
    clock.seconds += 1
    assert deadline.over(999)
    assert deadline.waited == 9010


def test_deadline_is_over_after_its_seconds_without_a_change() -> None:
    clock = Clock()
    deadline = Deadline(10, "the rows", clock)
    clock.seconds += 9.9
    assert not deadline.over(None)
    clock.seconds += 0.1
    assert deadline.over(None)


def test_deadline_reports_what_it_waited_for_and_the_last_progress() -> None:
    clock = Clock()
    deadline = Deadline(10, "the result files", clock)
    deadline.over(None)
    clock.seconds += 10
    assert deadline.report == (
        "gave up waiting for the result files: no progress for 10 s, 10 s in all; no progress was seen"
    )
    deadline.over("3 of 5 rows")
    clock.seconds += 10
    assert deadline.report == (
        "gave up waiting for the result files: no progress for 10 s, 20 s in all; the last was 3 of 5 rows"
    )


def test_deadline_report_cuts_a_long_progress() -> None:
    deadline = Deadline(10, "the rows")
    deadline.over("x" * 2 * LONGEST_PROGRESS)
    assert deadline.report.count("x") == LONGEST_PROGRESS
