"""A backup of the applied stack, under the function's own role."""

import json
import subprocess
from collections.abc import Callable

from local.stack import LocalStack
from local.terraform import ROOT
from payments.adapters.dynamodb.backed_up import BACKED_UP
from tests.e2e.conftest import Api


def _payctl(stack: LocalStack, *arguments: str) -> dict[str, object]:
    command = [str(ROOT / "bin" / "payctl"), "--outputs", str(stack.outputs_path), "backup", *arguments, "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    answer: dict[str, object] = json.loads(run.stdout)
    return answer


def test_backup_of_a_running_stack_is_complete_verified_and_listed(
    local_stack: LocalStack, api: Api, new_id: Callable[[], str]
) -> None:
    payment_id = new_id()
    api.post({"payment_id": payment_id, "amount": 5, "currency": "USD"})
    api.settled(payment_id)

    made = _payctl(local_stack, "run")

    rows = made["rows"]
    assert isinstance(rows, dict)
    assert rows.keys() == {table.name for table in BACKED_UP}
    assert rows["payments"] >= 1
    assert rows["payment-audit-log"] >= 3
    assert made["problems"] == []
    assert _payctl(local_stack, "verify", str(made["timestamp"])) == made
    backups = _payctl(local_stack, "list")["backups"]
    assert isinstance(backups, list)
    assert (backups[0]["timestamp"], backups[0]["state"]) == (made["timestamp"], "verified")
