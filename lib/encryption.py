"""The customer-managed key that everything at rest is encrypted with."""

from lib.aws import Construct, KmsAlias, KmsKey
from lib.policies import document
from lib.settings import Settings

_USE = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:DescribeKey"]
_THROUGH = ("dynamodb", "s3", "sqs", "sns", "secretsmanager")


class Encryption(Construct):
    """One key, rotated every year, for tables, bucket, queues, topics, secret and logs of this environment."""

    def __init__(self, scope: Construct, settings: Settings, account_id: str) -> None:
        super().__init__(scope, "encryption")
        region = settings.aws_region
        self.key = KmsKey(
            self,
            "key",
            description=f"Payments, {settings.environment_suffix}: data at rest",
            enable_key_rotation=True,
            deletion_window_in_days=7 if settings.effective.force_destroy else 30,
            policy=document(
                {
                    "Sid": "AccountManagesTheKeyThroughIam",
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
                    "Action": "kms:*",  # without it a key can become unmanageable: AWS's own default policy
                    "Resource": "*",  # in a key policy: this key
                },
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

    @property
    def arn(self) -> str:
        """The key's ARN."""
        return self.key.arn
