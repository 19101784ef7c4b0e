"""Topics: payment events for subscribers, alarms for operators."""

from lib.bindings import Construct, KmsKey, SnsTopic, SnsTopicPolicy, SnsTopicSubscription
from lib.foundation.encryption import Encryption
from lib.iam import Grantee, document
from lib.settings import Settings


class Notifications(Construct):
    """Two encrypted topics. Subscribers of payment events filter on the attributes `event_type` and `status`."""

    def __init__(self, scope: Construct, settings: Settings, encryption: Encryption, account_id: str) -> None:
        super().__init__(scope, "notifications")
        self.payment_events = self._topic("payment-events", settings, encryption.key)
        self.alarms = self._topic("payment-alarms", settings, encryption.alarms_key)
        SnsTopicPolicy(
            self,
            "alarms_policy",
            arn=self.alarms.arn,
            policy=document(
                {
                    "Sid": "CloudWatchAlarmsOfThisAccount",
                    "Effect": "Allow",
                    "Principal": {"Service": "cloudwatch.amazonaws.com"},
                    "Action": "sns:Publish",
                    "Resource": self.alarms.arn,
                    "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
                }
            ),
        )
        for position, address in enumerate(settings.alarm_emails):
            SnsTopicSubscription(
                self, f"alarm_email_{position}", topic_arn=self.alarms.arn, protocol="email", endpoint=address
            )

    def _topic(self, name: str, settings: Settings, key: KmsKey) -> SnsTopic:
        return SnsTopic(self, name, name=settings.name(name), display_name=name, kms_master_key_id=key.arn)

    @property
    def environment(self) -> dict[str, str]:
        """The variable with the ARN of the topic of payment events."""
        return {"PAYMENT_EVENTS_TOPIC_ARN": self.payment_events.arn}

    def grant_publish(self, function: Grantee) -> None:
        """Let a function publish payment events."""
        function.allow(["sns:Publish"], [self.payment_events.arn])
