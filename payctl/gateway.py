"""payctl gateway."""

import json as jsonlib
from typing import Annotated, Any

import typer

from payctl import adapters, gateway_key, prompts, show
from payctl.failures import Exit, Failure
from payctl.options import Json, stack_of
from payctl.prompts import Yes
from payctl.stack import Stack

app = typer.Typer(help="The payment gateway: its backlog and its credentials.", no_args_is_help=True)

WEBHOOK_SECRET = "whsec_"  # noqa: S105
"""Prefix of Stripe's webhook signing secrets."""


@app.command()
def status(context: typer.Context, json: Json = False) -> None:
    """Show how long REST payments wait for the gateway's rate, and from when on new ones are turned away."""
    stack = stack_of(context)
    limiter, limit = adapters.rate_limiter(stack), int(stack["gateway_backlog_limit_seconds"])
    backlog, rate = round(limiter.backlog_seconds()), round(1 / limiter.slot.total_seconds(), 1)
    full = backlog > limit
    if json:
        show.as_json(
            {
                "environment": stack.name,
                "backlog_seconds": backlog,
                "backlog_limit_seconds": limit,
                "refuses_new_payments": full,
                "requests_a_second": rate,
            }
        )
        return
    show.facts(
        [
            ("backlog", f"{backlog} s of slots are taken by waiting REST payments" if backlog else "none"),
            ("limit", f"{limit} s, then new payments get 429"),
            ("new payments", "get 429" if full else "are accepted"),
            ("requests a second", f"{rate} at most"),
            ("environment", stack.name),
        ]
    )


app.command("set-key")(gateway_key.set_key)


@app.command("set-webhook-secret")
def set_webhook_secret(
    context: typer.Context,
    forget_previous: Annotated[
        bool,
        typer.Option("--forget-previous", help="Set no secret. Stop accepting the previous one, after Stripe stopped."),
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Set the webhook signing secret. Type it without echo or pass it on standard input. It is never printed.

    The previous secret stays accepted, because Stripe signs with both for up to a day while it rolls them.
    """
    stack = stack_of(context)
    client = stack.client("secretsmanager")
    kept = _kept(client, stack["webhook_secret_arn"])
    new = _without_previous(stack, kept, yes) if forget_previous else _with_new(stack, kept, yes)
    if new != kept:
        client.put_secret_value(SecretId=stack["webhook_secret_arn"], SecretString=jsonlib.dumps(new))
    if json:
        show.as_json(
            {
                "environment": stack.name,
                "webhook_secret_arn": stack["webhook_secret_arn"],
                "changed": new != kept,
                "previous_accepted": "previous" in new,
            }
        )
        return
    before = "the previous secret is accepted too" if "previous" in new else "no other secret is accepted"
    what = "is set" if new != kept else "is unchanged"
    show.out.print(f"The webhook secret of {stack.name} {what}; {before}. Changes take effect within five minutes.")


def _with_new(stack: Stack, kept: dict[str, str], yes: bool) -> dict[str, str]:
    if kept and not yes:
        prompts.confirm(
            f"{stack.name} already has a webhook secret. Replace it, and keep accepting it as the previous one?",
            otherwise=f"{stack.name} already has a webhook secret; replace it",
        )
    secret = _webhook_secret(stack)
    if secret == kept.get("current"):
        return kept  # repeating the command must not drop the real previous secret
    return {"current": secret} | ({"previous": kept["current"]} if kept else {})


def _without_previous(stack: Stack, kept: dict[str, str], yes: bool) -> dict[str, str]:
    if not kept:
        raise Failure(f"{stack.name} has no webhook secret yet; set it with: payctl gateway set-webhook-secret")
    if "previous" in kept and not yes:
        prompts.confirm(
            f"Webhooks signed with the previous secret of {stack.name} will be rejected. Forget it?",
            otherwise="webhooks signed with the previous secret will be rejected; forget it",
        )
    return {"current": kept["current"]}


def _kept(client: Any, secret: str) -> dict[str, str]:
    """The stored secrets: {"current", "previous"}. Empty if there is no usable secret."""
    try:
        kept = jsonlib.loads(client.get_secret_value(SecretId=secret)["SecretString"])
    except (client.exceptions.ResourceNotFoundException, ValueError):
        return {}
    if not isinstance(kept, dict) or not kept.get("current"):
        return {}
    return {name: kept[name] for name in ("current", "previous") if kept.get(name)}


def _webhook_secret(stack: Stack) -> str:
    secret = prompts.secret(f"Webhook signing secret of Stripe for {stack.name}")
    if not secret.startswith(WEBHOOK_SECRET) or not prompts.is_plain(secret):
        raise Failure(
            f"this is not a webhook signing secret of Stripe: one begins with {WEBHOOK_SECRET}; nothing was changed",
            code=Exit.USAGE,
        )
    return secret
