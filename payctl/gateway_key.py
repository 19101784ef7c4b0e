"""payctl gateway set-key: check a key at the gateway, then store it, and keep the version before."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from payctl import adapters, gateway_accounts, prompts, show
from payctl.environment import was_restored
from payctl.failures import Exit, Failure, from_boto3
from payctl.options import Json, stack_of
from payctl.prompts import Yes
from payctl.stack import Stack
from payments.adapters.stripe.modes import SECRET_KEYS, mode_of_key
from payments.domain.clock import utc_now
from payments.domain.errors import Misconfigured, PaymentError
from payments.domain.gateway_account import GatewayAccount

CURRENT, PREVIOUS = "AWSCURRENT", "AWSPREVIOUS"
NOTHING = "nothing was changed"


@dataclass(frozen=True)
class _Versions:
    """The stored versions of the key by their ids, and the account of each, as far as it is known."""

    current: str
    previous: str
    accounts: Mapping[str, GatewayAccount]


def set_key(
    context: typer.Context,
    previous: Annotated[
        bool, typer.Option("--previous", help="Set no new key. Go back to the one before; again: forward.")
    ] = False,
    same_account: Annotated[
        bool,
        typer.Option("--same-account", help="Trust that a key that may not read its account is one of the same."),
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Set the gateway's secret key. Type it without echo or pass it on standard input. It is never printed.

    The gateway is asked for the key's account before anything is stored. A key of another account is refused while
    payments are open. The key before is kept.
    """
    stack = stack_of(context)
    client = stack.client("secretsmanager")
    versions = _versions(stack, client)
    if previous and not versions.previous:
        raise Failure(f"{stack.name} has no gateway key before the current one; {NOTHING}")
    key = _stored(stack, client, PREVIOUS) if previous else _typed(stack)
    _check_mode(stack, key)
    old = _value(stack, client, CURRENT) if versions.current else None
    if old is None:
        versions = replace(versions, current="")
    account = _account_of(stack, key)
    if key == old:
        # stored once more, the same key would push the real one before out of Secrets Manager
        gateway_accounts.remember(stack, {**versions.accounts, versions.current: account})
        _report(stack, account, "unchanged", json)
        return
    before = versions.accounts.get(versions.current) or _account_before(stack, old or "")
    _check_account(stack, account, before, has_key=bool(versions.current), same_account=same_account)
    if not yes:
        _confirm(stack, account, key, replaces=bool(versions.current))
    if not versions.current and not versions.previous and not was_restored(stack):
        adapters.breaker(stack).open(adapters.operator(stack), utc_now())  # no key was ever stored: nothing was charged
    if previous:
        _go_back(stack, client, versions, account)
    else:
        _store(stack, client, versions, account, key)
    _report(stack, account, "replaced" if versions.current else "set", json)
    if before and account.account_id and before.account_id != account.account_id:
        show.note("the account is another one: set its webhook secret with: payctl gateway set-webhook-secret")


def _versions(stack: Stack, client: Any) -> _Versions:
    stages = client.describe_secret(SecretId=stack["gateway_secret_arn"]).get("VersionIdsToStages") or {}
    ids = {stage: version for version, names in stages.items() for stage in names}
    accounts = {version: one for version, one in gateway_accounts.known(stack).items() if version in stages}
    return _Versions(ids.get(CURRENT, ""), ids.get(PREVIOUS, ""), accounts)


def _typed(stack: Stack) -> str:
    key = prompts.secret(f"Secret key of Stripe for {stack.name}")
    if not key.startswith(SECRET_KEYS) or not prompts.is_plain(key):
        raise Failure(
            f"this is not a secret key of Stripe: one begins with sk_ (secret) or rk_ (restricted); {NOTHING}",
            details=["a key that begins with pk_ is publishable and cannot charge"] if key[:3] == "pk_" else [],
            code=Exit.USAGE,
        )
    return key


def _stored(stack: Stack, client: Any, stage: str) -> str:
    value = _value(stack, client, stage)
    if not value:
        raise Failure(f"the key before cannot be read, so that the gateway cannot be asked about it; {NOTHING}")
    return value


def _value(stack: Stack, client: Any, stage: str) -> str | None:
    """A stored key; "" if the operator may not read it, and None if the version holds no value: the local AWS makes
    such a version with the secret."""
    try:
        version = client.get_secret_value(SecretId=stack["gateway_secret_arn"], VersionStage=stage)
    except Exception as error:
        if from_boto3(error) is None:
            raise
        return ""
    value: str | None = version.get("SecretString")
    return value and value.strip()


