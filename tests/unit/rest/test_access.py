"""Roles and operations, cell by cell: the code's table against the contract's."""

from typing import Any

import pytest
import yaml

from lib.package import ROOT
from payments.domain.identity import EVERYBODY, Caller, Role
from payments.rest.access import ALLOWED, require_role
from payments.rest.http import Problem

CONTRACT: dict[str, Any] = yaml.safe_load((ROOT / "api" / "openapi.yaml").read_text())
ROLES: dict[str, set[str]] = {
    operation["operationId"]: set(operation["x-roles"])
    for operations in CONTRACT["paths"].values()
    for operation in operations.values()
    if "x-roles" in operation
}
"""Operation → the roles that the contract promises it to."""


def lets_in(caller: Caller, operation: str) -> bool:
    """False if it is 403."""
    try:
        require_role(caller, operation)
    except Problem as refused:
        return refused.status != 403
    return True


@pytest.mark.fault(42)
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("operation", ROLES)
def test_operation_when_called_in_a_role_then_as_the_contract_says(operation: str, role: Role) -> None:
    assert lets_in(Caller("somebody", frozenset({role})), operation) is (role in ROLES[operation])


def test_operations_when_listed_then_contract_and_code_know_the_same() -> None:
    assert {operation: set(map(str, roles)) for operation, roles in ALLOWED.items()} == ROLES


def test_contract_when_it_asks_for_a_token_then_it_says_for_which_roles() -> None:
    without = {
        operation["operationId"]
        for operations in CONTRACT["paths"].values()
        for operation in operations.values()
        if "x-roles" not in operation
    }
    open_to_all = {
        operation["operationId"]
        for operations in CONTRACT["paths"].values()
        for operation in operations.values()
        if operation.get("security") == []
    }
    assert without == open_to_all == {"get_health", "receive_stripe_event"}


@pytest.mark.parametrize("operation", ALLOWED)
def test_operation_when_the_caller_has_no_role_then_403(operation: str) -> None:
    assert not lets_in(Caller("machine", frozenset()), operation)
    assert lets_in(EVERYBODY, operation)


def test_operation_when_one_of_several_roles_is_enough_then_let_in() -> None:
    both = Caller("somebody", frozenset({Role.CUSTOMER, Role.OPERATOR}))
    assert lets_in(both, "list_payments")
    assert not lets_in(both, "create_payment")


@pytest.mark.fault(42)
@pytest.mark.parametrize("operation", ALLOWED)
def test_auditor_reads_everything_and_changes_nothing(operation: str) -> None:
    verb = operation.partition("_")[0]
    reads = verb in ("get", "list", "find")
    assert lets_in(Caller("somebody", frozenset({Role.AUDITOR})), operation) is reads


@pytest.mark.fault(42)
@pytest.mark.parametrize("reader", [Role.AUDITOR, Role.OPERATOR])
@pytest.mark.parametrize("own", [Role.CUSTOMER, Role.MERCHANT])
@pytest.mark.parametrize("operation", ALLOWED)
def test_reading_all_data_gives_no_right_to_change_that_of_others(operation: str, own: Role, reader: Role) -> None:
    """A role that only reads does not count where it may not call: the owner of the data decides."""
    both = Caller("somebody", frozenset({own, reader}))
    if lets_in(both, operation):
        assert require_role(both, operation).sees_all is (reader in ALLOWED[operation])


def test_refused_operation_names_the_required_roles() -> None:
    with pytest.raises(Problem) as refused:
        require_role(Caller("somebody", frozenset({Role.OPERATOR})), "create_payment")
    assert "one of the roles admin, merchant;" in refused.value.detail


def test_operation_missing_from_the_role_table_is_refused() -> None:
    with pytest.raises(KeyError):
        require_role(EVERYBODY, "unknown")
