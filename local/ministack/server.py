"""The local AWS as one object: start, use, stop.

    with LocalAws() as aws:
        aws.client("sqs").create_queue(QueueName="hello")

It can outlive the process that starts it: with a given directory, another process can stop it by
`LocalAws.attach(directory).stop()`.
"""

import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

PROJECT: Final = Path(__file__).parents[2]
REGION: Final = "us-east-1"
START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 60.0
HEALTH_SECONDS: Final = 1.0
"""How long one question at the start waits. It is asked again, unless the process has ended."""
LOG_TAIL_CHARACTERS: Final = 3000


class LocalAwsFailed(RuntimeError):
    """The local AWS did not start. The text ends with the tail of its log."""


class LocalAws:
    """A local AWS in its own process group, with a clean environment and a directory for all of its files.

    No other program may use the directory: stop() deletes it. The default is a temporary directory.

    `wait_scale` multiplies the waits and retry delays of state machines (0.01: a minute is 0.6 s). `schedule_scale`
    multiplies the intervals of schedules, `visibility_scale` the visibility timeout of messages read for a function
    (see scales.py). `record_permissions` writes the requests of each role to `permissions_path`. `env` adds
    environment variables of the local AWS.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        port: int | None = None,
        wait_scale: float = 1,
        schedule_scale: float = 1,
        visibility_scale: float = 1,
        record_permissions: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = Path(directory or tempfile.mkdtemp(prefix="local-aws-")).resolve()
        self.port = port or _free_port()
        self.pid: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = {
            "SFN_WAIT_SCALE": str(wait_scale),
            "SCHEDULE_SCALE": str(schedule_scale),
            "VISIBILITY_SCALE": str(visibility_scale),
            "PERMISSIONS_FILE": str(self.permissions_path) if record_permissions else "",
            **(env or {}),
        }

    @classmethod
    def attach(cls, directory: Path) -> Self:
        """The local AWS that another process started in this directory. Raises FileNotFoundError if there is none."""
        state = json.loads((directory / "state.json").read_text())
        aws = cls(directory, port=state["port"])
        aws.pid = state["pid"]
        return aws

    @property
    def endpoint_url(self) -> str:
        """The address of every service, over TLS."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_bundle(self) -> Path:
        """The certificate of the local AWS, which its callers must trust."""
        return self.directory / "tmp" / "ministack-tls" / "server.crt"

    @property
    def log_path(self) -> Path:
        """What MiniStack has printed since its last start."""
        return self.directory / "ministack.log"

    @property
    def permissions_path(self) -> Path:
        """One JSON line per distinct request of a role, see local/ministack/permissions.py."""
        return self.directory / "permissions.jsonl"

    @property
    def running(self) -> bool:
        """Whether the local AWS holds its lock. This is reliable even if another process has its process id now."""
        try:
            with (self.directory / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    def environment(self) -> dict[str, str]:
        """The environment variables with which Terraform, boto3 and the AWS CLI work here as root."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_CA_BUNDLE": str(self.ca_bundle),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client with root's permissions, or with those of the keys in `options`."""
        import boto3

        settings = {
            "endpoint_url": self.endpoint_url,
            "verify": str(self.ca_bundle),
            "region_name": REGION,
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
        }
        return boto3.client(service, **settings | options)  # type: ignore[call-overload]

    def disturb(self, shares: Mapping[str, float], *, seed: int = 0, lose_answers: Collection[str] = ()) -> None:
        """Let these shares of the requests of roles fail, until `disturb({})`.

        `shares` is by IAM action: {"states:StartExecution": 0.2, "dynamodb:TransactWriteItems": 0.1}. A fault is a
        throttle or a server error, and the request is not carried out. For the actions in `lose_answers`, half of the
        faults are server errors after the request was carried out. With the same seed, the same requests of an action
        fail, in order of arrival.
        """
        self._control("disturbances", {"shares": dict(shares), "seed": seed, "lose_answers": list(lose_answers)})

    def disturbed(self) -> dict[str, dict[str, int]]:
        """The number of failed requests so far: {"states:StartExecution": {"refused": 3, "answer lost": 2}}."""
        counts: dict[str, dict[str, int]] = self._control("disturbances")
        return counts

    def workers(self, function: str = "", *, busy: bool = False) -> list[int]:
        """The process ids of the running Lambda workers. Optionally only those of one function, or only busy ones."""
        workers = self._control("workers")
        return [
            worker["pid"] for worker in workers if function in ("", worker["function"]) and (worker["busy"] or not busy)
        ]

    def kill_worker(self, rng: random.Random, function: str = "") -> int | None:
        """Kill one busy worker with SIGKILL. Returns its process id, or None if no worker is busy.

        Its invocation fails with Runtime.ExitError, and the next one starts a new process.
        """
        busy = [pid for pid in self.workers(function, busy=True) if _group_of(pid) == self.pid]
        if not busy:
            return None
        pid = rng.choice(busy)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return pid

    def start(self) -> Self:
        """Start and wait until it answers. Raises LocalAwsFailed if it does not, or if one runs in this directory."""
        if self.running:
            raise LocalAwsFailed(f"A local AWS is already running in {self.directory}.")
        private = self.directory / "tmp"
        private.mkdir(parents=True, exist_ok=True)
        private.chmod(0o700)  # the socket in it takes requests without signatures
        with (self.directory / "lock").open("w") as lock, self.log_path.open("wb") as log:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "local.ministack"],
                cwd=PROJECT,
                env=self._clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )
        self.pid = self._process.pid
        (self.directory / "state.json").write_text(json.dumps({"pid": self.pid, "port": self.port}))
        try:
            self._wait_until_healthy(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the local AWS and its Lambda workers, and delete its directory. It may have ended before."""
        # A group that this process started is ours until we wait for its leader. For any other, the lock is the proof.
        if self.pid is not None and (self._process is not None or self.running):
            self._end_group(self.pid)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _clean_environment(self) -> dict[str, str]:
        """Without the caller's certificates, proxies and AWS settings, which would reach every Lambda function."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.directory),
            "TMPDIR": str(self.directory / "tmp"),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "IOT_MTLS_ENABLED": "0",
            "AUTH": "true",
            "USE_SSL": "1",
            **self._settings,
        }

    def _wait_until_healthy(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise LocalAwsFailed(f"The local AWS ended with {process.returncode}.\n{self._log_tail()}")
            if self._answers():
                return
            time.sleep(0.05)
        raise LocalAwsFailed(f"The local AWS did not answer within {START_SECONDS:.0f} s.\n{self._log_tail()}")

    def _answers(self) -> bool:
        try:
            self._ask("/_ministack/health", seconds=HEALTH_SECONDS)
        except (OSError, ssl.SSLError):  # no certificate yet, or no listener
            return False
        return True

    def _control(self, what: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call the control API, see local/ministack/control.py."""
        return json.loads(self._ask(f"/_local/{what}", None if body is None else json.dumps(body).encode()))

    def _ask(self, path: str, body: bytes | None = None, seconds: float = ANSWER_SECONDS) -> bytes:
        trust = ssl.create_default_context(cafile=str(self.ca_bundle))
        request = urllib.request.Request(self.endpoint_url + path, body)  # noqa: S310 - our own https
        with urllib.request.urlopen(request, context=trust, timeout=seconds) as response:  # noqa: S310
            answer: bytes = response.read()
        return answer

    def _log_tail(self) -> str:
        return self.log_path.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]

    def _end_group(self, group: int) -> None:
        # Not SIGTERM: it would wait forever for an open connection of a client, and it has nothing to save.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline and self._group_lives(group):
            time.sleep(0.01)
        self._process = None

    def _group_lives(self, group: int) -> bool:
        if self._process is not None:
            self._process.poll()
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        return True


def _group_of(pid: int) -> int | None:
    """The process group of a process. None if the process has ended."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
