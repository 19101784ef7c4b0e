"""What makes the local AWS quicker changes none of its answers."""

import copy
import gc
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from local.ministack import speed

ITEMS = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text() | some.binary(),
    lambda parts: some.lists(parts, max_size=4) | some.dictionaries(some.text(max_size=5), parts, max_size=4),
    max_leaves=20,
)


@given(ITEMS)
def test_copied_when_a_value_is_as_json_has_them_then_equal_to_a_deep_copy(value: Any) -> None:
    assert speed.copied(value) == copy.deepcopy(value)


@pytest.mark.parametrize("kind", [dict, lambda items: defaultdict(dict, items)])
def test_copied_when_the_copy_is_changed_then_the_original_is_not(kind: Any) -> None:
    original = kind({"history": {"L": [{"M": {"version": {"N": "1"}}}]}})
    made = speed.copied(original)
    assert type(made) is type(original)
    made["history"]["L"][0]["M"]["version"]["N"] = "2"
    assert original["history"]["L"][0]["M"]["version"]["N"] == "1"


def test_remembered_list_is_unaffected_by_a_caller_that_changes_it() -> None:
    parsed: list[str] = []

    def parse(text: str) -> list[str]:
        parsed.append(text)
        return text.split()

    remembering = speed._remembering(parse)
    remembering(parse, "a b").clear()
    assert remembering(parse, "a b") == ["a", "b"]
    assert parsed == ["a b"]


def test_keep_survivors_freezes_objects_only_after_a_full_collection() -> None:
    rows: list[Any] = [{"M": {}} for _ in range(10)]
    gc.collect()
    before = gc.get_freeze_count()
    speed._keep_survivors("start", {"generation": 2})
    speed._keep_survivors("stop", {"generation": 1})
    assert gc.get_freeze_count() == before
    speed._keep_survivors("stop", {"generation": 2})
    try:
        assert gc.get_freeze_count() >= before + len(rows)
    finally:
        gc.unfreeze()
