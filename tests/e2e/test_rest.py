"""Payments over REST on the applied stack: the ingress and charge faults of the catalogue, as a client sees them."""

import base64
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
import requests

from local.stack import LocalStack
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.domain.audit_chain import verify
from payments.domain.clock import utc_now
from payments.domain.payment import accepted
from payments.domain.statuses import OPEN
from payments.ports.payment_store import require
from tests.e2e.conftest import Api, Events, Gateway
from tests.unit.builders import request
from tests.unit.red_team.nasty import obj, value
from tests.waiting import eventually

NewId = Callable[[], str]
Client = Callable[[str], Any]


def body(payment_id: str, **more: Any) -> dict[str, Any]:
    return {"payment_id": payment_id, "amount": 99.99, "currency": "USD"} | more


def test_payment_is_charged_recorded_audited_and_published(
    api: Api, gateway: Gateway, events: Events, client: Client, outputs: dict[str, str], new_id: NewId
) -> None:
    payment_id = new_id()
    answer = api.post(body(payment_id, customer_id="c-1", description="tea", metadata={"order": "A-17"}))
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert answer.headers["Location"] == f"/payments/{payment_id}"

    view = api.settled(payment_id)
    assert (view["status"], view["amount"], view["currency"]) == ("succeeded", 99.99, "USD")
    assert [change["status"] for change in view["history"]] == ["pending", "processing", "succeeded"]

    [charge] = gateway.charges(payment_id)
    assert (charge["amount"], charge["payment_intent"]) == (9999, view["references"]["gateway_reference"])

    event, *_ = eventually(f"the event of {payment_id}", lambda: events.of(payment_id=payment_id))
    assert event["attributes"] == {"event_type": "payment", "status": "succeeded"}
    assert "pm_" not in json.dumps(event)

    dynamodb = client("dynamodb")
    row = require(DynamoPaymentStore(dynamodb, outputs["payments_table"]), payment_id)
    log = DynamoAuditStore(dynamodb, outputs["audit_table"], outputs["payments_table"]).entries(payment_id)
    verify(row, log)
    assert (row.audited_version, len(log)) == (row.version, row.version)


def test_lists_find_a_payment_by_every_filter(api: Api, client: Client, outputs: dict[str, str], new_id: NewId) -> None:
    payment_id, order = new_id(), new_id()
    api.post(body(payment_id, metadata={"order": order}))
    view = api.settled(payment_id)
    day = view["created_at"][:10]

    def found(query: str) -> list[str]:
        answer = api.get(f"/payments?{query}")
        assert answer.status_code == 200, answer.text
        return [one["payment_id"] for one in answer.json()["payments"]]

    for query in (
        f"metadata=order:{order}",
        f"metadata=order:{order}&day={day}&currency=USD&amount=99.99&status=succeeded",
        f"gateway_reference={view['references']['gateway_reference']}",
    ):
        eventually(f"{payment_id} in the list of {query}", lambda query=query: found(query), [payment_id].__eq__)  # type: ignore[misc]
    assert found("batch_id=no-such-batch") == []
    row = client("dynamodb").get_item(TableName=outputs["payments_table"], Key={"payment_id": {"S": payment_id}})
    assert order not in json.dumps(row["Item"], default=str)
    assert api.get("/payments?currency=USD").status_code == 400


@pytest.mark.fault(1)
def test_payment_sent_again_has_one_answer_one_execution_one_charge(
    api: Api, gateway: Gateway, client: Client, outputs: dict[str, str], new_id: NewId
) -> None:
    payment_id = new_id()
    first = api.post(body(payment_id))
    early = api.post(body(payment_id))
    api.settled(payment_id)
    late = api.post(body(payment_id))
    assert {answer.status_code for answer in (first, early, late)} == {202}
    assert first.text == early.text == late.text
    assert late.headers["Idempotent-Replayed"] == "true"
    arn = outputs["state_machine_arn"].replace(":stateMachine:", ":execution:") + f":{payment_id}"
    assert client("stepfunctions").describe_execution(executionArn=arn)["status"] in ("RUNNING", "SUCCEEDED")
    assert len(gateway.charges(payment_id)) == 1


