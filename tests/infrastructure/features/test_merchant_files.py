"""The files of merchants: a role for each, which reaches its own folder, and a bucket policy that keeps others out."""

import json
from pathlib import Path

import pytest

from lib.settings import MOST_MERCHANTS, MOST_OF_MERCHANTS, Settings
from payments.domain.merchants import Merchants
from tests.infrastructure.synth import ACCOUNT, Stack, synthesise
from tests.infrastructure.test_permissions import FIELDS

MOST_OF_A_POLICY = 20 * 1024
"""Bytes of a bucket's policy (Amazon S3 User Guide, "Bucket policies")."""
LAMBDA_ENVIRONMENT_BYTES = 4096
CLIENT_ID_LETTERS = 26


@pytest.fixture(scope="module")
def merchants(stacks: dict[str, Stack]) -> Stack:
    """An environment with two merchants, of which one has a prefix."""
    return stacks["express"]


def bucket(stack: Stack) -> str:
    return f"arn:aws:s3:::payment-batch-files-{stack.suffix}-{ACCOUNT}"


def role_arn(stack: Stack, merchant: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/payment-files-{merchant}-{stack.suffix}"


@pytest.mark.parametrize("merchant", ["shop", "partner"])
def test_role_of_a_merchant_reaches_its_own_folders_alone(merchants: Stack, merchant: str) -> None:
    files = bucket(merchants)
    statements = merchants.statements(merchants.role_policies()[f"payment-files-{merchant}-{merchants.suffix}"])
    assert statements == [
        {
            "Effect": "Allow",
            "Action": ["s3:PutObject"],
            "Resource": [f"{files}/incoming/merchants/{merchant}/*"],
        },
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [f"{files}/results/merchants/{merchant}/*"]},
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [files],
            "Condition": {"StringLike": {"s3:prefix": f"results/merchants/{merchant}/*"}},
        },
    ]
    assert not any(f"files-{merchant}" in holders for holders in FIELDS.values())


def test_role_of_a_merchant_is_assumed_only_by_whom_this_account_lets(merchants: Stack) -> None:
    for merchant in ("shop", "partner"):
        _, role = merchants.named("aws_iam_role", f"payment-files-{merchant}")
        (trust,) = merchants.statements(role["assume_role_policy"])
        assert trust == {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "sts:AssumeRole",
        }


def test_bucket_denies_uploads_to_a_merchants_folder_to_all_but_its_role(merchants: Stack) -> None:
    _, policy = next(
        (address, policy)
        for address, policy in merchants.all("aws_s3_bucket_policy").items()
        if "payment-batch-files" in policy["bucket"]
    )
    denied = [one for one in merchants.statements(policy["policy"]) if one["Action"] == "s3:PutObject"]
    assert denied == [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": f"{bucket(merchants)}/incoming/merchants/{merchant}/*",
            "Condition": {"ArnNotEquals": {"aws:PrincipalArn": role_arn(merchants, merchant)}},
        }
        for merchant in ("shop", "partner")
    ]


def test_functions_know_merchants_by_name_prefix_and_client(merchants: Stack) -> None:
    clients = {
        client["name"]: address.partition(".")[2]
        for address, client in merchants.all("aws_cognito_user_pool_client").items()
    }
    for function in ("api", "split"):
        _, found = merchants.named("aws_lambda_function", f"payment-{function}")
        known = Merchants.parse(merchants.resolve(found["environment"]["variables"]["MERCHANTS"]))
        shop, partner = known.named("shop"), known.named("partner")
        assert shop
        assert partner
        assert (shop.prefix, partner.prefix) == ("sh_", "")
        for merchant in (shop, partner):
            assert merchant.subject == clients[f"payment-merchant-{merchant.name}-{merchants.suffix}"]


def test_without_merchants_there_is_no_role_and_split_reads_no_customers(dev: Stack) -> None:
    assert not any("payment-files" in role["name"] for role in dev.all("aws_iam_role").values())
    assert "customers" not in dev.resolve(dev.role_policies()["payment-split-dev"])


def test_most_merchants_fit_into_the_bucket_policy_and_the_functions(tmp_path: Path) -> None:
    suffix = "dev-a234567890123456"
    names = [f"m-{number:02}{'x' * 12}:{number:02}_" for number in range(MOST_MERCHANTS)]
    assert sum(map(len, names)) == MOST_OF_MERCHANTS
    stack = synthesise(Settings(environment_suffix=suffix, merchants=names), tmp_path)
    policies = [stack.statements(policy["policy"]) for policy in stack.all("aws_s3_bucket_policy").values()]
    assert max(len(json.dumps({"Version": "2012-10-17", "Statement": policy})) for policy in policies) < (
        MOST_OF_A_POLICY
    )
    for function in ("api", "split"):
        _, found = stack.named("aws_lambda_function", f"payment-{function}")
        variables = {name: stack.resolve(text) for name, text in found["environment"]["variables"].items()}
        assert variables["MERCHANTS"]
        clients = MOST_OF_MERCHANTS + MOST_MERCHANTS * (CLIENT_ID_LETTERS + 2)
        own = sum(len(name) + len(text) for name, text in variables.items() if name != "MERCHANTS")
        assert own + clients + 200 < LAMBDA_ENVIRONMENT_BYTES
