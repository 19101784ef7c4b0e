"""Restores the stack after a failed test, so that the next test meets a stack like a new one."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from local.stack import LocalStack
from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.tables import BY_DUE, PAYMENTS, PROCESSING_STATUS
from payments.domain.clock import iso, utc_now
from tests.waiting import PATIENCE_SECONDS, eventually, smallest_so_far

EVENTS_QUEUE = "e2e-events"
"""The queue of the tests themselves. It keeps its messages."""
SCHEDULED = 2
"""Functions that may run without a request from a test: the scheduled recovery, and what it restarts."""


def calm_or_stop(stack: LocalStack, session: pytest.Session, since: datetime) -> None:
    """Calm the stack, or let this be the last test of the run and say why: on a broken stack each test waits in vain.

    Raises the error that prevented it.
    """
    try:
        calm(stack, since)
    except BaseException as error:
        session.shouldstop = (
            f"the stack cannot be calmed after a failed test, so that no other test can use it: {error}"
        )
        raise


def calm(stack: LocalStack, since: datetime, seconds: float = PATIENCE_SECONDS) -> None:
    """Remove all faults and everything unfinished of a test that began at `since`, of both environments.

    Payments from before may belong to a fixture of other tests: they and their executions continue. Raises
    AssertionError if the stack becomes no calmer for `seconds`, with what was left.
    """
    with requests.Session() as fake_stripe:
        fake_stripe.trust_env = False
        fake_stripe.delete(f"{stack.gateway_url}/_stand_in/faults", timeout=60).raise_for_status()
    stack.aws.disturb({})
    rest = _Rest(stack.aws.client, since)
    eventually(
        "a calm stack",
        lambda: rest.removed() + Counter(busy=max(0, len(stack.aws.workers(busy=True)) - SCHEDULED)),
        lambda left: not left.total(),
        seconds,
        every=0.5,
        progress=smallest_so_far(lambda left: left.total() if left else 0),
    )
    _resume_batches(stack)


def _resume_batches(stack: LocalStack) -> None:
    breaker = DynamoBreakerStore(stack.aws.client("dynamodb"), stack.outputs["controls_table"])
    functions, mapping = stack.aws.client("lambda"), stack.outputs["dispatch_mapping_id"]

    def delivery() -> str:
        return str(functions.get_event_source_mapping(UUID=mapping)["State"])

    while breaker.resume(utc_now()):  # one cause a call: an operator, and the gateway
        pass
    if eventually("a settled delivery", delivery, lambda state: not state.endswith("ing")) == "Disabled":
        functions.update_event_source_mapping(UUID=mapping, Enabled=True)
        eventually("the delivery to be enabled", delivery, lambda state: state == "Enabled")


class _Rest:
    """What a test has left unfinished. One environment may be destroyed meanwhile: what is gone does not count."""

    def __init__(self, client: Callable[[str], Any], since: datetime) -> None:
        self._sqs, self._executions, self._dynamodb = client("sqs"), client("stepfunctions"), client("dynamodb")
        self._since = since

    def removed(self) -> Counter[str]:
        """Remove everything once. Returns how much there was, by kind."""
        return Counter(
            messages=sum(map(self._purge, self._sqs.list_queues().get("QueueUrls", []))),
            executions=sum(map(self._stop, self._executions.list_state_machines()["stateMachines"])),
            rows=sum(map(self._finish, self._dynamodb.list_tables()["TableNames"])),
        )

    def _purge(self, url: str) -> int:
        if url.endswith(EVENTS_QUEUE):
            return 0
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        with suppress(ClientError):
            counts = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            self._sqs.purge_queue(QueueUrl=url)
            return sum(map(int, counts.values()))
        return 0

    def _stop(self, machine: dict[str, Any]) -> int:
        stopped = 0
        with suppress(ClientError):
            older = set(self._older_payments())
            pages = self._executions.get_paginator("list_executions").paginate(
                stateMachineArn=machine["stateMachineArn"], statusFilter="RUNNING"
            )
            for execution in [execution for page in pages for execution in page["executions"]]:
                if execution["name"].partition(".")[0] not in older:
                    self._executions.stop_execution(executionArn=execution["executionArn"], cause="its test has failed")
                    stopped += 1
        return stopped

    def _older_payments(self) -> Iterator[str]:
        for table in self._dynamodb.list_tables()["TableNames"]:
            if table.startswith(f"{PAYMENTS.name}-"):
                unsettled = self._waiting(table)
                yield from (row["payment_id"]["S"] for row in unsettled if not self._is_of_the_test(row))

    def _finish(self, table: str) -> int:
        finished = 0
        with suppress(ClientError):
            if table.startswith(f"{PAYMENTS.name}-"):
                for row in filter(self._is_of_the_test, self._waiting(table)):
                    self._dynamodb.delete_item(TableName=table, Key={"payment_id": row["payment_id"]})
                    finished += 1
            if table.startswith(f"{PROCESSING_STATUS.name}-"):
                for row in filter(self._is_of_the_test, self._waiting(table)):
                    key = {name: row[name] for name in ("batch_id", "item")}
                    self._dynamodb.update_item(TableName=table, Key=key, UpdateExpression="REMOVE due_kind, due_at")
                    finished += 1
        return finished

    def _waiting(self, table: str) -> list[dict[str, Any]]:
        """The rows that recovery waits for: the index has their keys only."""
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=table, IndexName=BY_DUE)
        keys = [{n: v for n, v in row.items() if not n.startswith("due_")} for page in pages for row in page["Items"]]
        rows = [self._dynamodb.get_item(TableName=table, Key=key).get("Item") for key in keys]
        return [row for row in rows if row]

    def _is_of_the_test(self, row: dict[str, Any]) -> bool:
        return bool(row["created_at"]["S"] >= iso(self._since))