@pytest.mark.fault(2)
def test_payment_id_with_other_content_gets_409_and_changes_nothing(api: Api, gateway: Gateway, new_id: NewId) -> None:
    payment_id = new_id()
    api.post(body(payment_id))
    before = api.settled(payment_id)
    refused = api.post(body(payment_id, amount=1))
    assert refused.status_code == 409
    assert "other content" in refused.json()["detail"]
    assert api.get(f"/payments/{payment_id}").json() == before
    assert len(gateway.charges(payment_id)) == 1


@pytest.mark.fault(3)
def test_payment_posted_20_times_at_once_is_accepted_and_charged_once(
    api: Api, gateway: Gateway, new_id: NewId
) -> None:
    payment_id = new_id()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: api.post(body(payment_id)), range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert len([answer for answer in answers if "Idempotent-Replayed" not in answer.headers]) == 1
    assert api.settled(payment_id)["status"] == "succeeded"
    assert len(gateway.charges(payment_id)) == 1


@pytest.mark.fault(4)
def test_repeat_starts_a_stored_but_unstarted_payment_once(
    api: Api, gateway: Gateway, client: Client, outputs: dict[str, str], new_id: NewId
) -> None:
    payment_id = new_id()
    stored = accepted(request(payment_id), at=utc_now(), source="rest")
    DynamoPaymentStore(client("dynamodb"), outputs["payments_table"]).create(stored)
    assert api.post(body(payment_id)).headers["Idempotent-Replayed"] == "true"
    assert api.settled(payment_id)["status"] == "succeeded"
    assert len(gateway.charges(payment_id)) == 1


@pytest.mark.fault(15, 16, 17)
@pytest.mark.parametrize(
    ("method", "status", "code"),
    [
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "declined", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedStolenCard", "declined", "stolen_card"),
        ("pm_card_authenticationRequired", "requires_action", "authentication_required"),
    ],
)
def test_card_that_does_not_pay_gives_its_reason_after_one_attempt(
    api: Api, gateway: Gateway, events: Events, new_id: NewId, method: str, status: str, code: str
) -> None:
    payment_id = new_id()
    api.post(body(payment_id, payment_method=method))
    view = api.settled(payment_id)
    assert (view["status"], view["reason"]["code"]) == (status, code)
    assert [change["status"] for change in view["history"]].count("processing") == 1
    assert gateway.charges(payment_id) == []
    event, *_ = eventually(f"the event of {payment_id}", lambda: events.of(payment_id=payment_id))
    assert event["attributes"]["status"] == status


@pytest.mark.fault(17)
@pytest.mark.parametrize(("outcome", "status"), [("succeeded", "succeeded"), ("failed", "declined")])
def test_next_action_is_all_a_client_needs_to_finish_3d_secure(
    api: Api, gateway: Gateway, new_id: NewId, outcome: str, status: str
) -> None:
    payment_id = new_id()
    api.post(body(payment_id, payment_method="pm_card_threeDSecure2Required"))
    api.settled(payment_id)
    answer = eventually(
        f"the next action of {payment_id}",
        lambda: api.get(f"/payments/{payment_id}"),
        lambda answer: "next_action" in answer.json(),
        progress=lambda answer: answer and answer.text,
    )
    assert answer.headers["Cache-Control"] == "no-store"
    form = {"payment_intent_client_secret": answer.json()["next_action"]["client_secret"], "outcome": outcome}
    requests.post(f"{gateway.url}/3d_secure", data=form, timeout=60).raise_for_status()
    view = eventually(
        f"{payment_id} to be {status}",
        lambda: api.get(f"/payments/{payment_id}").json(),
        lambda view: view["status"] == status,
    )
    assert "next_action" not in view
    assert len(gateway.charges(payment_id)) == (status == "succeeded")


