"""Least privilege, both ways: each role has every permission that it needs, and uses every permission that it has.

Every request of a role is recorded since the stack was applied. This file runs after all others of the folder, which
cover the recovery paths, and runs each ordinary path of a payment once itself.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from local.stack import LocalStack
from payctl import merchant_files
from payctl.stack import Stack
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.refunds import DynamoRefundStore
from payments.adapters.lambda_functions import FunctionStarter
from payments.adapters.s3_backups import S3BackupStore
from payments.domain.backup import VERIFIED, key_of, timestamp_of
from payments.domain.clock import utc_now
from payments.domain.money import Money
from payments.domain.payment import accepted, parse_request
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.refund import RefundRequest, booked, refund_requested
from payments.domain.refund_statuses import RefundStatus
from payments.ports.backup_store import NoSuchObject
from payments.ports.payment_store import require
from tests.e2e.conftest import Api, BatchFiles, Events, Gateway
from tests.e2e.saver import Saver
from tests.waiting import eventually

UNSEEN = {
    "logs:CreateLogStream": "the local AWS writes the functions' logs itself, without their roles",
    "logs:PutLogEvents": "the local AWS writes the functions' logs itself, without their roles",
    "xray:PutTraceSegments": "the local AWS traces nothing",
    "xray:PutTelemetryRecords": "the local AWS traces nothing",
}
"""Granted actions that no local run can show, each with its reason."""

RARE = {
    ("dispatch", "sqs:SendMessage", "*:payment-queue-*"): "only when REST payments hold the slots for its whole time",
    ("report", "dynamodb:GetItem", "*:table/payments-*"): "only when a payment of a canceled batch is just being sent",
    ("report", "kms:Decrypt", "*"): "the references of rows from before are sealed",
    ("sweep", "kms:Decrypt", "*"): "the references of parked events from before are sealed",
    ("sweep", "kms:GenerateDataKey", "*"): "only for a reference that is not the plain id of a charge",
    ("report", "s3:PutObject", "*/reporting/*"): "only when a report has more than a minute of work",
    ("report", "s3:GetObject", "*/reporting/*"): "only when a report of more than a minute is stopped",
    ("report", "s3:GetObject", "*/results/*"): "only when a report of many megabytes is stopped at its very end",
    ("anchor-schedule", "lambda:InvokeFunction", "*"): "it runs once an hour",
    ("anchor", "lambda:InvokeFunction", "*"): "only when an anchor needs more than a quarter of an hour",
    ("audit", "kms:VerifyMac", "*:key/*"): "the heads of payments that change again, and of before",
    ("audit", "s3:GetObject", "*:::payment-anchors-*"): "only for a head from before signatures existed",
    ("backup-schedule", "lambda:InvokeFunction", "*"): "it runs once a day",
}
"""(function, action, resource) that no ordinary path of a payment needs, each with its reason."""

NO_TIME_LEFT_SECONDS = 20
"""A time limit of the splitter below its reserve: it hands over after every window."""

COLD_START_SECONDS = 120
"""A change of a function's settings ends its warm processes, and a busy machine starts new ones slowly."""


class Asked(NamedTuple):
    """One distinct request of a role."""

    role: str
    action: str
    resource: str
    allowed: bool


class Granted(NamedTuple):
    """One action on one resource pattern that a role's policy allows."""

    role: str
    action: str
    pattern: str

    def covers(self, asked: Asked) -> bool:
        """Whether this permission covers the request."""
        same = (asked.role, asked.action) == (self.role, self.action)
        return same and fnmatchcase(asked.resource, self.pattern)


@pytest.fixture(scope="module")
def granted(client: Callable[[str], Any], outputs: dict[str, str]) -> list[Granted]:
    """All permissions in the policies of the stack's roles."""
    return list(_grants(client("iam"), outputs["environment_suffix"]))


def _grants(iam: Any, suffix: str) -> Iterator[Granted]:
    for role in (role["RoleName"] for role in iam.list_roles()["Roles"]):
        if role.endswith(f"-{suffix}"):
            for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
                for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]:
                    for action in statement["Action"]:
                        yield from (Granted(role, action, pattern) for pattern in statement["Resource"])


