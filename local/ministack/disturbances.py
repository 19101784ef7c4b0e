"""Fault injection: a share of the requests of roles fails as if AWS were busy or broken.

It affects requests signed with a role's session, and the tasks that a state machine runs under its role. It does not
affect root, which configures the faults. The share applies to each request that arrives, including an SDK's retries:
with three attempts per call, a share of 0.2 fails one call in 125.
"""

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from ministack import app
from ministack.core import iam_actions
from ministack.core.responses import error_response_json, error_response_xml
from ministack.core.router import extract_access_key_id
from ministack.services import stepfunctions

from local.ministack import permissions
from local.ministack.fixes.patching import wrap
from local.ministack.fixes.step_functions.state_machine_roles import permission

MESSAGE: Final = "An injected fault."
REFUSED: Final = "refused"
ANSWER_LOST: Final = "answer lost"


class Fault(NamedTuple):
    """How one request fails: the error that it receives, and whether it is carried out anyway."""

    code: str
    status: int
    carried_out: bool = False


BUSY: Final = {
    "dynamodb": Fault("ProvisionedThroughputExceededException", 400),
    "dynamodb:TransactWriteItems": Fault("ThrottlingException", 400),
    "dynamodb:TransactGetItems": Fault("ThrottlingException", 400),
    "lambda": Fault("TooManyRequestsException", 429),
    "s3": Fault("SlowDown", 503),
    "sns": Fault("Throttled", 429),
    "sqs": Fault("RequestThrottled", 400),
    "": Fault("ThrottlingException", 400),
}
BROKEN: Final = {
    "dynamodb": Fault("InternalServerError", 500),
    "lambda": Fault("ServiceException", 500),
    "s3": Fault("InternalError", 500),
    "sns": Fault("InternalError", 500),
    "states": Fault("ServiceUnavailable", 500),
    "": Fault("ServiceUnavailable", 503),
}


class Disturbances:
    """Decides which request fails, and how. The faults of an action depend on the seed and the order of requests."""

    def __init__(self) -> None:
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._lock = threading.Lock()
        self.set({})

    def set(self, shares: Mapping[str, float], seed: int = 0, lose_answers: Collection[str] = ()) -> None:
        """Let these shares of these actions fail, and no others.

        For the actions in `lose_answers`, half of the faults occur after the request was carried out.
        """
        with self._lock:
            self._lose_answers = frozenset(lose_answers)
            self._random = {action: random.Random(f"{seed} {action}") for action in shares}  # noqa: S311 - a test's
            self._shares = dict(shares)

    def __bool__(self) -> bool:
        return bool(self._shares)

    def fault(self, action: str) -> Fault | None:
        """The fault of the next request for this action. None if it succeeds."""
        with self._lock:
            if action not in self._shares:
                return None
            hit, busy, lost = (self._random[action].random() for _ in range(3))
            if hit >= self._shares[action]:
                return None
            carried_out = action in self._lose_answers and lost < 0.5
            self.counts[action][ANSWER_LOST if carried_out else REFUSED] += 1
            faults = BUSY if busy < 0.5 and not carried_out else BROKEN
        fault = faults.get(action) or faults.get(action.partition(":")[0]) or faults[""]
        return fault._replace(carried_out=carried_out)


current: Final = Disturbances()


def start() -> None:
    """Intercept requests and tasks. They fail only after `current` is set."""
    wrap(app, "_dispatch_service_request", _disturb_request)
    wrap(stepfunctions, "_invoke_resource", _disturb_task)


async def _disturb_request(
    dispatch: Any, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any], request_id: str
) -> Any:
    request = (method, path, headers, body, query, request_id)
    if not current or not permissions.role_of(extract_access_key_id(headers, query)):
        return await dispatch(*request)
    parameters = app._routing_params(method, path, headers, body, query)
    service = app.detect_service(method, path, headers, parameters)
    action = iam_actions.extract_iam_action(service, method, path, headers, body, parameters)
    fault = current.fault(action or "")
    if fault is None:
        return await dispatch(*request)
    if fault.carried_out:
        await dispatch(*request)
    xml = service == "s3" or headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    return (error_response_xml if xml else error_response_json)(fault.code, MESSAGE, fault.status)


def _disturb_task(invoke: Any, resource: str, arguments: Any) -> Any:
    needed = permission(resource, arguments) if current else None
    fault = current.fault(needed.action) if needed else None
    if needed is None or fault is None:
        return invoke(resource, arguments)
    if fault.carried_out:
        invoke(resource, arguments)
    service = needed.error.partition(".")[0]
    raise stepfunctions._ExecutionError(f"{service}.{fault.code.removesuffix('Exception')}Exception", MESSAGE)
