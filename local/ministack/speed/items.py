"""DynamoDB's rules for items, faster. MiniStack measures and validates each item of a write several times.

Each function here replaces one of `ministack.services.dynamodb` and returns the same.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ministack.services import dynamodb

from local.ministack.fixes.patching import replace


def apply() -> None:
    """Replace MiniStack's functions."""
    for name in ("_ddb_canonicalize_number", "_number_error", "_number_size_bytes"):
        replace(dynamodb, name, _remembering(getattr(dynamodb, name)))
    replace(dynamodb, "_attribute_value_size", value_size)
    replace(dynamodb, "_item_size_bytes", item_size)
    replace(dynamodb, "_nesting_level", nesting_level)


def _remembering(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function with a cache of its results for texts: rows hold the same few numbers."""
    cached = lru_cache(maxsize=4096)(read)

    def remembered(value: Any) -> Any:
        return cached(value) if isinstance(value, str) else read(value)

    return remembered


_size_of_rare_types = dynamodb._attribute_value_size


def item_size(item: Any) -> int:
    """`_item_size_bytes`: the bytes of all names and values."""
    if not isinstance(item, dict):
        return 0
    return sum([_bytes(name) + value_size(value) for name, value in item.items()])


def value_size(value: Any) -> int:
    """`_attribute_value_size`, with one look at the type and without an encoded copy of each text."""
    if not isinstance(value, dict) or len(value) != 1:
        return 0
    ((kind, content),) = value.items()
    if kind == "S":
        return _bytes(content) if isinstance(content, str) else 0
    if kind == "N":
        return int(dynamodb._number_size_bytes(content))
    if kind == "M":
        return 3 + sum([1 + _bytes(name) + value_size(part) for name, part in content.items()])
    if kind == "L":
        return 3 + sum([1 + value_size(part) for part in content if isinstance(part, dict)])
    return int(_size_of_rare_types(value))


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def nesting_level(value: Any, depth: int = 1) -> int:
    """`_nesting_level`, without a generator for each value that holds no others."""
    if not isinstance(value, dict) or len(value) != 1:
        return depth
    ((kind, content),) = value.items()
    if kind == "M" and isinstance(content, dict):
        parts: Any = content.values()
    elif kind == "L" and isinstance(content, list):
        parts = content
    else:
        return depth
    return max([nesting_level(part, depth + 1) for part in parts], default=depth)
