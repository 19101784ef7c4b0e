"""An issuer's public keys: read when a token names an unknown key, and cached in the process."""

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, override

REREAD_SECONDS = 60
"""The least time between two reads for unknown keys: invalid tokens must not cause reads all the time."""
REMEMBER_SECONDS = 3600
"""How long keys are used without checking that the issuer still has them."""
TIMEOUT_SECONDS = 2
MAX_BYTES = 256 * 1024

Read = Callable[[str], Any]
"""Returns the JSON at an address. Raises KeysUnavailable."""


class KeysUnavailable(Exception):
    """An issuer's keys could not be read. Its tokens cannot be verified."""


class SigningKeys:
    """The keys (JWKs) of one issuer by their ids. `locate` returns their address, and may read it from the issuer."""

    def __init__(self, read: Read, locate: Callable[[], str], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._locate = locate
        self._monotonic = monotonic
        self._keys: dict[str, Mapping[str, Any]] = {}
        self._asked_at = self._read_at = 0.0

    def find(self, kid: str) -> Mapping[str, Any] | None:
        """The key of this id, or None if the issuer has no such key. Raises KeysUnavailable."""
        now = self._monotonic()
        if now - self._read_at > REMEMBER_SECONDS:
            self._keys = {}  # a key that the issuer withdrew must not stay valid
        if not self._keys or (kid not in self._keys and now - self._asked_at > REREAD_SECONDS):
            self._asked_at = now
            self._keys = _by_id(self._read(self._locate()))
            self._read_at = now
        return self._keys.get(kid)


def discovered(issuer: str, read: Read) -> str:
    """The address of an OpenID Connect issuer's keys, from its configuration. Raises KeysUnavailable."""
    configuration = read(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if not isinstance(configuration, Mapping) or configuration.get("issuer") != issuer:
        raise KeysUnavailable(f"the configuration from {issuer} names another issuer")
    return str(configuration.get("jwks_uri"))


def https_reader(ca_bundle: str = "") -> Read:
    """A function that reads JSON over https. It trusts the system's authorities or those in `ca_bundle`, and follows no
    redirect."""
    trust = ssl.create_default_context(cafile=ca_bundle or None)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust), _NoRedirect())

    def read(url: str) -> Any:
        if not url.startswith("https://"):
            raise KeysUnavailable(f"{url} is not an https address")
        try:
            with opener.open(url, timeout=TIMEOUT_SECONDS) as response:
                return json.loads(response.read(MAX_BYTES))
        except (OSError, ValueError) as error:
            raise KeysUnavailable(f"{url} gave no keys: {error}") from None

    return read


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    @override
    def redirect_request(self, *_: Any) -> None:
        """Reject redirects: another address cannot speak for the issuer."""


def _by_id(content: Any) -> dict[str, Mapping[str, Any]]:
    keys = content.get("keys") if isinstance(content, Mapping) else None
    found = {key["kid"]: key for key in keys or () if isinstance(key, Mapping) and isinstance(key.get("kid"), str)}
    if not found:
        raise KeysUnavailable("the issuer's answer holds no keys")
    return found
