"""The incidents of docs/runbooks.md: what happens in each, and how it is repaired. One table, `INCIDENTS`.

An incident is a context: it begins inside, gives the real names of the runbook's placeholders, and is repaired at the
end, also if the drill fails.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.kms import KmsFieldEncryptor
from payments.application.batch_breaker import PAYMENTS_UNTIL_PAUSE
from payments.application.velocity import MOST_CARDS, Source
from payments.domain.clock import iso, utc_now
from payments.domain.errors import GATEWAY_UNREACHABLE
from payments.domain.payment import SENDER, accepted, moved
from payments.domain.statuses import Status
from tests.e2e.conftest import forget_cards, json_of
from tests.e2e.oncall.scene import Scene
from tests.e2e.test_recovery import deliver, event, hold_slots
from tests.e2e.test_roles import in_one_window
from tests.unit.builders import request
from tests.waiting import eventually

PAYMENT, OTHER_PAYMENT, CUSTOMER, BATCH = "pay_123456", "pay_123457", "cus_44", "payroll-58b6f1f59dd7"
ERROR = "ThrottlingException"
"""The placeholders of the runbooks."""
Names = dict[str, str]
HEADER = "payment_id,amount,currency"
LONG_AGO = timedelta(hours=25)
"""What began then is over every time-out."""


@dataclass(frozen=True)
class Incident:
    """An incident by the alarm that it fires, and the entry of the runbooks under the alarm's text."""

    alarm: str
    what: str
    happens: Callable[[Scene], AbstractContextManager[Names]]
    entry: str = ""
    """The heading in docs/runbooks.md, if it differs from the alarm's name."""
    short: bool = False
    """Whether `make test` drills it."""
    threshold: float | None = None
    """Instead of the alarm's threshold during the drill, if that one is a time."""

    @property
    def heading(self) -> str:
        """The heading in docs/runbooks.md."""
        return self.entry or self.alarm


@contextmanager
def _without_setting(scene: Scene, function: str, setting: str) -> Iterator[None]:
    """A deployment that forgot a setting of a function, until it is rolled back."""
    functions, name = scene.client("lambda"), f"payment-{function}-{scene.outputs['environment_suffix']}"
    usual = functions.get_function_configuration(FunctionName=name)["Environment"]
    without = {key: value for key, value in usual["Variables"].items() if key != setting}
    assert without != usual["Variables"], f"{function} has no setting {setting}"
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": without})
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=name, Environment=usual)


@contextmanager
def broken_deployment(scene: Scene) -> Iterator[Names]:
    with _without_setting(scene, "charge", "VAULT_KEY_ARN"):
        for _ in range(3):
            scene.pay()
        yield {}


@contextmanager
def dispatch_is_throttled(scene: Scene) -> Iterator[Names]:
    settled, throttled = scene.pay(), scene.new_id()
    scene.becomes(settled, "succeeded")
    scene.stack.aws.disturb({"states:StartExecution": 1.0})
    try:
        name = scene.files.upload(f"{HEADER}\n{throttled},5,USD\n")
        [letter] = eventually(
            f"the dead letter of {throttled}",
            lambda: [
                one
                for one in json_of(scene.payctl("dlq", "list", "--json"))
                if one["payment_id"] == throttled and one["reason_class"] == "ThrottlingException"
            ],
            every=1,
        )
    finally:
        scene.stack.aws.disturb({})
    message = json.dumps({"payment_id": settled, "batch_id": "a_batch", "line": 2})
    scene.client("sqs").send_message(QueueUrl=scene.outputs["dead_letter_queue_url"], MessageBody=message)
    yield {ERROR: letter["reason_class"]}  # one is replayed by the commands, one discarded
    eventually("an empty list", lambda: _letters_after_both(scene), lambda left: left == [], every=1)
    assert f"{throttled},5.00,USD,succeeded" in scene.files.result(name, "results")


