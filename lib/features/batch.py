"""Payments as a file: bucket → split → queue → dispatch → workflow. At the end, report writes the results."""

from lib.bindings import (
    Construct,
    LambdaFunctionRecursionConfig,
    LambdaPermission,
    S3BucketNotification,
    S3BucketNotificationLambdaFunction,
)
from lib.dispatch_rate import dispatch_rate
from lib.features.batch_queue import DISPATCH_TIMEOUT_SECONDS, PaymentQueue
from lib.features.merchant_files import MerchantFiles
from lib.features.workflow import Workflow
from lib.foundation.foundation import Foundation
from lib.foundation.functions import Function
from lib.foundation.identity import Identity
from lib.foundation.storage import Bucket
from payments.adapters.dynamodb.payment_writes import Write
from payments.adapters.dynamodb.tables import BY_BATCH
from payments.domain.batch.state import INCOMING, REPORTING, RESULTS


class Batch:
    """The split, dispatch and report functions, and the queue between them."""

    def __init__(self, foundation: Foundation, workflow: Workflow, identity: Identity | None) -> None:
        self._foundation = foundation
        self._identity = identity if identity and identity.merchant_clients else None
        self.queue = PaymentQueue(foundation.scope, foundation.settings, foundation.encryption)
        self.split = self._split()
        self.dispatch = self._dispatch(workflow)
        self.report = self._report()
        self.merchants = (
            MerchantFiles(foundation.scope, foundation.settings, foundation.batch_files, foundation.account_id)
            if self._identity
            else None
        )
        for caller in (self.split, workflow.audit):
            self.report.grant_invoke(caller)

    def _split(self) -> Function:
        base, tables, settings = self._foundation, self._foundation.tables, self._foundation.settings
        split = base.function(
            "split",
            900,
            SEARCHABLE_METADATA=settings.effective.searchable_metadata,
            EMAIL_HASH_KEY_ARN=base.encryption.lookup_key.arn,
            **self.queue.environment,
            **tables.controls.environment,
            **tables.payments.environment,
            **tables.processing_status.environment,
            **tables.limits.environment,
            **base.encryption.environment,
            **base.report_function,
            **base.suffix,
            **tables.customers.environment,
            **(self._identity.merchants if self._identity else {"MERCHANTS": ""}),
        )
        base.encryption.grant_fields(split, "payment_id", "GenerateDataKey")
        base.encryption.grant_lookup(split)  # for the addresses of buyers, and searchable metadata
        base.batch_files.grant(split, INCOMING, "GetObjectVersion")  # the version that the event names
        tables.payments.grant_writes(split, Write.CREATE)
        tables.payments.grant(split, "GetItem")  # whose a payment with a reserved id is
        if self._identity:
            tables.customers.grant(split, "GetItem")  # whose a customer in a merchant's file is
        tables.processing_status.grant(split, "GetItem", "Query", "PutItem", "UpdateItem", "BatchWriteItem")
        tables.limits.grant(split, "UpdateItem")
        tables.controls.grant(split, "GetItem")  # the mark that the environment is open
        self.queue.grant_send(split)
        # split.arn would be a cycle: the function depends on its own policy
        split.allow(["lambda:InvokeFunction"], [base.function_arn("split")])
        split_on_arrival(base.scope, base.batch_files, split, base.account_id)
        self.queue.keep_failed_events(split)
        return split

    def _dispatch(self, workflow: Workflow) -> Function:
        base, tables = self._foundation, self._foundation.tables
        rate = dispatch_rate(base.settings.effective)
        dispatch = base.function(
            "dispatch",
            DISPATCH_TIMEOUT_SECONDS,
            DISPATCH_PACE_SECONDS=rate.seconds,
            **workflow.environment,
            **self.queue.environment,
            **tables.payments.environment,
            **tables.processing_status.environment,
            **base.gateway_rate,
        )
        tables.payments.grant(dispatch, "GetItem")
        tables.processing_status.grant(dispatch, "GetItem")  # the batch's switch
        tables.controls.grant(dispatch, "GetItem")
        workflow.grant_start(dispatch)
        self.queue.grant_send(dispatch)  # messages that it hands back
        self.queue.feed(dispatch, rate.concurrency)
        return dispatch

    def _report(self) -> Function:
        base, tables = self._foundation, self._foundation.tables
        report = base.function(
            "report",
            900,
            **tables.payments.environment,
            **tables.processing_status.environment,
            **base.audit_function,
            **base.notifications.environment,
            **base.encryption.environment,
            **base.recovery_timeouts,
            **base.suffix,
        )
        base.encryption.grant_fields(report, "payment_id", "Decrypt")
        base.batch_files.grant(report, INCOMING, "GetObjectVersion")
        base.batch_files.grant(report, RESULTS, "PutObject", "GetObject")  # to see a file that a stopped run completed
        base.batch_files.grant(report, REPORTING, "PutObject", "GetObject")
        tables.payments.grant_index(report, BY_BATCH)
        tables.payments.grant(report, "GetItem")
        tables.payments.grant_writes(report, Write.SAVE)  # of a canceled batch
        # workflow.audit.arn would be a cycle: audit may invoke report
        report.allow(["lambda:InvokeFunction"], [base.function_arn("audit")])
        tables.processing_status.grant(report, "Query", "UpdateItem")
        base.notifications.grant_publish(report)
        return report


def split_on_arrival(scope: Construct, bucket: Bucket, split: Function, account_id: str) -> None:
    """Invoke the split function for every object that arrives below `incoming/`.

    The file name extension does not matter: a file that is not a CSV gets an answer too. The function invokes itself
    again when its time runs out.
    """
    permission = LambdaPermission(
        scope,
        "bucket_calls_split",
        action="lambda:InvokeFunction",
        function_name=split.function.function_name,
        principal="s3.amazonaws.com",
        source_arn=bucket.arn,
        source_account=account_id,
    )
    S3BucketNotification(
        scope,
        "arrivals",
        bucket=bucket.name,
        lambda_function=[
            S3BucketNotificationLambdaFunction(
                lambda_function_arn=split.arn, events=["s3:ObjectCreated:*"], filter_prefix=INCOMING
            )
        ],
        depends_on=[permission],  # S3 checks its permission to invoke the function when the notification is created
    )
    # Lambda stops a function that invokes itself 16 times as a loop; this one advances in its file every time
    LambdaFunctionRecursionConfig(
        scope, "split_may_continue", function_name=split.function.function_name, recursive_loop="Allow"
    )
