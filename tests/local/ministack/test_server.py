"""The local AWS starts clean, reports why it cannot start, and leaves nothing behind."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.ministack.server import PROJECT, LocalAws, LocalAwsFailed
from tests.local.ministack.conftest import SHELL_SETTINGS, Invoke, new_function, new_role
from tests.waiting import eventually


def living(group: int) -> list[str]:
    """Command lines of the living processes of a group."""
    listing = subprocess.run(["ps", "-A", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(maxsplit=2) for line in listing.stdout.splitlines()]
    return [row[2] for row in rows if row[0] == str(group) and not row[1].startswith("Z")]


def busy(aws: LocalAws) -> int:
    """Start a busy Lambda worker in the local AWS. Returns its process group."""
    name = new_function(aws, new_role(aws))
    payload = json.dumps({"sleep": 50})
    aws.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=payload)
    group = aws.pid
    assert group is not None
    eventually("a busy worker", lambda: aws.workers(name, busy=True))
    return group


def test_answer_when_read_as_it_comes_then_head_and_body_are_in_one_piece(aws: LocalAws) -> None:
    trust = ssl.create_default_context(cafile=str(aws.ca_bundle))
    with (
        socket.create_connection(("127.0.0.1", aws.port)) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        for _ in range(2):  # the connection stays open
            connection.sendall(b"GET /_ministack/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            piece = connection.recv(65536)
            assert piece.startswith(b"HTTP/1.1 200")
            assert piece.endswith(b"}")


def test_stop_with_a_running_function_leaves_no_process_and_no_file() -> None:
    aws = LocalAws().start()
    group = busy(aws)
    aws.stop()
    assert living(group) == []
    assert not aws.directory.exists()


def test_stop_when_the_local_aws_was_killed_then_its_workers_end_too() -> None:
    aws = LocalAws().start()
    group = busy(aws)
    os.kill(group, signal.SIGKILL)
    aws.stop()
    assert living(group) == []
    assert not aws.directory.exists()


def test_attach_uses_and_stops_a_server_started_by_another_process(tmp_path: Path) -> None:
    directory = tmp_path / "aws"
    starter = """import pathlib, sys; from local.ministack.server import LocalAws
LocalAws(pathlib.Path(sys.argv[1])).start()"""
    subprocess.run([sys.executable, "-c", starter, str(directory)], cwd=PROJECT, check=True)
    aws = LocalAws.attach(directory)
    assert aws.running
    assert aws.client("sqs").list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200
    aws.stop()
    assert aws.pid is not None
    assert living(aws.pid) == []
    assert not directory.exists()


def test_attach_spares_an_unrelated_process_with_the_recorded_id(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        (tmp_path / "lock").touch()
        (tmp_path / "state.json").write_text(json.dumps({"pid": stranger.pid, "port": 1}))
        aws = LocalAws.attach(tmp_path)
        assert not aws.running
        aws.stop()
        assert stranger.poll() is None
        stranger.kill()


def test_start_on_a_taken_port_fails_with_the_reason_and_leaves_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        aws = LocalAws(port=taken.getsockname()[1])
        with pytest.raises(LocalAwsFailed, match="already in use"):
            aws.start()
    assert not aws.directory.exists()


def test_second_start_in_a_directory_is_refused_and_the_first_runs_on(aws: LocalAws) -> None:
    with pytest.raises(LocalAwsFailed, match="already"):
        LocalAws(aws.directory).start()
    assert aws.running


def test_functions_when_the_shell_has_settings_then_none_reaches_them(function: str, invoke: Invoke) -> None:
    environment: dict[str, Any] = invoke(function, environment=True)
    assert environment["AWS_ENDPOINT_URL"].startswith("https://127.0.0.1:")
    assert "ministack-tls" in environment["AWS_CA_BUNDLE"]
    assert not environment.keys() & (SHELL_SETTINGS.keys() - {"AWS_CA_BUNDLE"})
