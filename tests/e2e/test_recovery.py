"""Recovery on the applied stack, with the faults of the fake Stripe.

The fault of a single payment is in its metadata; see local/fake_stripe/fault_spec.py.
"""

import json
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import requests
import stripe

from lib.settings import ENVIRONMENTS
from local.stack import WEBHOOK_SECRET, LocalStack
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.events import DynamoEventStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.application.gateway_rate_limiter import LONGEST_SLEEP_SECONDS
from payments.domain.audit_chain import verify
from payments.domain.clock import utc_now
from payments.domain.gateway_event import EventState
from payments.domain.gateway_slots import slot_length
from payments.domain.payment import ENVIRONMENT, Payment, accepted, moved
from payments.domain.statuses import Status
from payments.ports.payment_store import require
from tests.e2e.conftest import Api, Events, Gateway
from tests.unit.builders import request
from tests.waiting import PATIENCE_SECONDS, eventually

NewId = Callable[[], str]
Client = Callable[[str], Any]

UNITS_OF_WAITING = 24
"""Units of waiting of the stack, of which 12 are the longest between two queries of recovery."""
RECOVERY_SECONDS = 2 * PATIENCE_SECONDS
"""How long a payment may wait for recovery: its first run may meet the lease of one that an earlier test killed."""
AUTHENTICATES = "pm_card_authenticationRequired"
WITHOUT_WEBHOOK = {"unheard": ("requires_action", "authenticate"), "settles": ("processing", "settle")}
"""Payments that the gateway ends without an event: the status of each until then, and the route that ends it."""


def body(payment_id: str, faults: str = "", **more: Any) -> dict[str, Any]:
    """A payment of 99.99 USD with its faults in the metadata."""
    metadata = {"metadata": {"stand_in": faults}} if faults else {}
    return {"payment_id": payment_id, "amount": 99.99, "currency": "USD"} | metadata | more


@pytest.fixture(scope="module")
def slow(api: Api, gateway: Gateway) -> dict[str, str]:
    """Payments whose recovery takes several units of waiting, all started at once: name → payment id.

    The gateway ends `unheard` and `settles` at once, without an event. Each further poll waits twice as long.
    """
    run = uuid.uuid4().hex[:8]
    begun = {
        "absent": body(f"absent_{run}", "server_error=before"),
        "present": body(f"present_{run}", "server_error=after search_lag=60"),
        "listed": body(f"listed_{run}", "server_error=after search_lag=3600 webhook_lost"),
        "unheard": body(f"unheard_{run}", "webhook_lost", payment_method=AUTHENTICATES),
        "settles": body(f"settles_{run}", "settles_later webhook_lost"),
    }
    for one in begun.values():
        assert api.post(one).status_code == 202
    payment_ids = {what: one["payment_id"] for what, one in begun.items()}
    for what, (waiting, route) in WITHOUT_WEBHOOK.items():
        intent = waits_for_the_gateway(api, payment_ids[what], waiting)
        gateway.control(f"payment_intents/{intent}/{route}", {"outcome": "succeeded"})
    return payment_ids


def waits_for_the_gateway(api: Api, payment_id: str, status: str) -> str:
    """The intent of a payment once the payment has this status and the gateway knows it."""
    view = eventually(
        f"{payment_id} to be {status} and known to the gateway",
        lambda: api.get(f"/payments/{payment_id}").json(),
        lambda seen: seen["status"] == status and "gateway_reference" in seen["references"],
    )
    return str(view["references"]["gateway_reference"])


@pytest.fixture(scope="module")
def slow_seconds(local_stack: LocalStack) -> float:
    """How long the recovery of such a payment may show no change."""
    return max(PATIENCE_SECONDS, UNITS_OF_WAITING * local_stack.patience_seconds)


@pytest.fixture
def rows(client: Client, outputs: dict[str, str]) -> DynamoPaymentStore:
    """The payments table."""
    return DynamoPaymentStore(client("dynamodb"), outputs["payments_table"])


