"""The real stack, applied once to a local AWS with IAM enforced, and the fixtures that tests use."""

import json
import os
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

from local.stack import LocalStack
from local.terraform import LONGEST_SECONDS, ROOT
from payctl import batch_files
from payctl.batch_view import progress_of
from payctl.stack import Stack
from payments.domain.batch.state import Source
from payments.domain.clock import utc_now
from payments.domain.statuses import OPEN, Status
from tests.e2e.calm import EVENTS_QUEUE, calm_or_stop
from tests.e2e.inventory import everything
from tests.e2e.second_suffix import Cdktf, remove_state
from tests.waiting import PATIENCE_SECONDS, eventually

LONGEST_TEST_SECONDS = 3600
"""A test ends much sooner if nothing changes, because each of its waits ends: see tests/waiting.py."""
_STACK = pytest.StashKey["_Coming"]()
_FAILED = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the drills. They exist only if this folder, or a file in it, is named to pytest."""
    parser.addoption("--drill-rows", type=int, default=500, help="rows that `make drill` writes before its backup")
    parser.addoption("--all-incidents", action="store_true", help="drill every incident of docs/runbooks.md")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the times of the drill."""
    from tests.e2e.oncall.times import TIMES, table

    if times := config.stash.get(TIMES, None):
        terminalreporter.section("drill of the runbooks")
        for line in table(times):
            terminalreporter.write_line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run this folder after all others. The second suffix is deployed beside the first files and destroyed beside those
    after test_terraform.py. The requests of roles come last, when all tests have caused them."""
    first = ("test_batch.py", "test_contract.py", "test_readme.py", "test_terraform.py")
    last = ("test_destroy.py", "test_least_privilege.py")
    order = {name: index - len(first) for index, name in enumerate(first)}
    order |= {name: index for index, name in enumerate(last, 1)}
    items.sort(key=lambda item: (_is_here(item), order.get(item.path.name, 0)))
    for item in filter(_is_here, items):
        item.add_marker(pytest.mark.timeout(LONGEST_TEST_SECONDS))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Apply the stack, and then the second one beside the first tests: each takes two minutes, mostly waiting."""
    here = [item.path.name for item in session.items if _is_here(item)]
    if here and hasattr(session.config, "workerinput"):
        raise pytest.UsageError("the tests in tests/e2e share one stack: run them without -n")
    if here and not session.config.option.collectonly:
        signal.signal(
            signal.SIGTERM, signal.default_int_handler
        )  # pytest then ends its fixtures, and with them the stack
        with_second = any(name in here for name in ("test_terraform.py", "test_destroy.py"))
        session.config.stash[_STACK] = _Coming(with_second=with_second)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop everything, whether a test used the stack or not."""
    if coming := session.config.stash.get(_STACK, None):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not leave the stack behind
        coming.end()


def _is_here(item: pytest.Item) -> bool:
    return item.path.parent == Path(__file__).parent


class _Coming:
    """The stack that is being applied. All of its files are below its own directory, apart from those of a `make up`.
    A minute of waiting is 6 seconds here, recovery runs every 3, and a lost message returns after 7."""

    def __init__(self, *, with_second: bool) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="e2e-")
        self.stack = LocalStack(
            Path(self._directory.name) / "local",
            record_permissions=True,
            wait_scale=0.1,
            schedule_scale=0.05,
            visibility_scale=0.02,
        )
        self._with_second = with_second
        self._pool = ThreadPoolExecutor(1)  # one after the other
        self._up = self._pool.submit(self.stack.up)
        self._plan = self._pool.submit(lambda: self.stack.terraform().plan()) if with_second else None
        self._second = self._pool.submit(self._deploy_second) if with_second else None
        self._destroyed: Future[Destroyed] | None = None

    def arrived(self) -> LocalStack:
        """The stack once it is applied. Raises the error that prevented it."""
        self._up.result()
        if self._plan:
            self._plan.exception()  # made before a test changes what it compares, such as a queue
        return self.stack

    def plan(self) -> dict[str, Any]:
        """What a second apply of the first stack would change. Raises the error that prevented it."""
        assert self._plan is not None
        return self._plan.result()

    def second(self) -> Cdktf:
        """The second suffix once it is deployed. Raises the error that prevented it."""
        assert self._second is not None
        return self._second.result()

    def _deploy_second(self) -> Cdktf:
        self._up.result()
        return Cdktf(self.stack, Path(self._directory.name) / "second").deployed()

    def destroy_second(self) -> "Future[Destroyed]":
        """Begin to destroy the second suffix, once, and return the future of the result."""
        if self._destroyed is None:
            self._destroyed = self._pool.submit(self._destroy_second)
        return self._destroyed

    def _destroy_second(self) -> "Destroyed":
        before = everything(self.stack.aws.client)
        self.second().destroy()
        return Destroyed(before, everything(self.stack.aws.client))

    def end(self) -> None:
        """Remove the stack. A command that is still changing it is stopped first."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        work = [future for future in (self._up, self._plan, self._second, self._destroyed) if future]
        while not all(future.done() for future in work):
            for name in ("terraform", "node", "python"):  # pkill takes no pattern of more than 15 characters
                subprocess.run(["pkill", "-P", str(os.getpid()), "-x", name], check=False)
            time.sleep(1)
        if self._with_second:
            remove_state()
        self.stack.down()
        self._directory.cleanup()


