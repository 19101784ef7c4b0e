"""Files of merchants: one role for each merchant, which uploads below its own folder and reads its own results."""

from lib.bindings import Construct, IamRole, IamRolePolicy
from lib.foundation.storage import Bucket
from lib.iam import Statement, allow, document
from lib.settings import Settings
from payments.domain.batch.state import INCOMING, MERCHANTS, RESULTS


class MerchantFiles(Construct):
    """The roles. IAM of this account decides who may assume one: the trust policy names the account alone.

    The roles need no right to the key: its policy admits them through S3, as it does everybody who may use the bucket.
    """

    def __init__(self, scope: Construct, settings: Settings, bucket: Bucket, account_id: str) -> None:
        super().__init__(scope, "merchant_files")
        self._role_arns: dict[str, str] = {}
        for merchant in settings.merchant_prefixes:
            role = IamRole(
                self,
                merchant,
                name=settings.merchant_role(merchant),
                description=f"Uploads the files of {merchant}, and reads their results",
                assume_role_policy=document(_assumed_in(account_id)),
            )
            IamRolePolicy(
                self,
                f"{merchant}_policy",
                name="permissions",
                role=role.name,
                policy=document(*_statements(bucket, merchant)),
            )
            self._role_arns[merchant] = role.arn
            bucket.deny_uploads_but_of(role.arn, _folder(INCOMING, merchant))

    @property
    def outputs(self) -> dict[str, str]:
        """The stack output with the role of each merchant."""
        return {"merchant_role_arns": ",".join(f"{name}={arn}" for name, arn in self._role_arns.items())}


def _folder(prefix: str, merchant: str) -> str:
    return f"{prefix}{MERCHANTS}{merchant}/"


def _statements(bucket: Bucket, merchant: str) -> list[Statement]:
    results = _folder(RESULTS, merchant)
    return [
        allow(["s3:PutObject"], [f"{bucket.arn}/{_folder(INCOMING, merchant)}*"]),
        allow(["s3:GetObject"], [f"{bucket.arn}/{results}*"]),
        # to see which results are there: S3 answers a read of a missing one with 403
        allow(["s3:ListBucket"], [bucket.arn], StringLike={"s3:prefix": f"{results}*"}),
    ]


def _assumed_in(account_id: str) -> Statement:
    return {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
        "Action": "sts:AssumeRole",
    }