def _letters_after_both(scene: Scene) -> list[str]:
    """What is left after the commands run once more: recovery may have overtaken the replay."""
    for command in ("replay", "discard"):
        scene.run("dlq", command, "--all", "--yes")
    return [letter["payment_id"] for letter in json_of(scene.payctl("dlq", "list", "--json"))]


@contextmanager
def workflows_cannot_be_started(scene: Scene) -> Iterator[Names]:
    scene.stack.aws.disturb({"states:StartExecution": 1.0})
    try:
        for _ in range(12):
            body = {"payment_id": scene.new_id(), "amount": 99.99, "currency": "USD"}
            assert scene.api.post(body).status_code == 500
        yield {}
    finally:
        scene.stack.aws.disturb({})


@contextmanager
def execution_stopped_by_hand(scene: Scene) -> Iterator[Names]:
    executions = scene.client("stepfunctions")
    arn = scene.outputs["state_machine_arn"].replace(":stateMachine:", ":execution:")
    payment_id = scene.pay("latency=5")
    eventually(f"a charge of {payment_id}", lambda: scene.gateway.charges(payment_id))
    executions.stop_execution(executionArn=f"{arn}:{payment_id}", cause="a drill")
    yield {PAYMENT: payment_id}
    scene.becomes(payment_id, "succeeded")
    assert len(scene.gateway.charges(payment_id)) == 1


@contextmanager
def paused_and_forgotten(scene: Scene) -> Iterator[Names]:
    scene.run("breaker", "pause", "--reason", "a drill", "--yes")
    try:
        name = scene.files.upload(f"{HEADER}\n{scene.new_id()},5,USD\n")
        yield {}
    finally:
        scene.run("breaker", "resume")
    scene.files.result(name, "results")


@contextmanager
def all_batches_are_paused(scene: Scene) -> Iterator[Names]:
    scene.run("breaker", "pause", "--reason", "a drill", "--yes")
    try:
        yield {}  # the entry's command resumes them
    finally:
        scene.run("breaker", "resume")


@contextmanager
def file_paused_for_a_day(scene: Scene) -> Iterator[Names]:
    scene.run("breaker", "pause", "--reason", "a drill", "--yes")  # otherwise it may be charged before its own pause
    try:
        name = scene.files.upload(f"{HEADER}\n{scene.new_id()},5,USD\n")
        eventually("the file to be read", lambda: scene.files.line(name))
        batch_id = scene.files.batch_id(name)
        scene.run("batch", "pause", batch_id)
    finally:
        scene.run("breaker", "resume")
    scene.client("dynamodb").update_item(
        TableName=scene.outputs["processing_status_table"],
        Key={"batch_id": {"S": batch_id}, "item": {"S": "SUMMARY"}},
        UpdateExpression="SET switch_at = :then",
        ExpressionAttributeValues={":then": {"S": iso(utc_now() - LONG_AGO)}},
    )
    yield {BATCH: batch_id}  # the entry's command resumes it
    assert "succeeded" in scene.files.result(name, "results")


@contextmanager
def rejected_key(scene: Scene) -> Iterator[Names]:
    scene.gateway.fault(kind="unauthorized", times=100_000)
    try:
        ids = [scene.pay() for _ in range(PAYMENTS_UNTIL_PAUSE + 1)]
        yield {}
    finally:
        scene.gateway.behave()
    for payment_id in ids:
        scene.becomes(payment_id, "succeeded")


@contextmanager
def outage(scene: Scene) -> Iterator[Names]:
    scene.gateway.control("refuse_connections", {"seconds": 600})
    try:
        ids = [scene.pay() for _ in range(PAYMENTS_UNTIL_PAUSE + 1)]
        yield {}
    finally:
        scene.stack.accept_connections()
    for payment_id in ids:
        scene.becomes(payment_id, "succeeded")
        assert len(scene.gateway.charges(payment_id)) == 1