@pytest.fixture
def undisturbed(local_stack: LocalStack) -> Any:
    """Restore everything that a test disturbed."""
    yield
    local_stack.aws.disturb({})


def becomes(api: Api, payment_id: str, status: str, seconds: float = RECOVERY_SECONDS) -> dict[str, Any]:
    """The payment once it has a status."""
    view: dict[str, Any] = eventually(
        f"{payment_id} to be {status}",
        lambda: api.get(f"/payments/{payment_id}").json(),
        lambda seen: seen["status"] == status,
        seconds,
    )
    return view


def statuses(view: dict[str, Any]) -> list[str]:
    return [change["status"] for change in view["history"]]


def executions(client: Client, outputs: dict[str, str], payment_id: str) -> list[str]:
    """The names of a payment's executions."""
    pages = (
        client("stepfunctions").get_paginator("list_executions").paginate(stateMachineArn=outputs["state_machine_arn"])
    )
    names = [execution["name"] for page in pages for execution in page["executions"]]
    return sorted(name for name in names if name.partition(".")[0] == payment_id)


def recovery_alone_began_others(payment: Payment, executions: list[str]) -> bool:
    """Whether a payment has one execution, and on a slow machine one more for each further restart by recovery."""
    return 1 <= len(executions) <= max(1, payment.restarts)


# Ingress ---------------------------------------------------------------------------------------------------------


@pytest.mark.fault(4)
def test_payment_whose_start_fails_is_started_once_by_recovery(
    api: Api, gateway: Gateway, local_stack: LocalStack, client: Client, outputs: dict[str, str],
    rows: DynamoPaymentStore, new_id: NewId, undisturbed: None,
) -> None:  # fmt: skip
    payment_id = new_id()
    local_stack.aws.disturb({"states:StartExecution": 1.0})
    assert api.post(body(payment_id)).status_code == 500
    assert api.get(f"/payments/{payment_id}").json()["status"] == "pending"
    local_stack.aws.disturb({})
    becomes(api, payment_id, "succeeded")
    assert recovery_alone_began_others(require(rows, payment_id), executions(client, outputs, payment_id))
    assert len(gateway.charges(payment_id)) == 1


@pytest.mark.fault(5)
def test_lost_start_answer_leads_to_no_second_execution(
    api: Api, gateway: Gateway, local_stack: LocalStack, client: Client, outputs: dict[str, str],
    rows: DynamoPaymentStore, new_id: NewId, undisturbed: None,
) -> None:  # fmt: skip
    payment_ids = [new_id() for _ in range(6)]
    lost_before = failed(local_stack, "states:StartExecution", "answer lost")
    local_stack.aws.disturb({"states:StartExecution": 1.0}, seed=5, lose_answers=["states:StartExecution"])
    for payment_id in payment_ids:
        api.post(body(payment_id))
    lost = failed(local_stack, "states:StartExecution", "answer lost") - lost_before
    local_stack.aws.disturb({})
    for payment_id in payment_ids:
        becomes(api, payment_id, "succeeded")
        assert recovery_alone_began_others(require(rows, payment_id), executions(client, outputs, payment_id))
        assert len(gateway.charges(payment_id)) == 1
    assert lost >= 1


def failed(local_stack: LocalStack, action: str, how: str = "refused") -> int:
    """The number of disturbed requests for an action, since the local AWS was started."""
    return local_stack.aws.disturbed().get(action, {}).get(how, 0)


@pytest.mark.fault(7)
def test_payment_id_repeated_after_thirty_days_is_still_one_payment(
    api: Api, gateway: Gateway, client: Client, outputs: dict[str, str], rows: DynamoPaymentStore, new_id: NewId
) -> None:
    payment_id = new_id()
    long_ago = utc_now() - timedelta(days=31)
    first = accepted(request(payment_id), at=long_ago, source="rest")
    charged = moved(moved(first, Status.PROCESSING, at=long_ago, actor="charge"), Status.SUCCEEDED, at=long_ago,
                    actor="workflow")  # fmt: skip
    rows.create(replace(charged, audited_version=charged.version))  # otherwise recovery would add the missing audit
    again = api.post(body(payment_id))
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
    later = new_id()
    api.post(body(later))
    becomes(api, later, "succeeded")
    assert executions(client, outputs, payment_id) == []
    assert gateway.charges(payment_id) == []


