"""The result of a workflow step for a payment: the only data that passes through the state machine."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from payments.domain.errors import POLICIES, PaymentError, policy_of
from payments.domain.statuses import Status

NOT_CHARGED = "not_charged"
"""The code of an outcome `failed` that the gateway's answer proves, as opposed to failed attempts."""
TOO_MANY_ATTEMPTS = "too_many_attempts"
"""The code of a payment that is not sent again: `failed` if nothing was charged, `unknown` if that is not known."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A status with its reason and the gateway's reference, as `sealed_reference` gives it. No personal data.

    `reference_digest`: see `Payment`. `refunded_minor_units` is None if the gateway
    was not asked for it. `seen_version` is the version of the row when the gateway was asked, 0 if that is not known.
    """

    status: Status
    code: str = ""
    message: str = ""
    gateway: str = ""
    gateway_reference: str = ""
    reference_digest: str = ""
    refunded_minor_units: int | None = None
    seen_version: int = 0

    def as_json(self) -> dict[str, Any]:
        """The outcome as JSON, as a step returns it."""
        return {**asdict(self), "status": self.status.value}


def answered(step: Callable[[], Outcome | None]) -> Outcome | None:
    """Run a step and convert the errors that are answers (declined, invalid, …) into its outcome.

    All other errors pass: the state machine retries and finally catches them.
    """
    try:
        return step()
    except PaymentError as error:
        policy = POLICIES[type(error)]
        if not policy.is_answer:
            raise
        return Outcome(policy.status, error.code, error.message, gateway_reference=error.gateway_reference)


def outcome_of(state: Mapping[str, Any]) -> Outcome:
    """The outcome in a state machine's data: the one that a step returned, or the one that a caught error maps to.

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
        message=details.get("message") or f"the step failed with {name}",
        gateway_reference=details.get("gateway_reference", ""),
    )


def _details(cause: str) -> dict[str, str]:
    """The PaymentError inside a Lambda error's cause. The text of other errors is dropped: it may hold private data."""
    try:
        details = json.loads(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return {}
    return details if isinstance(details, dict) else {}
