"""The audit entry for a request that asked for somebody else's resource."""

from payments.domain.clock import iso
from payments.ports.access_log import AccessLog, Denied
from payments.rest.request import Request


def record_denied(log: AccessLog, request: Request, kind: str, resource_id: str) -> None:
    """Keep that the request's caller asked for something of this kind that exists and is not theirs."""
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
