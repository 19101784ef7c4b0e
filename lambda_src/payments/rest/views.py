"""Payments as the API shows them. Payment methods and fingerprints are never shown, but for a method that its customer
must confirm again."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from payments.application.hold import Waiting
from payments.domain.audit_chain import OUTCOME_IN_WORDS, AuditEntry
from payments.domain.batch.state import Batch
from payments.domain.fraud_hold import as_payers_see_it
from payments.domain.money import Money
from payments.domain.payment import Payment
from payments.domain.refund import Refund
from payments.domain.sealed_text import is_sealed
from payments.domain.statuses import Status
from payments.ports.next_actions import NextAction

MASKED = "***"


def link_to(payment_id: str) -> str:
    """The link to a payment, relative to the API's base address."""
    return f"/payments/{payment_id}"


def accepted_view(payment: Payment) -> dict[str, Any]:
    """The answer to a submitted payment. It contains only fields that never change: repeated calls get the same."""
    return {
        "payment_id": payment.payment_id,
        "status": Status.PENDING.value,
        "accepted_at": payment.created_at,
        "links": {"self": link_to(payment.payment_id)},
    }


def payment_view(payment: Payment, *, to_payer: bool = False) -> dict[str, Any]:
    """A decrypted payment with its status, history and references. Empty fields are omitted.

    A payer sees HIDDEN_DECLINE_CODES as `generic_decline`, and nothing of a fraud rule.
    """
    payment = as_payers_see_it(payment) if to_payer else payment
    view = {
        "payment_id": payment.payment_id,
        "status": payment.status.value,
        "amount": payment.money.decimal,
        "currency": payment.money.currency,
        "amount_refunded": Money(payment.refunded or 0, payment.money.currency).decimal,
        "customer_id": payment.customer_id,
        "description": payment.description,
        "metadata": dict(payment.metadata),
        "client_ip": "" if to_payer else payment.client_ip,
        "off_session": payment.off_session,
        "source": payment.source,
        "retry_of": payment.retry_of,
        "retried_as": payment.retried_as,
        "reason": _reason(payment.code, payment.message),
        "created_at": payment.created_at,
        "updated_at": payment.updated_at,
        "history": [
            _filled(
                {
                    "version": change.version,
                    "status": change.status.value,
                    "at": change.at,
                    "actor": change.actor.partition(":")[0],  # an operator's name appears only in the audit log
                    "reason": _reason(change.code, change.message),
                }
            )
            for change in payment.history
        ],
        "links": {"self": link_to(payment.payment_id)},
    }
    references = {
        "gateway": payment.gateway,
        "gateway_reference": payment.gateway_reference,
        "correlation_id": payment.correlation_id,
        "batch_id": payment.batch_id,
        "batch_line": payment.batch_line,
    }
    return _filled(view) | {"references": _filled(references)}


def link_to_refund(refund_id: str) -> str:
    """The link to a refund, relative to the API's base address."""
    return f"/refunds/{refund_id}"


def refund_view(refund: Refund, metadata: Mapping[str, str]) -> dict[str, Any]:
    """A refund with its history, and its metadata in plain text. Empty fields are omitted."""
    view = {
        "refund_id": refund.refund_id,
        "payment_id": refund.payment_id,
        "status": refund.status.value,
        "amount": refund.money.decimal,
        "currency": refund.money.currency,
        "reason": refund.reason,
        "description": refund.description,
        "metadata": dict(metadata),
        "source": refund.source,
        "why": _reason(refund.code, refund.message),
        "attention": refund.attention,
        "gateway_reference": refund.gateway_reference,
        "created_at": refund.created_at,
        "updated_at": refund.updated_at,
        "history": [
            _filled(
                {
                    "version": change.version,
                    "status": change.status.value,
                    "at": change.at,
                    "actor": change.actor.partition(":")[0],
                    "reason": _reason(change.code, change.message),
                }
            )
            for change in refund.history
        ],
        "links": {"self": link_to_refund(refund.refund_id), "payment": link_to(refund.payment_id)},
    }
    return _filled(view)


def batch_view(batch: Batch) -> dict[str, Any]:
    """A batch with its switch and its counts. `by_status` counts its results once they are written."""
    switch, progress = batch.switch, batch.progress
    view = {
        "batch_id": batch.batch_id,
        "file": batch.source.file,
        "status": batch.status.value,
        "switch": _filled({"state": switch.state.value, "by": switch.by.partition(":")[0], "at": switch.at}),
        "by_status": dict(batch.by_status),
        "created_at": batch.created_at,
        "updated_at": batch.updated_at,
    }
    counts = {
        "rows_read": progress.rows_read,
        "rows_accepted": progress.rows_accepted,
        "rows_rejected": progress.rows_rejected,
        "already_submitted": progress.already_submitted,
        "rows_closed": batch.rows_closed,
    }
    return _filled(view) | counts


def waiting_view(waiting: Waiting | None) -> dict[str, Any]:
    """Why a payment waits, as the field `waiting`; nothing if it does not."""
    return {"waiting": _filled(asdict(waiting))} if waiting else {}


def next_action_view(action: NextAction) -> dict[str, Any]:
    """What the customer must do next. Only for the payment's submitter and its customer."""
    return _filled(asdict(action))


def audit_view(entry: AuditEntry) -> dict[str, Any]:
    """An audit entry: who, when, what, the outcome in words, before and after. Private fields are masked."""
    reference = entry.gateway_reference
    after = {
        "status": entry.status,
        "amount": Money(entry.minor_units, entry.currency).decimal,
        "currency": entry.currency,
        "customer_id": entry.customer_id,
        "gateway_reference": MASKED if is_sealed(reference) else reference,
    }
    view = {
        "payment_id": entry.payment_id,
        "sequence": entry.sequence,
        "at": entry.at,
        "status": entry.status,
        "outcome": entry.outcome or OUTCOME_IN_WORDS[Status(entry.status)],
        "who": _filled(
            {
                "actor": entry.actor,
                "subject": entry.subject,
                "role": entry.role,
                "channel": entry.channel,
                "uploader": entry.uploader,
            }
        ),
        "reason": _reason(entry.code, entry.message),
        "before": {"status": entry.before} if entry.before else {},
        "after": _filled(after),
        "correlation_id": entry.correlation_id,
        "hash": entry.hash,
        "previous_hash": entry.previous_hash,
        "signature": entry.mac,
    }
    return _filled(view)


def _reason(code: str, message: str) -> dict[str, str]:
    return {"code": code, "message": message} if code else {}


def _filled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in ("", {}, 0)}
