"""One environment: the features, composed in the order that a payment takes."""

from lib.bindings import (
    AwsProvider,
    AwsProviderDefaultTags,
    Construct,
    LocalBackend,
    S3Backend,
    TerraformOutput,
    TerraformStack,
)
from lib.features.anchors import Anchors
from lib.features.backup import Backup
from lib.features.batch import Batch
from lib.features.rate_limits import RateLimits
from lib.features.recovery import Recovery
from lib.features.refunds import Refunds
from lib.features.rest_api import RestApi
from lib.features.second_factor import SecondFactor
from lib.features.webhooks import Webhooks
from lib.features.workflow import Workflow
from lib.foundation.foundation import Foundation
from lib.foundation.identity import Identity
from lib.monitoring.monitoring import Monitoring
from lib.package import ROOT
from lib.settings import Settings


class PaymentStack(TerraformStack):
    """The payment backend of one environment suffix."""

    def __init__(self, scope: Construct, settings: Settings) -> None:
        super().__init__(scope, settings.name("payment"))
        _provider(self, settings)
        _backend(self, settings)
        foundation = Foundation.create(self, settings)
        with_tokens = settings.effective.auth_mode == "jwt"

        # every payment passes through the workflow; each feature below starts it
        workflow = Workflow(foundation)

        # who may call, and whose a file is
        identity = Identity(self, settings, foundation.account_id) if with_tokens else None
        second_factor = SecondFactor(foundation, identity) if identity else None

        # money that goes back
        refunds = Refunds(foundation, workflow)

        # payments as a file, and the recovery of payments and files that did not finish
        batch = Batch(foundation, workflow, identity)
        recovery = Recovery(foundation, workflow, batch, refunds)

        # payments over REST, and what Stripe reports about them later
        webhooks = Webhooks(foundation, workflow, refunds)
        api = RestApi(foundation, workflow, refunds, webhooks, identity)
        RateLimits(foundation, api, identity)

        # every table in a bucket, once a day, and the heads of the audit log once an hour
        backup = Backup(foundation)
        anchors = Anchors(foundation, workflow)

        Monitoring(
            foundation,
            backup=backup,
            anchors=anchors,
            workflow=workflow,
            batch=batch,
            refunds=refunds,
            recovery=recovery,
            webhooks=webhooks,
            api=api,
            second_factor=second_factor,
        )

        tables, secrets, topics = foundation.tables, foundation.secrets, foundation.notifications
        self._outputs(
            api_url=api.stage.invoke_url,
            rest_api_id=api.rest_api.id,
            api_stage=settings.environment_suffix,
            auth_mode=settings.effective.auth_mode,
            region=settings.aws_region,
            environment_suffix=settings.environment_suffix,
            environment_id=foundation.environment_id,
            batch_bucket=foundation.batch_files.name,
            backup_bucket=backup.bucket.name,
            payments_table=tables.payments.name,
            refunds_table=tables.refunds.name,
            processing_status_table=tables.processing_status.name,
            audit_table=tables.audit_log.name,
            denied_table=tables.denied_attempts.name,
            customers_table=tables.customers.name,
            gateway_events_table=tables.gateway_events.name,
            controls_table=tables.controls.name,
            tokens_table=tables.tokens.name,
            limits_table=tables.limits.name,
            payment_queue_url=batch.queue.queue.url,
            dead_letter_queue_url=batch.queue.dead_letters.url,
            payment_events_topic_arn=topics.payment_events.arn,
            alarms_topic_arn=topics.alarms.arn,
            state_machine_arn=workflow.arn,
            refund_machine_arn=refunds.arn,
            gateway_secret_arn=secrets.gateway.arn,
            gateway_backlog_limit_seconds=str(settings.backlog_limit_seconds),
            gateway_slot_microseconds=foundation.gateway_rate["SLOT_MICROSECONDS"],
            gateway_mode=settings.effective.gateway_mode,
            webhook_secret_arn=secrets.webhook.arn,
            vault_key_arn=foundation.encryption.arn,
            lookup_key_arn=foundation.encryption.lookup_key.arn,
            audit_key_arn=foundation.encryption.audit_key.arn,
            anchor_key_arn=foundation.encryption.anchor_key.arn,
            anchor_bucket=foundation.anchors.name,
            audit_keep_days=str(settings.effective.audit_keep_days),
            webhook_url=f"{api.stage.invoke_url}/webhooks/stripe",
            dispatch_mapping_id=batch.queue.mapping.id,
            stripe_api_base=settings.stripe_api_base,
            patience_seconds=str(settings.effective.patience_seconds),
            gateway_deadline_seconds=str(settings.effective.gateway_deadline_seconds),
            fraud_hold_hours=str(settings.fraud_hold_hours),
            **(identity.outputs if identity else {}),
            **(batch.merchants.outputs if batch.merchants else {}),
        )

    def _outputs(self, **values: str) -> None:
        for name, value in values.items():
            TerraformOutput(self, name, value=value)


def _provider(stack: TerraformStack, settings: Settings) -> None:
    AwsProvider(
        stack,
        "aws",
        region=settings.aws_region,
        default_tags=[AwsProviderDefaultTags(tags=settings.all_tags)],
        # a local AWS has one address, and a bucket name cannot be part of its host name
        s3_use_path_style=settings.is_local or None,
    )
    # the bindings are generated for 6.25; this stack needs no more than 5.100, which the tests apply
    stack.add_override("terraform.required_providers.aws.version", ">= 5.100, < 7")


def _backend(stack: TerraformStack, settings: Settings) -> None:
    if not settings.terraform_state_bucket:
        LocalBackend(stack, path=str(ROOT / f"terraform.{settings.environment_suffix}.tfstate"))
        return
    backend = S3Backend(
        stack,
        bucket=settings.terraform_state_bucket,
        key=f"payment-backend/{settings.environment_suffix}.tfstate",
        region=settings.terraform_state_bucket_region or settings.aws_region,
        encrypt=True,
    )
    backend.add_override("use_lockfile", True)
