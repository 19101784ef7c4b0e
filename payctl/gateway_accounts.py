"""The gateway account of each version of the key: an item of the controls table, which holds no secret.

It is written before the version is stored, under the version's id: a command that stops between the two leaves an entry
that no version has, never a version with the account of another one.
"""

from collections.abc import Mapping
from typing import Any

from payctl.stack import Stack
from payments.domain.gateway_account import GatewayAccount

_KEY: Any = {"control": {"S": "gateway_account"}}


def known(stack: Stack) -> dict[str, GatewayAccount]:
    """Version of the secret → its account, as far as it was stored."""
    answer = stack.client("dynamodb").get_item(TableName=stack["controls_table"], Key=_KEY, ConsistentRead=True)
    versions = answer.get("Item", {}).get("versions", {}).get("M", {})
    return {version: GatewayAccount(one["M"]["id"]["S"], one["M"]["name"]["S"]) for version, one in versions.items()}


def remember(stack: Stack, accounts: Mapping[str, GatewayAccount]) -> None:
    """Store the accounts of these versions, and forget all others."""
    versions: Any = {
        version: {"M": {"id": {"S": account.account_id}, "name": {"S": account.name}}}
        for version, account in accounts.items()
        if account.account_id
    }
    stack.client("dynamodb").put_item(TableName=stack["controls_table"], Item=_KEY | {"versions": {"M": versions}})
