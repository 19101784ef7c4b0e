"""The local run is the same Terraform: nothing is left out or loosened for it."""

import copy
from pathlib import Path

from lib.settings import LEAST_PATIENCE_SECONDS, Settings
from tests.infrastructure.synth import Stack, synthesise


def test_local_synth_when_compared_with_one_for_aws_then_only_addresses_and_the_patience_differ(
    stacks: dict[str, Stack], tmp_path: Path
) -> None:
    local = stacks["local"]
    patience_seconds = LEAST_PATIENCE_SECONDS  # at AWS the local one is refused
    for_aws = synthesise(Settings(environment_suffix="local", patience_seconds=patience_seconds), tmp_path)
    expected = copy.deepcopy(for_aws.document)
    expected["provider"]["aws"][0]["s3_use_path_style"] = True
    expected["output"]["stripe_api_base"]["value"] = local.settings.stripe_api_base
    expected["output"]["patience_seconds"]["value"] = str(local.settings.effective.patience_seconds)
    for name in ("payment-charge", "payment-sweep"):
        address, _ = local.named("aws_lambda_function", name)
        kind, _, key = address.partition(".")
        variables = expected["resource"][kind][key]["environment"]["variables"]
        variables["STRIPE_API_BASE"] = local.settings.stripe_api_base
        variables["PATIENCE_SECONDS"] = str(local.settings.effective.patience_seconds)

    assert local.document == expected
