"""The step of the refund workflow, from an input state to an output state. The function and the simulation run it.

A state is {"refund_id", "payment_id"}, or {"payment_id"} to compare all refunds of a payment with the gateway's list,
with "event", "wait_seconds" and "waits": ids and numbers, no personal data.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.application.refund import Refunding
from payments.application.steps import LONGEST_WAIT_SECONDS, SLOT_WAIT_SECONDS
from payments.domain.clock import iso, parse_iso
from payments.domain.errors import POLICIES, RateLimited
from payments.domain.events import refund_event
from payments.ports.payment_store import require
from payments.ports.refund_store import require_refund
from payments.ports.refund_workflow import RefundWorkflow
from payments.ports.slot_counter import NoFreeSlot

State = dict[str, Any]


def refund_step(
    state: Mapping[str, Any],
    *,
    refunding: Refunding,
    rate_limiter: GatewayRateLimiter,
    workflow: RefundWorkflow,
    jitter: Callable[[int], int],
    longest_wait_seconds: int = 0,
) -> State:
    """Carry out a refund within the gateway's rate, and return the event to publish or how long to wait.

    A comparison starts an execution for each refund that changed, which publishes it. With `longest_wait_seconds` above
    0 an execution waits no longer at a time: it returns "left", and recovery continues at the time on the row.
    """
    refunding = replace(refunding, turn=lambda: rate_limiter.take()())
    what_for = {name: state[name] for name in ("refund_id", "payment_id") if name in state}

    def wait(seconds: int, **more: Any) -> State:
        if longest_wait_seconds and seconds > longest_wait_seconds:
            return {**what_for, "left": True}
        return {**what_for, "wait_seconds": seconds, **more}

    try:
        if "refund_id" not in state:
            for changed in refunding.look(state["payment_id"]):
                workflow.restart(changed.refund_id, changed.payment_id, f"v{changed.version}")
            return what_for
        now, row = refunding.clock(), require_refund(refunding.refunds, state["refund_id"])
        if row.not_before > iso(now):
            left = int((parse_iso(row.not_before) - now).total_seconds()) + 1
            return wait(min(left, 2 * LONGEST_WAIT_SECONDS))
        refund = refunding.process(row.refund_id)
    except NoFreeSlot:
        waits = state.get("waits", 0)
        seconds = min(SLOT_WAIT_SECONDS * 2**waits, LONGEST_WAIT_SECONDS)
        return wait(seconds + jitter(seconds), waits=min(waits + 1, 10))
    except RateLimited as error:
        policy = POLICIES[RateLimited]
        seconds = max(min(error.retry_after_seconds, LONGEST_WAIT_SECONDS), policy.interval_seconds)
        seconds += jitter(seconds)
        if "refund_id" in state:
            refunding.refunds.postpone(state["refund_id"], refunding.clock() + timedelta(seconds=seconds))
        return wait(seconds, waits=min(state.get("waits", 0) + 1, 10))
    return {**what_for, "event": refund_event(refund, require(refunding.payments, refund.payment_id))}
