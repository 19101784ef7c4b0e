"""The gateway's secrets from Secrets Manager, cached for some minutes."""

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from payments.adapters.stripe.modes import mode_of_key
from payments.domain.errors import Misconfigured

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


REMEMBER_SECONDS = 300
REREAD_SECONDS = 10


class Secret:
    """Reads a secret when it is needed, and again after five minutes or `forget`. A rotation needs no deployment.

    `missing` is raised while the secret has no value. Its text says what an operator has to do.
    """

    def __init__(
        self,
        client: "SecretsManagerClient",
        secret_arn: str,
        missing: Misconfigured,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._secret_arn = secret_arn
        self.missing = missing
        self._monotonic = monotonic
        self._value = ""
        self._read_at = 0.0

    def read(self) -> str:
        """The secret. Raises Misconfigured until an operator has set one."""
        if not self._value or self._monotonic() - self._read_at > REMEMBER_SECONDS:
            try:
                self._value = self._client.get_secret_value(SecretId=self._secret_arn)["SecretString"].strip()
            except self._client.exceptions.ResourceNotFoundException:
                raise self.missing from None
            self._read_at = self._monotonic()
        return self._value

    def forget(self) -> None:
        """Discard the cached secret after the gateway rejected it; the next call reads it again."""
        self._value = ""

    def forget_old(self) -> None:
        """Discard the cached secret unless it was just read. Invalid requests must not cause reads all the time."""
        if self._monotonic() - self._read_at > REREAD_SECONDS:
            self.forget()


class GatewayKey(Secret):
    """The key for our calls to the gateway. With a `mode`, a key of the gateway's other mode is never used."""

    def __init__(
        self,
        client: "SecretsManagerClient",
        secret_arn: str,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        mode: str = "",
    ) -> None:
        advice = "the gateway's secret has no value yet; set it with `payctl gateway set-key`"
        super().__init__(client, secret_arn, Misconfigured("gateway_key_missing", advice), monotonic)
        self._mode = mode

    def read(self) -> str:
        """The key. Raises Misconfigured until an operator has set one of the right mode."""
        key = super().read()
        mode = mode_of_key(key)
        if self._mode and mode not in ("", self._mode):
            self.forget()
            advice = f"the gateway's key is a {mode} key, and this environment needs a {self._mode} key"
            raise Misconfigured("gateway_key_of_other_mode", f"{advice}; set it with `payctl gateway set-key`")
        return key


class WebhookSecrets(Secret):
    """The secrets that the gateway signs its events with: {"current": …}, and "previous" during a rotation."""

    def __init__(
        self, client: "SecretsManagerClient", secret_arn: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        advice = "the webhook's secret has no valid value yet; set it with `payctl gateway set-webhook-secret`"
        super().__init__(client, secret_arn, Misconfigured("webhook_secret_missing", advice), monotonic)

    def read_all(self) -> list[str]:
        """The secrets, the current one first. Raises Misconfigured until an operator has set one."""
        try:
            kept = json.loads(self.read())
            return [kept[name] for name in ("current", "previous") if kept.get(name)]
        except (ValueError, TypeError, AttributeError):
            raise self.missing from None
