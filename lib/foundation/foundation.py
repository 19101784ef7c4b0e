"""The resources that every feature uses, the environment variables that several functions share, and `function`."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from lib.bindings import Construct, DataAwsCallerIdentity, Fn
from lib.foundation.encryption import Encryption
from lib.foundation.functions import Code, Function, function_name
from lib.foundation.notifications import Notifications
from lib.foundation.secrets import Secrets
from lib.foundation.storage import Bucket, Cold, Tables
from lib.iam import waive
from lib.settings import Settings
from payments.domain.anchor import LATER
from payments.domain.backup import BACKUPS
from payments.domain.batch.state import INCOMING, REPORTING, RESULTS
from payments.domain.gateway_slots import slot_length


@dataclass(frozen=True)
class Foundation:
    """What the features build on. A feature creates its own resources on `scope`, which is the stack.

    The owner of a resource also defines its environment variable: `tables.payments.environment` is PAYMENTS_TABLE.
    The properties below are the variables that come from settings.
    """

    scope: Construct
    settings: Settings
    account_id: str
    encryption: Encryption
    tables: Tables
    batch_files: Bucket
    anchors: Bucket
    backups: Bucket
    notifications: Notifications
    secrets: Secrets
    code: Code

    @classmethod
    def create(cls, scope: Construct, settings: Settings) -> Self:
        """Create the shared resources of one environment."""
        account_id = DataAwsCallerIdentity(scope, "account").account_id
        encryption = Encryption(scope, settings, account_id)

        def bucket(name: str, expire_days: dict[str, int]) -> Bucket:
            return Bucket(scope, name, settings, encryption, account_id, expire_days=expire_days, old_versions_days=30)

        tables = Tables(scope, settings, encryption)
        batch_files = bucket("payment-batch-files", {INCOMING: 90, RESULTS: 365, REPORTING: 7})
        anchors = Bucket(
            scope,
            "payment-anchors",
            settings,
            encryption,
            account_id,
            expire_days={LATER: settings.effective.audit_keep_days},
            old_versions_days=30,
            lock_days=settings.effective.audit_lock_days,
        )
        waive(anchors.bucket, CKV2_AWS_62="no event follows an anchor: payctl audit verify reads them")
        artifacts = bucket("payment-artifacts", {})
        waive(artifacts.bucket, CKV2_AWS_62="no event follows an upload of code: each function names its file")
        return cls(
            scope=scope,
            settings=settings,
            account_id=account_id,
            encryption=encryption,
            tables=tables,
            batch_files=batch_files,
            anchors=anchors,
            backups=_backups(scope, settings, encryption, account_id),
            notifications=Notifications(scope, settings, encryption, account_id),
            secrets=Secrets(scope, settings, encryption),
            code=Code(scope, settings, artifacts),
        )

    def function(self, name: str, timeout_seconds: int, **environment: str) -> Function:
        """Create the function whose handler is `handlers/<name>.py`."""
        return Function(
            self.scope,
            name,
            settings=self.settings,
            code=self.code,
            encryption=self.encryption,
            timeout_seconds=timeout_seconds,
            environment=environment,
        )

    @property
    def suffix(self) -> dict[str, str]:
        """The environment suffix, which is the dimension of our metrics."""
        return {"ENVIRONMENT_SUFFIX": self.settings.environment_suffix}

    @property
    def gateway(self) -> dict[str, str]:
        """How to reach Stripe: the secret with the API key, its mode, and the address."""
        base = {"STRIPE_API_BASE": self.settings.stripe_api_base}
        return {**self.secrets.gateway.environment, **self.gateway_mode, **base}

    @property
    def gateway_mode(self) -> dict[str, str]:
        """Stripe's mode, test or live, that keys and events must have."""
        return {"GATEWAY_MODE": self.settings.effective.gateway_mode}

    @property
    def environment_id(self) -> str:
        """16 hexadecimal digits that tell this environment from all others that may use the same Stripe account."""
        names = f"{self.account_id}/{self.settings.aws_region}/{self.settings.environment_suffix}"
        return str(Fn.substr(Fn.sha256(names), 0, 16))

    @property
    def environment(self) -> dict[str, str]:
        """What marks our requests at Stripe, and our events from it, as those of this environment."""
        return {"ENVIRONMENT_ID": self.environment_id}

    @property
    def gateway_rate(self) -> dict[str, str]:
        """The gateway rate limiter: the length of a slot, and the table that counts the slots."""
        effective = self.settings.effective
        slot = slot_length(effective.gateway_rate_per_second, effective.gateway_reserve_percent)
        return {"SLOT_MICROSECONDS": str(slot // timedelta(microseconds=1)), **self.tables.controls.environment}

    @property
    def recovery_timeouts(self) -> dict[str, str]:
        """How long an open payment is left alone before recovery processes it."""
        return {"PATIENCE_SECONDS": str(self.settings.effective.patience_seconds)}

    @property
    def gateway_deadline(self) -> dict[str, str]:
        """How long a payment that was provably not charged waits for the gateway."""
        return {"GATEWAY_DEADLINE_SECONDS": str(self.settings.effective.gateway_deadline_seconds)}

    @property
    def payment_methods(self) -> dict[str, str]:
        """Where a payment's method is found: its customer, its token, or the default."""
        return {
            **self.tables.customers.environment,
            **self.tables.tokens.environment,
            "DEFAULT_PAYMENT_METHOD": self.settings.effective.default_payment_method,
        }

    @property
    def report_function(self) -> dict[str, str]:
        """The name of the report function. The audit function needs it before the report function is created."""
        return {"REPORT_FUNCTION": function_name(self.settings, "report")}

    @property
    def audit_function(self) -> dict[str, str]:
        """The name of the audit function, the only writer of the audit log. Others have it audit a payment."""
        return {"AUDIT_FUNCTION": function_name(self.settings, "audit")}

    @property
    def audit_signatures(self) -> dict[str, str]:
        """What the audit log is signed and verified with: its key, and the anchors with theirs."""
        return {"AUDIT_KEY_ARN": self.encryption.audit_key.arn, **self.anchor_signatures}

    @property
    def anchor_signatures(self) -> dict[str, str]:
        """The bucket of anchors, and their key."""
        return {
            "ANCHOR_KEY_ARN": self.encryption.anchor_key.arn,
            "ANCHOR_BUCKET": self.anchors.name,
        }

    def function_arn(self, name: str) -> str:
        """A function's ARN by its name, where a reference to the function would be a cycle."""
        function = function_name(self.settings, name)
        return f"arn:aws:lambda:{self.settings.aws_region}:{self.account_id}:function:{function}"


def _backups(scope: Construct, settings: Settings, encryption: Encryption, account_id: str) -> Bucket:
    """The bucket of the backups, and of the erasures that a restore applies: those never expire."""
    bucket = Bucket(
        scope,
        "payment-backups",
        settings,
        encryption,
        account_id,
        expire_days={BACKUPS: settings.effective.backup_keep_days},
        old_versions_days=30,
        cold=Cold(BACKUPS, settings.effective.backup_cold_days),
        lock_days=settings.effective.backup_lock_days,
    )
    waive(bucket.bucket, CKV2_AWS_62="no event follows a backup: the function that writes it also verifies it")
    return bucket
