"""An encrypted log group, kept for the environment's LOG_RETENTION_DAYS."""

from lib.bindings import CloudwatchLogGroup, Construct
from lib.foundation.encryption import Encryption
from lib.iam import waive
from lib.settings import Settings


def log_group(scope: Construct, name: str, settings: Settings, encryption: Encryption) -> CloudwatchLogGroup:
    """The log group of a construct."""
    days = settings.effective.log_retention_days
    group = CloudwatchLogGroup(scope, "logs", name=name, retention_in_days=days, kms_key_id=encryption.arn)
    if days < 365:
        waive(group, CKV_AWS_338="only production keeps its logs for a year, by a setting: longer retention costs more")
    return group