@pytest.mark.fault(10)
def test_payment_is_found_and_charged_once_after_a_lost_answer(api: Api, gateway: Gateway, new_id: NewId) -> None:
    payment_id = new_id()
    gateway.fault(kind="answer_lost", payment_id=payment_id, method="POST")
    api.post(body(payment_id))
    assert api.settled(payment_id)["status"] == "succeeded"
    assert len(gateway.charges(payment_id)) == 1


@pytest.mark.fault(11)
def test_payment_stays_unknown_not_failed_after_a_replayed_500(api: Api, gateway: Gateway, new_id: NewId) -> None:
    payment_id = new_id()
    gateway.fault(kind="server_error", payment_id=payment_id, method="POST", executes=False)
    api.post(body(payment_id))
    first, *later = [seen["status"] for seen in api.settled(payment_id)["history"] if seen["status"] not in OPEN]
    assert first == "unknown"
    assert later in ([], ["failed"])  # the list may already have proven that there is no charge
    assert gateway.charges(payment_id) == []


@pytest.mark.fault(12)
def test_payment_when_the_gateway_is_busy_then_it_waits_and_charges_once(
    api: Api, gateway: Gateway, new_id: NewId
) -> None:
    payment_id = new_id()
    gateway.fault(kind="rate_limited", payment_id=payment_id, times=3)
    api.post(body(payment_id))
    view = eventually(
        f"{payment_id} to succeed",
        lambda: api.get(f"/payments/{payment_id}").json(),
        lambda seen: seen["status"] == "succeeded",
    )
    assert [change["status"] for change in view["history"]].count("processing") == 4
    assert len(gateway.charges(payment_id)) == 1


@pytest.mark.fault(18)
def test_other_amount_at_the_gateway_is_held_for_review(api: Api, gateway: Gateway, new_id: NewId) -> None:
    payment_id = new_id()
    gateway.fault(kind="altered", payment_id=payment_id, method="POST", fields={"amount_received": 1})
    api.post(body(payment_id))
    view = api.settled(payment_id)
    assert (view["status"], view["reason"]["code"]) == ("in_review", "amount_differs")


@pytest.mark.fault(19)
def test_refused_key_makes_the_payment_wait_and_fires_an_alarm(
    api: Api, gateway: Gateway, events: Events, client: Client, new_id: NewId
) -> None:
    payment_id = new_id()
    gateway.fault(kind="unauthorized", payment_id=payment_id, times=100_000)
    api.post(body(payment_id))
    eventually(f"the event of {payment_id}", lambda: events.of(payment_id=payment_id, status="pending"))
    ringing = {"AlarmNames": ["payment-gateway-misconfigured-local"], "StateValue": "ALARM"}
    [alarm] = eventually("the alarm", lambda: client("cloudwatch").describe_alarms(**ringing)["MetricAlarms"])
    assert "docs/runbooks.md#gateway-misconfigured" in alarm["AlarmDescription"]
    gateway.behave()
    # the key works again: one payment does not pause the batches, and recovery restarts it
    eventually(
        f"{payment_id} to succeed",
        lambda: api.get(f"/payments/{payment_id}").json(),
        lambda seen: seen["status"] == "succeeded",
    )
    assert len(gateway.charges(payment_id)) == 1


