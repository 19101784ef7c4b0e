"""One environment: everything a payment passes through, wired in the order in which it does."""

from datetime import timedelta

from lib.bindings import (
    AwsProvider,
    AwsProviderDefaultTags,
    Construct,
    DataAwsCallerIdentity,
    LocalBackend,
    S3Backend,
    SecretsmanagerSecret,
    TerraformOutput,
    TerraformStack,
)
from lib.features.api_gateway import PaymentApi
from lib.features.batch_queue import (
    DISPATCH_TIMEOUT_SECONDS,
    PaymentQueue,
    dispatch_pace,
    split_on_arrival,
)
from lib.features.rate_limits import Limits
from lib.features.recovery import EveryMinute
from lib.features.workflow import Workflow
from lib.foundation.encryption import Encryption
from lib.foundation.functions import Code, Function
from lib.foundation.identity import Identity
from lib.foundation.notifications import Notifications
from lib.foundation.storage import Bucket, Tables
from lib.iam import waive
from lib.monitoring.alarms import Monitoring
from lib.package import ROOT
from lib.settings import Settings
from payments.adapters.dynamodb.tables import (
    BY_BATCH,
    BY_CUSTOMER,
    BY_DAY,
    BY_EMAIL,
    BY_PARKED,
    BY_STATUS_DAY,
    BY_UNFINISHED,
    BY_UNSETTLED,
)
from payments.domain.batch.state import INCOMING, RESULTS
from payments.domain.gateway_slots import slot_length


