"""The record of a request that the caller's role does not allow, or to another caller's resource."""

from payments.domain.clock import iso
from payments.ports.access_log import AccessLog, Denied
from payments.rest.request import Request


def record_denied(log: AccessLog, request: Request, kind: str, resource_id: str) -> None:
    """Record that the caller requested an existing resource of another caller, or an operation that is for other roles:
    `kind` is then "operation" and `resource_id` its name."""
    entry = Denied(
        kind=kind,
        resource_id=resource_id,
        at=iso(request.at),
        subject=request.caller.subject,
        roles=",".join(sorted(request.caller.roles)),
        operation=request.operation,
        ip=request.ip,
        correlation_id=request.request_id,
    )
    log.denied(entry, request.at)
