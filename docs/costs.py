"""What a million payments cost on AWS: counted on the real functions, priced in one table.

    .venv/bin/python -m docs.costs

prints the tables of docs/costs.md, which a test holds against it. Requests, reads and writes are counted while the
functions' own handlers carry payments through tables, bucket and queue in memory, state transitions on the state
machine's own definition. Only what no count can tell is measured: `MEASURED`.
"""

import hashlib
import hmac
import io
import json
import math
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import boto3

from fakes.gateway import MemoryGateway
from fakes.queue_delivery import MemoryDelivery
from fakes.workflow import MemoryWorkflow
from lib.dispatch_rate import MESSAGES_A_CALL, dispatch_rate
from lib.features.state_machine import Step, definition
from lib.settings import ENVIRONMENTS
from payments.adapters.dynamodb.tables import (
    AUDIT_LOG,
    CONTROLS,
    CUSTOMERS,
    DENIED_ATTEMPTS,
    GATEWAY_EVENTS,
    LIMITS,
    PAYMENTS,
    PROCESSING_STATUS,
    REFUNDS,
    TOKENS,
    Table,
)
from payments.domain.gateway_slots import slot_length
from payments.domain.payment import ENVIRONMENT
from tests.moto_tables import aws_in_memory, create_table

Counts = Counter[str]

PRICES = {
    "state transitions": Decimal(25),
    "Express requests": Decimal(1),
    "Express GB-s": Decimal("16.67"),
    "Lambda requests": Decimal("0.20"),
    "Lambda GB-s": Decimal("13.33"),
    "DynamoDB write units": Decimal("0.625"),
    "DynamoDB read units": Decimal("0.125"),
    "API requests": Decimal("3.50"),
    "SQS requests": Decimal("0.40"),
    "SNS requests": Decimal("0.50"),
    "KMS requests": Decimal(3),
    "audit HMACs": Decimal(3),
    "scheduled calls": Decimal(1),
    "log GB": Decimal(500_000),
}
"""Dollars for a million of each, us-east-1, November 2026. Logs are $0.50 a GB."""

MEASURED = {
    "api": 10,
    "validate": 9,
    "charge": 15,
    "record": 9,
    "audit": 12,
    "split": 7,
    "report": 1,
    "webhook": 8,
    "sweep": 20,
}
"""Milliseconds of a warm run on the local AWS (of webhook and sweep: on moto), of split and report those of a row:
what our own code takes. The time that Stripe takes comes on top of `charge`, and so does the wait for a slot."""
LOG_BYTES = 750
"""What one invocation writes into its log group, Lambda's own three lines and the metrics included. Measured like the
above."""
DISPATCHED_BYTES = 290
"""And dispatch, which starts ten payments a run, for each."""
EXPRESS_GB = Decimal(64) / 1024
"""Express is billed in steps of 64 MB and 100 ms."""