def test_payment_when_it_has_no_method_then_the_customers_default_is_used(
    api: Api, client: Client, outputs: dict[str, str], new_id: NewId
) -> None:
    customer_id, payment_id = new_id(), new_id()
    item = {"customer_id": {"S": customer_id}, "default_payment_method": {"S": "pm_card_visa_chargeDeclined"}}
    client("dynamodb").put_item(TableName=outputs["customers_table"], Item=item)
    api.post(body(payment_id, customer_id=customer_id))
    assert api.settled(payment_id)["status"] == "declined"


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ("", "body"),
        ("{", "body"),
        ("[]", "object"),
        ({"amount": 1, "currency": "USD"}, "payment_id"),
        (body("pay_1", amount="NaN"), "amount"),
        ('{"payment_id": "pay_1", "amount": NaN, "currency": "USD"}', ""),
        (body("pay_1", amount=-1), "amount"),
        (body("pay_1", amount=0), "amount"),
        (body("pay_1", amount="10.50", currency="JPY"), "JPY"),
        (body("pay_1", amount="1.2345", currency="KWD"), "KWD"),
        (body("pay_1", amount="1e3"), "amount"),
        (body("pay_1", currency="usd"), "currency"),
        (body("pay_1", currency="USX"), "ISO 4217"),
        (body("white space"), "payment_id"),
        (body("pay_1", colour="red"), "colour"),
        (body("pay_1", metadata={"a": 1}), "metadata"),
        (body("pay_1", description="my card is 4242 4242 4242 4242"), "card number"),
        (body("pay_1", metadata={"card": "5555555555554444"}), "card number"),
        (body("pay_1", description="\ud800"), "description"),
    ],
)
def test_wrong_request_gets_400_with_the_fault_and_stores_nothing(api: Api, sent: Any, says: str) -> None:
    refused = api.post(sent)
    assert refused.status_code == 400
    assert refused.headers["Content-Type"] == "application/problem+json"
    problem = refused.json()
    assert (problem["status"], problem["type"]) == (400, "urn:problem:payment-api:invalid-request")
    assert says in json.dumps(problem)
    assert api.get("/payments/pay_1").status_code == 404


@pytest.mark.parametrize("path", ["/payments/nothing_here", "/payments/" + "x" * 100, "/nowhere"])
def test_get_when_there_is_nothing_then_404_as_a_problem(api: Api, path: str) -> None:
    missing = api.get(path)
    assert missing.status_code == 404
    assert missing.headers["Content-Type"] == "application/problem+json"
    assert missing.json()["detail"]


def test_health_when_asked_then_ok(api: Api) -> None:
    assert api.get("/health").json() == {"status": "ok"}


@pytest.mark.fault(44)
def test_card_numbers_tokens_and_keys_are_in_no_log_and_no_history(
    api: Api, local_stack: LocalStack, client: Client, outputs: dict[str, str], new_id: NewId
) -> None:
    payment_id = new_id()
    api.post(body(payment_id, description="pay with 4000002500003155"))
    api.post(body(payment_id, payment_method="pm_card_mastercard"))
    api.settled(payment_id)
    texts = [local_stack.aws.log_path.read_text(errors="replace")]
    logs, machine = client("logs"), client("stepfunctions")
    for group in logs.describe_log_groups()["logGroups"]:
        found = logs.filter_log_events(logGroupName=group["logGroupName"], limit=10000)["events"]
        texts += [event["message"] for event in found]
    arn = outputs["state_machine_arn"].replace(":stateMachine:", ":execution:") + f":{payment_id}"
    texts.append(str(machine.get_execution_history(executionArn=arn, maxResults=1000)["events"]))
    everything = "\n".join(texts)
    assert payment_id in everything
    for secret in ("4000002500003155", "pm_card_mastercard", "sk_test_"):
        assert secret not in everything


@pytest.mark.fault(71)
def test_no_token_and_no_body_causes_a_500(api: Api, outputs: dict[str, str], new_id: NewId) -> None:
    """200 of the inputs of tests/unit/red_team/test_fuzzing.py, through API Gateway and the authorizer."""
    random, statuses = Random(1), Counter[int]()

    def part(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).rstrip(b"=").decode()

    anybody = Api(outputs)
    for _ in range(100):
        header, claims = obj(random, {"alg": "RS256", "kid": "k"}), obj(random, {"sub": "s", "exp": 1, "iat": 1.5})
        answer = anybody.call("GET", "/payments", headers={"Authorization": f"Bearer {part(header)}.{part(claims)}.YQ"})
        statuses[answer.status_code] += 1
    assert set(statuses) <= {401, 403}, statuses

    for _ in range(100):
        usual = body(new_id(), description="tea", metadata={"order": "A-17"})
        text = obj(random, usual) if random.randrange(10) else value(random)
        statuses[api.post(text.encode("utf-8", "surrogatepass")).status_code] += 1
    assert set(statuses) <= {202, 400, 401, 403, 409, 413, 429}, statuses
    assert statuses[202]
    assert statuses[400] > 50, statuses