# Charge ----------------------------------------------------------------------------------------------------------


@pytest.mark.fault(8)
def test_charge_killed_before_the_call_charges_once(
    api: Api, gateway: Gateway, local_stack: LocalStack, client: Client, outputs: dict[str, str], new_id: NewId
) -> None:
    dynamodb, rng = client("dynamodb"), random.Random(8)

    def killed_before_its_call() -> str | None:
        """A payment, or None if its function called the gateway: this test came too late for the slots or the kill."""
        payment_id = new_id()
        hold_slots(dynamodb, outputs["controls_table"])
        api.post(body(payment_id))

        def killed_or_called() -> bool:
            hold_slots(dynamodb, outputs["controls_table"])  # a function that starts late sleeps until its slot as well
            killed = local_stack.aws.kill_worker(rng, "payment-charge-local")
            return killed is not None or gateway.requests(payment_id) != []

        eventually("a killed or called function", killed_or_called)
        return payment_id if gateway.requests(payment_id) == [] else None

    payment_id = eventually("a function killed before its call", killed_before_its_call)
    becomes(api, payment_id, "succeeded")
    assert len(gateway.charges(payment_id)) == 1


def hold_slots(dynamodb: Any, controls: str, seconds: float = LONGEST_SLEEP_SECONDS - 0.5) -> None:
    """Reserve all slots of the next seconds. The default is a time that a function sleeps."""
    local = ENVIRONMENTS["local"]
    slot = slot_length(local.gateway_rate_per_second, local.gateway_reserve_percent)
    until = int((utc_now().timestamp() + seconds) / slot.total_seconds())
    dynamodb.put_item(
        TableName=controls,
        Item={"control": {"S": f"pace#{slot // timedelta(microseconds=1)}"}, "next_slot": {"N": str(until)}},
    )


@pytest.mark.fault(9)
def test_charge_killed_after_the_charge_finds_it_and_charges_once(
    api: Api, gateway: Gateway, local_stack: LocalStack, new_id: NewId
) -> None:
    rng = random.Random(9)

    def killed_after_the_charge() -> str | None:
        """A payment, or None if its function already has the answer."""
        payment_id = new_id()
        api.post(body(payment_id, "latency=5"))  # charged at once, answered late
        eventually(f"a charge of {payment_id}", lambda: gateway.charges(payment_id))
        return payment_id if local_stack.aws.kill_worker(rng, "payment-charge-local") else None

    payment_id = eventually("a function killed after its charge", killed_after_the_charge)
    becomes(api, payment_id, "succeeded")
    assert len(gateway.charges(payment_id)) == 1
    asked = eventually(  # the first answers last
        f"two requests about {payment_id}",
        lambda: [one["method"] for one in sorted(gateway.requests(payment_id), key=lambda one: str(one["at"]))],
        lambda methods: "POST" in methods and len(methods) >= 2,
    )
    assert (asked[0], set(asked[1:])) == ("POST", {"GET"})


@pytest.mark.fault(10)
def test_payment_without_an_answer_is_unknown_until_the_gateway_is_asked(
    api: Api, gateway: Gateway, outputs: dict[str, str], slow: dict[str, str], slow_seconds: float
) -> None:
    view = becomes(api, slow["present"], "succeeded", slow_seconds)
    first, *attempts, unknown, last = statuses(view)
    assert (first, set(attempts), unknown, last) == ("pending", {"processing"}, "unknown", "succeeded")
    assert len(attempts) >= 5
    assert len(gateway.charges(slow["present"])) == 1
    keys = {asked["idempotency_key"] for asked in gateway.requests(slow["present"]) if asked["method"] == "POST"}
    assert keys == {f"{outputs['environment_id']}:{slow['present']}"}