@contextmanager
def more_payments_than_the_rate_allows(scene: Scene) -> Iterator[Names]:
    reserve = partial(hold_slots, scene.client("dynamodb"), scene.outputs["controls_table"])
    reserve(seconds=240)
    try:
        scene.pay()
        yield {}
    finally:
        reserve(seconds=0)


@contextmanager
def schedule_switched_off(scene: Scene) -> Iterator[Names]:
    schedules = scene.client("scheduler")
    name = f"payment-sweep-schedule-{scene.outputs['environment_suffix']}"
    taken = schedules.meta.service_model.operation_model("UpdateSchedule").input_shape.members
    usual = {key: value for key, value in schedules.get_schedule(Name=name).items() if key in taken}
    schedules.update_schedule(**{**usual, "State": "DISABLED"})
    try:
        yield {}
    finally:
        schedules.update_schedule(**usual)


@contextmanager
def charge_in_a_status_that_we_do_not_know(scene: Scene) -> Iterator[Names]:
    payment_id = scene.pay("status=requires_capture")
    scene.becomes(payment_id, "unknown")
    scene.client("dynamodb").update_item(  # it was sent long ago, and recovery looks at it now
        TableName=scene.outputs["payments_table"],
        Key={"payment_id": {"S": payment_id}},
        UpdateExpression="SET attempted_at = :sent, due_at = :now",
        ExpressionAttributeValues={":sent": {"S": iso(utc_now() - LONG_AGO)}, ":now": {"S": iso(utc_now())}},
    )
    yield {PAYMENT: payment_id}
    scene.gateway.behave()  # it is completed at Stripe
    scene.run("payment", "recheck", payment_id)
    scene.becomes(payment_id, "succeeded")


@contextmanager
def refused_until_the_deadline(scene: Scene) -> Iterator[Names]:
    then, encryptor = utc_now() - LONG_AGO, KmsFieldEncryptor(scene.client("kms"), scene.outputs["vault_key_arn"])
    first = accepted(request(scene.new_id()), at=then, source="rest")
    sent = moved(
        first, Status.PROCESSING, at=then, actor=SENDER, attempts=1, attempted_at=iso(then), gateway="stripe",
        payment_method="pm_card_visa", environment_id=scene.outputs["environment_id"],
    )  # fmt: skip
    refused = moved(sent, Status.PENDING, at=then, actor=SENDER, code=GATEWAY_UNREACHABLE)
    DynamoPaymentStore(scene.client("dynamodb"), scene.outputs["payments_table"], encryptor).create(refused)
    scene.becomes(refused.payment_id, "failed")
    yield {PAYMENT: refused.payment_id}
    assert scene.gateway.charges(refused.payment_id) == []


@contextmanager
def endpoint_removed_at_stripe(scene: Scene) -> Iterator[Names]:
    scene.gateway.forget("webhooks")
    try:
        scene.until_the_alarm("gateway-events-missing", lambda: scene.becomes(scene.pay(), "succeeded"), every=5)
        yield {}
    finally:
        scene.stack.send_webhooks(scene.outputs["webhook_url"])
    scene.becomes(scene.pay(), "succeeded")


@contextmanager
def many_cards_of_one_customer(scene: Scene) -> Iterator[Names]:
    customer_id = f"cus_{scene.new_id()}"

    def charged(method: str) -> str:
        return scene.pay(amount=1, customer_id=customer_id, payment_method=method)

    def charged_on_many() -> list[str]:
        forget_cards(scene.client("dynamodb"), scene.outputs["limits_table"])
        for number in range(MOST_CARDS[Source.CUSTOMER].small):
            charged(f"pm_card_number{number}")
        return [charged(method) for method in ("pm_card_visa", "pm_card_amex")]

    held = in_one_window(charged_on_many)
    for payment_id in held:
        scene.becomes(payment_id, "in_review")
    yield {PAYMENT: held[0], OTHER_PAYMENT: held[1], CUSTOMER: customer_id}  # approved and rejected by the commands
    assert scene.api.settled(held[1])["status"] == "rejected"


