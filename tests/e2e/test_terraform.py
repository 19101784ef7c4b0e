"""Terraform's side of the applied stack. cdktf-cli deploys the second suffix as the README says.

The second suffix is deployed while the files before this one run, and destroyed while the others run. test_destroy.py
says what came of that.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.stack import LocalStack
from local.terraform import LONGEST_SECONDS, ROOT
from local.users import make_users
from payctl.session import SAMPLE_USERS, TOTP_CODE, needs_second_factor, sample, sign_in, with_second_factor
from payctl.stack import Stack
from payments.domain.identity import Role
from tests.authenticator import code_of
from tests.e2e.conftest import Api
from tests.e2e.inventory import everything, of_suffix
from tests.e2e.second_suffix import SUFFIX, Cdktf

STACK = f"payment-{SUFFIX}"
Client = Callable[[str], Any]


@pytest.fixture(scope="module", autouse=True)
def _then_destroyed(destroying: Callable[[], object]) -> Iterator[None]:
    yield
    destroying()


@pytest.mark.fault(46)
def test_apply_when_run_again_then_nothing_changes(second_plan: dict[str, Any]) -> None:
    assert second_plan == {}


@pytest.fixture(scope="module")
def second_outputs(second: Cdktf, local_stack: LocalStack) -> Path:
    """cdktf's outputs of the second environment, with the addresses of the local AWS."""
    outputs = json.loads(second.outputs.read_text())[STACK]
    local = {name: local_stack.outputs[name] for name in ("endpoint_url", "gateway_url", "ca_bundle")}
    local["api_url"] = f"{local['endpoint_url']}/_aws/execute-api/{outputs['rest_api_id']}/{outputs['api_stage']}"
    path = second.outputs.with_name("local-outputs.json")
    path.write_text(json.dumps(outputs | local))
    make_users(local_stack.aws.client("cognito-idp"), outputs["user_pool_id"], path.parent)
    payctl(path, "login", "--as", Role.MERCHANT)  # a role that needs no second factor
    return path


def payctl(outputs: Path, *arguments: str, stdin: str = "") -> Any:
    """payctl's JSON answer."""
    command = [str(ROOT / "bin" / "payctl"), "--outputs", str(outputs), *arguments, "--json"]
    run = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_deployed_stack_refuses_calls_without_its_own_token(
    second_outputs: Path, local_stack: LocalStack, new_id: Callable[[], str]
) -> None:
    outputs = json.loads(second_outputs.read_text())
    body = {"payment_id": new_id(), "amount": 5, "currency": "USD"}
    for stranger in (Api(outputs), Api(outputs, lambda: local_stack.token("admin"))):
        for refused in (stranger.post(body), stranger.get(f"/payments/{body['payment_id']}")):
            assert (refused.status_code, refused.headers["Content-Type"]) == (401, "application/problem+json")
            assert refused.json()["type"] == "urn:problem:payment-api:unauthorized"
    payctl(second_outputs, "gateway", "set-key", "--yes", stdin="sk_test_second")
    paid = payctl(second_outputs, "pay", "--id", new_id(), "--amount", "5", "--currency", "USD")
    assert paid["status"] == "succeeded"


def test_admin_is_one_only_with_a_second_factor_where_it_is_required(second_outputs: Path) -> None:
    outputs = json.loads(second_outputs.read_text())
    stack = Stack(outputs, second_outputs)
    secrets: list[str] = []

    def enrol(secret: str) -> str:
        secrets.append(secret)
        return code_of(secret)

    without = sample(stack, Role.ADMIN)
    assert needs_second_factor(stack, without)
    assert Api(outputs, lambda: without.access_token).get("/payments").status_code == 403
    enrolled = with_second_factor(stack, without, enrol)
    assert Api(outputs, lambda: enrolled.access_token).get("/payments").status_code == 200
    user = json.loads(second_outputs.with_name(SAMPLE_USERS).read_text())[Role.ADMIN]
    again = sign_in(stack, user["email"], user["password"], lambda _: {TOTP_CODE: code_of(secrets[0])})
    assert Api(outputs, lambda: again.access_token).get("/payments").status_code == 200


@pytest.mark.fault(47)
def test_two_suffixes_when_side_by_side_then_no_crosstalk(
    second_outputs: Path, api: Api, client: Client, new_id: Callable[[], str]
) -> None:
    payctl(second_outputs, "gateway", "set-key", "--yes", stdin="sk_test_second")
    payment_id = new_id()
    paid = payctl(second_outputs, "pay", "--id", payment_id, "--amount", "5", "--currency", "USD")
    assert paid["status"] == "succeeded"
    assert api.get(f"/payments/{payment_id}").status_code == 404
    names = everything(client)
    first, beside = of_suffix(names, "local"), of_suffix(names, SUFFIX)
    assert {kind: len(found) for kind, found in first.items()} == {kind: len(found) for kind, found in beside.items()}
    assert all(beside.values()), f"nothing of the second environment among: {[k for k, v in beside.items() if not v]}"


@pytest.mark.fault(45)
def test_disabled_key_stores_and_shows_nothing_private_until_enabled(
    second_outputs: Path, client: Client, new_id: Callable[[], str]
) -> None:
    payctl(second_outputs, "gateway", "set-key", "--yes", stdin="sk_test_second")
    stack = Stack(json.loads(second_outputs.read_text()), second_outputs)
    token = sample(stack, Role.MERCHANT).access_token
    api, kms, key = Api(dict(stack.outputs), lambda: token), client("kms"), stack["vault_key_arn"]
    body: dict[str, Any] = {"amount": 5, "currency": "USD", "metadata": {"order": "A-17"}}
    before, meanwhile = (body | {"payment_id": new_id()} for _ in range(2))
    api.post(before)
    api.settled(before["payment_id"])
    kms.disable_key(KeyId=key)
    try:
        for refused in (api.post(meanwhile), api.get(f"/payments/{before['payment_id']}")):
            assert refused.status_code == 503
            assert refused.json()["type"] == "urn:problem:payment-api:unavailable"
            assert int(refused.headers["Retry-After"]) > 0
    finally:
        kms.enable_key(KeyId=key)
    assert api.get(f"/payments/{before['payment_id']}").json()["metadata"] == {"order": "A-17"}
    assert api.post(meanwhile).status_code == 202
    assert api.settled(meanwhile["payment_id"])["status"] == "succeeded"
