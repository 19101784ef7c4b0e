"""Reading, changing and deleting an event source mapping each need their own permission.

MiniStack requires lambda:ListEventSourceMappings to read one, and no permission to change or delete one.

Probe: `mapping_permissions` in tests/local/ministack/test_upstream.py.
"""

from typing import Any, Final

from ministack.core import iam_actions

from local.ministack.fixes.patching import wrap

ACTIONS: Final = {
    "GET": "GetEventSourceMapping",
    "PUT": "UpdateEventSourceMapping",
    "DELETE": "DeleteEventSourceMapping",
}


def apply() -> None:
    wrap(iam_actions, "_lambda_action", _name_the_action)


def _name_the_action(name: Any, method: str, path: str) -> str | None:
    _, _, mapping = path.rstrip("/").partition("/event-source-mappings/")
    action: str | None = ACTIONS.get(method) if mapping else name(method, path)
    return action
