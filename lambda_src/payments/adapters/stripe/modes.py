"""Stripe's two modes: in test mode no money moves. Keys, events and all objects belong to one of them."""

SECRET_KEYS = ("sk_", "rk_")
"""Prefixes of Stripe's secret and restricted keys."""
LIVE, TEST = "live", "test"


def mode_of_key(key: str) -> str:
    """LIVE or TEST, as the key's prefix says (docs.stripe.com/keys), or "" for a key of another form."""
    return next((mode for mode in (LIVE, TEST) for kind in SECRET_KEYS if key.startswith(f"{kind}{mode}_")), "")


def mode_of_object(livemode: object) -> str:
    """LIVE or TEST, as an object's `livemode` says, or "" for an object without it."""
    return {True: LIVE, False: TEST}[livemode] if isinstance(livemode, bool) else ""