class Destroyed(NamedTuple):
    """The resources in the local AWS before and after the second suffix was destroyed."""

    before: dict[str, list[str]]
    after: dict[str, list[str]]


class Api:
    """The REST API as a client sees it, with the token that `token` returns, or without one."""

    def __init__(self, outputs: dict[str, str], token: Callable[[], str] | None = None) -> None:
        self._url = outputs["api_url"]
        self._token = token
        self._session = requests.Session()
        self._session.trust_env = False  # ignores the machine's proxy and certificates
        self._session.verify = outputs["ca_bundle"]

    def post(
        self, body: Any, path: str = "/payments", headers: dict[str, str] | None = None, **options: Any
    ) -> requests.Response:
        """POST a body: text as it is, anything else as JSON."""
        data = body if isinstance(body, str | bytes) else json.dumps(body)
        sent = {"Content-Type": "application/json"} | (headers or {})
        return self.call("POST", path, data=data, headers=sent, **options)

    def get(self, path: str) -> requests.Response:
        """GET a path."""
        return self.call("GET", path)

    def call(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> requests.Response:
        """Any request. The given headers replace the token's."""
        bearer = {"Authorization": f"Bearer {self._token()}"} if self._token else {}
        sent = bearer | (headers or {})
        return self._session.request(method, self._url + path, headers=sent, timeout=60, **options)

    def settled(self, payment_id: str) -> dict[str, Any]:
        """The payment once its workflow has an outcome."""
        return eventually(
            f"an outcome of {payment_id}",
            lambda: self.get(f"/payments/{payment_id}").json(),
            lambda view: Status(view["status"]) not in OPEN,
        )


@pytest.fixture(scope="session")
def local_stack(pytestconfig: pytest.Config) -> LocalStack:
    """The applied stack."""
    return pytestconfig.stash[_STACK].arrived()


@pytest.fixture(scope="session")
def second_plan(pytestconfig: pytest.Config, local_stack: LocalStack) -> dict[str, Any]:
    """What another apply of the stack would change, as Terraform saw it right after the first."""
    return pytestconfig.stash[_STACK].plan()


@pytest.fixture(scope="session")
def second(pytestconfig: pytest.Config) -> Cdktf:
    """A second environment beside the first, deployed by cdktf-cli. Only for test_terraform.py."""
    return pytestconfig.stash[_STACK].second()


@pytest.fixture(scope="session")
def destroying(pytestconfig: pytest.Config) -> "Callable[[], Future[Destroyed]]":
    """Begin to destroy the second environment."""
    return pytestconfig.stash[_STACK].destroy_second


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give the fixtures of a test its result."""
    report = yield
    item.stash.setdefault(_FAILED, [])
    if report.failed:
        item.stash[_FAILED].append(report.when or "")
    return report


@pytest.fixture(autouse=True)
def _calm_after_a_failure(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a failed test, restore the stack for the next one, or end the run."""
    began_at = utc_now()
    yield
    if request.node.stash.get(_FAILED, None) and "local_stack" in request.fixturenames:
        calm_or_stop(request.getfixturevalue("local_stack"), request.session, began_at)


@pytest.fixture(scope="session")
def outputs(local_stack: LocalStack) -> dict[str, str]:
    """The stack's outputs."""
    return local_stack.outputs


@pytest.fixture(scope="module", autouse=True)
def _no_cards_of_other_files(client: Callable[[str], Any], outputs: dict[str, str]) -> None:
    """All tests share an address. Small charges of one file must not hold those of the next: see velocity.py."""
    forget_cards(client("dynamodb"), outputs["limits_table"])


def forget_cards(dynamodb: Any, limits_table: str) -> None:
    """Remove the counts of cards that were used for small charges."""
    for row in dynamodb.scan(TableName=limits_table)["Items"]:
        if row["counter"]["S"].startswith("cards#"):
            dynamodb.delete_item(TableName=limits_table, Key={"counter": row["counter"]})


@pytest.fixture(scope="session")
def api_as(local_stack: LocalStack, outputs: dict[str, str]) -> Callable[[str], Api]:
    """The REST API, called by the sample user of a role."""
    return lambda role: Api(outputs, lambda: local_stack.token(role))


@pytest.fixture(scope="session")
def api(api_as: Callable[[str], Api]) -> Api:
    """The REST API, called by an admin."""
    return api_as("admin")


@pytest.fixture
def new_id() -> Callable[[], str]:
    """Payment ids that no other test uses. Their groups of digits are too short for a card number."""
    return lambda: f"pay_{uuid.uuid4().hex[:8]}x{uuid.uuid4().hex[:8]}"


class Gateway:
    """The state of the fake Stripe."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def charges(self, payment_id: str) -> list[dict[str, Any]]:
        """The captured charges of a payment."""
        data = self._session.get(f"{self.url}/_stand_in/charges", timeout=60).json()["data"]
        return [charge for charge in data if charge["payment_id"] == payment_id]

    def all_charges(self) -> list[dict[str, Any]]:
        """All captured charges."""
        charges: list[dict[str, Any]] = self._session.get(f"{self.url}/_stand_in/charges", timeout=60).json()["data"]
        return charges

    def fault(self, **fault: Any) -> None:
        """Inject a fault into the gateway; see local/fake_stripe/faults.py."""
        self.control("faults", fault)

    def behave(self) -> None:
        """Remove all faults and limits."""
        self._session.delete(f"{self.url}/_stand_in/faults", timeout=60).raise_for_status()

    def control(self, route: str, body: dict[str, Any] | None = None) -> None:
        """POST to a control route of the fake Stripe; see local/fake_stripe/control.py."""
        self._session.post(f"{self.url}/_stand_in/{route}", json=body or {}, timeout=60).raise_for_status()

    def forget(self, route: str) -> None:
        """DELETE a control route of the fake Stripe."""
        self._session.delete(f"{self.url}/_stand_in/{route}", timeout=60).raise_for_status()

    def all_requests(self) -> list[dict[str, Any]]:
        """The requests, in order of their answers."""
        requests: list[dict[str, Any]] = self._session.get(f"{self.url}/_stand_in/requests", timeout=60).json()["data"]
        return requests

    def requests(self, payment_id: str) -> list[dict[str, Any]]:
        """The requests about a payment, in order of their answers."""
        return [request for request in self.all_requests() if request["payment_id"] == payment_id]

    def refund(self, intent: str, minor_units: int) -> str:
        """Refund by hand, as in Stripe's dashboard, and return the refund's id."""
        made = self._session.post(
            f"{self.url}/v1/refunds",
            data={"payment_intent": intent, "amount": minor_units},
            headers={"Authorization": "Bearer sk_test_dashboard"},
            timeout=60,
        )
        made.raise_for_status()
        return str(made.json()["id"])

    def refunds(self, intent: str) -> list[dict[str, Any]]:
        """The refunds of an intent, newest first."""
        listed = self._session.get(
            f"{self.url}/v1/refunds",
            params={"payment_intent": intent},
            headers={"Authorization": "Bearer sk_test_dashboard"},
            timeout=60,
        )
        found: list[dict[str, Any]] = listed.json()["data"]
        return found

    def charges_asked_for(self) -> int:
        """The number of requests to charge so far."""
        return int(self._session.get(f"{self.url}/_stand_in/rates", timeout=60).json()["total"])

    def charge_requests(self) -> list[dict[str, Any]]:
        """Every request to charge, in order of their answers."""
        create = ("POST", "/v1/payment_intents")
        return [request for request in self.all_requests() if (request["method"], request["path"]) == create]

    def events(self, payment_id: str) -> list[dict[str, Any]]:
        """The events that were sent to our webhook about a payment."""
        data = self._session.get(f"{self.url}/_stand_in/webhooks", timeout=60).json()["data"]
        return [event for event in data if event["payment_id"] == payment_id]


@pytest.fixture(scope="session")
def gateway(outputs: dict[str, str]) -> Gateway:
    """The fake Stripe."""
    return Gateway(outputs["gateway_url"])


@pytest.fixture(scope="session")
def client(local_stack: LocalStack) -> Callable[[str], Any]:
    """boto3 clients on the local AWS, with an operator's full permissions."""
    clients: dict[str, Any] = {}

    def make(service: str) -> Any:
        return clients.setdefault(service, local_stack.aws.client(service))

    return make


class Events:
    """The messages of both topics, read from the test's own queue."""

    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs = sqs
        self._url = url
        self.seen: list[dict[str, Any]] = []

    def of(self, **wanted: str) -> list[dict[str, Any]]:
        """The events so far with these values. Each is sent at least once: a second execution sends it again."""
        while messages := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                envelope = json.loads(message["Body"])
                attributes = {name: value["Value"] for name, value in envelope.get("MessageAttributes", {}).items()}
                self.seen.append(json.loads(envelope["Message"]) | {"attributes": attributes})
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return [event for event in self.seen if all(event.get(name) == value for name, value in wanted.items())]


@pytest.fixture(scope="session")
def events(outputs: dict[str, str], client: Callable[[str], Any]) -> Events:
    """A subscriber of the payment events and the alarms."""
    sqs, sns = client("sqs"), client("sns")
    topics = [outputs["payment_events_topic_arn"], outputs["alarms_topic_arn"]]
    url = sqs.create_queue(QueueName=EVENTS_QUEUE)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": topics}},
            }
        ],
    }
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    for topic in topics:
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return Events(sqs, url)


