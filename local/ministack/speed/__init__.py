"""Makes MiniStack faster without changing its answers. The local AWS is one process, which spent most of its time here.

- Policies and expressions are parsed once and cached: functions send the same few repeatedly.
- Items are copied with `marshal`, in a tenth of the time of `copy.deepcopy`. MiniStack copies up to four per write.
- The owner of a function's key and the policies of its role are looked up once, until the next request to IAM or STS.
- The `Date` header is formatted once per second.
- The garbage collector runs less often, because requests leave hardly any cycles.
- The rules for DynamoDB's items: see items.py. The work around each request: see requests.py.
- The statements of a role's policies that concern an action and a resource are selected once.
- Objects that survive a full garbage collection are not scanned again. Rows live long: with about ten thousand rows,
  each collection stopped the local AWS for half a second or more.
"""

import copy
import gc
import marshal
import time
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from ministack import app
from ministack.core import iam_evaluator, responses
from ministack.services import dynamodb, iam, sts

from local.ministack.fixes.patching import wrap
from local.ministack.speed import items, requests

GC_THRESHOLDS = (20_000, 20, 20)
"""The number of new containers before a collection of the youngest generation, and the number of collections before
a collection of the next generation."""


REMEMBERED = 1024
"""The number of results that a cache keeps."""


def apply() -> None:
    """Patch MiniStack in this process, before it serves."""
    wrap(iam_evaluator, "parse_policy_document", _remembering(iam_evaluator.parse_policy_document))
    wrap(dynamodb, "_tokenize", _remembering(dynamodb._tokenize))
    dynamodb.copy = SimpleNamespace(deepcopy=copied)
    wrap(iam_evaluator, "resolve_principal", _known_principal)
    wrap(iam_evaluator, "evaluate", _evaluate_what_concerns)
    wrap(responses, "_account_from_sts_session", _known_account)
    for service in (iam, sts):
        wrap(service, "handle_request", _forget_afterwards)
    items.apply()
    requests.apply()
    wrap(app, "formatdate", _date_of_this_second)
    gc.set_threshold(*GC_THRESHOLDS)
    gc.callbacks.append(_keep_survivors)


def copied(value: Any) -> Any:
    """The result of `copy.deepcopy`, faster for JSON values."""
    try:
        return marshal.loads(marshal.dumps(value))  # noqa: S302 - the data was written in this expression
    except ValueError:  # it holds another type, such as one of MiniStack's own table classes
        return copy.deepcopy(value)


_principals: dict[str, Any] = {}
_accounts: dict[str, str] = {}


def _known_principal(resolve: Any, access_key: str, account: str, credential: Any = None) -> Any:
    if access_key in _principals:
        return _principals[access_key]
    principal = resolve(access_key, account, credential)
    session = sts._sessions.get(access_key) or {}
    if isinstance(principal, iam_evaluator.PrincipalInfo) and session and not session.get("Expiration"):
        if principal.policies is not None:
            principal.policies = Policies(principal.policies)
        _principals[access_key] = principal
    return principal


class Policies(list[Any]):
    """The parsed policies of a known principal. They never change: a change of IAM makes a new principal."""

    def __init__(self, policies: Any) -> None:
        super().__init__(policies)
        self._concerning: dict[tuple[str, str], list[Any]] = {}

    def concerning(self, action: str, resource: str) -> list[Any]:
        """Only those statements whose action and resource match: `evaluate` then has only their conditions to check."""
        found = self._concerning.get((action, resource))
        if found is None:
            found = [
                [
                    statement
                    for statement in policy
                    if iam_evaluator._action_matches(action, statement.actions, statement.not_actions)
                    and iam_evaluator._resource_matches(resource, statement.resources, statement.not_resources)
                ]
                for policy in self
            ]
            if len(self._concerning) >= REMEMBERED:
                self._concerning.clear()
            self._concerning[action, resource] = found
        return found


def _evaluate_what_concerns(evaluate: Any, request: Any, policies: Any, *limits: Any) -> Any:
    if isinstance(policies, Policies):
        policies = policies.concerning(request.action, request.resource_arn)
    return evaluate(request, policies, *limits)


def _known_account(look_up: Any, access_key: str) -> str | None:
    account = _accounts.get(access_key) or look_up(access_key)
    if account:
        _accounts[access_key] = account
    return account


async def _forget_afterwards(handle: Any, *request: Any) -> Any:
    try:
        return await handle(*request)
    finally:
        _principals.clear()
        _accounts.clear()


_date: tuple[int, str] = (0, "")


def _date_of_this_second(write: Any, *time_value: Any, **form: Any) -> str:
    global _date
    if time_value or form != {"usegmt": True}:
        return str(write(*time_value, **form))
    second = int(time.time())
    if _date[0] != second:
        _date = (second, write(**form))
    return _date[1]


def _remembering(parse: Any) -> Any:
    """A caching wrapper of a function from text to a list. Each caller receives its own list."""
    cached = lru_cache(maxsize=REMEMBERED)(parse)

    def parsed(original: Any, text: Any) -> Any:
        return list(cached(text)) if isinstance(text, str) else original(text)

    return parsed


def _keep_survivors(phase: str, about: dict[str, Any]) -> None:
    if phase == "stop" and about["generation"] == 2:
        gc.freeze()
