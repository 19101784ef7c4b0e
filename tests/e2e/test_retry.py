"""A failed payment is sent again on the applied stack: by the API, by payctl, and under the same id in a file."""

from collections.abc import Callable
from typing import Any

import pytest

from payctl.failures import Exit
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.kms import KmsFieldEncryptor
from payments.domain.clock import utc_now
from payments.domain.payment import Payment, accepted, moved, parse_request
from payments.domain.statuses import Status
from tests.e2e.conftest import Api, BatchFiles, Events, Gateway, Payctl, json_of
from tests.waiting import eventually

NewId = Callable[[], str]
Failed = Callable[[], Payment]


@pytest.fixture
def failed(client: Callable[[str], Any], outputs: dict[str, str], new_id: NewId) -> Failed:
    """Stores a payment as one that failed at its deadline, a day after it was accepted."""
    encryptor = KmsFieldEncryptor(client("kms"), outputs["vault_key_arn"])
    store = DynamoPaymentStore(client("dynamodb"), outputs["payments_table"], encryptor)

    def make() -> Payment:
        body = {"payment_id": new_id(), "amount": 5, "currency": "USD", "metadata": {"order": "A-17"}}
        store.create(accepted(parse_request(body), at=utc_now(), source="rest"))
        row = store.get(body["payment_id"])  # type: ignore[arg-type]
        assert row
        row = moved(row, Status.FAILED, at=utc_now(), actor="workflow", code="gateway_unreachable", message="an outage")
        store.save(row)
        return row

    return make


@pytest.mark.fault(90)
def test_failed_payment_is_sent_again_once_by_api_payctl_and_file(
    api: Api, gateway: Gateway, events: Events, payctl: Payctl, batch_file: BatchFiles, failed: Failed
) -> None:
    old = failed().payment_id
    new = f"{old}_r2"
    sent = api.call("POST", f"/payments/{old}/retry")
    assert (sent.status_code, sent.json()["payment_id"]) == (202, new), sent.text
    by_payctl = json_of(payctl("payment", "retry", old, "--yes", "--json"))
    assert (by_payctl["retried_as"], by_payctl["repeated"]) == (new, True)
    assert api.settled(new)["status"] == "succeeded"
    file = f'payment_id,amount,currency,metadata\n{new},5,USD,"{{""order"": ""A-17""}}"\n'
    assert "over rest" in batch_file.result(batch_file.upload(file), "results")
    assert api.get(f"/payments/{old}").json()["retried_as"] == new
    assert api.get(f"/payments/{new}").json()["metadata"] == {"order": "A-17"}
    assert [one["payment_id"] for one in gateway.all_charges() if one["payment_id"].startswith(old)] == [new]
    eventually("its event", lambda: events.of(payment_id=new, status="succeeded"))
    explained = payctl("payment", "explain", old)
    assert new in explained.stdout
    refused = api.call("POST", f"/payments/{new}/retry")
    assert (refused.status_code, "is succeeded" in refused.json()["detail"]) == (409, True)


@pytest.mark.fault(90)
def test_row_of_a_retry_links_the_failed_payment_before_its_charge(
    api: Api, payctl: Payctl, batch_file: BatchFiles, failed: Failed
) -> None:
    old = failed().payment_id
    name = batch_file.upload(f"payment_id,amount,currency\n{old}_r2,5,USD\n")
    assert "succeeded" in batch_file.result(name, "results")
    assert api.get(f"/payments/{old}").json()["retried_as"] == f"{old}_r2"
    again = payctl("payment", "retry", old, "--yes")
    assert (again.returncode, "already sent again" in again.stderr) == (Exit.DONE, True)
