"""Functions that run by the clock."""

from lib.bindings import Construct, IamRole, IamRolePolicy, SchedulerSchedule
from lib.foundation.functions import Function
from lib.iam import allow, assumed_by, document, waive
from lib.settings import Settings


class EveryMinute(Construct):
    """Calls a function once a minute, under a role that may call it and nothing else."""

    def __init__(self, scope: Construct, settings: Settings, function: Function) -> None:
        super().__init__(scope, f"{function.label}_every_minute")
        name = settings.name(f"payment-{function.label}-schedule")
        role = IamRole(self, "role", name=name, assume_role_policy=assumed_by("scheduler.amazonaws.com"))
        policy = IamRolePolicy(
            self,
            "policy",
            name="permissions",
            role=role.name,
            policy=document(allow(["lambda:InvokeFunction"], [function.arn])),
        )
        schedule = SchedulerSchedule(
            self,
            "schedule",
            name=name,
            schedule_expression="rate(1 minute)",
            flexible_time_window={"mode": "OFF"},
            target={
                "arn": function.arn,
                "role_arn": role.arn,
                "retry_policy": {"maximum_retry_attempts": 0},  # the next minute comes anyway
            },
            depends_on=[policy],
        )
        waive(schedule, CKV_AWS_297="it carries no data: the function finds in the tables what is to be done")