@pytest.fixture(scope="module")
def asked(
    local_stack: LocalStack,
    api: Api,
    events: Events,
    client: Callable[[str], Any],
    outputs: dict[str, str],
    granted: list[Granted],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Asked]:
    """All requests of the stack's roles, after each path of a payment."""
    pay_over_rest(api, client("dynamodb"), outputs["customers_table"])
    refund(api, Gateway(outputs["gateway_url"]), client("dynamodb"), outputs)
    Saver(api, Gateway(outputs["gateway_url"]), "least_saver").save_first()
    with no_time_left(client("lambda"), f"payment-split-{outputs['environment_suffix']}"):
        payments = DynamoPaymentStore(client("dynamodb"), outputs["payments_table"])
        pay_by_batch(
            api, payments, BatchFiles(client("s3"), Stack(local_stack.outputs, local_stack.outputs_path)), events
        )
    stack = Stack(local_stack.outputs, local_stack.outputs_path)
    pay_by_file_of_a_merchant(api, stack, tmp_path_factory.mktemp("merchant") / "least_shop.csv")
    Api(outputs, lambda: local_stack.token("customer")).post({}, "/customers")  # reads the address of the login
    back_up(client, outputs)
    for _ in range(2):  # the second one follows the first
        write_anchor(client, outputs)
    api.get("/payments/least_default/audit")
    lines = local_stack.aws.permissions_path.read_text().splitlines()
    roles = {grant.role for grant in granted}
    return [request for request in (Asked(**json.loads(line)) for line in lines) if request.role in roles]


def back_up(client: Callable[[str], Any], outputs: dict[str, str]) -> None:
    """A backup, from its start to its verification in another run."""
    store, timestamp = S3BackupStore(client("s3"), outputs["backup_bucket"]), timestamp_of(utc_now())
    start = FunctionStarter(client("lambda"), f"payment-backup-{outputs['environment_suffix']}")
    start({"timestamp": timestamp})

    def verified() -> bool:
        try:
            return bool(store.get(key_of(timestamp, VERIFIED)))
        except NoSuchObject:
            return False

    eventually("a verified backup", verified, seconds=COLD_START_SECONDS)


def write_anchor(client: Callable[[str], Any], outputs: dict[str, str]) -> None:
    """An anchor of the audit log."""
    suffix = outputs["environment_suffix"]
    answer = client("lambda").invoke(FunctionName=f"payment-anchor-{suffix}", Payload=b"{}")
    assert "FunctionError" not in answer, answer


def pay_over_rest(api: Api, dynamodb: Any, customers: str) -> None:
    """A payment on the customer's default method, a decline, and one with a next action, for Stripe's key."""
    customer = {"customer_id": "least_privilege", "default_payment_method": "pm_card_mastercard"}
    dynamodb.put_item(TableName=customers, Item={name: {"S": text} for name, text in customer.items()})
    by_default = {"amount": 12, "currency": "EUR", "customer_id": "least_privilege"}
    declined = {"amount": 12, "currency": "EUR", "payment_method": "pm_card_chargeDeclined"}
    authenticates = {"amount": 12, "currency": "EUR", "payment_method": "pm_card_authenticationRequired"}
    bodies = {"least_default": by_default, "least_declined": declined, "least_authenticates": authenticates}
    for payment_id, body in bodies.items():
        api.post({"payment_id": payment_id} | body)
    assert api.settled("least_default")["status"] == "succeeded"
    assert api.settled("least_declined")["status"] == "declined"
    authenticates_at = "/payments/least_authenticates"  # without a slot at Stripe, an answer has no next action
    eventually("a next action", lambda: api.get(authenticates_at).json(), lambda view: "next_action" in view)


def refund(api: Api, gateway: Gateway, dynamodb: Any, outputs: dict[str, str]) -> None:
    """A refund of ours and one by hand, both in the books; one that recovery must start; and one that is rejected."""
    payment_id = "least_default"
    path, private = f"/payments/{payment_id}/refunds", {"order": "least"}
    api.post({"refund_id": "least_refund", "amount": 2, "metadata": private}, path)
    refunded(api, "least_refund")
    soon = RecoveryTimeouts(timedelta(seconds=5))
    refunds = DynamoRefundStore(dynamodb, outputs["refunds_table"], outputs["payments_table"], soon)
    row = require(DynamoPaymentStore(dynamodb, outputs["payments_table"]), payment_id)
    lost = refund_requested(
        RefundRequest("least_lost", payment_id),
        Money(100, "EUR"),
        status=RefundStatus.PENDING,
        at=utc_now(),
        actor="admin:test",
        source="rest",
    )
    refunds.create(lost, booked(row, None, lost))
    refunded(api, "least_lost")
    row = require(DynamoPaymentStore(dynamodb, outputs["payments_table"]), payment_id)
    waiting = refund_requested(
        RefundRequest("least_waiting", payment_id),
        Money(100, "EUR"),
        status=RefundStatus.PENDING_APPROVAL,
        at=utc_now(),
        actor="merchant:another",
        source="rest",
        requested_by="another",
    )
    refunds.create(waiting, booked(row, None, waiting))
    rejected = api.call("POST", "/refunds/least_waiting/reject")
    assert (rejected.status_code, rejected.json()["status"]) == (200, "rejected"), rejected.text
    gateway.refund(gateway.charges(payment_id)[0]["payment_intent"], 100)
    eventually("the refund by hand", lambda: api.get(path).json()["refunds"], lambda found: len(found) == 4)
    day = utc_now().date().isoformat()
    assert len(api.get(f"/refunds?status=succeeded&day={day}").json()["refunds"]) >= 3