TABLES = {
    table.name: table
    for table in (
        PAYMENTS,
        REFUNDS,
        PROCESSING_STATUS,
        AUDIT_LOG,
        DENIED_ATTEMPTS,
        CUSTOMERS,
        TOKENS,
        LIMITS,
        GATEWAY_EVENTS,
        CONTROLS,
    )
}
UNITS = (
    "DynamoDB write units",
    "DynamoDB read units",
    "API requests",
    "SQS requests",
    "SNS requests",
    "KMS requests",
    "audit HMACs",
)
WRITES = "write units of "
"""Before a table's name: what its rows take. Before `table/index/kind`: what an index takes, by the kind that its key
begins with (`pending#2026-11-21`), if it does."""
HALF_READS = "half read units of "
"""Before a table's name, its indexes included."""
ENVIRONMENT_ID = "0123456789abcdef"
SAMPLE = {"amount": "99.99", "currency": "USD", "customer_id": "cus_1234567890", "description": "Annual plan"}
_HMAC = ("HMAC_256", "GENERATE_VERIFY_MAC")
KEYS: Any = (("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), _HMAC, _HMAC)
"""Those of the fields, of lookups and of the audit trail."""
CONTEXT = SimpleNamespace(
    aws_request_id="run",
    function_name="counted",
    memory_limit_in_mb=512,
    invoked_function_arn="-",
    get_remaining_time_in_millis=lambda: 900_000,
)
CLIENT = {"sourceIp": "192.0.2.1"}
ROWS = 10
"""Batches of this many rows and of twice as many are compared, so that what each file costs once drops out."""
MINUTES_A_MONTH = 365 * 24 * 60 // 12
UPLOADER = "AWS:AROAIOSFODNN7EXAMPLE1:accounting@example.com"
"""A principal as S3 names it. Each payment of the file has it in its history."""
SIGNED_WITH = "whsec_unused"
_LONGER_AT_KMS = bytes(184 - 96)
"""A wrapped data key is 184 bytes at KMS and 96 on moto."""
_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
DEV = ENVIRONMENTS["dev"]
SLOT = slot_length(DEV.gateway_rate_per_second, DEV.gateway_reserve_percent)
WAITS_FOR_SLOT = Decimal(SLOT // timedelta(microseconds=1)) / 1000 / 2
"""Milliseconds: half of a slot, where they are free."""


# What the functions ask of AWS ----------------------------------------------------------------------------------------


class Meter:
    """Counts what boto3 is asked for. DynamoDB's units are those of its price page, index writes included."""

    def __init__(self, events: Any, dynamodb: Any) -> None:
        self.counts: Counts = Counter()
        self.audit_key = os.environ["AUDIT_KEY_ARN"]
        self._dynamodb = dynamodb
        self._before: Rows = {}
        self._halves = 1
        self._table = ""
        events.register("provide-client-params.*.*", self._asked)
        events.register("after-call.*.*", self._answered)

    def _asked(self, model: Any, params: dict[str, Any], **_: Any) -> None:
        service = model.service_model.service_name
        if service == "dynamodb":
            self._halves = 2 if params.get("ConsistentRead") else 1
            self._table = params.get("TableName", "")
            self._before = {place: self._row(*place) for place in _written(params)}
        elif service == "kms" and params.get("KeyId") == self.audit_key:
            self.counts["audit HMACs"] += 1
        elif service in ("sqs", "sns", "kms"):
            self.counts[f"{service.upper()} requests"] += 1
        if model.name == "Decrypt":
            params["CiphertextBlob"] = params["CiphertextBlob"].removesuffix(_LONGER_AT_KMS)

    def _answered(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        if model.name == "GenerateDataKey":
            parsed["CiphertextBlob"] += _LONGER_AT_KMS
        if model.service_model.service_name != "dynamodb":
            return
        if model.name in ("GetItem", "Query"):
            items = parsed.get("Items") or [parsed.get("Item", {})]
            halves = self._halves * (math.ceil(sum(map(_size, items)) / 4096) or 1)
            self.counts.update({"half read units": halves, f"{HALF_READS}{self._table}": halves})
        for place, before in self._before.items():
            table, after = TABLES[place[0]], self._row(*place)
            twice = 2 if model.name == "TransactWriteItems" else 1
            writes = Counter({table.name: twice * _kilobytes(before, after)})
            for index in table.indexes:
                for key, units in index_writes(table, index, before, after).items():
                    writes[f"{table.name}/{index}/{key.partition('#')[0] if '#' in key else ''}"] += units
            self.counts["DynamoDB write units"] += writes.total()
            self.counts.update({f"{WRITES}{place}": units for place, units in writes.items()})

    def _row(self, table: str, key: str) -> dict[str, Any]:
        row: dict[str, Any] = self._dynamodb.get_item(TableName=table, Key=json.loads(key)).get("Item", {})
        return row


Rows = dict[tuple[str, str], dict[str, Any]]
"""Table name and key as JSON → the row, empty if there is none."""


def _written(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Table and key of every row that a request writes."""
    for write in params.get("TransactItems", [{"Only": params}]):
        for request in write.values():
            row = request.get("Item") or (request.get("Key") if "UpdateExpression" in request else None)
            if row:
                key = TABLES[request["TableName"]].key.attributes
                yield request["TableName"], json.dumps({name: row[name] for name in key})


def index_writes(table: Table, index: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Counts:
    """What a change of a row writes into an index, by partition key: nothing if the index does not hold what changed,
    and a deletion and a writing if the index's key did."""
    key = table.indexes[index]
    was, now = (_projected(table, index, row) if set(key.attributes) <= set(row) else {} for row in (before, after))
    writes: Counts = Counter()
    if was == now:
        return writes
    same_key = [was.get(name) for name in key.attributes] == [now.get(name) for name in key.attributes]
    for rows in [(was, now)] if same_key else [(row,) for row in (was, now) if row]:
        (partition,) = rows[0][key.partition].values()
        writes[partition] += _kilobytes(*rows)
    return writes


def _projected(table: Table, index: str, row: Mapping[str, Any]) -> Mapping[str, Any]:
    if index not in table.keys_only:
        return row
    return {name: row[name] for name in {**table.key.attributes, **table.indexes[index].attributes}}


def _kilobytes(*rows: Mapping[str, Any]) -> int:
    return math.ceil(max(map(_size, rows)) / 1024)


def _size(item: Mapping[str, Any]) -> int:
    """An item's bytes as DynamoDB counts them."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return len(content) // 2 + 2
        case "L":
            return 3 + sum(1 + _value_size(part) for part in content)
        case "M":
            return 3 + _size(content) + len(content)
    return 1


# Payments, carried by the functions' handlers -------------------------------------------------------------------------


class Functions:
    """The functions as they are deployed, on AWS in memory, with the gateway's fake."""

    def __init__(self) -> None:
        session = boto3.Session()
        dynamodb = session.client("dynamodb")  # the meter's own, which is not counted
        for table in TABLES.values():
            create_table(table, dynamodb)
        session.client("s3").create_bucket(Bucket="files")
        session.client("s3").put_bucket_versioning(Bucket="files", VersioningConfiguration={"Status": "Enabled"})
        kms = session.client("kms")
        key, lookup_key, audit_key = (kms.create_key(KeySpec=spec, KeyUsage=use) for spec, use in KEYS)
        secrets = session.client("secretsmanager")
        secret = secrets.create_secret(Name="webhook", SecretString=json.dumps({"current": SIGNED_WITH}))["ARN"]
        topic = session.client("sns").create_topic(Name="events")["TopicArn"]
        queue = session.client("sqs").create_queue(QueueName="payments")["QueueUrl"]
        self._s3, self._queue = session.client("s3"), session.resource("sqs").Queue(queue)
        os.environ |= {
            "PAYMENTS_TABLE": PAYMENTS.name,
            "REFUNDS_TABLE": REFUNDS.name,
            "BACKUP_BUCKET": "files",
            "PROCESSING_STATUS_TABLE": PROCESSING_STATUS.name,
            "AUDIT_TABLE": AUDIT_LOG.name,
            "DENIED_TABLE": DENIED_ATTEMPTS.name,
            "DENIED_RETENTION_DAYS": "400",
            "CUSTOMERS_TABLE": CUSTOMERS.name,
            "TOKENS_TABLE": TOKENS.name,
            "LIMITS_TABLE": LIMITS.name,
            "VAULT_KEY_ARN": key["KeyMetadata"]["Arn"],
            "EMAIL_HASH_KEY_ARN": lookup_key["KeyMetadata"]["Arn"],
            "AUDIT_KEY_ARN": audit_key["KeyMetadata"]["Arn"],
            "AUTH_MODE": "none",
            "RATE_PER_IP_PER_MINUTE": str(DEV.rate_per_ip_per_minute),
            "GATEWAY_BACKLOG_LIMIT_SECONDS": str(DEV.gateway_backlog_limit_seconds),
            "RATE_PER_CUSTOMER_PER_MINUTE": str(DEV.rate_per_customer_per_minute),
            "READS_PER_CUSTOMER_PER_MINUTE": str(DEV.reads_per_customer_per_minute),
            "GATEWAY_EVENTS_TABLE": GATEWAY_EVENTS.name,
            "CONTROLS_TABLE": CONTROLS.name,
            "DEFAULT_PAYMENT_METHOD": DEV.default_payment_method,
            "STATE_MACHINE_ARN": "-",
            "PAYMENT_EVENTS_TOPIC_ARN": topic,
            "PAYMENT_QUEUE_URL": queue,
            "REPORT_FUNCTION": "-",
            "AUDIT_FUNCTION": "-",
            "SPLIT_FUNCTION": "-",
            "DISPATCH_MAPPING_ID": "-",
            "AWS_LAMBDA_FUNCTION_NAME": "-",
            "GATEWAY_SECRET_ARN": "-",
            "WEBHOOK_SECRET_ARN": secret,
            "STRIPE_API_BASE": "https://stripe.invalid",
            "ENVIRONMENT_ID": ENVIRONMENT_ID,
            "GATEWAY_MODE": "test",
            "DISPATCH_PACE_SECONDS": "0",
            "SLOT_MICROSECONDS": str(SLOT // timedelta(microseconds=1)),
            "PATIENCE_SECONDS": str(DEV.patience_seconds),
            "GATEWAY_DEADLINE_SECONDS": str(DEV.gateway_deadline_seconds),
            "CARDS_PER_MERCHANT": "120/24",
            "FRAUD_HOLD_HOURS": "72",
            "FRAUD_HOLD_OUTCOME": "reject",
            "GATEWAY_OUTAGE_LIMIT": str(DEV.gateway_outage_limit),
            "ENVIRONMENT_SUFFIX": "costs",
            "POWERTOOLS_SERVICE_NAME": "costs",
            "LOG_LEVEL": "ERROR",
            "POWERTOOLS_METRICS_DISABLED": "true",
        }
        self._slept_seconds = 0.0
        boto3.setup_default_session()
        counted: Any = boto3.DEFAULT_SESSION
        self.meter = Meter(counted.events, dynamodb)
        names = ("api", "audit", "charge", "dispatch", "record", "report", "split", "sweep", "validate", "webhook")
        self._modules: dict[str, Any] = {name: import_module(f"handlers.{name}") for name in names}
        api, audit, charge, dispatch, _, _, split, sweep, _, webhook = self._modules.values()
        workflow, self._gateway = MemoryWorkflow(), MemoryGateway(prefix="pi_")
        api.services = replace(api.services, workflow=workflow)
        busy = replace(dispatch.dispatcher.rate_limiter, clock=self._a_second_each_charge)
        dispatch.dispatcher = replace(
            dispatch.dispatcher,
            workflow=workflow,
            rate_limiter=busy,
            monotonic=lambda: self._slept_seconds,  # a dispatcher looks again after a time: the same on every machine
            sleep=self._sleep,
            switches=replace(
                dispatch.dispatcher.switches, clock=lambda: _BEGINNING + timedelta(seconds=self._slept_seconds)
            ),
        )
        # as if each message and request came so long after the last that the backlog is looked at anew
        api.slots.remember_seconds = dispatch.slots.remember_seconds = 0
        webhook.webhooks = replace(webhook.webhooks, workflow=workflow)
        charge.charging = replace(charge.charging, gateway=self._gateway)
        for function in ("api", "webhook", "split"):  # read once in five seconds, not for each payment
            self._modules[function].mark.clock = lambda: _BEGINNING
            self._modules[function].mark.is_open()
        api.hold.remembered_for = charge.hold.remembered_for = timedelta(0)
        charge.rate_limiter = replace(charge.rate_limiter, clock=self._a_second_each_charge, sleep=lambda _: None)
        audit.start_report = split.start_report = lambda _: None
        split.splitter = replace(split.splitter, workers=1)  # the meter looks at the tables between two requests
        sweep.recovery = replace(sweep.recovery, workflow=workflow, gateway=self._gateway, delivery=MemoryDelivery())

    def _sleep(self, seconds: float) -> None:
        self._slept_seconds += seconds

    def _a_second_each_charge(self) -> datetime:
        """A clock by which slots are free and none is missed, on every machine."""
        return _BEGINNING + timedelta(seconds=self.meter.counts["charge runs"])

    def rest(self) -> Counts:
        """One payment over REST, and one question what became of it."""
        before = Counter(self.meter.counts)
        body = json.dumps({"payment_id": "pay_1234567890", **SAMPLE})
        context = {"requestContext": {"requestId": "3298b3ae-0000-4000-8000-1234567890ab", "identity": CLIENT}}
        self._call("api", {"httpMethod": "POST", "resource": "/payments", "body": body, **context})
        self._workflow("pay_1234567890")
        self._event("pay_1234567890")
        asked = {"httpMethod": "GET", "resource": "/payments/{payment_id}", **context}
        self._call("api", asked | {"pathParameters": {"payment_id": "pay_1234567890"}})
        self.meter.counts["API requests"] += 2
        return self.meter.counts - before

    def batch(self, rows: int) -> Counts:
        """A file of payments, from its upload to its result files."""
        before = Counter(self.meter.counts)
        lines = [f"bat_{rows}_{row:010},{','.join(SAMPLE.values())}\n" for row in range(rows)]
        content = f"payment_id,{','.join(SAMPLE)}\n{''.join(lines)}".encode()
        version = self._s3.put_object(Bucket="files", Key=f"incoming/{rows}.csv", Body=content)["VersionId"]
        uploaded = {"key": f"incoming/{rows}.csv", "versionId": version, "eTag": "e", "size": len(content)}
        uploader = {"principalId": UPLOADER}
        self._call(
            "split", {"Records": [{"userIdentity": uploader, "s3": {"bucket": {"name": "files"}, "object": uploaded}}]}
        )
        payment_ids, batch_id = [], ""
        while messages := self._queue.receive_messages(MaxNumberOfMessages=MESSAGES_A_CALL):
            records = [{"messageId": m.message_id, "body": m.body, "eventSource": "aws:sqs"} for m in messages]
            self._call("dispatch", {"Records": records})
            self._queue.delete_messages(
                Entries=[{"Id": str(n), "ReceiptHandle": m.receipt_handle} for n, m in enumerate(messages)]
            )
            self.meter.counts["SQS requests"] += 2  # Lambda's own: to receive and to delete them
            payment_ids += [json.loads(message.body)["payment_id"] for message in messages]
            batch_id = json.loads(messages[0].body)["batch_id"]
        for payment_id in payment_ids:
            self._workflow(payment_id)
            self._event(payment_id)
        self._call("report", {"batch_id": batch_id})
        return self.meter.counts - before

    def recover(self) -> Counts:
        """One run of recovery that finds nothing."""
        before = Counter(self.meter.counts)
        if any(self._call("sweep", {}).values()):
            raise AssertionError("a sweep that is counted must find nothing")
        return self.meter.counts - before

    def _event(self, payment_id: str) -> None:
        """Stripe's event about a payment that succeeded, after its outcome was recorded."""
        (reference,) = [made.reference for made in self._gateway.captured if made.payment_id == payment_id]
        ours = {"payment_id": payment_id, ENVIRONMENT: ENVIRONMENT_ID}
        about = {"object": "payment_intent", "id": reference, "metadata": ours}
        event = {"id": f"evt_{payment_id}", "type": "payment_intent.succeeded", "created": 0, "data": {"object": about}}
        body, now = json.dumps(event), int(time.time())
        signed = hmac.new(SIGNED_WITH.encode(), f"{now}.{body}".encode(), hashlib.sha256).hexdigest()
        headers = {"Stripe-Signature": f"t={now},v1={signed}"}
        answer = self._call("webhook", {"headers": headers, "body": body, "requestContext": {}})
        if answer["statusCode"] != 200:
            raise AssertionError(f"an event that is counted must be taken, this one is {answer}")
        self.meter.counts["API requests"] += 1

    def _workflow(self, payment_id: str) -> None:
        state = {"payment_id": payment_id}
        for function in ("validate", "charge", "record", "audit"):
            state = self._call(function, state)
        if state["status"] != "succeeded":
            raise AssertionError(f"a payment that is counted must succeed, this one is {state}")
        self.meter.counts["SNS requests"] += 1  # the Publish state's own

    def _call(self, function: str, event: Mapping[str, Any]) -> Any:
        self.meter.counts[f"{function} runs"] += 1
        return self._modules[function].handler(event, CONTEXT)


def transitions() -> int:
    """The states that a payment which succeeds passes through."""
    step = Step("-", 1)
    machine = definition(step, step, step, step, "-")
    state, passed = machine["StartAt"], 0
    while state:
        passed += 1
        state = machine["States"][state].get("Next") or machine["States"][state].get("Default")
    return passed


# From counts to dollars -----------------------------------------------------------------------------------------------

Share = dict[str, Decimal]
"""How much of what a payment takes, by name."""


def shares() -> dict[str, Share]:
    """What one payment takes, over REST and in a batch, and what one run of recovery takes."""
    # what functions print are log lines and metrics: both are priced on their own
    with aws_in_memory(), patch.dict(os.environ), redirect_stdout(io.StringIO()):
        functions = Functions()
        rest, fewer, more = functions.rest(), functions.batch(ROWS), functions.batch(2 * ROWS)
        sweep = functions.recover()
    marginal = Counter({name: more[name] - fewer[name] for name in more})
    return {"REST": _share(rest), "batch": _share(marginal, ROWS), "sweep": _share(sweep)}


def _share(counts: Counts, payments: int = 1) -> Share:
    share = {name: Decimal(count) / payments for name, count in counts.items() if count}
    return share | {"DynamoDB read units": share.pop("half read units") / 2}


def runs_of(share: Share) -> Share:
    """How often each function runs for a payment."""
    return {name.removesuffix(" runs"): count for name, count in share.items() if name.endswith(" runs")}


def busy_milliseconds(share: Share) -> Share:
    """How long a payment keeps each function busy, without the time that Stripe takes."""
    milliseconds = {name: count * MEASURED[name] for name, count in runs_of(share).items() if name != "dispatch"}
    milliseconds["charge"] += WAITS_FOR_SLOT
    if "dispatch" in runs_of(share):
        milliseconds |= {row: Decimal(MEASURED[row]) for row in ("split", "report")}
        milliseconds["dispatch"] = Decimal(dispatch_rate(DEV).seconds) * 1000  # it sleeps for the rest of that time
    return milliseconds


def priced(share: Share, workflow_type: str) -> dict[str, Decimal]:
    """Dollars for a million payments, by line of the bill."""
    runs, milliseconds = runs_of(share), busy_milliseconds(share)
    log_bytes = sum(runs.values(), Decimal(0)) * LOG_BYTES + (DISPATCHED_BYTES if "dispatch" in runs else 0)
    memory_gb = Decimal(DEV.lambda_memory_mb) / 1024
    steps = WAITS_FOR_SLOT + sum(MEASURED[name] for name in ("validate", "charge", "record", "audit"))
    billed_seconds = Decimal(math.ceil(steps / 100)) / 10
    standard = transitions() * PRICES["state transitions"]
    express = PRICES["Express requests"] + EXPRESS_GB * billed_seconds * PRICES["Express GB-s"]
    return {
        "Step Functions": standard if workflow_type == "STANDARD" else express,
        **{name: share.get(name, Decimal(0)) * PRICES[name] for name in UNITS},
        "Lambda requests": sum(runs.values(), Decimal(0)) * PRICES["Lambda requests"],
        "Lambda time": sum(milliseconds.values(), Decimal(0)) / 1000 * memory_gb * PRICES["Lambda GB-s"],
        "logs": log_bytes / 10**9 * PRICES["log GB"],
    }


def gateway_second(workflow_type: str) -> Decimal:
    """Dollars for a million payments and each second that the gateway takes to answer."""
    waiting = Decimal(DEV.lambda_memory_mb) / 1024 * PRICES["Lambda GB-s"]
    return waiting + (EXPRESS_GB * PRICES["Express GB-s"] if workflow_type == "EXPRESS" else Decimal(0))


def sweeps(share: Share) -> dict[str, Decimal]:
    """Dollars a month for recovery that finds nothing, by line of the bill."""
    gb_seconds = Decimal(MEASURED["sweep"]) / 1000 * DEV.lambda_memory_mb / 1024
    by_sweep = {
        "scheduled calls": PRICES["scheduled calls"],
        "Lambda requests": PRICES["Lambda requests"],
        "Lambda time": gb_seconds * PRICES["Lambda GB-s"],
        "DynamoDB read units": share["DynamoDB read units"] * PRICES["DynamoDB read units"],
        "logs": LOG_BYTES * PRICES["log GB"] / 10**9,
    }
    return {name: MINUTES_A_MONTH * dollars / 10**6 for name, dollars in by_sweep.items()}


def tables(by_entrance: dict[str, Share]) -> str:
    """The tables of docs/costs.md."""
    by_entrance = dict(by_entrance)
    sweep = by_entrance.pop("sweep")
    lines = ["| One payment takes | over REST | in a batch |", "|---|---:|---:|"]
    lines += [f"| state transitions (Standard) | {transitions()} | {transitions()} |"]
    for name in UNITS:
        counts = [_short(share.get(name)) for share in by_entrance.values()]
        lines.append(f"| {name} | " + " | ".join(counts) + " |")
    runs = [sum(runs_of(share).values()) for share in by_entrance.values()]
    lines.append("| Lambda requests | " + " | ".join(_short(Decimal(count)) for count in runs) + " |")

    columns = [(entrance, kind) for entrance in by_entrance for kind in ("STANDARD", "EXPRESS")]
    bills = [priced(by_entrance[entrance], kind) for entrance, kind in columns]
    lines += ["", "| Dollars for a million payments | " + " | ".join(f"{a}, {b.title()}" for a, b in columns) + " |"]
    lines += ["|---" + "|---:" * len(columns) + "|"]
    lines += [f"| {line} | " + " | ".join(_dollars(bill[line]) for bill in bills) + " |" for line in bills[0]]
    lines.append("| **Sum** | " + " | ".join(f"**{_dollars(sum(bill.values()))}**" for bill in bills) + " |")
    lines.append("| for each second that Stripe takes | ")
    lines[-1] += " | ".join(_dollars(gateway_second(kind)) for _, kind in columns) + " |"

    bill = sweeps(sweep)
    lines += [
        "",
        f"| Recovery, {MINUTES_A_MONTH:,} times a month | one run | dollars a month |",
        "|---|---:|---:|",
    ]
    by_sweep = {"scheduled calls": "1", "Lambda requests": "1", "Lambda time": f"{MEASURED['sweep']} ms"}
    by_sweep |= {"DynamoDB read units": _short(sweep["DynamoDB read units"]), "logs": f"{LOG_BYTES} bytes"}
    lines += [f"| {line} | {by_sweep[line]} | {_dollars(dollars)} |" for line, dollars in bill.items()]
    lines.append(f"| **Sum** | | **{_dollars(sum(bill.values()))}** |")
    return "\n".join(lines)


def _short(count: Decimal | None) -> str:
    return f"{(count or Decimal(0)).normalize():f}"


def _dollars(amount: Decimal | int) -> str:
    return str(Decimal(amount).quantize(Decimal("0.01"), ROUND_HALF_UP))


if __name__ == "__main__":
    print(tables(shares()))  # noqa: T201 - this is a command
