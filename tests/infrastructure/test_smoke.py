"""tools/smoke on a stack with prepared answers; payctl is replaced."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAYCTL = """#!/usr/bin/env bash
[[ "$1 $2" == "--suffix pr-1" ]] || exit 2
case "$3 $4" in
  "outputs --json") cat "$(dirname "$0")/outputs.json" ;;
  "breaker status") echo "open"; exit "$(cat "$(dirname "$0")/breaker-exit-code")" ;;
  *) exit 2 ;;
esac
"""

Smoke = Callable[..., subprocess.CompletedProcess[str]]


class _Stack(BaseHTTPRequestHandler):
    answers: dict[str, int]
    requests: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.requests.append((self.path, self.headers.get("Authorization")))
        self.send_response(self.answers[self.path])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    _Stack.answers, _Stack.requests = {"/dev/health": 200, "/dev/payments": 401}, []
    with HTTPServer(("127.0.0.1", 0), _Stack) as serving:
        threading.Thread(target=serving.serve_forever, args=(0.01,), daemon=True).start()
        yield serving
        serving.shutdown()


@pytest.fixture
def smoke(server: HTTPServer, tmp_path: Path) -> Smoke:
    for folder in ("bin", "tools"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "tools" / "smoke", tmp_path / "tools")
    payctl = tmp_path / "bin" / "payctl"
    payctl.write_text(PAYCTL)
    payctl.chmod(0o755)

    def run(*, auth_mode: str = "jwt", breaker_exit_code: int = 0) -> subprocess.CompletedProcess[str]:
        outputs = {"api_url": f"http://127.0.0.1:{server.server_port}/dev", "auth_mode": auth_mode}
        (tmp_path / "bin" / "outputs.json").write_text(json.dumps(outputs))
        (tmp_path / "bin" / "breaker-exit-code").write_text(str(breaker_exit_code))
        command = [str(tmp_path / "tools" / "smoke"), "pr-1"]
        environment = os.environ | {"NO_PROXY": "127.0.0.1"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    return run


def test_smoke_when_the_stack_works_then_it_passes_and_only_reads(smoke: Smoke) -> None:
    run = smoke()

    assert run.returncode == 0, run.stderr
    assert run.stdout == "open\n"
    assert _Stack.requests == [("/dev/health", None), ("/dev/payments", "Bearer a.forged.token")]


def test_smoke_when_the_stack_needs_no_token_then_no_forged_one_is_tried(smoke: Smoke) -> None:
    assert smoke(auth_mode="none").returncode == 0
    assert [path for path, _ in _Stack.requests] == ["/dev/health"]


@pytest.mark.parametrize(("path", "status"), [("health", 403), ("payments", 200), ("payments", 403)])
def test_smoke_when_an_answer_is_wrong_then_it_fails_and_says_which(smoke: Smoke, path: str, status: int) -> None:
    _Stack.answers |= {f"/dev/{path}": status}

    run = smoke()

    assert run.returncode == 1
    assert f"GET /{path} of pr-1 answered {status}" in run.stderr


def test_smoke_when_the_api_cannot_be_reached_then_it_fails(smoke: Smoke, server: HTTPServer) -> None:
    server.shutdown()
    server.server_close()

    run = smoke()

    assert run.returncode == 1
    assert "GET /health of pr-1 answered 000" in run.stderr


def test_smoke_when_payctl_cannot_read_the_stack_then_it_fails(smoke: Smoke) -> None:
    assert smoke(breaker_exit_code=1).returncode == 1
