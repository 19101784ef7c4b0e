"""Two linters of the Amazon States Language on the state machine; the local AWS accepts invalid definitions."""

from copy import deepcopy
from typing import Any

from tests.infrastructure import linters
from tests.infrastructure.synth import Stack


def test_state_machines_when_linted_then_nothing_is_found(stacks: dict[str, Stack]) -> None:
    found = linters.states_language({suffix: stack.definition() for suffix, stack in stacks.items()})
    assert found == []
    assert linters.states_language({suffix: stack.refund_definition() for suffix, stack in stacks.items()}) == []


def test_linters_when_faults_are_planted_then_each_is_found(dev: Stack) -> None:
    planted: dict[str, dict[str, Any]] = {
        name: deepcopy(dev.definition()) for name in ("lost state", "next to nowhere", "no ARN", "broken path")
    }
    planted["lost state"]["States"]["Lost"] = {"Type": "Succeed"}
    planted["next to nowhere"]["States"]["Record"]["Next"] = "Nowhere"
    planted["no ARN"]["States"]["Charge"]["Resource"] = "payment-charge"
    planted["broken path"]["States"]["Publish"]["Parameters"]["Message.$"] = "States.JsonToString($.event"

    found = linters.states_language(planted)

    assert {finding["name"] for finding in found} == planted.keys()
    assert {finding["linter"] for finding in found} == {"asl-validator", "amazon-states-language-service"}
