"""The local run is the same Terraform: nothing is left out or loosened for it."""

import copy
from pathlib import Path

from lib.settings import Settings
from tests.infrastructure.synth import Stack, synthesise


def test_local_synth_when_compared_with_one_for_aws_then_only_addresses_differ(
    stacks: dict[str, Stack], tmp_path: Path
) -> None:
    local = stacks["local"]
    for_aws = synthesise(Settings(environment_suffix="local"), tmp_path)
    expected = copy.deepcopy(for_aws.document)
    expected["provider"]["aws"][0]["s3_use_path_style"] = True
    address, _ = local.named("aws_lambda_function", "payment-charge")
    kind, _, key = address.partition(".")
    variables = expected["resource"][kind][key]["environment"]["variables"]

    variables["STRIPE_API_BASE"] = local.settings.stripe_api_base

    assert local.document == expected
