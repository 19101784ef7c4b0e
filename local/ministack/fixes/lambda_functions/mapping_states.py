"""A mapping that is switched on or off is `Enabling` or `Disabling` first, and rejects other changes in that state.

MiniStack switches at once: a caller that does not wait never receives ResourceInUseException.
https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html

Probe: `mapping_states` in tests/local/ministack/test_upstream.py.
"""

import time
from typing import Any, Final

from ministack.core.responses import error_response_json
from ministack.services import lambda_svc

from local.ministack.fixes.patching import wrap

SETTLE_SECONDS: Final = 1.0  # on AWS it takes some seconds, sometimes a minute
UNSETTLED: Final = {"Enabled": "Enabling", "Disabled": "Disabling"}
IN_USE: Final = "Cannot update the event source mapping because it is in use."

_settled_at: Final[dict[str, float]] = {}


def apply() -> None:
    wrap(lambda_svc, "_update_esm", _update_when_settled)
    wrap(lambda_svc, "_delete_esm", _delete_when_settled)
    wrap(lambda_svc, "_esm_response", _tell_the_way)


def _settling(mapping_id: str) -> bool:
    return time.monotonic() < _settled_at.get(mapping_id, 0)


def _update_when_settled(update: Any, mapping_id: str, request: dict[str, Any]) -> Any:
    if _settling(mapping_id):
        return error_response_json("ResourceInUseException", IN_USE, 400)
    before = (lambda_svc._esms.get(mapping_id) or {}).get("Enabled")
    if request.get("Enabled", before) != before:
        _settled_at[mapping_id] = time.monotonic() + SETTLE_SECONDS
    status, *answer = update(mapping_id, request)
    return (202 if status == 200 else status), *answer


def _delete_when_settled(delete: Any, mapping_id: str) -> Any:
    if _settling(mapping_id):
        return error_response_json("ResourceInUseException", IN_USE, 400)
    return delete(mapping_id)


def _tell_the_way(respond: Any, mapping: dict[str, Any]) -> Any:
    answer = respond(mapping)
    if _settling(mapping["UUID"]):
        answer["State"] = UNSETTLED.get(answer["State"], answer["State"])
    return answer
