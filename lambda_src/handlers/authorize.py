"""Authorize: API Gateway asks whose a bearer token is, before any route but those without one."""

from typing import Any

from payments.adapters.oidc.bearer_tokens import BadToken, OtherIssuer, TrustedIssuer, UserPool, verified
from payments.adapters.oidc.signing_keys import KeysUnavailable, SigningKeys, discovered, https_reader
from payments.config import setting
from payments.domain.clock import utc_now
from payments.domain.identity import authorizer_context, usage_key
from payments.observability.logs import invocation, logger

SUFFIX = setting("ENVIRONMENT_SUFFIX")
MERCHANTS = frozenset(setting("MERCHANT_CLIENT_IDS").split(",")) - {""}
log = logger()


class Unauthorized(Exception):
    """API Gateway answers 401 to an error of this very text, and 500 to every other."""

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
        trusted.append(OtherIssuer(other, keys, setting("OIDC_AUDIENCE"), setting("OIDC_ROLES_CLAIM")))
    return trusted


issuers = _trusted()


@invocation
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """A token in, who it speaks for out. The policy is good for the whole stage, as API Gateway remembers it for all
    of a token's requests: what a caller may do is decided by the function behind, by role."""
    try:
        scheme, _, token = str(event["authorizationToken"]).partition(" ")
        if scheme.lower() != "bearer":
            raise BadToken("it is not a bearer token")
        bearer = verified(token, issuers, clock=utc_now)
    except BadToken as refused:
        log.warning("token refused", reason=str(refused))
        raise Unauthorized from None
    except KeysUnavailable as error:
        log.error("keys out of reach, so nobody is let in", reason=str(error))
        raise
    caller = bearer.caller
    api, stage, *_ = event["methodArn"].split("/")
    allowed = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": f"{api}/{stage}/*"}
    return {
        "principalId": caller.subject,
        "policyDocument": {"Version": "2012-10-17", "Statement": [allowed]},
        "context": authorizer_context(caller, bearer.expires_at),
        "usageIdentifierKey": usage_key(SUFFIX, caller.subject if caller.subject in MERCHANTS else ""),
    }