@contextmanager
def event_about_another_charge(scene: Scene) -> Iterator[Names]:
    payment_id = scene.pay()
    scene.becomes(payment_id, "succeeded")
    text = event(payment_id, "pi_another", environment_id=scene.outputs["environment_id"])
    assert deliver(scene.api, text).status_code == 200
    yield {PAYMENT: payment_id}


@contextmanager
def report_that_fails(scene: Scene) -> Iterator[Names]:
    with _without_setting(scene, "report", "VAULT_KEY_ARN"):
        name = scene.files.upload(f"{HEADER}\n{scene.new_id()},5,USD\n")
        eventually("the file to be read", lambda: scene.files.line(name))

        def long_without_a_change() -> None:
            scene.client("dynamodb").update_item(
                TableName=scene.outputs["processing_status_table"],
                Key={"batch_id": {"S": scene.files.batch_id(name)}, "item": {"S": "SUMMARY"}},
                UpdateExpression="SET seen_since = :then, due_at = :now",
                ExpressionAttributeValues={":then": {"S": iso(utc_now() - LONG_AGO)}, ":now": {"S": iso(utc_now())}},
            )

        scene.until_the_alarm("batches-stuck", long_without_a_change, every=1)
        yield {}
    scene.files.result(name, "results")


@contextmanager
def stolen_cards(scene: Scene) -> Iterator[Names]:
    for _ in range(12):
        scene.pay(payment_method="pm_card_visa_chargeDeclinedStolenCard")
    try:
        yield {}
    finally:
        scene.run("breaker", "resume")  # the entry's command paused it


INCIDENTS = [
    Incident("gateway-contradicts", "an event about another charge", event_about_another_charge, short=True),
    Incident("workflow-failures", "an execution is stopped by hand", execution_stopped_by_hand),
    Incident("dead-letters", "dispatch is throttled", dispatch_is_throttled),
    Incident("payments-failed", "an outage of more than a day", refused_until_the_deadline, short=True),
    Incident("gateway-misconfigured", "the key is rejected", rejected_key),
    Incident("gateway-unreachable", "connections are refused", outage),
    Incident("batches-paused", "an operator pauses all batches", all_batches_are_paused, short=True),
    Incident("batch-held", "a file stays paused", file_paused_for_a_day),
    Incident("payments-in-review", "small charges on many cards", many_cards_of_one_customer),
    Incident("api-5xx", "workflows cannot be started", workflows_cannot_be_started),
    Incident("suspicious-declines", "stolen cards", stolen_cards),
    Incident("charge-errors", "a setting is missing", broken_deployment, entry="function-errors"),
    Incident("sweeper-silent", "the schedule is switched off", schedule_switched_off),
    Incident("oldest-queued-payment", "a pause is forgotten", paused_and_forgotten, threshold=90),
    Incident("gateway-backlog", "more payments than the rate", more_payments_than_the_rate_allows),
    Incident("payments-overdue", "a charge with an unknown status", charge_in_a_status_that_we_do_not_know),
    Incident("batches-stuck", "the report fails", report_that_fails),
    Incident("gateway-events-missing", "the endpoint is removed", endpoint_removed_at_stripe),
]
"""Each alarm of lib/monitoring/alarms.py has an incident, or shares its entry with one."""

NOT_DRILLED: dict[str, str] = {
    "anchor-late": "it fires after three hours; tests/infrastructure shows its expression",
    "audit-broken": "tests/integration/test_anchor_handler.py changes a head and an anchor",
    "refunds-need-attention": "tests/unit/application/test_refund.py lets a refund fail after it succeeded",
    "backup-late": "its shortest period is a day; tests/infrastructure shows its expression",
    "backup-short": "tests/integration/test_backup_handler.py deletes rows between two backups",
    "backup-unverifiable": "tests/integration/test_backup_handler.py replaces a part",
}
"""Entries of the runbooks without an incident, with the reason."""
