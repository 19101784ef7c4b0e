"""Data stores: on-demand tables with point-in-time recovery, and buckets that accept only TLS."""

from dataclasses import dataclass
from typing import Any

from lib.bindings import (
    Construct,
    DynamodbTable,
    DynamodbTableAttribute,
    DynamodbTableGlobalSecondaryIndex,
    DynamodbTableTtl,
    S3Bucket,
    S3BucketLifecycleConfiguration,
    S3BucketLifecycleConfigurationRule,
    S3BucketObjectLockConfigurationA,
    S3BucketObjectLockConfigurationRuleA,
    S3BucketPolicy,
    S3BucketPublicAccessBlock,
    S3BucketServerSideEncryptionConfigurationA,
    S3BucketServerSideEncryptionConfigurationRuleA,
    S3BucketVersioningA,
)
from lib.bindings import S3BucketLifecycleConfigurationRuleAbortIncompleteMultipartUpload as UnfinishedUploads
from lib.bindings import S3BucketLifecycleConfigurationRuleExpiration as Expiration
from lib.bindings import S3BucketLifecycleConfigurationRuleFilter as Filter
from lib.bindings import S3BucketLifecycleConfigurationRuleNoncurrentVersionExpiration as OldVersions
from lib.bindings import S3BucketLifecycleConfigurationRuleTransition as Transition
from lib.foundation.encryption import Encryption
from lib.iam import Grantee, Statement, document, waive
from lib.settings import Settings
from payments.adapters.dynamodb.payment_writes import NAMED, Write
from payments.adapters.dynamodb.tables import (
    AUDIT_LOG,
    CONTROLS,
    CUSTOMERS,
    DENIED_ATTEMPTS,
    GATEWAY_EVENTS,
    LIMITS,
    PAYMENTS,
    PROCESSING_STATUS,
    REFUNDS,
    TOKENS,
    Table,
)


class PaymentTable(Construct):
    """One DynamoDB table, with the keys and indexes that its adapter declares."""

    def __init__(
        self, scope: Construct, table: Table, variable: str, settings: Settings, encryption: Encryption
    ) -> None:
        """`variable` is the environment variable that gives a function the table's name."""
        super().__init__(scope, table.name)
        self._variable = variable
        self.table = DynamodbTable(
            self,
            "table",
            name=settings.name(table.name),
            billing_mode="PAY_PER_REQUEST",
            hash_key=table.key.partition,
            range_key=table.key.sort or None,
            attribute=[DynamodbTableAttribute(name=name, type=type_) for name, type_ in table.attributes.items()],
            global_secondary_index=[
                DynamodbTableGlobalSecondaryIndex(
                    name=name,
                    hash_key=key.partition,
                    range_key=key.sort,
                    projection_type="KEYS_ONLY" if name in table.keys_only else "ALL",
                )
                for name, key in table.indexes.items()
            ],
            ttl=DynamodbTableTtl(attribute_name=table.expires, enabled=True) if table.expires else None,
            point_in_time_recovery={"enabled": True},
            server_side_encryption={"enabled": True, "kms_key_arn": encryption.arn},
            deletion_protection_enabled=not settings.effective.force_destroy,
        )

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    @property
    def environment(self) -> dict[str, str]:
        """The variable with the name of the table."""
        return {self._variable: self.name}

    def grant(self, function: Grantee, *actions: str) -> None:
        """Let a function call these actions ("GetItem", …) on the table's rows."""
        function.allow([f"dynamodb:{action}" for action in actions], [self.table.arn])

    def grant_writes(self, function: Grantee, *writes: Write) -> None:
        """Let a function make these writes of a payment's row: updates that name no attributes but theirs."""
        attributes = sorted(frozenset().union(*(NAMED[write] for write in writes)))
        limit = {"ForAllValues:StringEquals": {"dynamodb:Attributes": attributes}}
        function.allow(["dynamodb:UpdateItem"], [self.table.arn], **limit)

    def grant_index(self, function: Grantee, index: str) -> None:
        """Let a function query one index."""
        function.allow(["dynamodb:Query"], [f"{self.table.arn}/index/{index}"])


class Tables(Construct):
    """All tables, one attribute each: first those of the core, then the others."""

    def __init__(self, scope: Construct, settings: Settings, encryption: Encryption) -> None:
        super().__init__(scope, "tables")
        self.payments = PaymentTable(self, PAYMENTS, "PAYMENTS_TABLE", settings, encryption)
        self.refunds = PaymentTable(self, REFUNDS, "REFUNDS_TABLE", settings, encryption)
        self.processing_status = PaymentTable(self, PROCESSING_STATUS, "PROCESSING_STATUS_TABLE", settings, encryption)
        self.audit_log = PaymentTable(self, AUDIT_LOG, "AUDIT_TABLE", settings, encryption)
        self.denied_attempts = PaymentTable(self, DENIED_ATTEMPTS, "DENIED_TABLE", settings, encryption)
        self.customers = PaymentTable(self, CUSTOMERS, "CUSTOMERS_TABLE", settings, encryption)
        self.gateway_events = PaymentTable(self, GATEWAY_EVENTS, "GATEWAY_EVENTS_TABLE", settings, encryption)
        self.controls = PaymentTable(self, CONTROLS, "CONTROLS_TABLE", settings, encryption)
        self.tokens = PaymentTable(self, TOKENS, "TOKENS_TABLE", settings, encryption)
        self.limits = PaymentTable(self, LIMITS, "LIMITS_TABLE", settings, encryption)


