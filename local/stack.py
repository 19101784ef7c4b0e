"""The whole product on one machine: the local AWS, the fake Stripe, and the real Terraform configuration.

`LocalStack` keeps all files below one directory, which allows several stacks side by side. The stack outlives the
process that starts it: `LocalStack(directory)` in another process finds it again.
"""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import requests

from lib.settings import ENVIRONMENTS
from local.fake_stripe import server as gateway
from local.machine import slowness
from local.ministack.server import LocalAws
from local.terraform import ROOT, Terraform
from local.terraform import environment as terraform_environment
from local.users import make_users
from payctl.session import Session, sample
from payctl.stack import Stack
from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.domain.clock import utc_now
from payments.domain.gateway_event import HANDLED

DIRECTORY = ROOT / ".local"
SUFFIX = "local"
GATEWAY_KEY = "sk_test_local_fake_stripe"
MERCHANTS = "shop:sh_"
"""One merchant, whose ids begin with sh_."""
WEBHOOK_SECRET = "whsec_local_fake_stripe"  # noqa: S105 - sender and receiver are both on this machine
Say = Callable[[str], None]


class NotRunning(RuntimeError):
    """There is no local stack in this directory."""


def _silent(text: str) -> None:
    pass


def _has_value(secrets: Any, name: str) -> bool:
    try:
        return "SecretString" in secrets.get_secret_value(SecretId=name)
    except secrets.exceptions.ResourceNotFoundException:
        return False