@pytest.mark.fault(11)
def test_payment_when_a_500_is_remembered_then_unknown_until_proven_absent(
    api: Api, gateway: Gateway, slow: dict[str, str], slow_seconds: float
) -> None:
    view = becomes(api, slow["absent"], "failed", slow_seconds)
    assert view["reason"]["code"] == "not_charged"
    assert statuses(view)[-2:] == ["unknown", "failed"]
    assert gateway.charges(slow["absent"]) == []


@pytest.mark.fault(50)
def test_payment_that_no_search_shows_is_found_in_the_list(
    api: Api, gateway: Gateway, slow: dict[str, str], slow_seconds: float
) -> None:
    view = becomes(api, slow["listed"], "succeeded", slow_seconds)
    assert statuses(view)[-2:] == ["unknown", "succeeded"]
    assert len(gateway.charges(slow["listed"])) == 1


@pytest.mark.fault(12)
def test_payment_honours_retry_after_with_the_same_key(
    api: Api, gateway: Gateway, outputs: dict[str, str], new_id: NewId
) -> None:
    payment_id = new_id()
    api.post(body(payment_id))
    eventually(f"a charge of {payment_id}", lambda: gateway.charges(payment_id))
    payment_id = new_id()
    gateway.fault(kind="rate_limited", payment_id=payment_id, times=2, retry_after_seconds=3)
    api.post(body(payment_id))
    becomes(api, payment_id, "succeeded")
    asked = gateway.requests(payment_id)
    assert [one["status"] for one in asked] == [429, 429, 200]
    assert {one["idempotency_key"] for one in asked} == {f"{outputs['environment_id']}:{payment_id}"}
    times = [datetime.fromisoformat(one["at"]).timestamp() for one in asked]
    waited = [later - earlier for earlier, later in pairwise(times)]
    assert all(wait >= 3 for wait in waited), waited  # the row keeps the time, although waits are shorter here


@pytest.mark.fault(13)
def test_payment_with_its_key_in_use_is_retried_with_the_same_key(
    api: Api, gateway: Gateway, outputs: dict[str, str], new_id: NewId
) -> None:
    payment_id = new_id()
    gateway.fault(kind="key_in_use", payment_id=payment_id, method="POST", times=2)
    api.post(body(payment_id))
    becomes(api, payment_id, "succeeded")
    posts = [one for one in gateway.requests(payment_id) if one["method"] == "POST"]
    assert [one["status"] for one in posts] == [409, 409, 200]
    assert {one["idempotency_key"] for one in posts} == {f"{outputs['environment_id']}:{payment_id}"}
    assert len(gateway.charges(payment_id)) == 1


@pytest.mark.fault(14)
def test_refused_connections_are_retried_and_charged_once(
    api: Api, gateway: Gateway, local_stack: LocalStack, new_id: NewId
) -> None:
    payment_id = new_id()
    gateway.control("refuse_connections", {"seconds": 300})
    try:
        api.post(body(payment_id))
        eventually(
            "an attempt that meets the closed port",
            lambda: api.get(f"/payments/{payment_id}").json(),
            lambda seen: "pending" in statuses(seen)[1:],
        )
    finally:
        local_stack.accept_connections()
    view = api.settled(payment_id)
    assert view["status"] == "succeeded"
    assert "pending" in statuses(view)[1:]
    assert len(gateway.charges(view["payment_id"])) == 1


@pytest.mark.fault(16)
def test_stolen_card_is_declined_once_and_counted_as_suspicious(
    api: Api, gateway: Gateway, client: Client, outputs: dict[str, str], new_id: NewId
) -> None:
    payment_id = new_id()
    before = suspicious(client, outputs)
    api.post(body(payment_id, payment_method="pm_card_visa_chargeDeclinedStolenCard"))
    assert becomes(api, payment_id, "declined")["reason"]["code"] == "stolen_card"
    asked = sorted(gateway.requests(payment_id), key=lambda one: str(one["at"]))
    charge, cancel = [one["path"] for one in asked if one["method"] == "POST"]
    assert charge == "/v1/payment_intents"
    assert cancel.endswith("/cancel")  # another card could still pay the charge
    counted = eventually("a suspicious decline", lambda: suspicious(client, outputs), lambda now: now > before) - before
    # every execution of a declined payment counts it: that of an event which comes before the decline is recorded too
    assert 1 <= counted <= len(executions(client, outputs, payment_id))


