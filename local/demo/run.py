"""Runs the demonstration: starts the stack, sends payments of every kind, and collects the outcomes."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
from rich.console import Console

from local.demo import checks, report
from local.demo.dead_letter import DeadLetter
from local.demo.findings import Answered, Findings
from local.demo.listener import Listener
from local.demo.results import rows_of
from local.demo.scenario import CALLS, CUSTOMER_METHODS, ROWS, Call, Run
from local.fake_stripe.objects import AUTHENTICATION_PATH, CLIENT_SECRET
from local.progress import StackSteps, Steps
from local.stack import LocalStack
from payctl import batch_files
from payctl.api import Api, Refused
from payctl.batch_view import progress_of as progress_of_batch
from payctl.deadline import Deadline
from payctl.payment import outcome, progress_of
from payctl.stack import Stack
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.domain.audit_chain import AuditBroken, verify
from payments.domain.batch.state import BatchStatus
from payments.domain.events import BATCH_EVENT
from payments.domain.statuses import Status
from payments.ports.payment_store import require

STILL_SECONDS = 90
"""A wait gives up without progress for this long. See payctl/deadline.py."""


def run(local: LocalStack, console: Console) -> list[str]:
    """Run and print the demonstration. Returns the mismatches, one line each."""
    began_at = time.monotonic()
    this = Run(datetime.now(UTC).strftime("%m%d-%H%M%S"))
    with Steps(console) as steps:
        local.up(StackSteps(steps))
        demonstration = Demonstration(Stack(local.outputs, local.outputs_path), this, steps)
        findings = demonstration.run()
    mismatches = checks.mismatches(this, findings)
    report.show(console, this, findings, total_seconds=time.monotonic() - began_at, applied=steps.seconds)
    report.verdict(console, mismatches)
    return mismatches


class Demonstration:
    """One pass over the scenario, on a running stack."""

    def __init__(self, stack: Stack, this: Run, steps: Steps) -> None:
        self._stack = stack
        self._this = this
        self._steps = steps
        self._api = Api(stack)
        self._findings = Findings()

    def run(self) -> Findings:
        """Send everything, wait for all outcomes, and collect the findings."""
        dead_letter = DeadLetter(self._stack, self._this.payment_id("lost"))
        if dead_letter.alarm_fires():
            self._steps.begin("waiting until the alarm of an earlier run clears")
            self._note(dead_letter.wait_until_cleared(STILL_SECONDS))
        with Listener.on(self._stack, f"payment-demo-{self._this.id}") as listener, dead_letter:
            self._create_customers()
            self._submit()
            self._authenticate()
            self._upload()
            self._gather()
            self._listen(listener)
        return self._findings

    def _note(self, gave_up: str) -> None:
        if gave_up:
            self._findings.gave_up.append(gave_up)

    def _create_customers(self) -> None:
        self._steps.begin(f"creating {len(CUSTOMER_METHODS)} customers")
        for customer_id, method in CUSTOMER_METHODS.items():
            email = f"{customer_id}@example.com"
            customer = {"customer_id": customer_id, "email": email, "default_payment_method": method}
            self._api.call("POST", "/customers", customer)  # idempotent: an earlier run may have created it

    def _body(self, call: Call) -> dict[str, str]:
        body = self._this.body(call)
        if call.by_token:
            customer_id = body["customer_id"]
            asked = {"customer_id": customer_id, "payment_method": CUSTOMER_METHODS[customer_id]}
            body["token"] = self._api.call("POST", "/tokens", asked).body["token"]
        return body

    def _submit(self) -> None:
        self._steps.begin(f"sending {len(CALLS)} requests over REST")
        for call in CALLS:
            try:
                answer = self._api.submit(self._body(call))
                answered = Answered(call, answer.status, answer.replayed, "")
            except Refused as refused:
                answered = Answered(call, refused.status, False, _problem_text(refused.problem))
            self._findings.answered.append(answered)
        accepted = [answered for answered in self._findings.answered if answered.http_status == 202]
        for count, answered in enumerate(accepted, 1):
            payment_id = self._this.body(answered.call)["payment_id"]
            self._findings.payments[payment_id], gave_up = outcome(self._api, payment_id, STILL_SECONDS)
            self._note(gave_up)
            self._steps.detail(f"{count} of {len(accepted)} have an outcome")

    def _authenticate(self) -> None:
        """Act as the customers who must pass 3-D Secure, with nothing but what the API gives them."""
        self._steps.begin("passing 3-D Secure")
        for payment_id in (self._this.body(call)["payment_id"] for call in CALLS if call.authenticates):
            payment = self._read_until(payment_id, "a next action", lambda payment: "next_action" in payment)
            if action := payment.get("next_action"):
                form = {CLIENT_SECRET: action["client_secret"], "outcome": "succeeded"}
                _fake_stripe("POST", self._stack["gateway_url"] + AUTHENTICATION_PATH, form)
                self._findings.authenticated[payment_id] = action["method"]
                self._findings.payments[payment_id] = self._read_until(
                    payment_id,
                    "the result of 3-D Secure",
                    lambda payment: payment["status"] != Status.REQUIRES_ACTION,
                )

    def _read_until(
        self, payment_id: str, waits_for: str, enough: Callable[[Mapping[str, Any]], bool]
    ) -> dict[str, Any]:
        deadline = Deadline(STILL_SECONDS, f"{waits_for} of {payment_id}")
        while True:
            payment = self._api.payment(payment_id)
            if enough(payment):
                return payment
            if deadline.over(progress_of(payment)):
                self._note(deadline.report)
                return payment
            time.sleep(1)

    def _upload(self) -> None:
        self._steps.begin(f"uploading a CSV file of {len(ROWS)} rows")
        with TemporaryDirectory() as folder:
            path = Path(folder, self._this.file_name)
            path.write_text(self._this.csv, encoding="utf-8")
            source = batch_files.upload(self._stack, path)
        deadline = Deadline(STILL_SECONDS, f"the result files of batch {source.batch_id}")
        while True:
            batch = self._findings.batch = batch_files.get(self._stack, source.batch_id)
            if batch:
                self._steps.detail(progress_of_batch(batch))
                if batch.status in (BatchStatus.COMPLETED, BatchStatus.REJECTED):
                    return
            if deadline.over(batch and progress_of_batch(batch)):
                self._note(deadline.report)
                return
            time.sleep(0.3)

    def _gather(self) -> None:
        self._steps.begin("reading the result files, the audit log and the charges at the gateway")
        found = self._findings
        if found.batch and found.batch.status is BatchStatus.COMPLETED:
            found.result_files = batch_files.contents(self._stack, found.batch)
            found.rows = rows_of(found.result_files)
        for row in found.rows:
            if row.payment_id and row.in_results:
                found.payments[row.payment_id] = self._api.payment(row.payment_id)
        self._read_audit()
        found.charges = [
            charge
            for charge in _fake_stripe("GET", f"{self._stack['gateway_url']}/_stand_in/charges")["data"]
            if charge["payment_id"].startswith(self._this.payment_id(""))
        ]

    def _read_audit(self) -> None:
        dynamodb = self._stack.client("dynamodb")
        payments = DynamoPaymentStore(dynamodb, self._stack["payments_table"])
        log = DynamoAuditStore(dynamodb, self._stack["audit_table"], self._stack["payments_table"])
        for payment_id in self._findings.payments:
            payment = require(payments, payment_id)
            deadline = Deadline(STILL_SECONDS, f"the audit log of {payment_id}")
            while payment.audited_version < payment.version:
                if deadline.over(f"{payment.audited_version} of {payment.version} versions"):
                    self._note(deadline.report)
                    break
                time.sleep(0.2)
                payment = require(payments, payment_id)
            try:
                verify(payment, log.entries(payment_id))
                behind = payment.version - payment.audited_version
                self._findings.audited[payment_id] = f"{behind} versions are not audited" if behind else ""
            except AuditBroken as broken:
                self._findings.audited[payment_id] = str(broken)

    def _listen(self, listener: Listener) -> None:
        self._steps.begin("waiting for the events and the dead-letter alarm")
        expected = {f"{payment_id} {payment['status']}" for payment_id, payment in self._findings.payments.items()}

        def missing_events(listening: Listener) -> set[str]:
            self._steps.detail(f"{len(listening.events)} events, {len(listening.alarms)} alarms")
            events = listening.events
            payments = {f"{event['payment_id']} {event['status']}" for event in events if "payment_id" in event}
            batches = {BATCH_EVENT for event in events if event["event_type"] == BATCH_EVENT}
            return (expected | {BATCH_EVENT}) - payments - batches

        def missing_alarm(listening: Listener) -> set[str]:
            firing = any(alarm["NewStateValue"] == "ALARM" for alarm in listening.alarms)
            return set() if firing else {"the alarm"}

        self._note(listener.wait(missing_events, "the events of all payments and the batch", STILL_SECONDS))
        self._note(listener.wait(missing_alarm, "the alarm of the dead-letter queue", STILL_SECONDS))
        self._findings.events = listener.events
        self._findings.alarms = listener.alarms


def _problem_text(problem: Mapping[str, Any]) -> str:
    """The errors of a problem's fields, or its detail if it names no field."""
    errors = [f"{error['field']}: {error['message']}" for error in problem.get("errors", [])]
    return "; ".join(errors) or str(problem.get("detail", ""))


def _fake_stripe(method: str, url: str, form: Mapping[str, str] | None = None) -> dict[str, Any]:
    with requests.Session() as session:
        session.trust_env = False  # a proxy cannot reach loopback
        answer = session.request(method, url, data=form, timeout=10)
    answer.raise_for_status()
    content: dict[str, Any] = answer.json()
    return content
