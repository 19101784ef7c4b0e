"""The resources in the local AWS, by kind: what an environment created, and what it left behind."""

from collections.abc import Callable
from typing import Any

Client = Callable[[str], Any]


def everything(client: Client) -> dict[str, list[str]]:
    """The names of all resources that our stacks create, by service."""
    iam, s3, dynamodb = client("iam"), client("s3"), client("dynamodb")
    gateway, cloudwatch = client("apigateway"), client("cloudwatch")
    alarms = cloudwatch.get_paginator("describe_alarms").paginate()
    return {
        "roles": [role["RoleName"] for role in iam.list_roles()["Roles"]],
        "buckets": [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]],
        "tables": dynamodb.list_tables()["TableNames"],
        "functions": [function["FunctionName"] for function in client("lambda").list_functions()["Functions"]],
        "layers": [layer["LayerName"] for layer in client("lambda").list_layers()["Layers"]],
        "queues": client("sqs").list_queues().get("QueueUrls", []),
        "topics": [topic["TopicArn"] for topic in client("sns").list_topics()["Topics"]],
        "state machines": [m["name"] for m in client("stepfunctions").list_state_machines()["stateMachines"]],
        "secrets": [secret["Name"] for secret in client("secretsmanager").list_secrets()["SecretList"]],
        "user pools": [pool["Name"] for pool in client("cognito-idp").list_user_pools(MaxResults=60)["UserPools"]],
        "web ACLs": [acl["Name"] for acl in client("wafv2").list_web_acls(Scope="REGIONAL")["WebACLs"]],
        "usage plans": [plan["name"] for plan in gateway.get_usage_plans()["items"]],
        "API keys": [key["name"] for key in gateway.get_api_keys()["items"]],
        "key aliases": [alias["AliasName"] for alias in client("kms").list_aliases()["Aliases"]],
        "apis": [api["name"] for api in gateway.get_rest_apis()["items"]],
        "alarms": [alarm["AlarmName"] for page in alarms for alarm in page["MetricAlarms"]],
        "dashboards": [board["DashboardName"] for board in cloudwatch.list_dashboards()["DashboardEntries"]],
        "log groups": [group["logGroupName"] for group in client("logs").describe_log_groups()["logGroups"]],
    }


def of_suffix(names: dict[str, list[str]], suffix: str) -> dict[str, list[str]]:
    """The resources of one environment. A bucket's name continues after the suffix."""
    return {
        kind: [name for name in found if name.endswith(f"-{suffix}") or f"-{suffix}-" in name]
        for kind, found in names.items()
    }
