"""Stripe's request parameters: form fields such as `metadata[order]=7` and `expand[0]=latest_charge`."""

import re
from collections.abc import Iterable
from typing import Any

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


def nested(fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Convert fields to nested dicts of text: [("a[b]", "1")] → {"a": {"b": "1"}}. Lists have their indexes as keys.

    A name that is not such a path is kept unchanged. It is rejected later as an unknown parameter.
    """
    params: dict[str, Any] = {}
    for name, value in fields:
        match = _NAME.fullmatch(name)
        head, *path = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])] if match else [name]
        node, key = params, head
        for step in path:
            inner = node.get(key)
            node[key] = inner = inner if isinstance(inner, dict) else {}
            node, key = inner, step or str(len(inner))
        node[key] = value
    return params


def items(value: object) -> list[str]:
    """The values of a list parameter, in order. Empty if it was not given."""
    return [str(item) for item in value.values()] if isinstance(value, dict) else [str(value)] if value else []