class LocalStack:
    """A local AWS with the stack applied to it, and the fake Stripe that it charges at."""

    def __init__(self, directory: Path = DIRECTORY, **options: Any) -> None:
        """`options` are those of `LocalAws`."""
        self.directory = directory.resolve()
        self._options = options
        self._state = self.directory / "processes.json"
        self._sessions: dict[str, Session] = {}

    @property
    def outputs_path(self) -> Path:
        """The outputs of `up`, as flat JSON."""
        return self.directory / "outputs.json"

    @property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs, plus those of the local run. Raises NotRunning."""
        if not self.outputs_path.exists():
            raise NotRunning("no local stack is running; start it with `make up`")
        outputs: dict[str, str] = json.loads(self.outputs_path.read_text())
        return outputs

    @property
    def aws(self) -> LocalAws:
        """The local AWS. Raises NotRunning."""
        try:
            return LocalAws.attach(self.directory / "aws")
        except FileNotFoundError:
            raise NotRunning("no local AWS is running; start it with `make up`") from None

    @property
    def gateway_url(self) -> str:
        """The address of the fake Stripe."""
        return str(self._processes["gateway_url"])

    def accept_connections(self) -> None:
        """Let the fake Stripe accept connections again, before the time of `refuse_connections` has passed."""
        gateway.accept_connections(self._processes["gateway_pid"])

    @property
    def patience_seconds(self) -> int:
        """PATIENCE_SECONDS of this stack. It is longer on a slow machine, to avoid recovery of slow payments."""
        return int(self._processes["patience_seconds"])

    @property
    def _processes(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self._state.read_text())
        return state

    def start(self) -> Self:
        """Start the local AWS and the fake Stripe, unless they are already running."""
        if self._running():
            return self
        self.down()
        self.directory.mkdir(parents=True, exist_ok=True)
        seconds = math.ceil(ENVIRONMENTS[SUFFIX].patience_seconds * slowness())
        fake_stripe = gateway.start(self.directory / "gateway")
        state = {"gateway_pid": fake_stripe.pid, "gateway_url": fake_stripe.url, "patience_seconds": seconds}
        self._state.write_text(json.dumps(state))
        LocalAws(self.directory / "aws", **self._options).start()
        return self

    def up(self, say: Say = _silent) -> dict[str, str]:
        """Start the stack, or update it to the current code, and write its outputs.

        `say` receives each step and each line of Terraform.
        """
        say("starting the local AWS and the fake Stripe")
        self.start()
        terraform = self.terraform(say)
        say("applying the stack")
        terraform.apply()
        aws = self.aws
        outputs = terraform.outputs()
        secrets = aws.client("secretsmanager")
        if not _has_value(secrets, outputs["gateway_secret_arn"]):  # as the first `payctl gateway set-key` does
            DynamoBreakerStore(aws.client("dynamodb"), outputs["controls_table"]).open("make up", utc_now())
        secrets.put_secret_value(SecretId=outputs["gateway_secret_arn"], SecretString=GATEWAY_KEY)
        webhook_secret = json.dumps({"current": WEBHOOK_SECRET})
        secrets.put_secret_value(SecretId=outputs["webhook_secret_arn"], SecretString=webhook_secret)
        api_url = f"{aws.endpoint_url}/_aws/execute-api/{outputs['rest_api_id']}/{outputs['api_stage']}"
        outputs |= {
            "api_url": api_url,
            "webhook_url": f"{api_url}/webhooks/stripe",
            "endpoint_url": aws.endpoint_url,
            "gateway_url": self.gateway_url,
            "ca_bundle": str(aws.ca_bundle),
        }
        self.send_webhooks(outputs["webhook_url"])
        if "user_pool_id" in outputs:
            make_users(aws.client("cognito-idp"), outputs["user_pool_id"], self.directory)
        self.outputs_path.write_text(json.dumps(outputs, indent=2, sort_keys=True) + "\n")
        return outputs

    def token(self, role: str) -> str:
        """An access token of a role's sample user. It is reused until shortly before it expires.

        Raises NotRunning.
        """
        if role not in self._sessions or self._sessions[role].runs_out:
            self._sessions[role] = sample(Stack(self.outputs, self.outputs_path), role)
        return self._sessions[role].access_token

    def send_webhooks(self, url: str) -> None:
        """Register the stack's webhook endpoint at the fake Stripe, as an operator does at Stripe."""
        session = requests.Session()
        session.trust_env = False  # a proxy cannot reach this machine's loopback
        endpoint = {
            "url": url,
            "secrets": [WEBHOOK_SECRET],
            "enabled_events": HANDLED,
            "ca_bundle": str(self.aws.ca_bundle),
        }
        session.post(f"{self.gateway_url}/_stand_in/webhooks", json=endpoint, timeout=60).raise_for_status()

    def terraform(self, say: Say = _silent) -> Terraform:
        """Synthesise the stack and prepare Terraform to apply it."""
        say("synthesising the stack")
        stack = self.synth()
        terraform = Terraform(self.directory / "terraform" / SUFFIX, self.aws.environment(), say)
        say("installing the Terraform provider")
        terraform.init(stack)
        return terraform

    def synth(self) -> Path:
        """Run main.py as cdktf does, for this local AWS and fake Stripe. Returns the folder of the stack."""
        folder = self.directory / "cdktf.out" / SUFFIX
        folder.parent.mkdir(parents=True, exist_ok=True)
        aws = self.aws.environment()
        run = subprocess.run(
            [sys.executable, str(ROOT / "main.py")],
            cwd=ROOT,
            env=terraform_environment(aws) | self.synth_settings() | {"CDKTF_OUTDIR": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise RuntimeError(f"the synthesis failed:\n{run.stdout}{run.stderr}")
        return folder / "stacks" / f"payment-{SUFFIX}"

    def synth_settings(self, suffix: str = SUFFIX) -> dict[str, str]:
        """The settings that differ from those for AWS: two addresses, a wait scaled to the machine, and merchants."""
        return {
            "ENVIRONMENT_SUFFIX": suffix,
            "AWS_ENDPOINT_URL": self.aws.endpoint_url,
            "STRIPE_API_BASE": self.gateway_url,
            "PATIENCE_SECONDS": str(self.patience_seconds),
            "MERCHANTS": MERCHANTS,
        }

    def down(self) -> None:
        """Stop both processes and delete all files of the run."""
        if self._state.exists():
            gateway.stop(self._processes["gateway_pid"])
        if (self.directory / "aws" / "state.json").exists():
            LocalAws.attach(self.directory / "aws").stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _running(self) -> bool:
        try:
            return self.aws.running and gateway.healthy(self.gateway_url)
        except (NotRunning, FileNotFoundError):
            return False
