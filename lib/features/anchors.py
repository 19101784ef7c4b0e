"""Anchors of the audit log: once an hour, the heads of the chains that changed, signed, under Object Lock."""

from lib.bindings import LambdaFunctionRecursionConfig
from lib.features.workflow import Workflow
from lib.foundation.foundation import Foundation
from lib.foundation.schedules import FunctionSchedule
from payments.adapters.dynamodb.tables import BY_DAY, BY_STATUS_DAY
from payments.domain.anchor import FIRST, LATER


class Anchors:
    """The anchor function and its schedule."""

    def __init__(self, foundation: Foundation, workflow: Workflow) -> None:
        payments, bucket = foundation.tables.payments, foundation.anchors
        self.anchor = anchor = foundation.function(
            "anchor",
            900,
            **payments.environment,
            **foundation.anchor_signatures,
            **foundation.environment,
            **foundation.suffix,
        )
        for index in (BY_STATUS_DAY, BY_DAY):
            payments.grant_index(anchor, index)
        payments.grant(anchor, "BatchGetItem")
        for prefix in (FIRST, LATER):
            bucket.grant(anchor, prefix, "PutObject", "GetObject")
        bucket.grant_list(anchor)
        anchor.allow(["kms:GenerateMac", "kms:VerifyMac"], [foundation.encryption.anchor_key.arn])
        # anchor.arn would be a cycle: the function depends on its own policy
        anchor.allow(["lambda:InvokeFunction"], [foundation.function_arn("anchor")])
        # the first anchor of a large environment needs many runs
        LambdaFunctionRecursionConfig(
            foundation.scope,
            "anchor_may_continue",
            function_name=anchor.function.function_name,
            recursive_loop="Allow",
        )
        # the first anchor must list all that unsigned code wrote: it follows the audit function that signs
        FunctionSchedule(foundation.scope, foundation.settings, anchor, hours=1, after=[workflow.audit])