class PaymentStack(TerraformStack):
    """The payment backend of one environment suffix."""

    def __init__(self, scope: Construct, settings: Settings) -> None:
        super().__init__(scope, settings.name("payment"))
        self._settings = settings
        self._provider()
        self._backend()
        account_id = DataAwsCallerIdentity(self, "account").account_id
        effective = settings.effective

        encryption = Encryption(self, settings, account_id)
        tables = Tables(self, settings, encryption)
        files = Bucket(
            self,
            "payment-batch-files",
            settings,
            encryption,
            account_id,
            expire_days={INCOMING: 90, RESULTS: 365},
            old_versions_days=30,
        )
        artifacts = Bucket(
            self, "payment-artifacts", settings, encryption, account_id, expire_days={}, old_versions_days=30
        )
        waive(artifacts.bucket, CKV2_AWS_62="nothing follows an upload of code: each function names the file it runs")
        notifications = Notifications(self, settings, encryption, account_id)
        queue = PaymentQueue(self, settings, encryption)
        gateway_secret = self._secret(
            "gateway_secret",
            "payment-gateway-stripe",
            "The secret API key of Stripe; set with: payctl gateway set-key",
            encryption,
        )
        webhook_secret = self._secret(
            "webhook_secret",
            "payment-webhook-stripe",
            "What Stripe signs its events with; set with: payctl gateway set-webhook-secret",
            encryption,
        )
        code = Code(self, settings, artifacts)

        def function(name: str, timeout_seconds: int, **environment: str) -> Function:
            return Function(
                self,
                name,
                settings=settings,
                code=code,
                encryption=encryption,
                timeout_seconds=timeout_seconds,
                environment=environment,
            )

        payments = {"PAYMENTS_TABLE": tables.payments.name}
        batches = {"PROCESSING_STATUS_TABLE": tables.processing_status.name}
        events = {"PAYMENT_EVENTS_TOPIC_ARN": notifications.payment_events.arn}
        vault = {"VAULT_KEY_ARN": encryption.arn}
        suffix = {"ENVIRONMENT_SUFFIX": settings.environment_suffix}  # the dimension of our metrics
        controls = {"CONTROLS_TABLE": tables.controls.name}
        gateway = {"GATEWAY_SECRET_ARN": gateway_secret.arn, "STRIPE_API_BASE": settings.stripe_api_base}
        patience = {"PATIENCE_SECONDS": str(effective.patience_seconds)}
        slot = slot_length(effective.gateway_rate_per_second, effective.gateway_reserve_percent)
        pacing = {"SLOT_MICROSECONDS": str(slot // timedelta(microseconds=1)), **controls}
        report_name = settings.name("payment-report")

        # the workflow: validate → charge → record → audit
        methods = {
            "CUSTOMERS_TABLE": tables.customers.name,
            "TOKENS_TABLE": tables.tokens.name,
            "DEFAULT_PAYMENT_METHOD": effective.default_payment_method,
        }
        validate = function("validate", 15, **methods, **payments, **suffix)
        tables.payments.grant(validate, "GetItem")
        tables.customers.grant(validate, "GetItem")
        tables.tokens.grant(validate, "GetItem")

        # asking, cancelling and asking again take the gateway's time-out three times: 69 seconds; waiting for a slot 3
        charge = function("charge", 80, **gateway, **methods, **payments, **vault, **pacing, **patience, **suffix)
        tables.payments.grant(charge, "GetItem", "UpdateItem")
        tables.customers.grant(charge, "GetItem")
        tables.tokens.grant(charge, "GetItem")
        tables.controls.grant(charge, "UpdateItem")
        charge.allow(["secretsmanager:GetSecretValue"], [gateway_secret.arn])
        encryption.grant_fields(charge, "payment_id", "GenerateDataKey", "Decrypt")
        encryption.grant_fields(charge, "customer_id", "Decrypt")

        gateway_events = {"GATEWAY_EVENTS_TABLE": tables.gateway_events.name}
        record = function("record", 15, **payments, **gateway_events, **suffix)
        tables.payments.grant(record, "GetItem", "UpdateItem")
        tables.gateway_events.grant(record, "UpdateItem")

        audit = function(
            "audit", 15, AUDIT_TABLE=tables.audit_log.name, REPORT_FUNCTION=report_name, **payments, **batches, **suffix
        )
        tables.payments.grant(audit, "GetItem", "UpdateItem")
        tables.audit_log.grant(audit, "PutItem")
        tables.processing_status.grant(audit, "Query", "UpdateItem")

        workflow = Workflow(
            self,
            settings,
            encryption,
            validate=validate,
            charge=charge,
            record=record,
            audit=audit,
            topic=notifications.payment_events,
        )

        # payments in, as a batch: bucket → split → queue → dispatch → workflow; at the end the report
        split = function(
            "split",
            900,
            PAYMENT_QUEUE_URL=queue.queue.url,
            REPORT_FUNCTION=report_name,
            **payments,
            **batches,
            **vault,
            **suffix,
        )
        encryption.grant_fields(split, "payment_id", "GenerateDataKey")
        files.grant(split, INCOMING, "GetObjectVersion")  # the one that the event names
        tables.payments.grant(split, "PutItem")
        tables.processing_status.grant(split, "Query", "PutItem", "UpdateItem", "BatchWriteItem")
        queue.grant_send(split)
        itself = f"arn:aws:lambda:{settings.aws_region}:{account_id}:function:{split.name}"  # .arn would be a cycle
        split.allow(["lambda:InvokeFunction"], [itself])
        split_on_arrival(self, files, split, account_id)
        queue.keep_failed_events(split)

        pace = dispatch_pace(effective)
        dispatch = function(
            "dispatch",
            DISPATCH_TIMEOUT_SECONDS,
            STATE_MACHINE_ARN=workflow.arn,
            DISPATCH_PACE_SECONDS=pace.seconds,
            PAYMENT_QUEUE_URL=queue.queue.url,
            **payments,
            **pacing,
        )
        tables.payments.grant(dispatch, "GetItem")
        tables.controls.grant(dispatch, "GetItem")
        workflow.grant_start(dispatch)
        queue.feed(dispatch, pace.concurrency)

        report = function("report", 900, **payments, **batches, **events, **vault)
        encryption.grant_fields(report, "payment_id", "Decrypt")
        files.grant(report, INCOMING, "GetObjectVersion")
        files.grant(report, RESULTS, "PutObject", "AbortMultipartUpload")
        tables.payments.grant_index(report, BY_BATCH)
        tables.payments.grant(report, "GetItem")
        tables.processing_status.grant(report, "Query", "UpdateItem")
        notifications.grant_publish(report)

        # what was left behind: once a minute, by the ordinary ways
        sweep = function(
            "sweep",
            300,
            STATE_MACHINE_ARN=workflow.arn,
            PAYMENT_QUEUE_URL=queue.queue.url,
            DISPATCH_MAPPING_ID=queue.mapping.id,
            REPORT_FUNCTION=report_name,
            SPLIT_FUNCTION=split.name,
            **gateway,
            **payments,
            **batches,
            **gateway_events,
            **controls,
            **patience,
            **suffix,
        )
        tables.payments.grant(sweep, "GetItem", "UpdateItem")
        tables.payments.grant_index(sweep, BY_UNSETTLED)
        tables.payments.grant_index(sweep, BY_BATCH)
        tables.processing_status.grant(sweep, "Query", "UpdateItem")
        tables.processing_status.grant_index(sweep, BY_UNFINISHED)
        tables.gateway_events.grant(sweep, "UpdateItem")
        tables.gateway_events.grant_index(sweep, BY_PARKED)
        tables.controls.grant(sweep, "GetItem", "UpdateItem")
        workflow.grant_start(sweep)
        queue.grant_send(sweep)
        queue.grant_look(sweep)
        queue.grant_switch(sweep)
        sweep.allow(["secretsmanager:GetSecretValue"], [gateway_secret.arn])
        sweep.allow(["lambda:InvokeFunction"], [split.arn])
        EveryMinute(self, settings, sweep)
        for caller in (split, audit, sweep):
            caller.allow(["lambda:InvokeFunction"], [report.arn])

        # who is asking
        identity = Identity(self, settings, account_id) if effective.auth_mode == "jwt" else None
        authorize = function("authorize", 10, **identity.environment) if identity else None

        # payments in, one by one, and what the gateway tells of them later
        api_function = function(
            "api",
            10,
            AUTH_MODE=effective.auth_mode,
            STATE_MACHINE_ARN=workflow.arn,
            CUSTOMERS_TABLE=tables.customers.name,
            TOKENS_TABLE=tables.tokens.name,
            LIMITS_TABLE=tables.limits.name,
            AUDIT_TABLE=tables.audit_log.name,
            EMAIL_HASH_KEY_ARN=encryption.lookup_key.arn,
            RATE_PER_IP_PER_MINUTE=str(effective.rate_per_ip_per_minute),
            RATE_PER_CUSTOMER_PER_MINUTE=str(effective.rate_per_customer_per_minute),
            **payments,
            **vault,
            **suffix,
        )
        tables.payments.grant(api_function, "GetItem", "PutItem", "BatchGetItem")
        for index in (BY_CUSTOMER, BY_DAY, BY_STATUS_DAY):
            tables.payments.grant_index(api_function, index)
        tables.customers.grant(api_function, "GetItem", "PutItem")
        tables.customers.grant_index(api_function, BY_EMAIL)
        tables.tokens.grant(api_function, "GetItem", "PutItem", "UpdateItem")
        tables.tokens.grant_index(api_function, BY_CUSTOMER)
        tables.limits.grant(api_function, "UpdateItem")
        tables.audit_log.grant(api_function, "PutItem")
        encryption.grant_fields(api_function, "payment_id", "GenerateDataKey", "Decrypt")
        encryption.grant_fields(api_function, "customer_id", "GenerateDataKey", "Decrypt")
        encryption.grant_lookup(api_function)
        workflow.grant_start(api_function)
        webhook = function(
            "webhook",
            15,
            STATE_MACHINE_ARN=workflow.arn,
            WEBHOOK_SECRET_ARN=webhook_secret.arn,
            **payments,
            **gateway_events,
            **suffix,
        )
        tables.payments.grant(webhook, "GetItem")
        tables.gateway_events.grant(webhook, "PutItem")
        workflow.grant_start(webhook)
        webhook.allow(["secretsmanager:GetSecretValue"], [webhook_secret.arn])
        api = PaymentApi(self, settings, {"api": api_function, "webhook": webhook}, authorize)
        merchants = {name: client.id for name, client in identity.merchant_clients.items()} if identity else {}
        Limits(self, settings, stage=api.stage, rest_api=api.rest_api, merchant_clients=merchants)

        Monitoring(
            self,
            settings,
            notifications,
            functions=[
                # not authorize: a bad token is an error there, and five strangers are no fault of ours
                api_function,
                webhook,
                split,
                dispatch,
                validate,
                charge,
                record,
                audit,
                report,
                sweep,
            ],
            queue=queue,
            workflow=workflow,
            api=api,
        )

        self._outputs(
            api_url=api.stage.invoke_url,
            rest_api_id=api.rest_api.id,
            api_stage=settings.environment_suffix,
            auth_mode=effective.auth_mode,
            region=settings.aws_region,
            environment_suffix=settings.environment_suffix,
            batch_bucket=files.name,
            payments_table=tables.payments.name,
            processing_status_table=tables.processing_status.name,
            audit_table=tables.audit_log.name,
            customers_table=tables.customers.name,
            gateway_events_table=tables.gateway_events.name,
            controls_table=tables.controls.name,
            tokens_table=tables.tokens.name,
            limits_table=tables.limits.name,
            payment_queue_url=queue.queue.url,
            dead_letter_queue_url=queue.dead_letters.url,
            payment_events_topic_arn=notifications.payment_events.arn,
            alarms_topic_arn=notifications.alarms.arn,
            state_machine_arn=workflow.arn,
            gateway_secret_arn=gateway_secret.arn,
            webhook_secret_arn=webhook_secret.arn,
            vault_key_arn=encryption.arn,
            webhook_url=f"{api.stage.invoke_url}/webhooks/stripe",
            dispatch_mapping_id=queue.mapping.id,
            stripe_api_base=settings.stripe_api_base,
            patience_seconds=str(effective.patience_seconds),
            **(identity.outputs if identity else {}),
        )

    def _provider(self) -> None:
        settings = self._settings
        AwsProvider(
            self,
            "aws",
            region=settings.aws_region,
            default_tags=[AwsProviderDefaultTags(tags=settings.all_tags)],
            # a local AWS answers on one address: bucket names cannot be part of the host's name there
            s3_use_path_style=settings.is_local or None,
        )
        # the bindings are made for 6.25; nothing here needs more than 5.100, which the tests apply
        self.add_override("terraform.required_providers.aws.version", ">= 5.100, < 7")

    def _backend(self) -> None:
        settings = self._settings
        if not settings.terraform_state_bucket:
            LocalBackend(self, path=str(ROOT / f"terraform.{settings.environment_suffix}.tfstate"))
            return
        backend = S3Backend(
            self,
            bucket=settings.terraform_state_bucket,
            key=f"payment-backend/{settings.environment_suffix}.tfstate",
            region=settings.terraform_state_bucket_region or settings.aws_region,
            encrypt=True,
        )
        backend.add_override("use_lockfile", True)

    def _secret(self, key: str, name: str, description: str, encryption: Encryption) -> SecretsmanagerSecret:
        """The place for a secret, `key` in the state. Its value is set by payctl, never by Terraform."""
        secret = SecretsmanagerSecret(
            self,
            key,
            name=self._settings.name(name),
            description=description,
            kms_key_id=encryption.arn,
            recovery_window_in_days=0 if self._settings.effective.force_destroy else 30,
        )
        waive(secret, CKV2_AWS_57="Stripe makes it: an operator rotates it there, then runs payctl")
        return secret

    def _outputs(self, **values: str) -> None:
        for name, value in values.items():
            TerraformOutput(self, name, value=value)
