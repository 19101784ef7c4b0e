"""The same answers in less time: all of AWS is one process here, and this is what most of its time went into.

- A policy and an expression are parsed once and remembered: functions send the same few over and over.
- Items are copied by `marshal`, in a tenth of the time of `copy.deepcopy`: MiniStack copies up to four at each write.
- Who a function's key belongs to, and the policies of its role, are looked up once, until IAM or STS is asked anything.
- The `Date` of an answer is written once a second.
- The garbage collector looks for cycles less often: requests leave hardly any.
- What survives a full garbage collection is not looked through again: rows live long, and with some ten thousand of
  them each collection stopped all of AWS for half a second and more.
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

GC_THRESHOLDS = (20_000, 20, 20)
"""New containers before a collection of the youngest, and collections before one of the next generation."""


def apply() -> None:
    """Take hold of MiniStack in this process, before it serves."""
    wrap(iam_evaluator, "parse_policy_document", _remembering(iam_evaluator.parse_policy_document))
    wrap(dynamodb, "_tokenize", _remembering(dynamodb._tokenize))
    dynamodb.copy = SimpleNamespace(deepcopy=copied)
    wrap(iam_evaluator, "resolve_principal", _known_principal)
    wrap(responses, "_account_from_sts_session", _known_account)
    for service in (iam, sts):
        wrap(service, "handle_request", _forget_afterwards)
    wrap(app, "formatdate", _date_of_this_second)
    gc.set_threshold(*GC_THRESHOLDS)
    gc.callbacks.append(_keep_survivors)


def copied(value: Any) -> Any:
    """What `copy.deepcopy` gives, at once for values as JSON has them."""
    try:
        return marshal.loads(marshal.dumps(value))  # noqa: S302 - what we wrote ourselves a moment ago
    except ValueError:  # it holds something else, such as a table of MiniStack's own kind
        return copy.deepcopy(value)


_principals: dict[str, Any] = {}
_accounts: dict[str, str] = {}


def _known_principal(resolve: Any, access_key: str, account: str, credential: Any = None) -> Any:
    if access_key in _principals:
        return _principals[access_key]
    principal = resolve(access_key, account, credential)
    session = sts._sessions.get(access_key) or {}
    if isinstance(principal, iam_evaluator.PrincipalInfo) and session and not session.get("Expiration"):
        _principals[access_key] = principal
    return principal


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


def _date_of_this_second(write: Any, *moment: Any, **form: Any) -> str:
    global _date
    if moment or form != {"usegmt": True}:
        return str(write(*moment, **form))
    second = int(time.time())
    if _date[0] != second:
        _date = (second, write(**form))
    return _date[1]


def _remembering(parse: Any) -> Any:
    """A wrapper of a function from text to a list; each caller is given a list of its own."""
    remembered = lru_cache(maxsize=1024)(parse)

    def parsed(original: Any, text: Any) -> Any:
        return list(remembered(text)) if isinstance(text, str) else original(text)

    return parsed


def _keep_survivors(phase: str, about: dict[str, Any]) -> None:
    if phase == "stop" and about["generation"] == 2:
        gc.freeze()
