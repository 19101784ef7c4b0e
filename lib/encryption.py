"""The customer-managed key that everything at rest is encrypted with, and the one that e-mails are looked up by."""

from typing import TYPE_CHECKING

from lib.aws import Construct, KmsAlias, KmsKey
from lib.policies import document
from lib.settings import Settings

if TYPE_CHECKING:
    from lib.functions import Function

_USE = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:DescribeKey"]
_THROUGH = ("dynamodb", "s3", "sqs", "sns", "secretsmanager")


class Encryption(Construct):
    """One key, rotated every year, for tables, bucket, queues, topics, secret and logs of this environment, and for
    the fields that are sealed one by one; beside it an HMAC key, which makes e-mails findable and opens nothing."""

    def __init__(self, scope: Construct, settings: Settings, account_id: str) -> None:
        super().__init__(scope, "encryption")
        region = settings.aws_region
        deletion_days = 7 if settings.effective.force_destroy else 30
        by_the_account = {
            "Sid": "AccountManagesTheKeyThroughIam",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
            "Action": "kms:*",  # without it a key can become unmanageable: AWS's own default policy
            "Resource": "*",  # in a key policy: this key
        }
        self.key = KmsKey(
            self,
            "key",
            description=f"Payments, {settings.environment_suffix}: data at rest",
            enable_key_rotation=True,
            deletion_window_in_days=deletion_days,
            policy=document(
                by_the_account,
                {
                    # whoever may use a table, queue, topic, bucket or secret may use the key through it, and only so,
                    # as with AWS's own keys: which functions those are, their roles say
                    "Sid": "ThroughTheServicesThatHoldTheData",
                    "Effect": "Allow",
                    "Principal": {"AWS": "*"},
                    "Action": _USE,
                    "Resource": "*",
                    "Condition": {
                        "StringEquals": {
                            "kms:CallerAccount": account_id,
                            "kms:ViaService": [f"{service}.{region}.amazonaws.com" for service in _THROUGH],
                        }
                    },
                },
                {
                    "Sid": "LogGroups",
                    "Effect": "Allow",
                    "Principal": {"Service": f"logs.{region}.amazonaws.com"},
                    "Action": _USE,
                    "Resource": "*",
                    "Condition": {
                        "ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{region}:{account_id}:*"}
                    },
                },
                {
                    "Sid": "AlarmsPublishToTheEncryptedTopic",
                    "Effect": "Allow",
                    "Principal": {"Service": "cloudwatch.amazonaws.com"},
                    "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                    "Resource": "*",
                    "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
                },
            ),
        )
        KmsAlias(self, "alias", name=f"alias/{settings.name('payments')}", target_key_id=self.key.key_id)
        # KMS rotates no HMAC key: docs/tasks.md tells how it is changed
        self.lookup_key = KmsKey(
            self,
            "lookup_key",
            description=f"Payments, {settings.environment_suffix}: keyed hashes of e-mails",
            customer_master_key_spec="HMAC_256",
            key_usage="GENERATE_VERIFY_MAC",
            deletion_window_in_days=deletion_days,
            policy=document(by_the_account),
        )
        KmsAlias(
            self, "lookup_alias", name=f"alias/{settings.name('payments-lookup')}", target_key_id=self.lookup_key.key_id
        )

    @property
    def arn(self) -> str:
        """The key's ARN."""
        return self.key.arn

    def grant_fields(self, function: "Function", context_key: str, *actions: str) -> None:
        """Let a function do these ("GenerateDataKey", "Decrypt") with the key itself, but only for fields of which it
        says whose they are: `context_key` ("payment_id") must be in the encryption context."""
        present = {f"kms:EncryptionContext:{context_key}": "false"}
        function.allow([f"kms:{action}" for action in actions], [self.key.arn], Null=present)

    def grant_lookup(self, function: "Function") -> None:
        """Let a function make the hash that an e-mail is found by."""
        function.allow(["kms:GenerateMac"], [self.lookup_key.arn])
