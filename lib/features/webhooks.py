"""Stripe's webhook events: each is stored, and starts the workflow of its payment."""

from lib.features.refunds import Refunds
from lib.features.workflow import Workflow
from lib.foundation.foundation import Foundation


class Webhooks:
    """The webhook function. `rest_api` serves it at the route that the contract gives to `x-function: webhook`."""

    def __init__(self, foundation: Foundation, workflow: Workflow, refunds: Refunds) -> None:
        tables, secret = foundation.tables, foundation.secrets.webhook
        self.webhook = foundation.function(
            "webhook",
            15,
            **foundation.environment,
            **foundation.gateway_mode,
            **workflow.environment,
            **secret.environment,
            **tables.payments.environment,
            **tables.gateway_events.environment,
            **tables.customers.environment,
            **tables.controls.environment,
            **foundation.encryption.environment,
            **foundation.suffix,
        )
        tables.payments.grant(self.webhook, "GetItem")
        tables.gateway_events.grant(self.webhook, "PutItem")
        tables.customers.grant(self.webhook, "GetItem", "PutItem")  # the first saved card becomes the default
        tables.controls.grant(self.webhook, "GetItem")  # the mark that the environment is open
        foundation.encryption.grant_fields(self.webhook, "payment_id", "GenerateDataKey")
        foundation.encryption.grant_fields(self.webhook, "event_id", "GenerateDataKey")
        foundation.encryption.grant_fields(self.webhook, "customer_id", "GenerateDataKey")
        workflow.grant_start(self.webhook)
        refunds.grant_start(self.webhook)
        secret.grant_read(self.webhook)
