"""The running API against api/openapi.yaml: Schemathesis with all its checks, as each role."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.stack import WEBHOOK_SECRET, LocalStack
from local.terraform import LONGEST_SECONDS, ROOT
from payments.domain.identity import Role

EXAMPLES = {Role.ADMIN: 25}
"""The number of random requests for an operation and role, in addition to those at the contract's limits."""
OTHERS = 2


@pytest.mark.parametrize("role", list(Role))
def test_api_conforms_to_the_contract_under_schemathesis(
    local_stack: LocalStack, outputs: dict[str, str], tmp_path: Path, role: Role
) -> None:
    settings = {
        "--url": outputs["api_url"],
        "--header": f"Authorization: Bearer {local_stack.token(role)}",
        "--tls-verify": outputs["ca_bundle"],
        "--phases": "examples,coverage,fuzzing,stateful" if role is Role.ADMIN else "examples,fuzzing",
        "--max-examples": str(EXAMPLES.get(role, OTHERS)),
        "--seed": "1",
        # stateful scenarios share short ids: with two workers one erases the customer that the other has just created
        "--workers": "1" if role is Role.ADMIN else "2",
        "--generation-database": "none",
        "--request-timeout": "120",
    }
    run = subprocess.run(
        [str(Path(sys.executable).with_name("st")), "--config-file", str(Path(__file__).with_name("schemathesis.toml"))]
        + ["run", "--no-color", "--continue-on-failure"]
        + [part for setting in settings.items() for part in setting]
        + [str(ROOT / "api" / "openapi.yaml")],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.e2e.contract_hooks",
            "WEBHOOK_SECRET": WEBHOOK_SECRET,
            "ROLE": role,
        },
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
