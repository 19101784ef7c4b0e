"""The synthesised stack as the tests read it: Terraform's input, parsed."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.settings import Settings

ACCOUNT = "123456789012"
REGION = "us-east-1"
MAPPING_ID = "00000000-0000-4000-8000-000000000000"
"""The id of an event source mapping. Lambda generates it; it contains none of our names."""
Resource = dict[str, Any]
Statement = dict[str, Any]

NAMED_BY = {
    "aws_api_gateway_api_key": "name",
    "aws_api_gateway_rest_api": "name",
    "aws_api_gateway_stage": "stage_name",
    "aws_api_gateway_usage_plan": "name",
    "aws_cloudwatch_dashboard": "dashboard_name",
    "aws_cloudwatch_log_group": "name",
    "aws_cloudwatch_metric_alarm": "alarm_name",
    "aws_cognito_resource_server": "identifier",
    "aws_cognito_user_pool": "name",
    "aws_cognito_user_pool_domain": "domain",
    "aws_dynamodb_table": "name",
    "aws_iam_role": "name",
    "aws_kms_alias": "name",
    "aws_lambda_function": "function_name",
    "aws_lambda_layer_version": "layer_name",
    "aws_s3_bucket": "bucket",
    "aws_scheduler_schedule": "name",
    "aws_secretsmanager_secret": "name",
    "aws_sfn_state_machine": "name",
    "aws_sns_topic": "name",
    "aws_sqs_queue": "name",
    "aws_wafv2_web_acl": "name",
}
"""Kinds of resources whose names must be unique in an account, and the attribute that holds the name."""

_ARNS = {
    "aws_api_gateway_rest_api": "arn:aws:execute-api:{region}:{account}:a1b2c3",
    "aws_cloudwatch_log_group": "arn:aws:logs:{region}:{account}:log-group:{name}",
    "aws_cognito_user_pool": "arn:aws:cognito-idp:{region}:{account}:userpool/{name}",
    "aws_dynamodb_table": "arn:aws:dynamodb:{region}:{account}:table/{name}",
    "aws_iam_role": "arn:aws:iam::{account}:role/{name}",
    "aws_kms_key": "arn:aws:kms:{region}:{account}:key/{key}",
    "aws_lambda_event_source_mapping": "arn:aws:lambda:{region}:{account}:event-source-mapping:" + MAPPING_ID,
    "aws_lambda_function": "arn:aws:lambda:{region}:{account}:function:{name}",
    "aws_s3_bucket": "arn:aws:s3:::{name}",
    "aws_secretsmanager_secret": "arn:aws:secretsmanager:{region}:{account}:secret:{name}-AbCdEf",
    "aws_sfn_state_machine": "arn:aws:states:{region}:{account}:stateMachine:{name}",
    "aws_sns_topic": "arn:aws:sns:{region}:{account}:{name}",
    "aws_sqs_queue": "arn:aws:sqs:{region}:{account}:{name}",
}
_REFERENCE = re.compile(r"\$\{(?P<data>data\.)?(?P<kind>\w+)\.(?P<key>[\w-]+)\.(?P<attribute>\w+)\}")


@dataclass(frozen=True)
class Stack:
    """One synthesised stack: its settings, and cdk.tf.json as plain data."""

    settings: Settings
    path: Path
    document: dict[str, Any]

    @property
    def suffix(self) -> str:
        """The environment suffix."""
        return self.settings.environment_suffix

    @property
    def addresses(self) -> dict[str, Resource]:
        """Every resource by its Terraform address."""
        return {f"{kind}.{key}": r for kind, by_key in self.document["resource"].items() for key, r in by_key.items()}

    def all(self, kind: str) -> dict[str, Resource]:
        """The resources of a kind by their Terraform addresses."""
        return {f"{kind}.{key}": resource for key, resource in self.document["resource"].get(kind, {}).items()}

    def only(self, kind: str, **attributes: Any) -> tuple[str, Resource]:
        """The only resource of a kind with these attributes, with its address. Raises unless there is exactly one."""
        found = [
            (address, resource)
            for address, resource in self.all(kind).items()
            if attributes.items() <= {name: resource.get(name) for name in attributes}.items()
        ]
        assert len(found) == 1, f"{len(found)} resources are {kind} with {attributes}"
        return found[0]

    def named(self, kind: str, name: str) -> tuple[str, Resource]:
        """The resource of a kind with a name, given without the suffix."""
        return self.only(kind, **{NAMED_BY[kind]: f"{name}-{self.suffix}"})

    def resolve(self, text: str) -> str:
        """A text of the JSON with every reference replaced by a plausible value."""
        return _REFERENCE.sub(self._value, text)

    def _value(self, reference: re.Match[str]) -> str:
        kind, key, attribute = reference["kind"], reference["key"], reference["attribute"]
        if reference["data"]:
            return ACCOUNT
        resource = self.document["resource"][kind][key]
        if attribute == "arn":
            name = self.resolve(resource.get(NAMED_BY.get(kind, ""), ""))
            return _ARNS[kind].format(region=REGION, account=ACCOUNT, name=name, key=key)
        return self.resolve(str(resource.get(attribute, key)))

    def statements(self, policy: str) -> list[Statement]:
        """The statements of a policy document, with references resolved."""
        statements: list[Statement] = json.loads(self.resolve(policy))["Statement"]
        return statements

    def role_policies(self) -> dict[str, str]:
        """Role name → its policy document, unchanged from the JSON."""
        return {self.resolve(policy["role"]): policy["policy"] for policy in self.all("aws_iam_role_policy").values()}

    def definition(self) -> dict[str, Any]:
        """The definition of the state machine of payments, with references resolved."""
        return self._definition("payment-processor")

    def refund_definition(self) -> dict[str, Any]:
        """The definition of the state machine of refunds, with references resolved."""
        return self._definition("payment-refund-processor")

    def _definition(self, name: str) -> dict[str, Any]:
        _, machine = self.named("aws_sfn_state_machine", name)
        definition: dict[str, Any] = json.loads(self.resolve(machine["definition"]))
        return definition


def arn(address: str) -> str:
    """How the JSON refers to a resource's ARN."""
    return f"${{{address}.arn}}"


def keys_of_data_and_alarms(stack: Stack) -> tuple[str, str]:
    """The addresses of the key of all data at rest and of the key of the alarms topic."""
    key_of = {alias["name"]: alias["target_key_id"] for alias in stack.all("aws_kms_alias").values()}
    data, alarms = (key_of[f"alias/{name}-{stack.suffix}"] for name in ("payments", "payments-alarms"))
    return data[2 : -len(".key_id}")], alarms[2 : -len(".key_id}")]


def waivers(resource: Resource) -> dict[str, str]:
    """The scanner's rules that are waived for a resource, with their reasons."""
    waived: dict[str, str] = resource["//"].get("waived", {})
    return waived


def synthesise(settings: Settings, folder: Path) -> Stack:
    """Synthesise one environment into a folder."""
    from lib.bindings import App
    from lib.payment_stack import PaymentStack

    app = App(outdir=str(folder))
    stack = PaymentStack(app, settings)
    name = stack.node.id
    app.synth()
    return read(settings, folder / "stacks" / name / "cdk.tf.json")


def read(settings: Settings, path: Path) -> Stack:
    """A stack that is already synthesised."""
    return Stack(settings, path, json.loads(path.read_text()))
