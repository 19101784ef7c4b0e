"""The settings of a deployment: read from the environment, typed, and checked before the synth."""

import ipaddress
import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from payments.adapters.stripe.amounts import CURRENCIES
from payments.domain.merchants import LEGACY, OWN
from payments.domain.refund_approval import ApprovalLimits

LEAST_UNIT_SECONDS = 120
MOST_UNIT_SECONDS = 3600
EXPRESS_WAIT_SECONDS = 120
"""How long one Express execution waits in all. It ends after 300 seconds, and its last request to the gateway may take
80 (Step Functions Developer Guide, "Quotas")."""
MOST_MERCHANTS = 50
"""The ids of their app clients must fit into the authorizer's environment, which Lambda limits to 4 KB."""
LEAST_DENIED_DAYS = 365
"""PCI DSS 4.0.1, 10.5.1: the history of audit logs is kept for at least 12 months."""
MOST_OF_MERCHANTS = 1_000
"""Their names, prefixes and app clients must fit into a function's environment, which Lambda limits to 4 KB."""
LONGEST_ROLE = 64
"""The longest name of an IAM role."""
DEFAULT_TAGS = {"Project": "payment-backend", "ManagedBy": "cdktf"}


@dataclass(frozen=True)
class Environment:
    """The settings that differ between kinds of environments. Units are in the names."""

    lambda_memory_mb: int = 512
    lambda_architecture: Literal["arm64", "x86_64"] = "arm64"
    log_retention_days: int = 30
    api_rate_per_second: int = 50
    api_burst: int = 100
    workflow_type: Literal["STANDARD", "EXPRESS"] = "STANDARD"
    # docs.stripe.com/rate-limits: 25 a second for one endpoint, in live mode as well, where all together may have 100
    gateway_rate_per_second: int = 25
    gateway_reserve_percent: int = 8  # of the gateway's rate, never used: its clock and ours may differ slightly
    gateway_backlog_limit_seconds: int = 300  # how long a REST payment may have to wait for its slot at the gateway
    gateway_deadline_seconds: int = 86_400  # how long a payment that was not sent waits for the gateway in an outage
    gateway_outage_limit: int = 10_000  # how many new payments are accepted during an outage of the gateway
    gateway_mode: Literal["test", "live"] = "test"  # keys and events of Stripe's other mode are refused
    default_payment_method: str = ""
    searchable_metadata: str = ""  # the key of the payments' metadata that can be searched, by a keyed hash
    denied_retention_days: int = 400  # how long denied attempts are kept
    force_destroy: bool = True
    auth_mode: Literal["none", "jwt"] = "jwt"
    self_sign_up: bool = False  # whether people may register as customers
    require_second_factor: bool = False  # for the roles that see the data of all callers
    patience_seconds: int = 300  # how long an open payment is left alone before recovery processes it
    rate_per_ip_per_minute: int = 3000  # calls that change data
    rate_per_customer_per_minute: int = 60
    reads_per_customer_per_minute: int = 300
    merchant_rate_per_second: int = 50
    merchant_quota_per_day: int = 100_000
    backup_every_hours: int = 24
    backup_read_units_per_second: int = 1000  # of all tables together, so that a backup never slows payments down
    backup_cold_days: int = 30  # then S3 keeps it as GLACIER_IR, which is read like any other object
    backup_keep_days: int = 365
    audit_keep_days: int = 400  # how long anchors of the audit log are kept; its entries stay in their table
    audit_lock_days: int = 1  # how long S3 refuses to delete or replace an anchor
    backup_lock_days: int = 0  # how long S3 refuses to delete or replace a backup; 0 is not at all


