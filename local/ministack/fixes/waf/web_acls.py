"""A web ACL returns its custom response bodies, association settings and data protection settings.

MiniStack drops them, which Terraform reports as a difference in every plan.

Probe: `web_acls` in tests/local/ministack/test_upstream.py.
"""

from typing import Any

from ministack.services import waf

from local.ministack.fixes.patching import wrap

FORGOTTEN = ("CustomResponseBodies", "AssociationConfig", "DataProtectionConfig")


def apply() -> None:
    wrap(waf, "create_web_acl_record", _create_whole)
    wrap(waf, "_update_web_acl", _update_whole)


def _create_whole(create: Any, name: str, scope: str, asked: dict[str, Any]) -> Any:
    uid, arn, acl = create(name, scope, asked)
    _keep(acl, asked)
    return uid, arn, acl


def _update_whole(update: Any, asked: dict[str, Any]) -> Any:
    status, headers, body = update(asked)
    if status == 200:
        _keep(waf.web_acl_record(asked["Id"], asked.get("Scope", "REGIONAL")), asked)
    return status, headers, body


def _keep(acl: dict[str, Any], asked: dict[str, Any]) -> None:
    acl.update({name: asked[name] for name in FORGOTTEN if name in asked})