def suspicious(client: Client, outputs: dict[str, str]) -> float:
    """The number of suspicious declines counted in the last hours."""
    now = utc_now()
    points = client("cloudwatch").get_metric_statistics(
        Namespace="Payments",
        MetricName="SuspiciousDeclines",
        Dimensions=[{"Name": "service", "Value": outputs["environment_suffix"]}],
        StartTime=now - timedelta(hours=3),
        EndTime=now + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )["Datapoints"]
    return float(sum(point["Sum"] for point in points))


@pytest.mark.fault(17)
@pytest.mark.parametrize(("outcome", "status"), [("succeeded", "succeeded"), ("failed", "declined")])
def test_webhook_finishes_a_payment_after_authentication(
    api: Api, gateway: Gateway, rows: DynamoPaymentStore, new_id: NewId, outcome: str, status: str
) -> None:
    def finished_by_the_event() -> tuple[str, str] | None:
        """A payment and its intent, or None if recovery asked before the event came."""
        payment_id = new_id()
        api.post(body(payment_id, payment_method=AUTHENTICATES))
        intent = becomes(api, payment_id, "requires_action")["references"]["gateway_reference"]
        gateway.control(f"payment_intents/{intent}/authenticate", {"outcome": outcome})
        becomes(api, payment_id, status)
        return (payment_id, intent) if require(rows, payment_id).restarts == 0 else None

    payment_id, intent = eventually("a payment that the event finishes", finished_by_the_event)
    assert len(gateway.charges(payment_id)) == (status == "succeeded")
    if status == "declined":  # it can never become a charge
        refused = requests.post(
            f"{gateway.url}/v1/payment_intents/{intent}/confirm",
            data={"payment_method": "pm_card_visa"}, auth=("sk_test_x", ""), timeout=60,
        )  # fmt: skip
        assert refused.status_code == 400


@pytest.mark.fault(18)
def test_other_amount_at_the_gateway_fires_the_review_alarm(
    api: Api, gateway: Gateway, events: Events, new_id: NewId
) -> None:
    payment_id = new_id()
    api.post(body(payment_id, "amount=1234"))
    assert becomes(api, payment_id, "in_review")["reason"]["code"] == "amount_differs"
    eventually("the alarm", lambda: events.of(AlarmName="payment-payments-in-review-local", NewStateValue="ALARM"))


# Record and audit ------------------------------------------------------------------------------------------------


@pytest.mark.fault(21, 23)
@pytest.mark.parametrize(
    "action",
    [
        pytest.param("dynamodb:UpdateItem", id="record_when_the_table_throttles", marks=pytest.mark.fault(21)),
        pytest.param("dynamodb:TransactWriteItems", id="audit_when_the_write_fails", marks=pytest.mark.fault(23)),
    ],
)
def test_table_when_it_fails_after_the_charge_then_only_that_step_repeats(
    api: Api, gateway: Gateway, local_stack: LocalStack, client: Client, outputs: dict[str, str],
    rows: DynamoPaymentStore, new_id: NewId, undisturbed: None, action: str,
) -> None:  # fmt: skip

    def failed_after_its_charge() -> str | None:
        """A payment, or None if this test came too late: after the step, or after the last attempt of its execution."""
        payment_id, before = new_id(), failed(local_stack, action)
        api.post(body(payment_id, "latency=1"))
        eventually(f"a charge of {payment_id}", lambda: gateway.charges(payment_id))
        local_stack.aws.disturb({action: 1.0})
        in_time = require(rows, payment_id).status is Status.PROCESSING
        if in_time:
            eventually(
                f"four refused requests of {action}", lambda: failed(local_stack, action) - before, lambda n: n >= 4
            )
        local_stack.aws.disturb({})
        becomes(api, payment_id, "succeeded")
        return payment_id if in_time and executions(client, outputs, payment_id) == [payment_id] else None

    payment_id = eventually(f"a payment whose {action} failed after its charge", failed_after_its_charge)
    assert len(gateway.requests(payment_id)) == 1
    log = DynamoAuditStore(client("dynamodb"), outputs["audit_table"], outputs["payments_table"])
    row = eventually(
        f"the audit of {payment_id}", lambda: require(rows, payment_id), lambda row: row.audited_version == row.version
    )
    verify(row, log.entries(payment_id))