ENVIRONMENTS: dict[str, Environment] = {
    "dev": Environment(log_retention_days=7, default_payment_method="pm_card_visa", self_sign_up=True),
    "staging": Environment(log_retention_days=30),
    "prod": Environment(
        lambda_memory_mb=1024,
        log_retention_days=365,
        api_rate_per_second=200,
        api_burst=400,
        gateway_mode="live",
        require_second_factor=True,
        force_destroy=False,
        backup_lock_days=30,
        audit_keep_days=1100,
        audit_lock_days=1096,
    ),
    # one machine: as dev, with the fake Stripe, which sets no limit; the rate is what two cores sustain
    "local": Environment(
        log_retention_days=1,
        api_rate_per_second=500,
        api_burst=1000,
        gateway_rate_per_second=100,
        default_payment_method="pm_card_visa",
        searchable_metadata="order",
        self_sign_up=True,
        patience_seconds=5,  # the search of the fake Stripe has no delay
        # all calls on one machine come from one address
        rate_per_ip_per_minute=100_000,
        rate_per_customer_per_minute=100_000,
        reads_per_customer_per_minute=100_000,
        merchant_rate_per_second=500,
        merchant_quota_per_day=10_000_000,
        backup_read_units_per_second=100_000,
    ),
}
"""The only table of differences. `kind_of` says which row a suffix means, unless ENVIRONMENT_KIND does."""

RETENTION_DAYS = (
    1,
    3,
    5,
    7,
    14,
    30,
    60,
    90,
    120,
    150,
    180,
    365,
    400,
    545,
    731,
    1096,
    1827,
    2192,
    2557,
    2922,
    3288,
    3653,
)
"""The retentions that CloudWatch Logs accepts."""


class SettingsError(Exception):
    """One or more invalid settings, a line each: the variable, its value, what is allowed."""


_KINDS = {
    "dev": r"dev|dev-[a-z0-9-]+|pr-[0-9]+|test|test-[a-z0-9-]+",
    "staging": r"staging|staging-[a-z0-9-]+",
    "local": r"local",
}
"""Kind → the suffixes that mean it."""
_PRODUCTION = ("prod", "prd", "live")
"""A suffix with one of these means production, also `dev-live`."""


def kind_of(suffix: str) -> str:
    """The row of `ENVIRONMENTS` for a suffix. One that this does not know is production, never a less safe kind: `main`
    with the values of dev would have data that `destroy` removes, and a test card for every payment."""
    if any(word in suffix for word in _PRODUCTION):
        return "prod"
    return next((kind for kind, suffixes in _KINDS.items() if re.fullmatch(suffixes, suffix)), "prod")


def _pattern(pattern: str, allowed: str) -> AfterValidator:
    def check(value: str) -> str:
        if value and not re.fullmatch(pattern, value):
            raise ValueError(allowed)
        return value

    return AfterValidator(check)


def _number(values: Container[int], allowed: str) -> WrapValidator:
    def check(value: Any, parse: ValidatorFunctionWrapHandler) -> int:
        try:
            number: int = parse(value)
        except ValidationError:
            raise ValueError(allowed) from None
        if number not in values:
            raise ValueError(allowed)
        return number

    return WrapValidator(check)


def _between(low: int, high: int) -> WrapValidator:
    return _number(range(low, high + 1), f"a whole number from {low} to {high}")


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _settled(currency: str) -> str:
    if currency not in CURRENCIES:
        raise ValueError("currencies that Stripe charges in, such as USD,EUR, in capital letters")
    return currency


def _few(merchants: list[str]) -> list[str]:
    names = [one.partition(":")[0] for one in merchants]
    if len(names) != len(set(names)) or len(names) > MOST_MERCHANTS:
        raise ValueError(f"at most {MOST_MERCHANTS} names, each once")
    if sum(map(len, merchants)) > MOST_OF_MERCHANTS:
        raise ValueError(f"at most {MOST_OF_MERCHANTS} characters of names and prefixes")
    return merchants


