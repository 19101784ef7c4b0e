"""Batches over REST: pause, resume and cancel one file of payments."""

import re
from typing import Any

from payments.application.batch.switch_batch import NotSwitched, UnknownBatch, switch_batch
from payments.domain.batch.state import Batch
from payments.domain.batch.switch import SwitchState
from payments.domain.identity import actor_of
from payments.rest.http import Problem, answer
from payments.rest.request import Request
from payments.rest.services import Services
from payments.rest.views import batch_view

BATCH_ID = re.compile(r"[A-Za-z0-9_-]{1,40}-[0-9a-f]{12}", re.ASCII)
"""As `Source.batch_id` makes it."""


def pause_batch(request: Request, services: Services) -> dict[str, Any]:
    """POST /batches/{batch_id}/pause."""
    return _switched(request, services, SwitchState.PAUSED)


def resume_batch(request: Request, services: Services) -> dict[str, Any]:
    """POST /batches/{batch_id}/resume."""
    return _switched(request, services, SwitchState.RUNNING)


def cancel_batch(request: Request, services: Services) -> dict[str, Any]:
    """POST /batches/{batch_id}/cancel. Recovery ends the payments that were not sent, within a minute."""
    return _switched(request, services, SwitchState.CANCELED)


def _switched(request: Request, services: Services, state: SwitchState) -> dict[str, Any]:
    batch_id = request.path["batch_id"]
    try:
        if not BATCH_ID.fullmatch(batch_id):
            raise UnknownBatch
        batch = switch_batch(
            batch_id, state, by=actor_of(request.caller), batches=services.batches, clock=lambda: request.at
        )
    except UnknownBatch:
        raise Problem(
            404,
            "not-found",
            "no batch has this batch_id; check it. The first rows of a new file are read within seconds",
        ) from None
    except NotSwitched as refused:
        raise Problem(409, "conflict", f"{refused}; {_why(refused.batch)}. Nothing was changed.") from None
    return answer(200, batch_view(batch))


def _why(batch: Batch) -> str:
    return "this is final" if batch.switch.is_canceled else "every payment of it has an outcome"
