"""Secrets Manager holds Stripe's two secrets. Terraform creates the places; payctl sets the values."""

from lib.bindings import Construct, SecretsmanagerSecret
from lib.foundation.encryption import Encryption
from lib.iam import Grantee, waive
from lib.settings import Settings


class Secret:
    """One secret, stored under `key` in the Terraform state. Its value never enters the state."""

    def __init__(
        self,
        scope: Construct,
        key: str,
        *,
        name: str,
        variable: str,
        description: str,
        settings: Settings,
        encryption: Encryption,
    ) -> None:
        """`variable` is the environment variable that gives a function the secret's ARN."""
        self._variable = variable
        self._secret = SecretsmanagerSecret(
            scope,
            key,
            name=settings.name(name),
            description=description,
            kms_key_id=encryption.arn,
            recovery_window_in_days=0 if settings.effective.force_destroy else 30,
        )
        waive(self._secret, CKV2_AWS_57="Stripe issues it: an operator rotates it there, then runs payctl")

    @property
    def arn(self) -> str:
        """The secret's ARN."""
        return self._secret.arn

    @property
    def environment(self) -> dict[str, str]:
        """The variable with the ARN of the secret."""
        return {self._variable: self.arn}

    def grant_read(self, function: Grantee) -> None:
        """Let a function read the secret's value."""
        function.allow(["secretsmanager:GetSecretValue"], [self.arn])


class Secrets:
    """The API key that we call Stripe with, and the secret that Stripe signs its webhook events with."""

    def __init__(self, scope: Construct, settings: Settings, encryption: Encryption) -> None:
        self.gateway = Secret(
            scope,
            "gateway_secret",
            name="payment-gateway-stripe",
            variable="GATEWAY_SECRET_ARN",
            description="Stripe's secret API key; set it with: payctl gateway set-key",
            settings=settings,
            encryption=encryption,
        )
        self.webhook = Secret(
            scope,
            "webhook_secret",
            name="payment-webhook-stripe",
            variable="WEBHOOK_SECRET_ARN",
            description="The signing secret of Stripe's webhook; set it with: payctl gateway set-webhook-secret",
            settings=settings,
            encryption=encryption,
        )