# Webhooks --------------------------------------------------------------------------------------------------------


def event(payment_id: str, intent: str | None = None, *, environment_id: str = "") -> str:
    """An event as Stripe writes it, about a payment. Stripe names the intent, which a test cannot know in advance."""
    metadata = {"payment_id": payment_id, ENVIRONMENT: environment_id}
    about = {"id": intent, "object": "payment_intent", "metadata": metadata}
    kind = "payment_intent.succeeded"
    content = {"id": f"evt_{payment_id}", "object": "event", "type": kind, "created": int(time.time())}
    return json.dumps(content | {"data": {"object": about}})


def deliver(api: Api, text: str, secret: str = WEBHOOK_SECRET, **header: Any) -> requests.Response:
    """Send an event with its signature."""
    signature = stripe.WebhookSignature.generate_signature_header(text, secret, **header)
    return api.post(text, "/webhooks/stripe", headers={"Stripe-Signature": signature})


@pytest.mark.fault(33)
def test_webhook_with_a_bad_signature_gets_400_and_stores_nothing(
    api: Api, client: Client, outputs: dict[str, str], new_id: NewId
) -> None:
    payment_id = new_id()
    text = event(payment_id)
    signature = stripe.WebhookSignature.generate_signature_header(text, WEBHOOK_SECRET)
    altered = text.replace("succeeded", "Succeeded")
    answers = [
        api.post(text, "/webhooks/stripe"),
        deliver(api, text, secret="whsec_another"),
        deliver(api, text, timestamp=int(time.time()) - 301),
        api.post(altered, "/webhooks/stripe", headers={"Stripe-Signature": signature}),
    ]
    assert [answer.status_code for answer in answers] == [400] * 4
    assert {answer.json()["type"] for answer in answers} == {"urn:problem:payment-api:invalid-signature"}
    assert DynamoEventStore(client("dynamodb"), outputs["gateway_events_table"]).of_payment(payment_id) == []


@pytest.mark.fault(34)
def test_webhook_when_its_secret_is_rotated_then_both_secrets_verify(
    api: Api, client: Client, outputs: dict[str, str], new_id: NewId
) -> None:
    secrets = client("secretsmanager")
    both = json.dumps({"current": "whsec_new", "previous": WEBHOOK_SECRET})
    secrets.put_secret_value(SecretId=outputs["webhook_secret_arn"], SecretString=both)
    try:
        # a running function may have cached the old secret; an invalid signature makes it read again
        eventually(
            "the new secret to verify",
            lambda: deliver(api, event(new_id()), "whsec_new").status_code,
            lambda code: code == 200,
        )
        assert deliver(api, event(new_id()), WEBHOOK_SECRET).status_code == 200
        assert deliver(api, event(new_id()), "whsec_none").status_code == 400
    finally:
        alone = json.dumps({"current": WEBHOOK_SECRET})
        secrets.put_secret_value(SecretId=outputs["webhook_secret_arn"], SecretString=alone)


@pytest.mark.fault(35)
def test_webhook_before_its_payment_is_parked_and_applied_later(
    api: Api, client: Client, outputs: dict[str, str], new_id: NewId
) -> None:
    store = DynamoEventStore(client("dynamodb"), outputs["gateway_events_table"])
    payment_id = new_id()
    assert deliver(api, event(payment_id, environment_id=outputs["environment_id"])).status_code == 200
    assert [stored.state for stored in store.of_payment(payment_id)] == [EventState.PARKED]
    api.post(body(payment_id))
    becomes(api, payment_id, "succeeded")
    eventually(
        f"the parked event of {payment_id} to be applied",
        lambda: {stored.event_id: stored.state for stored in store.of_payment(payment_id)},
        lambda states: states[f"evt_{payment_id}"] is EventState.APPLIED,
    )


