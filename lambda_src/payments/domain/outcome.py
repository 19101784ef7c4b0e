"""What a workflow step says became of a payment: the only thing that travels through the state machine."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from payments.domain.errors import POLICIES, PaymentError, policy_of
from payments.domain.statuses import Status

NOT_CHARGED = "not_charged"
"""The code of an outcome `failed` that the gateway's word proves, and not an attempt that came to nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A status with its reason and the gateway's reference, sealed once it leaves a step; never personal data."""

    status: Status
    code: str = ""
    message: str = ""
    gateway: str = ""
    gateway_reference: str = ""

    def as_json(self) -> dict[str, str]:
        """The outcome as a step returns it."""
        return {**asdict(self), "status": self.status.value}


def answered(step: Callable[[], Outcome | None]) -> Outcome | None:
    """Run a step and turn the errors that are answers (declined, invalid, …) into its outcome.

    All other errors pass: the state machine retries and, at last, catches them.
    """
    try:
        return step()
    except PaymentError as error:
        policy = POLICIES[type(error)]
        if not policy.is_answer:
            raise
        return Outcome(policy.status, error.code, error.message, gateway_reference=error.gateway_reference)


def outcome_of(state: Mapping[str, Any]) -> Outcome:
    """The outcome in a state machine's data: a step's own, or what a caught error means by the error table.

    A caught error looks like {"Error": "NotSent", "Cause": "{\\"errorMessage\\": …}"}, as Lambda reports it.
    """
    if "error" not in state:
        values = state["outcome"]
        return Outcome(**{**values, "status": Status(values["status"])})
    name = state["error"].get("Error", "")
    status = policy_of(name).status
    details = _details(state["error"].get("Cause", ""))
    return Outcome(
        status,
        code=details.get("code") or name.replace(".", "_").lower(),
        message=details.get("message") or f"the step ended with {name}",
        gateway_reference=details.get("gateway_reference", ""),
    )


def _details(cause: str) -> dict[str, str]:
    """The PaymentError inside a Lambda error's cause. Any other error's text stays out: it may tell too much."""
    try:
        details = json.loads(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return {}
    return details if isinstance(details, dict) else {}
