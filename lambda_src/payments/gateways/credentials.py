"""The gateway's secret key, from Secrets Manager, remembered for some minutes."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from payments.errors import Misconfigured

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

REMEMBER_SECONDS = 300


class GatewayKey:
    """Reads the key when it is needed, and again after five minutes or `forget`: a rotation needs no deploy."""

    def __init__(
        self, client: "SecretsManagerClient", secret_arn: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._secret_arn = secret_arn
        self._monotonic = monotonic
        self._key = ""
        self._read_at = 0.0

    def read(self) -> str:
        """The key. Raises Misconfigured while no operator has set one."""
        if not self._key or self._monotonic() - self._read_at > REMEMBER_SECONDS:
            try:
                self._key = self._client.get_secret_value(SecretId=self._secret_arn)["SecretString"].strip()
            except self._client.exceptions.ResourceNotFoundException:
                raise Misconfigured(
                    "gateway_key_missing",
                    "the gateway's secret has no value yet; set it with `payctl gateway set-key`",
                ) from None
            self._read_at = self._monotonic()
        return self._key

    def forget(self) -> None:
        """Read the key afresh next time: the gateway refused this one."""
        self._key = ""
