"""The customer-managed keys: one for all data at rest, one for the alarms, and one that finds customers by e-mail."""

from lib.bindings import Construct, KmsAlias, KmsKey
from lib.iam import Grantee, document
from lib.settings import Settings

_USE = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:DescribeKey"]
_THROUGH = ("dynamodb", "s3", "sqs", "sns", "secretsmanager")


class Encryption(Construct):
    """The three keys of one environment.

    One key, rotated every year, encrypts the tables, buckets, queues, topics, secrets and logs, and the fields that are
    encrypted one by one. The topic of alarms has a key of its own, because alarms must announce the loss of the first
    one. The HMAC key hashes e-mail addresses to make them searchable, and decrypts nothing.
    """

    def __init__(self, scope: Construct, settings: Settings, account_id: str) -> None:
        super().__init__(scope, "encryption")
        region = settings.aws_region
        deletion_days = 7 if settings.effective.force_destroy else 30
        by_the_account = {
            "Sid": "AccountManagesTheKeyThroughIam",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
            "Action": "kms:*",  # AWS's default policy: without it a key can become unmanageable
            "Resource": "*",  # in a key policy, * is this key
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
                    # A principal that may use a table, queue, topic, bucket or secret may use the key through that
                    # service only, as with AWS-managed keys. The functions' roles define those principals.
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
            ),
        )
        KmsAlias(self, "alias", name=f"alias/{settings.name('payments')}", target_key_id=self.key.key_id)
        self.alarms_key = KmsKey(
            self,
            "alarms_key",
            description=f"Payments, {settings.environment_suffix}: the topic of alarms",
            enable_key_rotation=True,
            deletion_window_in_days=deletion_days,
            policy=document(
                by_the_account,
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
        KmsAlias(
            self, "alarms_alias", name=f"alias/{settings.name('payments-alarms')}", target_key_id=self.alarms_key.key_id
        )
        # KMS does not rotate HMAC keys: docs/tasks.md describes how to replace it
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

    @property
    def environment(self) -> dict[str, str]:
        """The variable with the ARN of the key that encrypts single fields."""
        return {"VAULT_KEY_ARN": self.arn}

    def grant_fields(self, function: Grantee, context_key: str, *actions: str) -> None:
        """Let a function call these actions ("GenerateDataKey", "Decrypt") with the key itself, for single fields.

        The encryption context must contain `context_key` ("payment_id"), which names the owner of the field.
        """
        present = {f"kms:EncryptionContext:{context_key}": "false"}
        function.allow([f"kms:{action}" for action in actions], [self.key.arn], Null=present)

    def grant_lookup(self, function: Grantee) -> None:
        """Let a function compute the hash that finds an e-mail address, or an entry of metadata."""
        function.allow(["kms:GenerateMac"], [self.lookup_key.arn])
