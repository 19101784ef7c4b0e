"""Policy conditions can use the attributes that a write names: those of the item or key, the update and the condition.

MiniStack knows those of a projection only, so that a limit on `dynamodb:Attributes` holds for no write. A transaction
has one context for all its items in MiniStack: its attributes stay unknown.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html

Probe: `written_attributes` in tests/local/ministack/test_upstream.py.
"""

import json
import re
from functools import lru_cache
from typing import Any

from ministack.core import iam_actions

from local.ministack.fixes.patching import wrap

_PATH = re.compile(r"(?<![:#.\w])#?[A-Za-z_][\w.-]*(?!\w*\s*\()")
_WORDS = frozenset({"SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT", "IN", "BETWEEN"})
"""The words of expressions that are no attributes."""


def apply() -> None:
    wrap(iam_actions, "dynamodb_service_context", _with_written_attributes)


def _with_written_attributes(context_of: Any, body: bytes) -> dict[str, Any]:
    context: dict[str, Any] = context_of(body)
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return context  # DynamoDB rejects the request with its own error
    if not isinstance(request, dict) or not ("UpdateExpression" in request or "Item" in request):
        return context
    names = request.get("ExpressionAttributeNames") or {}
    paths = {*_paths(request.get("UpdateExpression", "")), *_paths(request.get("ConditionExpression", ""))}
    written = {*(request.get("Item") or request.get("Key") or ()), *(names.get(path, path) for path in paths)}
    return context | {"dynamodb:Attributes": sorted(written)}


@lru_cache(maxsize=1024)
def _paths(expression: str) -> frozenset[str]:
    """The first parts of the paths in an expression."""
    return frozenset(path.partition(".")[0] for path in _PATH.findall(expression)) - _WORDS
