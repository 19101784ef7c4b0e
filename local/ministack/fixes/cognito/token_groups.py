"""The groups that a trigger of version 2 gives stand in both tokens, and a trigger that fails ends the login.

MiniStack looks for the groups beside the claims of one token, where Cognito has none, and issues a token with every
group when the trigger fails.

Probe: `token_groups` in tests/local/ministack/test_upstream.py.
"""

import os
from typing import Any

from ministack.services import cognito

from local.ministack.fixes.patching import wrap

GROUPS = "groupOverrideDetails"


def apply() -> None:
    os.environ["MINISTACK_COGNITO_PRETOKEN_STRICT"] = "1"
    wrap(cognito, "_extract_trigger_response", _with_groups_in_both_tokens)


def _with_groups_in_both_tokens(extract: Any, payload: Any) -> Any:
    response = extract(payload)
    overrides = (response or {}).get("claimsAndScopeOverrideDetails") or {}
    if GROUPS in overrides:
        for token in ("accessTokenGeneration", "idTokenGeneration"):
            overrides[token] = (overrides.get(token) or {}) | {GROUPS: overrides[GROUPS]}
    return response
