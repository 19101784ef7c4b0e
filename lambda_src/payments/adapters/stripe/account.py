"""The account that a key of Stripe belongs to."""

import re

import stripe

from payments.adapters.stripe.client import services
from payments.adapters.stripe.errors import Call, payment_error
from payments.adapters.stripe.gateway import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS
from payments.domain.errors import PaymentError
from payments.domain.gateway_account import GatewayAccount

_NAMED = re.compile(r"\bon account '(acct_\w+)'")
"""The account in the text of a permission error. Not every such text has it."""


def account_of(key: str, *, base_url: str = stripe.DEFAULT_API_BASE) -> GatewayAccount:
    """Ask Stripe for the account of a key (docs.stripe.com/api/accounts/retrieve).

    A restricted key needs a permission for that. Without it, the text of the error may name the account, and the key
    must at least list payment intents, as recovery does. Raises Misconfigured if Stripe rejects the key, and NotSent,
    RateLimited or OutcomeUnknown if it gave no such answer.
    """
    v1 = services(base_url, CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
    problem: PaymentError
    try:
        try:
            found = v1.accounts.retrieve_current(options={"api_key": key})
            return GatewayAccount(found.id, _name(found), bool(found.charges_enabled))
        except stripe.PermissionError as error:
            named = _NAMED.search(str(error.user_message or ""))
            v1.payment_intents.list({"limit": 1}, options={"api_key": key})
            return GatewayAccount(named[1] if named else "")
    except stripe.StripeError as error:
        problem = payment_error(Call.LIST, error)
    raise problem  # outside the except block: the traceback must not show Stripe's text, which has parts of the key


def _name(account: stripe.Account) -> str:
    """The name in Stripe's dashboard, which tells accounts of one owner apart, else that of the business."""
    dashboard = account.settings.dashboard if account.settings else None
    profile = account.business_profile
    return (dashboard and dashboard.display_name) or (profile and profile.name) or ""
