"""The customer-managed keys: for data at rest, the alarms, finding customers by e-mail, and signing the audit log."""

from lib.bindings import Construct, KmsAlias, KmsKey
from lib.iam import Grantee, Statement, document
from lib.settings import Settings

_USE = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:DescribeKey"]
_THROUGH = ("dynamodb", "s3", "sqs", "sns", "secretsmanager")


class Encryption(Construct):
    """The five keys of one environment.

    One key, rotated every year, encrypts the tables, buckets, queues, topics, secrets and logs, and the fields that are
    encrypted one by one. The topic of alarms has a key of its own, because alarms must announce the loss of the first
    one. The HMAC keys decrypt nothing. One hashes e-mail addresses to make them searchable. Two sign the heads of audit
    chains, and the anchors. Only one function may sign with each of them, which the key's own policy says too.
    """

    def __init__(self, scope: Construct, settings: Settings, account_id: str) -> None:
        super().__init__(scope, "encryption")
        region = settings.aws_region
        deletion_days = 7 if settings.effective.force_destroy else 30
        by_the_account = _by_the_account(account_id)
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

        self.audit_key = self._signing_key("audit_key", "audit", "heads of the audit log", settings, account_id)
        self.anchor_key = self._signing_key("anchor_key", "anchor", "anchors of the audit log", settings, account_id)

    def _signing_key(self, name: str, function: str, purpose: str, settings: Settings, account_id: str) -> KmsKey:
        """A key with which only the role of this function signs. Others may be allowed to verify."""
        role = f"arn:aws:iam::{account_id}:role/{settings.name(f'payment-{function}')}"
        only: Statement = {
            "Sid": "OnlyOneFunctionSigns",
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": "kms:GenerateMac",
            "Resource": "*",
            "Condition": {"ArnNotEquals": {"aws:PrincipalArn": role}},
        }
        key = KmsKey(
            self,
            name,
            description=f"Payments, {settings.environment_suffix}: signatures, {purpose}",
            customer_master_key_spec="HMAC_256",
            key_usage="GENERATE_VERIFY_MAC",
            deletion_window_in_days=7 if settings.effective.force_destroy else 30,
            policy=document(_by_the_account(account_id), only),
        )
        alias = f"alias/{settings.name(f'payments-{function}')}"
        KmsAlias(self, f"{function}_alias", name=alias, target_key_id=key.key_id)
        return key

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


def _by_the_account(account_id: str) -> Statement:
    return {
        "Sid": "AccountManagesTheKeyThroughIam",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
        "Action": "kms:*",  # AWS's default policy: without it a key can become unmanageable
        "Resource": "*",  # in a key policy, * is this key
    }