def test_webhook_about_another_charge_of_a_payment_contradicts_it(
    api: Api, client: Client, outputs: dict[str, str], new_id: NewId
) -> None:
    store = DynamoEventStore(client("dynamodb"), outputs["gateway_events_table"])
    payment_id = new_id()
    api.post(body(payment_id))
    becomes(api, payment_id, "succeeded")
    assert deliver(api, event(payment_id, "pi_another", environment_id=outputs["environment_id"])).status_code == 200
    states = {stored.event_id: stored.state for stored in store.of_payment(payment_id)}
    assert states[f"evt_{payment_id}"] is EventState.CONTRADICTS


@pytest.mark.fault(36)
def test_webhook_events_doubled_and_reordered_move_nothing_back(
    api: Api, gateway: Gateway, client: Client, outputs: dict[str, str], rows: DynamoPaymentStore, new_id: NewId
) -> None:
    def finished_by_its_events() -> str | None:
        """A payment, or None if recovery asked before its events came."""
        payment_id = new_id()
        api.post(body(payment_id, "webhook_doubled webhook_reordered", payment_method=AUTHENTICATES))
        intent = becomes(api, payment_id, "requires_action")["references"]["gateway_reference"]
        gateway.control(f"payment_intents/{intent}/authenticate", {"outcome": "succeeded"})
        becomes(api, payment_id, "succeeded")
        eventually(
            "two deliveries of each event",
            lambda: gateway.events(payment_id),
            lambda sent: all(one["attempts"] >= 2 for one in sent),
        )
        return payment_id if require(rows, payment_id).restarts == 0 else None

    payment_id = eventually("a payment that its events finish", finished_by_its_events)
    view = api.get(f"/payments/{payment_id}").json()
    assert statuses(view) == ["pending", "processing", "requires_action", "succeeded"]
    assert len(gateway.charges(payment_id)) == 1
    assert len(executions(client, outputs, payment_id)) == 2  # the payment's own, and one for the event


@pytest.mark.fault(37)
@pytest.mark.parametrize("what", WITHOUT_WEBHOOK)
def test_webhook_when_it_never_comes_then_the_poller_closes_the_payment(
    api: Api, gateway: Gateway, slow: dict[str, str], slow_seconds: float, what: str
) -> None:
    becomes(api, slow[what], "succeeded", slow_seconds)
    assert len(gateway.charges(slow[what])) == 1
    assert not any(sent["attempts"] for sent in gateway.events(slow[what]))


def test_refund_made_at_the_gateway_reaches_the_payment_by_webhook(
    api: Api, gateway: Gateway, rows: DynamoPaymentStore, new_id: NewId
) -> None:
    payment_id = new_id()
    api.post(body(payment_id))
    intent = becomes(api, payment_id, "succeeded")["references"]["gateway_reference"]
    for amount, status, refunded in ((4999, "partially_refunded", 49.99), (5000, "refunded", 99.99)):
        asked = requests.post(
            f"{gateway.url}/v1/refunds",
            data={"payment_intent": intent, "amount": amount}, auth=("sk_test_x", ""), timeout=60,
        )  # fmt: skip
        asked.raise_for_status()
        assert becomes(api, payment_id, status)["amount_refunded"] == refunded
    settled: Payment = eventually(
        f"the audit of {payment_id}", lambda: require(rows, payment_id), lambda row: row.audited_version == row.version
    )
    assert settled.status is Status.REFUNDED
    # its events name the refund only: recovery finds the payment
    gateway.control(f"refunds/{asked.json()['id']}/fail")
    assert becomes(api, payment_id, "partially_refunded")["amount_refunded"] == 49.99