def _check_mode(stack: Stack, key: str) -> None:
    mode, needed = mode_of_key(key), stack.outputs.get("gateway_mode", "")
    if needed and mode not in ("", needed):
        raise Failure(
            f"this is a {mode} key, and {stack.name} needs a {needed} key; {NOTHING}",
            details=[f"to run {stack.name} in Stripe's {mode} mode, deploy it with GATEWAY_MODE={mode}"],
            code=Exit.USAGE,
        )


def _account_of(stack: Stack, key: str) -> GatewayAccount:
    try:
        return adapters.gateway_account(stack, key)
    except Misconfigured as error:
        raise Failure(f"Stripe rejects this key: {error.message} ({error.code}); {NOTHING}") from None
    except PaymentError as error:
        raise Failure(
            f"Stripe could not be asked about this key: {error.message} ({error.code}); {NOTHING}",
            details=["run the command again when Stripe answers"],
        ) from None


def _account_before(stack: Stack, key: str) -> GatewayAccount | None:
    """The account of a key that an older payctl stored; None if it does not tell it, or is no longer valid."""
    try:
        return adapters.gateway_account(stack, key) if key else None
    except PaymentError:
        return None


def _check_account(
    stack: Stack, account: GatewayAccount, before: GatewayAccount | None, *, has_key: bool, same_account: bool
) -> None:
    """Raise Failure for a key of another account while a payment is open, and for one that does not tell it."""
    known = bool(before and before.account_id and account.account_id)
    if not has_key or (known and before and before.account_id == account.account_id):
        return
    waiting = adapters.open_work(stack)
    if not waiting or (same_account and not known):
        return
    lost = f"in {stack.name} {waiting} open, and a key of another account shows none of their charges; {NOTHING}"
    if known:
        raise Failure(
            f"this key belongs to {account}, and the current one to {before}: {lost}",
            details=["set it when no payment is open: payctl payment totals shows which are"],
        )
    raise Failure(
        f"it is not known whether this key belongs to the account of the current one: {lost}",
        details=[
            f"the new key belongs to {account}, the current one to {before or 'an account that is not known'}",
            "give a restricted key the permission to read its account at Stripe (rak_accounts_kyc_basic_read)",
            "or, if you know that both belong to one account, run the command again with --same-account",
        ],
    )


def _confirm(stack: Stack, account: GatewayAccount, key: str, *, replaces: bool) -> None:
    what = f"this is a {f'{mode_of_key(key)} key'.strip()} of {account}"
    if not account.may_charge:
        show.note(f"Stripe does not let {account} charge yet: complete the account in its dashboard")
    do = f"replace the key of {stack.name} with it" if replaces else f"use it in {stack.name}"
    prompts.confirm(f"{what[0].upper()}{what[1:]}. {do.capitalize()}?", otherwise=f"{what}; {do}")


def _store(stack: Stack, client: Any, versions: _Versions, account: GatewayAccount, key: str) -> None:
    new = str(uuid.uuid4())
    gateway_accounts.remember(stack, {**versions.accounts, new: account})
    client.put_secret_value(SecretId=stack["gateway_secret_arn"], SecretString=key, ClientRequestToken=new)


def _go_back(stack: Stack, client: Any, versions: _Versions, account: GatewayAccount) -> None:
    """Make the version before the current one. Secrets Manager makes the current one the version before."""
    gateway_accounts.remember(stack, {**versions.accounts, versions.previous: account})
    client.update_secret_version_stage(
        SecretId=stack["gateway_secret_arn"],
        VersionStage=CURRENT,
        MoveToVersionId=versions.previous,
        RemoveFromVersionId=versions.current,
    )


def _report(stack: Stack, account: GatewayAccount, what: str, json: bool) -> None:
    if json:
        show.as_json(
            {
                "environment": stack.name,
                "gateway_secret_arn": stack["gateway_secret_arn"],
                "replaced": what == "replaced",
                "account_id": account.account_id,
                "account_name": account.name,
            }
        )
        return
    within = "" if what == "unchanged" else " Payments use it within five minutes."
    show.out.print(f"The gateway key of {stack.name} is {what}: {account}.{within}", markup=False, soft_wrap=True)
    if what == "replaced":
        show.note("to go back to the key before: payctl gateway set-key --previous")
