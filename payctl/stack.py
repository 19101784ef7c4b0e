"""The stack that payctl operates: its outputs, and AWS clients made from them."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from payctl.failures import Exit, Failure

if TYPE_CHECKING:
    import boto3

ROOT = Path(__file__).parent.parent
DEFAULTS = (ROOT / ".local" / "outputs.json", ROOT / "outputs.json")
"""Default paths of the outputs. The file of `make up` comes first: a test payment must not reach AWS by accident."""

NOTHING_FOUND = (
    "no stack outputs were found",
    [
        "on this machine: start the local stack with `make up`",
        "on AWS: write them with `cdktf deploy --outputs-file outputs.json`, "
        "or `terraform output -json > outputs.json` in the stack's folder",
        "elsewhere: name the file with `payctl --outputs FILE …` or PAYCTL_OUTPUTS",
    ],
)


class Credentials(NamedTuple):
    """Temporary credentials of a role."""

    access_key_id: str
    secret_access_key: str
    session_token: str


@dataclass(frozen=True)
class Stack:
    """A deployed stack and its outputs. `stack["batch_bucket"]` raises Failure if the output does not exist.

    With `credentials`, its clients act under a role instead of as the operator.
    """

    outputs: Mapping[str, str]
    path: Path
    credentials: Credentials | None = field(default=None, repr=False)

    def __getitem__(self, name: str) -> str:
        try:
            return self.outputs[name]
        except KeyError:
            raise Failure(f"{self.path} has no output {name!r}; deploy the stack again and write its outputs") from None

    @property
    def name(self) -> str:
        """The environment suffix, shown to the operator."""
        return self.outputs.get("environment_suffix", "?")

    @property
    def is_local(self) -> bool:
        """True for the stack of `make up`, which has its own address, certificate and credentials."""
        return "endpoint_url" in self.outputs

    @cached_property
    def session(self) -> "boto3.Session":
        """The operator's AWS session. The session for a local stack ignores their settings and profiles."""
        import boto3
        from botocore.session import Session

        if not self.is_local:
            return boto3.Session(region_name=self["region"], **self._keys)
        nothing: Any = {
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
            "ca_bundle": (None, None, self["ca_bundle"], None),
        }
        keys = self._keys or {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.Session(region_name=self["region"], botocore_session=Session(nothing), **keys)

    @property
    def _keys(self) -> dict[str, Any]:
        return {f"aws_{name}": text for name, text in self.credentials._asdict().items()} if self.credentials else {}

    def client(self, service: str) -> Any:
        """A boto3 client of the stack's account and region."""
        from botocore.config import Config

        config = Config(connect_timeout=5, retries={"mode": "standard", "total_max_attempts": 5})
        if not self.is_local:
            return self.session.client(service, config=config)  # type: ignore[call-overload]
        # a proxy from the operator's shell cannot reach the loopback address of this machine
        local = config.merge(Config(proxies={}))
        return self.session.client(service, config=local, endpoint_url=self["endpoint_url"])  # type: ignore[call-overload]


def find(path: Path | None, suffix: str | None) -> Stack:
    """The stack of `path`, or of the first default that exists. Raises Failure with the command to run."""
    if path is None:
        path = next((candidate for candidate in DEFAULTS if candidate.exists()), None)
    if path is None:
        message, advice = NOTHING_FOUND
        raise Failure(message, details=advice)
    return Stack(read(path, suffix), path)


def read(path: Path, suffix: str | None = None) -> dict[str, str]:
    """Outputs as `make up`, `cdktf deploy --outputs-file` or `terraform output -json` write them. Raises Failure."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}; name another file with --outputs") from None
    except ValueError:
        raise Failure(f"{path} is not JSON; write it with `cdktf deploy --outputs-file {path}`") from None
    stacks = dict(_stacks(content))
    if suffix is not None:
        stacks = {name: outputs for name, outputs in stacks.items() if outputs.get("environment_suffix") == suffix}
    match list(stacks.values()):
        case [outputs]:
            return outputs
        case []:
            stack = f"the stack with suffix {suffix!r}" if suffix is not None else "a payment stack"
            raise Failure(f"{path} has no outputs of {stack}; write them with `cdktf deploy --outputs-file {path}`")
    names = ", ".join(outputs.get("environment_suffix", name) for name, outputs in stacks.items())
    raise Failure(f"{path} has several stacks: {names}; choose one with --suffix", code=Exit.USAGE)


def _stacks(content: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """Name → outputs of each stack in a file. The file is one stack or a JSON object of several stacks."""
    if not isinstance(content, Mapping):
        return
    if "api_url" in content:
        yield "stack", {name: _value(value) for name, value in content.items()}
        return
    for name, value in content.items():
        if isinstance(value, Mapping) and "api_url" in value:
            yield name, {key: _value(output) for key, output in value.items()}


def _value(output: Any) -> str:
    """The text of an output. cdktf writes the plain value, Terraform writes {"value": …, "type": …}."""
    return str(output["value"] if isinstance(output, Mapping) else output)
