"""Refunds on the applied stack: from the API to Stripe, and what the bank returns later."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from local.stack import LocalStack
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.domain.audit_chain import verify
from payments.ports.payment_store import require
from tests.e2e.conftest import Api, Events, Gateway
from tests.waiting import eventually

NewId = Callable[[], str]
Client = Callable[[str], Any]


@pytest.mark.fault(81, 82)
def test_refund_by_hand_and_one_that_fails_later_are_in_the_books(
    api: Api,
    gateway: Gateway,
    events: Events,
    client: Client,
    outputs: dict[str, str],
    new_id: NewId,
    local_stack: LocalStack,
) -> None:
    payment_id, refund_id = new_id(), new_id()
    api.post({"payment_id": payment_id, "amount": 12, "currency": "EUR"})
    intent = api.settled(payment_id)["references"]["gateway_reference"]
    path = f"/payments/{payment_id}/refunds"

    def refund() -> dict[str, Any]:
        found: dict[str, Any] = api.get(f"/refunds/{refund_id}").json()
        return found

    for _ in range(2):
        answer = api.post({"refund_id": refund_id, "amount": "4.00", "metadata": {"order": "A-17"}}, path)
        assert answer.status_code == 202, answer.text
    assert api.post({"refund_id": new_id(), "amount": 9}, path).status_code == 409
    eventually("a refund", refund, lambda view: view["status"] == "succeeded")
    assert [found["metadata"]["refund_id"] for found in gateway.refunds(intent)] == [refund_id]
    [event, *_] = eventually("its event", lambda: events.of(refund_id=refund_id, status="succeeded"))
    assert event["attributes"] == {"event_type": "refund", "status": "succeeded"}

    by_hand = gateway.refund(intent, 100)
    eventually("the refund by hand", lambda: api.get(f"/refunds/{by_hand}").status_code, lambda code: code == 200)
    gateway.control(f"refunds/{refund()['gateway_reference']}/fail")
    failed = eventually("its late failure", refund, lambda view: view["status"] == "failed")

    assert failed["attention"] == "failed_late"
    view = eventually(
        "the books", lambda: api.get(f"/payments/{payment_id}").json(), lambda v: v["amount_refunded"] == 1
    )
    assert view["status"] == "partially_refunded"
    dynamodb = client("dynamodb")
    payments = DynamoPaymentStore(dynamodb, outputs["payments_table"])
    row = eventually("the audit", lambda: require(payments, payment_id), lambda row: row.audited_version == row.version)
    verify(row, DynamoAuditStore(dynamodb, outputs["audit_table"], outputs["payments_table"]).entries(payment_id))
    lines = map(json.loads, local_stack.aws.permissions_path.read_text().splitlines())
    assert [line for line in lines if not line["allowed"] and "refund" in json.dumps(line)] == []