@dataclass(frozen=True)
class Cold:
    """After how many days the objects below a prefix move to a cold storage class that is still read at once."""

    prefix: str
    days: int


class Bucket(Construct):
    """A bucket: versioned, encrypted with our key, never public, TLS only.

    Its name contains the account's id. Bucket names are global across all of AWS, and a first deploy must not collide
    with a bucket of another account.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        settings: Settings,
        encryption: Encryption,
        account_id: str,
        *,
        expire_days: dict[str, int],
        old_versions_days: int,
        cold: Cold | None = None,
        lock_days: int | None = None,
    ) -> None:
        """`expire_days`: prefix → days until its objects expire. Older versions expire after `old_versions_days`.

        With `lock_days`, the bucket has Object Lock: for so many days no user can delete or replace a version, in
        production not even the account's root. 0 locks nothing until the setting changes.
        """
        super().__init__(scope, name)
        self.bucket = S3Bucket(
            self,
            "bucket",
            bucket=f"{settings.name(name)}-{account_id}",
            force_destroy=settings.effective.force_destroy,
            object_lock_enabled=True if lock_days is not None else None,  # only a new bucket can get it
        )
        self.versioning = S3BucketVersioningA(
            self, "versioning", bucket=self.bucket.id, versioning_configuration={"status": "Enabled"}
        )
        S3BucketServerSideEncryptionConfigurationA(
            self,
            "encryption",
            bucket=self.bucket.id,
            rule=[
                S3BucketServerSideEncryptionConfigurationRuleA(
                    apply_server_side_encryption_by_default={
                        "sse_algorithm": "aws:kms",
                        "kms_master_key_id": encryption.arn,
                    },
                    bucket_key_enabled=True,  # one KMS call for many objects
                )
            ],
        )
        block = S3BucketPublicAccessBlock(
            self,
            "public_access",
            bucket=self.bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
        )
        self._statements: list[Statement] = [
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [self.bucket.arn, f"{self.bucket.arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ]
        self._policy = S3BucketPolicy(
            self,
            "policy",
            bucket=self.bucket.id,
            policy=document(*self._statements),
            depends_on=[block],  # S3 rejects two concurrent changes of a bucket's access
        )
        S3BucketLifecycleConfiguration(
            self,
            "lifecycle",
            bucket=self.bucket.id,
            rule=[
                _lifecycle_rule(
                    "old-versions",
                    noncurrent_version_expiration=[OldVersions(noncurrent_days=old_versions_days)],
                    abort_incomplete_multipart_upload=[UnfinishedUploads(days_after_initiation=1)],
                ),
                *(
                    _lifecycle_rule(f"expire-{prefix.strip('/')}", prefix, expiration=[Expiration(days=days)])
                    for prefix, days in expire_days.items()
                ),
                *([_cold_rule(cold)] if cold else []),
            ],
            depends_on=[self.versioning],
        )
        if lock_days:
            mode = "GOVERNANCE" if settings.effective.force_destroy else "COMPLIANCE"
            S3BucketObjectLockConfigurationA(
                self,
                "lock",
                bucket=self.bucket.id,
                rule=S3BucketObjectLockConfigurationRuleA(default_retention={"mode": mode, "days": lock_days}),
                depends_on=[self.versioning],
            )
        waive(
            self.bucket,
            CKV_AWS_18="access logs are best effort and need one more bucket; CloudTrail data events do not",
            CKV_AWS_144="a copy in a second region is the task of a backup, not of each bucket",
        )

    @property
    def name(self) -> str:
        """The bucket's name."""
        return self.bucket.bucket

    @property
    def arn(self) -> str:
        """The bucket's ARN."""
        return self.bucket.arn

    def deny_uploads_but_of(self, role_arn: str, prefix: str) -> None:
        """Let no principal but this role upload below a prefix, also no principal that may write to the whole bucket.

        Without a Sid: the policies of 50 merchants must fit into the 20 KB of a bucket's policy.
        """
        self._statements.append(
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:PutObject",
                "Resource": f"{self.bucket.arn}/{prefix}*",
                "Condition": {"ArnNotEquals": {"aws:PrincipalArn": role_arn}},
            }
        )
        self._policy.policy = document(*self._statements)

    def grant(self, function: Grantee, prefix: str, *actions: str) -> None:
        """Let a function call these actions ("GetObject", …) on objects below a prefix."""
        function.allow([f"s3:{action}" for action in actions], [f"{self.bucket.arn}/{prefix}*"])

    def grant_list(self, function: Grantee) -> None:
        """Let a function list the objects."""
        function.allow(["s3:ListBucket"], [self.bucket.arn])


def _cold_rule(cold: Cold) -> S3BucketLifecycleConfigurationRule:
    transition = [Transition(days=cold.days, storage_class="GLACIER_IR")]
    return _lifecycle_rule(f"cold-{cold.prefix.strip('/')}", cold.prefix, transition=transition)


def _lifecycle_rule(name: str, prefix: str = "", **actions: Any) -> S3BucketLifecycleConfigurationRule:
    return S3BucketLifecycleConfigurationRule(id=name, status="Enabled", filter=[Filter(prefix=prefix)], **actions)
