"""Authorize: verify the bearer token of a request. API Gateway calls it for every route that needs a token."""

from typing import Any

from payments.adapters.oidc.bearer_tokens import BadToken, OtherIssuer, TrustedIssuer, UserPool, verified
from payments.adapters.oidc.signing_keys import KeysUnavailable, SigningKeys, discovered, https_reader
from payments.config import setting
from payments.domain.clock import utc_now
from payments.domain.identity import authorizer_context, usage_group_of, usage_key
from payments.observability.logs import invocation, logger

SUFFIX = setting("ENVIRONMENT_SUFFIX")
MERCHANTS = frozenset(setting("MERCHANT_CLIENT_IDS").split(",")) - {""}
log = logger()


class Unauthorized(Exception):
    """API Gateway answers 401 to an error with exactly this text, and 500 to every other error."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")


def _trusted() -> list[TrustedIssuer]:
    read = https_reader(setting("AWS_CA_BUNDLE", ""))
    pool_keys, clients = setting("USER_POOL_JWKS_URI"), frozenset(setting("CLIENT_IDS").split(","))
    trusted: list[TrustedIssuer] = [
        UserPool(
            issuer=setting("USER_POOL_ISSUER"),
            keys=SigningKeys(read, lambda: pool_keys),
            client_ids=clients | MERCHANTS,
            scope_prefix=f"payment-api-{SUFFIX}/",
        )
    ]
    if other := setting("OIDC_ISSUER"):
        keys = SigningKeys(read, lambda: discovered(other, read))
        trusted.append(
            OtherIssuer(
                other,
                keys,
                setting("OIDC_AUDIENCE"),
                setting("OIDC_ROLES_CLAIM"),
                setting("OIDC_ROLES_PREFIX"),
                needs_second_factor=setting("REQUIRE_SECOND_FACTOR") == "true",
            )
        )
    return trusted


issuers = _trusted()


@invocation
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Token in, caller and policy out. The policy allows the whole stage, because API Gateway caches it for all
    requests with the token. The function behind the API decides by role what the caller may do."""
    try:
        scheme, _, token = str(event["authorizationToken"]).partition(" ")
        if scheme.lower() != "bearer":
            raise BadToken("the header has no bearer token")
        bearer = verified(token, issuers, clock=utc_now)
    except BadToken as refused:
        log.warning("token rejected", reason=str(refused))
        raise Unauthorized from None
    except KeysUnavailable as error:
        log.error("signing keys unavailable, all requests are rejected", reason=str(error))
        raise
    except Exception:  # an error that only this token causes must not look like an outage
        log.exception("token not verified")
        raise Unauthorized from None
    caller = bearer.caller
    api, stage, *_ = event["methodArn"].split("/")
    allowed = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": f"{api}/{stage}/*"}
    return {
        "principalId": caller.subject,
        "policyDocument": {"Version": "2012-10-17", "Statement": [allowed]},
        "context": authorizer_context(caller, bearer.expires_at),
        "usageIdentifierKey": usage_key(
            SUFFIX, caller.subject if caller.subject in MERCHANTS else "", usage_group_of(caller)
        ),
    }
