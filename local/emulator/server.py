"""The local AWS as one object: start, use, stop.

    with LocalAws() as aws:
        aws.client("sqs").create_queue(QueueName="hello")

It can outlive the process that starts it: give it a directory, and `LocalAws.attach(directory).stop()` ends it from
anywhere.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

PROJECT: Final = Path(__file__).parents[2]
REGION: Final = "us-east-1"
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 5.0
LOG_TAIL_CHARACTERS: Final = 3000


class LocalAwsFailed(RuntimeError):
    """The emulator did not come up; the text ends with the tail of its log."""


class LocalAws:
    """An emulator in a process group of its own, with a clean environment and a directory for all it writes.

    The directory is the emulator's alone: stop() removes it. A temporary one if none is given.
    `wait_scale` multiplies the waits and retry delays of state machines (0.01: a minute is 0.6 s),
    `record_permissions` writes what each role asks for into `permissions_path`, `env` adds variables of the emulator.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        port: int | None = None,
        wait_scale: float = 1,
        record_permissions: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = Path(directory or tempfile.mkdtemp(prefix="local-aws-")).resolve()
        self.port = port or _free_port()
        self.pid: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = {
            "SFN_WAIT_SCALE": str(wait_scale),
            "PERMISSIONS_FILE": str(self.permissions_path) if record_permissions else "",
            **(env or {}),
        }

    @classmethod
    def attach(cls, directory: Path) -> Self:
        """The emulator that another process started in this directory. FileNotFoundError when there is none."""
        state = json.loads((directory / "state.json").read_text())
        aws = cls(directory, port=state["port"])
        aws.pid = state["pid"]
        return aws

    @property
    def endpoint_url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_bundle(self) -> Path:
        """The emulator's own certificate, which its callers must trust."""
        return self.directory / "tmp" / "ministack-tls" / "server.crt"

    @property
    def log_path(self) -> Path:
        return self.directory / "emulator.log"

    @property
    def permissions_path(self) -> Path:
        """One JSON line for each different thing that a role asked for; see local/emulator/permissions.py."""
        return self.directory / "permissions.jsonl"

    @property
    def running(self) -> bool:
        """Whether the emulator holds its lock: true for it alone, even if its process id was given away since."""
        try:
            with (self.directory / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    def environment(self) -> dict[str, str]:
        """What Terraform, boto3 and the AWS CLI need in their environment to work here as root."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_CA_BUNDLE": str(self.ca_bundle),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client with root's rights, or with those of the keys given in `options`."""
        import boto3

        settings = {
            "endpoint_url": self.endpoint_url,
            "verify": str(self.ca_bundle),
            "region_name": REGION,
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
        }
        return boto3.client(service, **settings | options)  # type: ignore[call-overload]

    def start(self) -> Self:
        """Return when it answers. LocalAwsFailed when it does not, or when one is running in this directory."""
        if self.running:
            raise LocalAwsFailed(f"An emulator is running in {self.directory} already.")
        (self.directory / "tmp").mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("w") as lock, self.log_path.open("wb") as log:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "local.emulator"],
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
        """End the emulator and its Lambda workers, and remove its directory. Harmless when it is gone already."""
        # A group we started ourselves is ours until we wait for its leader; any other must prove it with the lock.
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
        """Nothing of the caller's shell: its certificates, proxies and AWS settings would reach every Lambda."""
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
                raise LocalAwsFailed(f"The emulator ended with {process.returncode}.\n{self._log_tail()}")
            if self._answers():
                return
            time.sleep(0.05)
        raise LocalAwsFailed(f"The emulator did not answer within {START_SECONDS:.0f} s.\n{self._log_tail()}")

    def _answers(self) -> bool:
        try:
            trust = ssl.create_default_context(cafile=str(self.ca_bundle))
            url = f"{self.endpoint_url}/_ministack/health"
            with urllib.request.urlopen(url, context=trust, timeout=2) as response:  # noqa: S310 - our own https
                return bool(response.status == 200)
        except (OSError, ssl.SSLError):  # no certificate yet, or no listener
            return False

    def _log_tail(self) -> str:
        return self.log_path.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]

    def _end_group(self, group: int) -> None:
        # Not SIGTERM: an open connection of any client would make it wait for ever, and it has nothing to save.
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
