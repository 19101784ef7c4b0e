"""The role matrix on the applied stack, cell by cell, and attempts to bypass it."""

import json
import re
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jwt
import pytest
import yaml

from local.stack import LocalStack
from local.terraform import ROOT
from payctl import session
from payctl.failures import Exit
from payctl.stack import Stack
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.second_factor import has_second_factor
from payments.application.velocity import CARD_TESTING, DAY, MOST_CARDS, Source
from payments.domain.clock import utc_now
from payments.domain.identity import Role
from tests.authenticator import code_of
from tests.e2e.conftest import Api, Events, Gateway, Payctl, forget_cards, json_of
from tests.unit.issuers import rsa_key, unsigned
from tests.waiting import eventually

ApiAs = Callable[[str], Api]
NewId = Callable[[], str]
Client = Callable[[str], Any]

CONTRACT: dict[str, Any] = yaml.safe_load((ROOT / "api" / "openapi.yaml").read_text())
NO_ROLE = "no role"
NOT_THERE = {
    "{payment_id}": "nothing_here",
    "{refund_id}": "not_there",
    "{customer_id}": "not_here",
    "{batch_id}": "not-here-0123456789ab",
    "{token_id}": "0" * 64,
    "{method_id}": "pm_not_here",
}
"""The value of each path parameter: ids that do not exist, so that no cell changes anything."""
OVER_SMALL = 12
"""An amount that is not counted against card testing: all tests share an address, and so its count of cards."""


QUERIES = {"find_customers": {"email": "jo@example.com"}, "list_refunds": {"status": "succeeded"}}
"""Operation → the parameters that it needs."""


def _operations() -> list[Any]:
    return [
        pytest.param(verb.upper(), path, operation, id=operation["operationId"])
        for path, operations in CONTRACT["paths"].items()
        for verb, operation in operations.items()
        if "x-roles" in operation
    ]


