"""Alarms and dashboard of all features."""

from lib.bindings import Construct
from lib.features.anchors import Anchors
from lib.features.backup import Backup
from lib.features.batch import Batch
from lib.features.recovery import Recovery
from lib.features.refunds import Refunds
from lib.features.rest_api import RestApi
from lib.features.second_factor import SecondFactor
from lib.features.webhooks import Webhooks
from lib.features.workflow import Workflow
from lib.foundation.foundation import Foundation
from lib.monitoring.alarms import alarms, create_alarms
from lib.monitoring.dashboard import create_dashboard


class Monitoring(Construct):
    """Creates the alarms and the dashboard."""

    def __init__(
        self,
        foundation: Foundation,
        *,
        backup: Backup,
        anchors: Anchors,
        workflow: Workflow,
        batch: Batch,
        refunds: Refunds,
        recovery: Recovery,
        webhooks: Webhooks,
        api: RestApi,
        second_factor: SecondFactor | None = None,
    ) -> None:
        super().__init__(foundation.scope, "monitoring")
        settings = foundation.settings
        functions = [
            # without authorize: it fails for an invalid token, and five invalid tokens are not an error of the service
            api.api,
            webhooks.webhook,
            batch.split,
            batch.dispatch,
            workflow.validate,
            workflow.charge,
            workflow.record,
            workflow.audit,
            refunds.refund,
            batch.report,
            recovery.sweep,
            backup.backup,
            anchors.anchor,
            *([second_factor.mfa] if second_factor else []),
        ]
        table = alarms(settings, functions, batch.queue, workflow, api)
        create_alarms(self, settings, foundation.notifications, table)
        create_dashboard(self, settings, api, table)
