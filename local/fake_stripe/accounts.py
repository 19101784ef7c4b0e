"""The account that a key belongs to (docs.stripe.com/api/accounts/retrieve). It has no `livemode`."""

import re

from local.fake_stripe.errors import ApiError
from local.fake_stripe.events import CAUSE
from local.fake_stripe.objects import Json
from local.fake_stripe.parameters import check_names
from local.fake_stripe.settings import Settings

OWN = "acct_fake_stripe"
_OF_ANOTHER = re.compile(r"[sr]k_test_of_([a-z0-9]+)_")
"""`sk_test_of_other_1` is a key of the account `acct_other`. Every other key is one of `acct_fake_stripe`."""
_PERMISSION = "rak_accounts_kyc_basic_read"


class Accounts:
    """The operations of the API on accounts. They raise ApiError."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def retrieve(self, params: Json, _: str = "") -> Json:
        """GET /v1/account: the account of the request's key. A restricted key may need a permission for it."""
        check_names(params)
        key = CAUSE.get().api_key
        match = _OF_ANOTHER.match(key)
        account_id = f"acct_{match[1]}" if match else OWN
        if key.startswith("rk_") and not self._settings.restricted_keys_read_account:
            raise self._not_permitted(key, account_id)
        return _account(account_id, match[1].title() if match else "Fake Stripe")

    def _not_permitted(self, key: str, account_id: str) -> ApiError:
        named = f" on account '{account_id}'" if self._settings.permission_error_names_account else ""
        return ApiError(
            403,
            f"The provided key '{key[:8]}********{key[-4:]}' does not have the required permissions for this endpoint"
            f"{named}. Having the '{_PERMISSION}' permission would allow this request to continue.",
        )


def _account(account_id: str, name: str) -> Json:
    return {
        "id": account_id,
        "object": "account",
        "business_profile": {"name": name},
        "charges_enabled": True,
        "country": "US",
        "default_currency": "usd",
        "details_submitted": True,
        "payouts_enabled": True,
        "settings": {"dashboard": {"display_name": name, "timezone": "Etc/UTC"}},
        "type": "standard",
    }
