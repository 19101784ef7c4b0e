"""Schedules: functions that run every so many hours."""

from collections.abc import Sequence

from lib.bindings import Construct, IamRole, IamRolePolicy, SchedulerSchedule
from lib.foundation.functions import Function
from lib.iam import allow, assumed_by, document, waive
from lib.settings import Settings


class FunctionSchedule(Construct):
    """Invokes a function every so many hours, with a role that may invoke it and nothing else."""

    def __init__(
        self, scope: Construct, settings: Settings, function: Function, hours: int, after: Sequence[Function] = ()
    ) -> None:
        """It is created, and runs for the first time, after these functions are deployed."""
        super().__init__(scope, f"{function.label}_schedule")
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
            schedule_expression="rate(1 hour)" if hours == 1 else f"rate({hours} hours)",
            flexible_time_window={"mode": "OFF"},
            target={
                "arn": function.arn,
                "role_arn": role.arn,
                "input": "{}",
                "retry_policy": {"maximum_retry_attempts": 3, "maximum_event_age_in_seconds": 3600},
            },
            depends_on=[policy, *(other.function for other in after)],
        )
        waive(schedule, CKV_AWS_297="it carries no data: the function reads the tables")
