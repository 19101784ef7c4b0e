"""The local run uses the same Terraform: nothing is left out or weakened for it."""

import copy
from pathlib import Path
from typing import Any

from lib import package
from lib.settings import LEAST_UNIT_SECONDS, Settings
from tests.infrastructure.synth import Stack, synthesise


def test_local_synth_differs_only_in_addresses_time_outs_and_machine(stacks: dict[str, Stack], tmp_path: Path) -> None:
    local = stacks["local"]
    patience_seconds = LEAST_UNIT_SECONDS  # at AWS the local one is refused
    for_aws = synthesise(Settings(environment_suffix="local", patience_seconds=patience_seconds), tmp_path)
    expected = copy.deepcopy(for_aws.document)
    expected["provider"]["aws"][0]["s3_use_path_style"] = True
    expected["output"]["stripe_api_base"]["value"] = local.settings.stripe_api_base
    expected["output"]["patience_seconds"]["value"] = str(local.settings.effective.patience_seconds)
    local_aws = local.settings.aws_endpoint_url
    expected["output"]["token_url"]["value"] = f"{local_aws}/oauth2/token"
    address, function = local.named("aws_lambda_function", "payment-authorize")
    keys = function["environment"]["variables"]["USER_POOL_JWKS_URI"]
    assert keys.startswith(f"{local_aws}/")
    _at(expected, address)["environment"]["variables"]["USER_POOL_JWKS_URI"] = keys
    layer = package.layer_archive()  # compiled packages, for the machine that loads them
    layer_file = next(file for file in expected["resource"]["aws_s3_object"].values() if "layer-" in file["key"])
    layer_file |= {"key": layer.name, "source": str(layer)}
    of_the_machine = {
        "STRIPE_API_BASE": local.settings.stripe_api_base,
        "PATIENCE_SECONDS": str(local.settings.effective.patience_seconds),
    }
    for function in expected["resource"]["aws_lambda_function"].values():
        variables = function["environment"]["variables"]
        variables |= {name: value for name, value in of_the_machine.items() if name in variables}

    assert local.document == expected


def _at(document: dict[str, Any], address: str) -> dict[str, Any]:
    kind, _, key = address.partition(".")
    resource: dict[str, Any] = document["resource"][kind][key]
    return resource