def _body(operation: dict[str, Any], role: str) -> dict[str, Any]:
    """The contract's own example, with ids that do not exist yet. A person who registers names no id and no address."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    fresh = {name: f"{name[:3]}_{uuid.uuid4().hex[:12]}" for name in ("payment_id", "customer_id", "refund_id")}
    body = {name: fresh.get(name, value) for name, value in content.get("example", {}).items()}
    if role == Role.CUSTOMER and operation["operationId"].startswith("create_customer"):
        return {"name": "Jo"}
    return body


@pytest.mark.parametrize("role", [*Role, NO_ROLE])
@pytest.mark.parametrize(("verb", "path", "operation"), _operations())
def test_route_admits_each_role_as_the_contract_says(
    api_as: ApiAs, outputs: dict[str, str], verb: str, path: str, operation: dict[str, Any], role: str
) -> None:
    api = Api(outputs) if role == NO_ROLE else api_as(role)
    for parameter, value in NOT_THERE.items():
        path = path.replace(parameter, value)
    body = _body(operation, role)
    sent: dict[str, Any] = {"data": json.dumps(body), "headers": {"Content-Type": "application/json"}} if body else {}
    status = api.call(verb, path, params=QUERIES.get(operation["operationId"], {}), **sent).status_code
    if role == NO_ROLE:
        assert status == 401
    elif role in operation["x-roles"]:
        # the sample person may be registered already, with another name
        registers = role == Role.CUSTOMER and operation["operationId"].startswith("create_customer")
        assert status in (200, 201, 202, 204, 404) or (registers and status == 409)
    else:
        assert status == 403


@pytest.fixture
def customer_of_the_sample(api_as: ApiAs) -> str:
    """The customer of the sample user with the customer role, who registers alone."""
    me = api_as("customer")
    made = me.post({"name": "Jo"}, "/customers")
    if made.status_code == 409:  # another test registered the same person with another name
        [customer_id] = re.findall("self_[0-9a-f]+", made.json()["detail"])
        change: dict[str, Any] = {"data": '{"name": "Jo"}', "headers": {"Content-Type": "application/json"}}
        made = me.call("PATCH", f"/customers/{customer_id}", **change)
    assert made.status_code in (200, 201), made.text
    return str(made.json()["customer_id"])


@pytest.mark.fault(41)
def test_payment_when_it_is_anothers_then_404_as_if_unknown_and_audited(
    api_as: ApiAs, client: Client, outputs: dict[str, str], new_id: NewId, customer_of_the_sample: str
) -> None:
    theirs, others = new_id(), new_id()
    for payment_id, customer_id in ((theirs, customer_of_the_sample), (others, "somebody_else")):
        body = {"payment_id": payment_id, "amount": OVER_SMALL, "currency": "USD", "customer_id": customer_id}
        assert api_as("admin").post(body).status_code == 202
    customer = api_as("customer")
    assert customer.get(f"/payments/{theirs}").json()["payment_id"] == theirs
    refused, unknown = customer.get(f"/payments/{others}"), customer.get("/payments/there_is_none")
    assert (refused.status_code, unknown.status_code) == (404, 404)
    assert {**refused.json(), "instance": ""} == {**unknown.json(), "instance": ""}
    [entry] = client("dynamodb").query(
        TableName=outputs["denied_table"],
        KeyConditionExpression="#resource = :resource",
        ExpressionAttributeNames={"#resource": "resource"},
        ExpressionAttributeValues={":resource": {"S": f"payment:{others}"}},
    )["Items"]
    assert entry["operation"]["S"] == "get_payment"
    assert entry["roles"]["S"] == "customer"
    assert entry["correlation_id"]["S"] == refused.json()["instance"]


@pytest.mark.fault(41)
def test_customer_when_it_is_anothers_then_404_on_every_route_of_it(api_as: ApiAs, customer_of_the_sample: str) -> None:
    merchant = api_as("merchant")
    path = f"/customers/{customer_of_the_sample}"
    assert merchant.get(path).status_code == 404
    assert merchant.get(f"{path}/payments").status_code == 404
    assert merchant.get(f"/v1/api/customer/{customer_of_the_sample}").status_code == 404
    assert merchant.get(f"/v1/api/payment/{customer_of_the_sample}").status_code == 404
    assert merchant.call("DELETE", path).status_code == 404
    change: dict[str, Any] = {"data": '{"name": "mine"}', "headers": {"Content-Type": "application/json"}}
    assert merchant.call("PATCH", path, **change).status_code == 404
    token = {"customer_id": customer_of_the_sample, "payment_method": "pm_card_visa"}
    assert merchant.post(token, "/tokens").status_code == 404
    payment = {"payment_id": "not_mine", "amount": 5, "currency": "USD", "customer_id": customer_of_the_sample}
    assert merchant.post(payment).status_code == 400  # ids like this one are the service's, stored or not
    assert api_as("customer").get(path).json()["email"] == "customer@example.com"


@pytest.mark.fault(70)
def test_stranger_neither_blocks_nor_sees_a_merchants_next_customer(
    api_as: ApiAs, new_id: NewId, customer_of_the_sample: str
) -> None:
    stranger, merchant, next_id = api_as("customer"), api_as("merchant"), f"cus_{uuid.uuid4().hex[:12]}"
    for path in ("/customers", "/v1/api/customer"):
        for claim in ({"customer_id": next_id}, {"email": "victim@example.com"}):
            assert stranger.post(claim, path).status_code == 400
    assert merchant.post({"customer_id": next_id, "email": "buyer@example.com"}, "/customers").status_code == 201
    payment = {"payment_id": new_id(), "amount": OVER_SMALL, "currency": "USD", "customer_id": next_id}
    assert merchant.post(payment).status_code == 202
    assert stranger.get(f"/payments/{payment['payment_id']}").status_code == 404
    assert stranger.get(f"/customers/{next_id}").status_code == 404
    assert stranger.post({"name": "Jo"}, "/customers").json()["customer_id"] == customer_of_the_sample
    found = api_as("admin").get("/customers?email=customer@example.com").json()["customers"]
    assert [one["customer_id"] for one in found] == [customer_of_the_sample]
    change: dict[str, Any] = {"data": '{"email": "victim@example.com"}'}
    change["headers"] = {"Content-Type": "application/json"}
    assert stranger.call("PATCH", f"/customers/{customer_of_the_sample}", **change).status_code == 400


def test_id_with_a_merchants_prefix_is_for_that_merchant_and_admins(api_as: ApiAs, new_id: NewId) -> None:
    body = {"payment_id": f"sh_{new_id()}", "amount": OVER_SMALL, "currency": "USD"}
    refused = api_as("merchant").post(body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "payment_id")
    assert api_as("admin").post(body).status_code == 202
    assert api_as("admin").post(body | {"payment_id": f"v1_{new_id()}"}).status_code == 400


def _claims(local_stack: LocalStack, **more: Any) -> dict[str, Any]:
    good: dict[str, Any] = jwt.decode(local_stack.token("customer"), options={"verify_signature": False})
    return {name: value for name, value in (good | more).items() if value is not None}


@pytest.mark.fault(42)
@pytest.mark.parametrize("attack", ["none", "HS256", "other key", "expired", "other issuer", "changed", "ID token"])
def test_token_when_it_is_forged_then_401(local_stack: LocalStack, outputs: dict[str, str], attack: str) -> None:
    good = local_stack.token("customer")
    kid = jwt.get_unverified_header(good)["kid"]
    admin = _claims(local_stack, **{"cognito:groups": ["admin"]})
    head, _, signature = good.split(".")
    forged = {
        "none": unsigned(admin, kid=kid),
        "HS256": jwt.encode(admin, "k" * 32, algorithm="HS256", headers={"kid": kid}),
        "other key": jwt.encode(admin, rsa_key("mine"), algorithm="RS256", headers={"kid": kid}),
        "expired": jwt.encode({**admin, "exp": time.time() - 60}, rsa_key("mine"), "RS256", headers={"kid": kid}),
        "other issuer": jwt.encode({**admin, "iss": "https://example.com"}, rsa_key("mine"), "RS256"),
        "changed": f"{head}.{jwt.utils.base64url_encode(json.dumps(admin).encode()).decode()}.{signature}",
        "ID token": jwt.encode({**admin, "token_use": "id"}, rsa_key("mine"), "RS256", headers={"kid": kid}),
    }[attack]
    refused = Api(outputs, lambda: forged).get("/payments")
    assert refused.status_code == 401
    assert refused.json()["type"] == "urn:problem:payment-api:unauthorized"
    assert refused.headers["WWW-Authenticate"] == "Bearer"


def test_audit_entries_say_who_submitted_and_who_only_processed(
    api_as: ApiAs, local_stack: LocalStack, client: Client, outputs: dict[str, str], new_id: NewId
) -> None:
    payment_id, merchant = new_id(), api_as("merchant")
    body = {"payment_id": payment_id, "amount": OVER_SMALL, "currency": "USD", "customer_id": "cus_not_stored"}
    assert merchant.post(body).status_code == 202
    assert merchant.settled(payment_id)["history"][0]["actor"] == "rest"
    log = DynamoAuditStore(client("dynamodb"), outputs["audit_table"], outputs["payments_table"])
    first, *others = eventually("the audit entries", lambda: log.entries(payment_id), lambda found: len(found) > 2)
    claims = jwt.decode(local_stack.token("merchant"), options={"verify_signature": False})
    assert (first.subject, first.role, first.channel, first.uploader) == (claims["sub"], "merchant", "rest", "")
    assert {(entry.subject, entry.role, entry.channel) for entry in others} == {("", "", "workflow")}
    assert {entry.customer_id for entry in (first, *others)} == {"cus_not_stored"}


@pytest.mark.fault(42)
def test_user_sets_up_a_second_factor_and_logs_in_with_its_code(
    local_stack: LocalStack, client: Client, outputs: dict[str, str], new_id: NewId
) -> None:
    stack = Stack(outputs, local_stack.outputs_path)
    email, password = f"{new_id()}@example.com", "correct-horse-Battery-1"
    whose = {"UserPoolId": outputs["user_pool_id"], "Username": email}
    attributes = [{"Name": "email", "Value": email}, {"Name": "email_verified", "Value": "true"}]
    client("cognito-idp").admin_create_user(**whose, UserAttributes=attributes, MessageAction="SUPPRESS")
    client("cognito-idp").admin_set_user_password(**whose, Password=password, Permanent=True)
    client("cognito-idp").admin_add_user_to_group(**whose, GroupName=Role.AUDITOR)
    asked: list[str] = []
    secrets: list[str] = []

    def answer(challenge: str) -> dict[str, str]:
        asked.append(challenge)
        return {session.TOTP_CODE: code_of(secrets[0])}

    def enrol(secret: str) -> str:
        secrets.append(secret)
        return code_of(secret)

    without = session.sign_in(stack, email, password, answer)
    session.with_second_factor(stack, without, enrol)
    after = session.sign_in(stack, email, password, answer)
    assert asked == ["SOFTWARE_TOKEN_MFA"]
    assert Api(outputs, lambda: after.access_token).get("/payments").status_code == 200
    assert has_second_factor(client("cognito-idp"), outputs["user_pool_id"], email)


@pytest.mark.fault(42)
def test_role_when_claimed_in_body_or_header_then_ignored(api_as: ApiAs, new_id: NewId) -> None:
    body = {"payment_id": new_id(), "amount": 5, "currency": "USD"}
    claims = {"X-Role": "admin", "X-Groups": "admin", "Roles": "admin"}
    assert api_as("customer").post(body, headers=claims).status_code == 403
    assert api_as("customer").post(body | {"roles": ["admin"], "role": "admin"}).status_code in (400, 403)
    assert api_as("merchant").get("/payments").status_code == 403


@pytest.fixture
def no_cards_counted(client: Client, outputs: dict[str, str]) -> None:
    """Forgets the cards that earlier tests used for small charges."""
    forget_cards(client("dynamodb"), outputs["limits_table"])


def in_one_window[T](attempt: Callable[[], T]) -> T:
    """The result of an attempt during which the count of cards did not begin anew."""
    while True:
        window = utc_now().timestamp() // DAY.total_seconds()
        result = attempt()
        if utc_now().timestamp() // DAY.total_seconds() == window:
            return result


@pytest.mark.fault(43)
@pytest.mark.usefixtures("no_cards_counted")
def test_small_charges_when_on_many_cards_then_held_across_instances(
    api_as: ApiAs,
    gateway: Gateway,
    events: Events,
    payctl: Payctl,
    new_id: NewId,
    customer_of_the_sample: str,
) -> None:
    most, admin = MOST_CARDS[Source.CUSTOMER].small, api_as("admin")

    def pay(payment_id: str, method: str) -> int:
        card = {"payment_method": method, "customer_id": customer_of_the_sample}
        return admin.post({"payment_id": payment_id, "amount": 1, "currency": "USD", **card}).status_code

    def pay_with_many_cards() -> tuple[list[str], str, str]:
        ids, good, bad = [new_id() for _ in range(most + 5)], new_id(), new_id()
        with ThreadPoolExecutor(8) as pool:  # several instances of the function at a time
            assert set(pool.map(pay, ids, [f"pm_card_number{number}" for number in range(len(ids))])) == {202}
            assert set(pool.map(pay, (good, bad), ("pm_card_visa", "pm_card_amex"))) == {202}
        return ids, good, bad

    ids, good, bad = in_one_window(pay_with_many_cards)
    views = [admin.settled(payment_id) for payment_id in ids]
    held = [view for view in views if view["status"] == "in_review"]
    assert len(held) == len(ids) - most
    assert {view["reason"]["code"] for view in held} == {CARD_TESTING}
    payer = api_as("customer").get(f"/payments/{held[0]['payment_id']}").json()
    assert (payer["status"], len(payer["history"]), "reason" in payer) == ("pending", 1, False)

    assert [admin.settled(payment_id)["status"] for payment_id in (good, bad)] == ["in_review", "in_review"]
    assert gateway.requests(good) == []
    for _ in range(2):
        assert payctl("payment", "approve", good, "--yes").returncode == Exit.DONE
        assert payctl("payment", "reject", bad, "--reason", "a thief", "--yes").returncode == Exit.DONE
    approved, rejected = admin.settled(good), admin.settled(bad)
    assert (approved["status"], len(gateway.charges(good))) == ("succeeded", 1)
    assert approved["history"][2]["actor"] == "operator"
    assert (rejected["status"], rejected["reason"]["message"]) == ("rejected", "a thief")
    payer = api_as("customer").get(f"/payments/{bad}").json()
    assert (payer["status"], payer["reason"]["code"]) == ("declined", "generic_decline")
    assert gateway.requests(bad) == []
    for payment_id, status in ((good, "succeeded"), (bad, "rejected")):  # published once it is audited
        eventually(f"the event of {payment_id}", partial(events.of, payment_id=payment_id, status=status))
        assert json_of(payctl("payment", "explain", payment_id, "--json"))["audit_verified"]


@pytest.mark.fault(72)
@pytest.mark.usefixtures("no_cards_counted")
def test_cheap_tries_through_a_merchant_are_held_and_forty_buyers_are_not(
    api_as: ApiAs, client: Client, outputs: dict[str, str], new_id: NewId
) -> None:
    merchant = api_as("merchant")

    def pay(number: int, amount: str, currency: str, **more: str) -> str:
        payment_id = new_id()
        body = {"payment_id": payment_id, "amount": amount, "currency": currency, **more}
        assert merchant.post(body | {"payment_method": f"pm_card_number{number}"}).status_code == 202
        return payment_id

    def pays() -> list[list[str]]:
        forget_cards(client("dynamodb"), outputs["limits_table"])
        with ThreadPoolExecutor(8) as pool:
            buyers = list(pool.map(lambda n: pay(n, "4.90", "EUR"), range(40)))
            tries = list(pool.map(lambda n: pay(n, "175", "HUF"), range(100, 160)))
            address = list(pool.map(lambda n: pay(n, "9.00", "EUR", client_ip="203.0.113.7"), range(200, 240)))
        return [buyers, tries, address]

    def holds(ids: list[str]) -> int:
        rows = (client("dynamodb").get_item(TableName=outputs["payments_table"], Key=key) for key in map(key_of, ids))
        return sum("hold" in row["Item"] for row in rows)

    def key_of(payment_id: str) -> dict[str, dict[str, str]]:
        return {"payment_id": {"S": payment_id}}

    buyers, tries, address = in_one_window(pays)
    assert holds(buyers) == 0
    assert 60 - holds(tries) <= 25
    assert 40 - holds(address) <= 25
    stored = client("dynamodb").get_item(TableName=outputs["payments_table"], Key=key_of(address[0]))["Item"]
    assert stored["client_ip"]["S"].startswith("sealed.v1.")
    assert merchant.get(f"/payments/{address[0]}").json()["client_ip"] == "203.0.113.7"


def test_token_when_it_was_made_then_payments_take_it_until_it_is_revoked(
    api_as: ApiAs, client: Client, outputs: dict[str, str], new_id: NewId, customer_of_the_sample: str
) -> None:
    customer, admin = api_as("customer"), api_as("admin")
    made = customer.post({"customer_id": customer_of_the_sample, "payment_method": "pm_card_visa"}, "/tokens").json()
    assert customer.get(made["links"]["self"]).json()["status"] == "active"
    by_token = {"amount": OVER_SMALL, "currency": "USD", "customer_id": customer_of_the_sample, "token": made["token"]}
    first, second = new_id(), new_id()
    admin.post(by_token | {"payment_id": first})
    assert admin.settled(first)["status"] == "succeeded"
    assert customer.call("DELETE", made["links"]["self"]).status_code == 204
    assert customer.get(made["links"]["self"]).status_code == 404
    admin.post(by_token | {"payment_id": second})
    view = admin.settled(second)
    assert (view["status"], view["reason"]["code"]) == ("rejected", "token_revoked")
    stored = json.dumps(client("dynamodb").scan(TableName=outputs["tokens_table"])["Items"])
    assert made["token"] not in stored
    assert "pm_card_visa" not in stored


def test_private_fields_are_in_plain_text_in_no_table(
    api_as: ApiAs, client: Client, outputs: dict[str, str], new_id: NewId
) -> None:
    admin, customer_id, payment_id = api_as("admin"), f"cus_{uuid.uuid4().hex[:12]}", new_id()
    email, secret = f"{new_id()}@example.com", new_id()
    customer = {
        "customer_id": customer_id,
        "email": email,
        "name": secret,
        "default_payment_method": "pm_card_mastercard",
    }
    assert admin.post(customer, "/customers").status_code == 201
    body = {"payment_id": payment_id, "amount": OVER_SMALL, "currency": "USD", "customer_id": customer_id}
    admin.post(body | {"metadata": {"order": secret}})
    view = admin.settled(payment_id)
    assert view["status"] == "succeeded"
    assert view["metadata"] == {"order": secret}
    [found] = admin.get(f"/customers?email={email.upper()}").json()["customers"]
    assert (found["customer_id"], found["email"]) == (customer_id, email)
    tables = [name for key, name in outputs.items() if key.endswith("_table")]
    everything = "".join(json.dumps(client("dynamodb").scan(TableName=name)["Items"]) for name in tables)
    assert payment_id in everything
    for private in (email, secret, "pm_card_mastercard"):
        assert private not in everything


def test_erased_customer_leaves_payments_but_no_personal_data(
    api_as: ApiAs, client: Client, outputs: dict[str, str], new_id: NewId
) -> None:
    admin, customer_id, payment_id = api_as("admin"), f"cus_{uuid.uuid4().hex[:12]}", new_id()
    admin.post({"customer_id": customer_id, "email": "lee@example.com"}, "/customers")
    admin.post({"payment_id": payment_id, "amount": OVER_SMALL, "currency": "USD", "customer_id": customer_id})
    admin.settled(payment_id)
    assert admin.call("DELETE", f"/customers/{customer_id}").status_code == 204
    assert admin.get(f"/customers/{customer_id}").status_code == 404
    assert admin.get(f"/payments/{payment_id}").json()["status"] == "succeeded"
    key = {"customer_id": {"S": customer_id}}
    row = client("dynamodb").get_item(TableName=outputs["customers_table"], Key=key)["Item"]
    assert row.keys() <= {"customer_id", "created_at", "erased_at", "erased_for", "version"}


def test_payments_when_listed_then_newest_first_page_by_page(api_as: ApiAs, new_id: NewId) -> None:
    admin, customer_id = api_as("admin"), f"cus_{uuid.uuid4().hex[:12]}"
    admin.post({"customer_id": customer_id, "email": "max@example.com"}, "/customers")
    ids = [new_id() for _ in range(5)]
    for payment_id in ids:
        admin.post({"payment_id": payment_id, "amount": OVER_SMALL, "currency": "USD", "customer_id": customer_id})
    for payment_id in ids:
        admin.settled(payment_id)

    def listed(path: str) -> list[str]:
        seen, cursor = [], ""
        while True:
            page = admin.get(f"{path}{cursor and f'&cursor={cursor}'}").json()
            seen += [payment["payment_id"] for payment in page["payments"]]
            if "next_cursor" not in page:
                return seen
            cursor = page["next_cursor"]

    newest_first = list(reversed(ids))
    path = f"/customers/{customer_id}/payments?limit=2"
    eventually("the customer's five payments", lambda: listed(path), lambda seen: seen == newest_first)
    assert listed(f"{path}&status=declined") == []
    assert [seen for seen in listed("/payments?limit=50") if seen in ids] == newest_first
    succeeded = eventually(
        "five succeeded payments",
        lambda: set(listed("/payments?status=succeeded&limit=100")),
        lambda seen: seen >= set(ids),
        progress=lambda seen: len(seen & set(ids)) if seen else 0,
    )
    assert set(ids) <= succeeded
