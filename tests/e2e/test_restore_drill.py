"""The drill of lost tables: back up under traffic, lose every table, restore, resume, and compare row by row.

`make drill` writes 50,000 rows directly before, `make test` 500.
"""

import json
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from itertools import batched
from typing import Any

import pytest

from local.stack import LocalStack
from local.terraform import ROOT
from payctl.adapters import BACKED_UP_OUTPUTS
from payctl.failures import Exit
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.domain.audit_chain import verify
from payments.domain.clock import iso, utc_now
from payments.domain.statuses import OPEN, Status
from tests.e2e.conftest import Api, Gateway
from tests.waiting import eventually

Client = Callable[[str], Any]
LONGEST_SECONDS = 1800
OVER_SMALL = 99.99
"""Above the small amounts of the fraud rule: all buyers of the drill come from one address."""


class Lost:
    """The stack that loses its tables."""

    def __init__(self, stack: LocalStack, client: Client, outputs: dict[str, str]) -> None:
        self.tables = {name: outputs[output] for name, output in BACKED_UP_OUTPUTS.items()}
        self._stack = stack
        self._dynamodb = client("dynamodb")

    def payctl(self, *arguments: str) -> dict[str, Any]:
        """The JSON answer of `payctl backup`."""
        command = [str(ROOT / "bin" / "payctl"), "--outputs", str(self._stack.outputs_path), "backup", *arguments]
        run = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
        assert run.returncode == Exit.DONE, run.stderr
        answer: dict[str, Any] = json.loads(run.stdout)
        return answer

    def write_customers(self, number: int) -> None:
        """Write so many rows directly."""
        at = iso(utc_now())
        rows = ({"customer_id": {"S": f"drill_{n}"}, "created_at": {"S": at}} for n in range(number))
        for some in batched(rows, 25):
            requests = [{"PutRequest": {"Item": row}} for row in some]
            self._dynamodb.batch_write_item(RequestItems={self.tables["customers"]: requests})

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table."""
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=self.tables[table], ConsistentRead=True)
        return [row for page in pages for row in page["Items"]]

    def lose(self) -> None:
        """Delete every row of every table."""
        for table, name in self.tables.items():
            described = self._dynamodb.describe_table(TableName=name)["Table"]["KeySchema"]
            keys = [part["AttributeName"] for part in described]
            for some in batched(self.rows(table), 25):
                requests = [{"DeleteRequest": {"Key": {key: row[key] for key in keys}}} for row in some]
                self._dynamodb.batch_write_item(RequestItems={name: requests})


class Buyers:
    """Clients that pay one payment after the other until they are stopped."""

    def __init__(self, api: Api) -> None:
        self.ids: list[str] = []
        self._api = api
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._pay)

    def __enter__(self) -> "Buyers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _pay(self) -> None:
        while not self._stop.is_set():
            payment_id = f"drill_{uuid.uuid4().hex[:8]}x"
            assert pay(self._api, payment_id) == 202
            self.ids.append(payment_id)
            time.sleep(0.2)


def pay(api: Api, payment_id: str) -> int:
    """The status of the answer."""
    return api.post({"payment_id": payment_id, "amount": OVER_SMALL, "currency": "USD"}).status_code


@pytest.fixture
def lost(local_stack: LocalStack, client: Client, outputs: dict[str, str]) -> Lost:
    return Lost(local_stack, client, outputs)


@pytest.mark.fault(75, 78)
def test_lost_tables_are_restored_and_no_payment_is_charged_twice(
    lost: Lost, api: Api, gateway: Gateway, client: Client, outputs: dict[str, str], pytestconfig: pytest.Config
) -> None:
    lost.write_customers(pytestconfig.getoption("drill_rows"))
    with Buyers(api) as buyers:
        eventually("payments before the backup", lambda: len(buyers.ids), lambda paid: paid >= 5)
        backup = lost.payctl("run")
        later = len(buyers.ids)
        eventually("payments after the backup", lambda: len(buyers.ids), lambda paid: paid >= later + 3)
    for payment_id in buyers.ids:
        assert api.settled(payment_id)["status"] == Status.SUCCEEDED
    customers = sorted(lost.rows("customers"), key=json.dumps)
    charges = {charge["id"] for charge in gateway.all_charges()}
    before = {charge["payment_id"] for charge in gateway.all_charges()}

    lost.lose()
    # closed. A function believes for five seconds that the environment is open
    read = f"/payments/{buyers.ids[-1]}"
    eventually("the API to be closed", lambda: api.get(read).status_code, lambda status: status == 503)
    assert pay(api, buyers.ids[-1]) == 503  # so that its client does not pay anew
    restored = lost.payctl("restore", str(backup["timestamp"]), "--yes")
    assert pay(api, buyers.ids[-1]) == 503
    resumed = lost.payctl("resume", "--yes")

    assert restored["rows"]["customers"]["written"] == backup["rows"]["customers"]
    assert sorted(lost.rows("customers"), key=json.dumps) == customers
    assert resumed["charges"]["recreated"] >= 3
    assert {pay(api, payment_id) for payment_id in buyers.ids} <= {200, 202}  # every client sends again
    store = DynamoPaymentStore(client("dynamodb"), outputs["payments_table"])
    log = DynamoAuditStore(client("dynamodb"), outputs["audit_table"], outputs["payments_table"])
    for payment_id in buyers.ids:
        assert api.settled(payment_id)["status"] == Status.SUCCEEDED
        row = eventually(
            f"all of {payment_id} to be audited",
            lambda payment_id=payment_id: store.get(payment_id),  # type: ignore[misc]
            lambda seen: seen.audited_version == seen.version,
        )
        verify(row, log.entries(payment_id))
    added = [charge["payment_id"] for charge in gateway.all_charges() if charge["id"] not in charges]
    assert not set(added) & {*buyers.ids}
    assert not set(added) & before, "a payment of another test was charged twice"
    rows = [row for row in lost.rows("payments") if row["payment_id"]["S"] in set(buyers.ids)]
    assert len(rows) == len(buyers.ids)
    assert not [row for row in rows if row["status"]["S"] in OPEN]