@pytest.fixture
def batch_file(local_stack: LocalStack, client: Callable[[str], Any]) -> "BatchFiles":
    """Uploads and results of batches."""
    return BatchFiles(client("s3"), Stack(local_stack.outputs, local_stack.outputs_path))


class BatchFiles:
    """Uploads files to incoming/ and waits for their results."""

    def __init__(self, s3: Any, stack: Stack) -> None:
        self._s3 = s3
        self._stack = stack
        self._batch_ids: dict[str, str] = {}
        self.bucket = stack["batch_bucket"]

    def upload(self, content: str | bytes | Path, name: str = "") -> str:
        """Upload a file. Returns its name below incoming/."""
        name = name or f"{uuid.uuid4().hex[:12]}.csv"
        body = content.read_bytes() if isinstance(content, Path) else content
        put = self._s3.put_object(Bucket=self.bucket, Key=f"incoming/{name}", Body=body)
        self._batch_ids[name] = Source(self.bucket, f"incoming/{name}", put["VersionId"], "", 0).batch_id
        return name

    def batch_id(self, name: str) -> str:
        """The id of the batch of an uploaded file."""
        return self._batch_ids[name]

    def line(self, name: str) -> int | None:
        """The last line of a file that was read and counted. None before its processing has started."""
        batch = batch_files.get(self._stack, self._batch_ids[name])
        return batch.progress.line if batch else None

    def result(self, name: str, which: str, seconds: float = PATIENCE_SECONDS) -> str:
        """The text of results/<name>/<batch id>/<which>.csv once it exists. Its progress is that of the batch."""
        batch_id = self._batch_ids[name]
        key = f"results/{name}/{batch_id}/{which}.csv"

        def progress(_: object) -> str | None:
            batch = batch_files.get(self._stack, batch_id)
            return progress_of(batch) if batch else None

        eventually(
            f"{key} of batch {batch_id}",
            lambda: self._s3.list_objects_v2(Bucket=self.bucket, Prefix=key).get("Contents"),
            seconds=seconds,
            progress=progress,
        )
        text: str = self._s3.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode()
        return text


Payctl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def payctl(local_stack: LocalStack, tmp_path: Path) -> Payctl:
    """bin/payctl in an operator's own directory, with their own AWS settings, which must have no effect here."""
    own = {
        "PAYCTL_OUTPUTS": str(local_stack.outputs_path),
        "AWS_PROFILE": "no-such-profile",
        "HTTPS_PROXY": "http://no",
    }

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [str(ROOT / "bin" / "payctl"), *arguments]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | own,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
        )

    return run


def json_of(run: subprocess.CompletedProcess[str]) -> Any:
    """The JSON output of a payctl command."""
    assert run.stdout, run.stderr
    return json.loads(run.stdout)
