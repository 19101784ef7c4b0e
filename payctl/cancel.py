"""payctl payment cancel."""

import typer

from payctl import adapters, prompts, show
from payctl.failures import Failure
from payctl.options import Json, stack_of
from payctl.prompts import Yes
from payments.application.cancel import NotPending, cancel, execution_suffix_of
from payments.domain.clock import utc_now
from payments.domain.payment import Payment
from payments.domain.statuses import Status


def cancel_payment(context: typer.Context, payment_id: str, yes: Yes = False, json: Json = False) -> None:
    """Cancel a pending payment, so that it is never charged. A payment that is being sent cannot be canceled."""
    stack = stack_of(context)
    payment = adapters.payments(stack).get(payment_id)
    if payment is None:
        raise Failure(f"there is no payment {payment_id} in {stack.name}")
    if payment.status is Status.PENDING and not yes:
        what = f"{payment_id} of {payment.money} in {stack.name} is pending since {payment.created_at}"
        prompts.confirm(f"{what}. Cancel it permanently?", otherwise=f"{what}; cancel it permanently")
    try:
        payment, repeated = cancel(
            payment_id,
            by=adapters.operator(stack),
            store=adapters.payments(stack),
            workflow=adapters.workflow(stack),
            clock=utc_now,
        )
    except NotPending as refused:
        raise _refused(refused.payment) from None
    if repeated:
        show.note(f"{payment_id} was already canceled")
    change = payment.history[-1]
    if json:
        show.as_json(
            {
                "environment": stack.name,
                "payment_id": payment_id,
                "status": payment.status.value,
                "code": payment.code,
                "by": change.actor,
                "at": change.at,
                "repeated": repeated,
            }
        )
        return
    show.facts(
        [
            ("payment", payment_id),
            ("amount", payment.money),
            ("canceled", f"by {change.actor} at {change.at} ({payment.code})"),
            ("status", show.status(payment.status)),
            ("execution", f"{payment_id}.{execution_suffix_of(payment)}"),
            ("environment", stack.name),
        ]
    )


def _refused(payment: Payment) -> Failure:
    """Why a payment cannot be canceled, and what to do instead."""
    payment_id = payment.payment_id
    if payment.status is Status.IN_REVIEW:
        details = [f"reject it with: payctl payment reject {payment_id} --reason TEXT, if a fraud rule holds it"]
    else:
        details = [f"see what happens next with: payctl payment explain {payment_id}"]
    return Failure(f"{payment_id} is {payment.status}; only a pending payment can be canceled", details=details)
