"""The audit log of the applied stack: signed under the functions' own roles, anchored, and verified by an operator."""

from collections.abc import Callable
from typing import Any

import pytest

from payctl.failures import Exit
from tests.e2e.conftest import Api, Payctl, json_of


@pytest.mark.fault(24)
def test_verify_ends_with_6_and_names_an_entry_that_was_edited(
    api: Api, payctl: Payctl, client: Callable[[str], Any], outputs: dict[str, str], new_id: Callable[[], str]
) -> None:
    payment_id = new_id()
    api.post({"payment_id": payment_id, "amount": 5, "currency": "USD"})
    api.settled(payment_id)
    payctl("audit", "anchor")

    entries = api.get(f"/payments/{payment_id}/audit").json()["entries"]
    assert [entry["outcome"] for entry in entries] == ["Payment Pending", "Payment Processing", "Payment Successful"]
    assert entries[-1]["signature"]
    untouched = payctl("audit", "verify", payment_id, "--json")
    assert (untouched.returncode, json_of(untouched)["faults"]) == (Exit.DONE, []), untouched.stderr

    def write_amount(minor_units: int) -> None:
        client("dynamodb").update_item(
            TableName=outputs["audit_table"],
            Key={"payment_id": {"S": payment_id}, "sequence": {"N": "2"}},
            UpdateExpression="SET minor_units = :amount",
            ExpressionAttributeValues={":amount": {"N": str(minor_units)}},
        )

    write_amount(1)
    try:
        edited = payctl("audit", "verify", payment_id, "--json")
        assert edited.returncode == Exit.TAMPERED, edited.stderr
        (fault,) = json_of(edited)["faults"]
        assert (fault["payment_id"], fault["entry"], fault["kind"]) == (payment_id, 2, "edited")
    finally:
        write_amount(500)  # the backups of other tests verify every chain
    assert payctl("audit", "verify", payment_id).returncode == Exit.DONE