def refunded(api: Api, refund_id: str) -> None:
    """Wait until a refund has succeeded."""
    eventually(
        f"the end of {refund_id}",
        lambda: api.get(f"/refunds/{refund_id}").json(),
        lambda view: view.get("status") == "succeeded",
        seconds=COLD_START_SECONDS,
    )


def pay_by_batch(api: Api, payments: DynamoPaymentStore, files: BatchFiles, events: Events) -> None:
    """A file with a good row, a bad one, and one whose payment was sent over REST and never started; one all bad."""
    stuck = {"payment_id": "least_stuck", "amount": "12.00", "currency": "EUR"}
    payments.create(accepted(parse_request(stuck), at=utc_now(), source="rest"))
    header = "payment_id,amount,currency,metadata,payment_method,client_ip"
    good = 'least_good,12.00,EUR,"{""order"": ""least""}",pm_card_visa,203.0.113.7'
    mixed = files.upload(f"{header}\n{good}\nleast_bad,ten,EUR,,,\nleast_stuck,12.00,EUR,,,\n")
    all_bad = files.upload("payment_id,amount,currency\nleast_bad,ten,EUR\n")
    for file in (mixed, all_bad):  # the event is the last request of a report
        eventually(f"the event of {file}", partial(events.of, file=file), seconds=COLD_START_SECONDS)
    for query in (
        "metadata=order:least",
        f"batch_id={api.get('/payments/least_good').json()['references']['batch_id']}",
    ):
        assert [one["payment_id"] for one in api.get(f"/payments?{query}").json()["payments"]] == ["least_good"]
    api.post(stuck)
    eventually("the event of least_stuck", partial(events.of, payment_id="least_stuck"))  # and a workflow


def pay_by_file_of_a_merchant(api: Api, stack: Stack, file: Path) -> None:
    """A file of the local merchant: a good row, one with another's customer, and one with a reserved id."""
    api.post({"customer_id": "least_other", "email": "jo@example.com"}, "/customers")
    file.write_text(
        "payment_id,amount,currency,customer_id\nsh_least_good,12.00,EUR,\n"
        "sh_least_other,12.00,EUR,least_other\nleast_reserved,12.00,EUR,\n"
    )
    shop = merchant_files.stack_of_merchant(stack, "shop")
    results = merchant_files.watched(shop, merchant_files.upload(shop, "shop", file), COLD_START_SECONDS)
    assert (results.by_status, len(results.errors)) == ({"succeeded": 1}, 2)


@contextmanager
def no_time_left(functions: Any, splitter: str) -> Iterator[None]:
    """Let the splitter run out of time at once, so that it calls itself to continue."""
    usual = functions.get_function_configuration(FunctionName=splitter)["Timeout"]
    limit(functions, splitter, NO_TIME_LEFT_SECONDS)
    try:
        yield
    finally:
        limit(functions, splitter, usual)


def limit(functions: Any, name: str, seconds: int) -> None:
    """Change a function's time limit, and wait until the change is active."""
    functions.update_function_configuration(FunctionName=name, Timeout=seconds)
    eventually(
        f"the new time limit of {name}",
        lambda: functions.get_function_configuration(FunctionName=name)["LastUpdateStatus"],
        lambda status: status == "Successful",
    )


def test_roles_when_each_road_has_run_then_nothing_was_denied(asked: list[Asked]) -> None:
    assert [request for request in asked if not request.allowed] == []


def test_roles_when_each_road_has_run_then_every_permission_was_used(
    asked: list[Asked], granted: list[Granted], outputs: dict[str, str]
) -> None:
    unused = [grant for grant in granted if not any(map(grant.covers, asked))]
    rare = [
        (f"payment-{function}-{outputs['environment_suffix']}", action, pattern) for function, action, pattern in RARE
    ]
    needed = [
        grant
        for grant in unused
        if not any(
            (grant.role, grant.action) == (role, action) and fnmatchcase(grant.pattern, pattern)
            for role, action, pattern in rare
        )
    ]
    assert [grant for grant in needed if grant.action not in UNSEEN] == []


def test_unseen_actions_are_granted_and_were_not_seen(asked: list[Asked], granted: list[Granted]) -> None:
    assert UNSEEN.keys() - {grant.action for grant in granted} == set()
    assert UNSEEN.keys() & {request.action for request in asked} == set()
