"""A Lambda function with its own role and log group. The role has exactly the permissions that were granted to it."""

from lib import package
from lib.bindings import (
    Construct,
    IamRole,
    IamRolePolicy,
    LambdaFunction,
    LambdaLayerVersion,
    S3Object,
)
from lib.foundation.encryption import Encryption
from lib.foundation.logs import log_group
from lib.foundation.storage import Bucket
from lib.iam import Condition, Grantee, Statement, allow, assumed_by, document, waive
from lib.settings import Settings

RUNTIME = "python3.12"


def function_name(settings: Settings, label: str) -> str:
    """The deployed name of the function whose handler is `handlers/<label>.py`."""
    return settings.name(f"payment-{label}")


class Code(Construct):
    """The code and the layer. Each is uploaded under a name that contains the hash of its content."""

    def __init__(self, scope: Construct, settings: Settings, bucket: Bucket) -> None:
        super().__init__(scope, "code")
        code, layer = package.code_archive(), package.layer_archive(settings.layer_architecture)
        self.code = S3Object(self, "functions", bucket=bucket.name, key=code.name, source=str(code))
        self.layer_file = S3Object(self, "layer_file", bucket=bucket.name, key=layer.name, source=str(layer))
        self.layer = LambdaLayerVersion(
            self,
            "layer",
            layer_name=settings.name("payment-dependencies"),
            s3_bucket=self.layer_file.bucket,
            s3_key=self.layer_file.key,
            compatible_runtimes=[RUNTIME],
            compatible_architectures=[settings.effective.lambda_architecture],
        )


class Function(Construct):
    """One function. The owners of other resources grant it permissions, and `allow` adds one to its role."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        settings: Settings,
        code: Code,
        encryption: Encryption,
        timeout_seconds: int,
        environment: dict[str, str],
        memory_mb: int | None = None,
        after_its_policy: bool = True,
    ) -> None:
        super().__init__(scope, f"{name}_function")
        self.label = name
        self.name = function_name(settings, name)
        self.timeout_seconds = timeout_seconds
        self._log_group = log_group(self, f"/aws/lambda/{self.name}", settings, encryption)
        self._role = IamRole(self, "role", name=self.name, assume_role_policy=assumed_by("lambda.amazonaws.com"))
        self._statements: list[Statement] = []
        self.policy = IamRolePolicy(self, "policy", name="permissions", role=self._role.name, policy="")
        self.allow(["logs:CreateLogStream", "logs:PutLogEvents"], [f"{self._log_group.arn}:*"])
        # X-Ray actions accept no resource but *
        self.allow(["xray:PutTraceSegments", "xray:PutTelemetryRecords"], ["*"])
        self.function = LambdaFunction(
            self,
            "function",
            function_name=self.name,
            handler=f"handlers.{name}.handler",
            runtime=RUNTIME,
            architectures=[settings.effective.lambda_architecture],
            role=self._role.arn,
            s3_bucket=code.code.bucket,
            s3_key=code.code.key,
            layers=[code.layer.arn],
            memory_size=memory_mb or settings.effective.lambda_memory_mb,
            timeout=timeout_seconds,
            environment={
                "variables": {
                    "POWERTOOLS_SERVICE_NAME": f"payment-{name}",
                    "LOG_LEVEL": "INFO",
                    **environment,
                }
            },
            tracing_config={"mode": "Active"},
            depends_on=[self.policy] if after_its_policy else None,
        )
        waive(
            self.function,
            CKV_AWS_115="dispatch keeps to the gateway's rate; no reserved concurrency is needed",
            CKV_AWS_116="every caller waits for the answer, has a dead-letter queue, or a resume point in the table",
            CKV_AWS_117="it calls AWS and the gateway's public API: a VPC adds a NAT gateway's price, no protection",
            CKV_AWS_173="its variables are names and addresses; secrets are in Secrets Manager",
            CKV_AWS_272="only the deploying role writes to the bucket of the code",
        )

    @property
    def arn(self) -> str:
        """The function's ARN."""
        return self.function.arn

    def allow(self, actions: list[str], resources: list[str], **conditions: Condition) -> None:
        """Add a permission to the function's role."""
        self._statements.append(allow(actions, resources, **conditions))
        self.policy.policy = document(*self._statements)

    def grant_invoke(self, caller: Grantee) -> None:
        """Let another function invoke this one."""
        caller.allow(["lambda:InvokeFunction"], [self.arn])