def _apart(merchants: list[str]) -> list[str]:
    """No prefix may begin another one, in any capitals: an id must tell whose it is."""
    prefixes = [prefix for one in merchants if (prefix := one.partition(":")[2])]
    for at, one in enumerate(prefixes):
        for other in (*prefixes[:at], LEGACY, OWN):
            if one.lower().startswith(other.lower()) or other.lower().startswith(one.lower()):
                raise ValueError(
                    f"prefixes of which none begins another one, and none begins {LEGACY} or {OWN}: {one} and {other}"
                )
    return merchants


def _pairs(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in _split(value)]
    if any(not name or not separator for name, separator, _ in pairs):
        raise ValueError("a list such as Team=payments,CostCenter=42")
    return {name.strip(): text.strip() for name, _, text in pairs}


def _of_merchants(limits: dict[str, str]) -> dict[str, str]:
    if any(
        not re.fullmatch(r"[!-+\--<>-~]{1,128}", who) or not re.fullmatch(_CARDS, most) for who, most in limits.items()
    ):
        raise ValueError("a list such as shop=1200/240,partner=300/60")
    return limits


def _approval(text: str) -> str:
    return str(ApprovalLimits.parse(text))


_RETENTION = _number(RETENTION_DAYS, f"one of {', '.join(map(str, RETENTION_DAYS))}")
_UNIT_SECONDS = _number(
    range(1, MOST_UNIT_SECONDS + 1),
    f"a whole number from {LEAST_UNIT_SECONDS} to {MOST_UNIT_SECONDS}, or from 1 on a local AWS",
)
_SUFFIX = _pattern(
    "[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?",
    "1 to 20 lower-case letters, digits or '-', not at an end, such as dev, staging, prod or pr-1234",
)
_REGION = _pattern("[a-z]{2}(-[a-z]+)+-[0-9]", "an AWS region such as us-east-1")
_BUCKET = _pattern("[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "the name of an S3 bucket")
_URL = _pattern("https?://[^/ ]+", "an address such as https://api.stripe.com, without a path")
_ISSUER = _pattern("https://[!-~]+", "an https address, exactly as the `iss` of the issuer's tokens")
_CLAIM = _pattern("[!-~]{1,255}", "a text without spaces")
_PREFIX = _pattern("[!-~]{1,32}", "1 to 32 characters without spaces")
_MERCHANT = _pattern(
    "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?(:[A-Za-z0-9][A-Za-z0-9_-]{0,14}[_-])?",
    "names such as shop,partner: lower-case letters, digits, '-'; or with the prefix of their ids, such as "
    "shop:sh_,partner:pt_: 2 to 16 letters, digits, '_' and '-', which end in '_' or '-'",
)
_CARDS = r"[1-9][0-9]{0,5}/[1-9][0-9]{0,5}"
_CARD_LIMITS = _pattern(
    _CARDS, "two numbers such as 120/24: new cards in 10 to 20 minutes, and those with small amounts"
)
_METADATA_KEY = _pattern("[!-9;-~]{1,40}", "one key of the metadata: 1 to 40 characters without ':' and spaces")
_ADDRESS = "[^@ ]+@[^@ ]+\\.[^@ ]+"
_SENDER = _pattern(_ADDRESS, "an address such as payments@example.com, of a domain that SES has verified")
_EMAIL = _pattern(_ADDRESS, "addresses such as oncall@example.com, separated by commas")


_OF_THIS_NETWORK = re.compile(r"[a-z][a-z0-9-]*|(?:[a-z0-9-]+\.)+(?:localhost|local|internal|test)", re.ASCII)
"""Names without a dot, and those of RFC 6761 and RFC 6762: none is an address on the internet."""


def _is_of_this_network(url: str) -> bool:
    """Whether an address leads to this machine or to a private network, by its host alone."""
    try:
        host = (urlsplit(url).hostname or "").partition("%")[0]
    except ValueError:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return bool(_OF_THIS_NETWORK.fullmatch(host))
    return address.is_loopback or (address.is_private and not address.is_unspecified)


class Settings(BaseSettings):
    """A deployment's settings. Each field is the environment variable of the same name in capitals.

    Fields that are None here take their value from the environment's row in `ENVIRONMENTS`.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    environment_suffix: Annotated[str, _SUFFIX] = "dev"
    environment_kind: Literal["", "dev", "staging", "prod", "local"] = ""
    aws_region: Annotated[str, _REGION] = "us-east-1"
    terraform_state_bucket: Annotated[str, _BUCKET] = ""
    terraform_state_bucket_region: Annotated[str, _REGION] = ""
    aws_endpoint_url: Annotated[str, _URL] = ""
    stripe_api_base: Annotated[str, _URL] = "https://api.stripe.com"
    alarm_emails: Annotated[list[Annotated[str, _EMAIL]], NoDecode, BeforeValidator(_split)] = []
    tags: Annotated[dict[str, str], NoDecode, BeforeValidator(_pairs)] = {}
    merchants: Annotated[
        list[Annotated[str, _MERCHANT]],
        NoDecode,
        BeforeValidator(_split),
        AfterValidator(_few),
        AfterValidator(_apart),
    ] = []
    cards_per_merchant: Annotated[str, _CARD_LIMITS] = "120/24"
    merchant_cards: Annotated[dict[str, str], NoDecode, BeforeValidator(_pairs), AfterValidator(_of_merchants)] = {}
    fraud_hold_hours: Annotated[int, _between(1, 720)] = 72
    fraud_hold_outcome: Literal["reject", "approve"] = "reject"
    settlement_currencies: Annotated[
        list[Annotated[str, AfterValidator(_settled)]], NoDecode, BeforeValidator(_split)
    ] = []
    refund_approval_above: Annotated[str, AfterValidator(_approval)] = ""
    oidc_issuer: Annotated[str, _ISSUER] = ""
    oidc_audience: Annotated[str, _CLAIM] = ""
    oidc_roles_claim: Annotated[str, _CLAIM] = "groups"
    oidc_roles_prefix: Annotated[str, _PREFIX] = "payment-api-"
    email_sender: Annotated[str, _SENDER] = ""

    lambda_memory_mb: Annotated[int, _between(128, 10240)] | None = None
    lambda_architecture: Literal["arm64", "x86_64"] | None = None
    log_retention_days: Annotated[int, _RETENTION] | None = None
    api_rate_per_second: Annotated[int, _between(1, 10000)] | None = None
    api_burst: Annotated[int, _between(1, 5000)] | None = None
    workflow_type: Literal["STANDARD", "EXPRESS"] | None = None
    gateway_rate_per_second: Annotated[int, _between(1, 1000)] | None = None
    gateway_reserve_percent: Annotated[int, _between(0, 90)] | None = None
    gateway_backlog_limit_seconds: Annotated[int, _between(10, 1800)] | None = None
    gateway_deadline_seconds: Annotated[int, _between(60, 604_800)] | None = None
    gateway_outage_limit: Annotated[int, _between(0, 1_000_000)] | None = None
    gateway_mode: Literal["test", "live"] | None = None
    searchable_metadata: Annotated[str, _METADATA_KEY] | None = None
    default_payment_method: (
        Annotated[str, _pattern("[A-Za-z0-9_]{3,128}", "a payment method of the gateway")] | None
    ) = None
    denied_retention_days: Annotated[int, _between(LEAST_DENIED_DAYS, 3653)] | None = None
    force_destroy: bool | None = None
    auth_mode: Literal["none", "jwt"] | None = None
    self_sign_up: bool | None = None
    require_second_factor: bool | None = None
    patience_seconds: Annotated[int, _UNIT_SECONDS] | None = None
    rate_per_ip_per_minute: Annotated[int, _between(1, 100_000)] | None = None
    rate_per_customer_per_minute: Annotated[int, _between(1, 100_000)] | None = None
    reads_per_customer_per_minute: Annotated[int, _between(1, 100_000)] | None = None
    merchant_rate_per_second: Annotated[int, _between(1, 10_000)] | None = None
    merchant_quota_per_day: Annotated[int, _between(1, 1_000_000_000)] | None = None
    backup_every_hours: Annotated[int, _between(1, 144)] | None = None
    backup_read_units_per_second: Annotated[int, _between(100, 1_000_000)] | None = None
    backup_cold_days: Annotated[int, _between(1, 3650)] | None = None
    backup_keep_days: Annotated[int, _between(1, 3650)] | None = None
    backup_lock_days: Annotated[int, _between(0, 3650)] | None = None
    audit_keep_days: Annotated[int, _between(365, 3650)] | None = None
    audit_lock_days: Annotated[int, _between(1, 3650)] | None = None

    @model_validator(mode="after")
    def _production_is_protected(self) -> Self:
        if self.kind == "prod" and self.effective.auth_mode == "none":
            raise ValueError("AUTH_MODE: 'none' is not allowed in production; allowed: jwt")
        if self.kind == "prod" and not self.effective.require_second_factor:
            raise ValueError("REQUIRE_SECOND_FACTOR: 'false' is not allowed in production; allowed: true")
        return self

    @model_validator(mode="after")
    def _approvals_are_of_two_people(self) -> Self:
        if self.refund_approval_above and self.effective.auth_mode == "none":
            raise ValueError(
                f"REFUND_APPROVAL_ABOVE: {self.refund_approval_above!r} is not allowed with AUTH_MODE=none, where all "
                "callers are one; allowed: AUTH_MODE=jwt, or no approvals"
            )
        return self

    @model_validator(mode="after")
    def _approvals_fit_beside_the_merchants(self) -> Self:
        most = MOST_OF_MERCHANTS - sum(map(len, self.merchants)) - len("".join(self.refund_approval))
        if len(self.refund_approval_above) > most:
            raise ValueError(
                f"REFUND_APPROVAL_ABOVE: {len(self.refund_approval_above)} characters are not allowed, with "
                f"{len(self.merchants)} MERCHANTS; allowed: at most {max(most, 0)} characters, of fewer currencies"
            )
        return self

    @model_validator(mode="after")
    def _keys_are_sent_encrypted(self) -> Self:
        if self.stripe_api_base.startswith("http:") and not self.is_local:
            raise ValueError(
                f"STRIPE_API_BASE: {self.stripe_api_base!r} is not allowed: the key would be sent in plain text; "
                "allowed: an https address, or http on a local AWS"
            )
        return self

    @model_validator(mode="after")
    def _tokens_of_another_issuer_are_for_us(self) -> Self:
        if self.oidc_issuer and not self.oidc_audience:
            raise ValueError(
                "OIDC_AUDIENCE: not set: the API would accept tokens that the issuer made for other services; allowed: "
                "the `aud` of its tokens for this API"
            )
        return self

    @model_validator(mode="after")
    def _limits_are_of_known_merchants(self) -> Self:
        unknown = sorted(set(self.merchant_cards) - set(self.merchant_prefixes))
        if unknown and not self.oidc_issuer:
            raise ValueError(
                f"MERCHANT_CARDS: {unknown[0]!r} is no merchant; allowed: names of MERCHANTS, and with OIDC_ISSUER the "
                "`sub` of a merchant's tokens"
            )
        return self

    @model_validator(mode="after")
    def _the_gateway_has_time_to_know(self) -> Self:
        seconds = self.effective.patience_seconds
        if seconds < LEAST_UNIT_SECONDS and not self.is_local:
            raise ValueError(
                f"PATIENCE_SECONDS: {seconds} is not allowed: a charge function runs for up to 80 seconds, and a "
                f"payment that it sends after Stripe was asked would count as not charged; allowed: "
                f"{LEAST_UNIT_SECONDS} to {MOST_UNIT_SECONDS}"
            )
        return self

    @model_validator(mode="after")
    def _roles_of_merchants_have_names(self) -> Self:
        for name in self.merchant_prefixes:
            if (length := len(self.merchant_role(name))) > LONGEST_ROLE:
                raise ValueError(
                    f"MERCHANTS: {name!r} is not allowed: the name of its role would have {length} characters; "
                    f"allowed: at most {len(name) - length + LONGEST_ROLE} characters with this suffix"
                )
        return self

    @model_validator(mode="after")
    def _backups_are_kept_while_they_are_locked(self) -> Self:
        lock, keep = self.effective.backup_lock_days, self.effective.backup_keep_days
        if lock > keep:
            raise ValueError(
                f"BACKUP_KEEP_DAYS: {keep} is not allowed: backups are locked for {lock} days; allowed: "
                f"{lock} to 3650, or a smaller BACKUP_LOCK_DAYS"
            )
        return self

    @model_validator(mode="after")
    def _anchors_are_kept_while_they_are_locked(self) -> Self:
        lock, keep = self.effective.audit_lock_days, self.effective.audit_keep_days
        if lock > keep:
            raise ValueError(
                f"AUDIT_KEEP_DAYS: {keep} is not allowed: anchors are locked for {lock} days; allowed: {lock} to 3650, "
                "or a smaller AUDIT_LOCK_DAYS"
            )
        return self

    @property
    def refund_approval(self) -> dict[str, str]:
        """The variable of the function that accepts refunds; none, if no refund needs an approval."""
        return {"REFUND_APPROVAL_ABOVE": self.refund_approval_above} if self.refund_approval_above else {}

    @property
    def merchant_prefixes(self) -> dict[str, str]:
        """Merchant → the prefix of its ids, "" for none."""
        return {name: prefix for name, _, prefix in (one.partition(":") for one in self.merchants)}

    def merchant_role(self, name: str) -> str:
        """The name of the role that uploads a merchant's files."""
        return self.name(f"payment-files-{name}")

    @property
    def kind(self) -> str:
        """The kind of environment: a key of `ENVIRONMENTS`."""
        return self.environment_kind or kind_of(self.environment_suffix)

    @property
    def effective(self) -> Environment:
        """The environment's row, overridden by the values of this deployment."""
        row = ENVIRONMENTS[self.kind]
        own = {name: getattr(self, name) for name in row.__dataclass_fields__}
        return Environment(**{**vars(row), **{name: value for name, value in own.items() if value is not None}})

    @property
    def backlog_limit_seconds(self) -> int:
        """How long a new payment may have to wait for its slot: no longer than its execution can wait."""
        express = self.effective.workflow_type == "EXPRESS"
        limit = self.effective.gateway_backlog_limit_seconds
        return min(limit, EXPRESS_WAIT_SECONDS) if express else limit

    @property
    def all_tags(self) -> dict[str, str]:
        """The tags on every resource."""
        return DEFAULT_TAGS | {"Environment": self.environment_suffix} | self.tags

    @property
    def is_local(self) -> bool:
        """True when Terraform talks to a local AWS: at an address of this machine or of its network, not AWS's own."""
        return _is_of_this_network(self.aws_endpoint_url)

    @property
    def layer_architecture(self) -> str:
        """The architecture of the layer's compiled packages; "" is this machine, where a local AWS runs them."""
        return "" if self.is_local else self.effective.lambda_architecture

    def name(self, what: str) -> str:
        """The name of a resource: `what` and the suffix. Environments therefore share no name."""
        return f"{what}-{self.environment_suffix}"


def load() -> Settings:
    """Read and check the settings. Raises SettingsError with one line for each invalid setting."""
    try:
        return Settings()
    except ValidationError as refused:
        raise SettingsError("\n".join(map(_line, refused.errors()))) from None


def _line(error: Any) -> str:
    if not error["loc"]:
        return str(error["ctx"]["error"])
    allowed = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if error["type"] == "bool_parsing":
        allowed = "true or false"
    return f"{str(error['loc'][0]).upper()}: {error['input']!r} is not allowed; allowed: {allowed}"
