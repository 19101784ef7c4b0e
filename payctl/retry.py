"""payctl payment retry."""

from datetime import timedelta

import typer

from payctl import adapters, at_gateway, prompts, show
from payctl.failures import Failure
from payctl.options import Json, stack_of
from payctl.prompts import Yes
from payctl.stack import Stack
from payments.application.batch.switches import Switches
from payments.application.retry import (
    ChargeFound,
    ListNotRead,
    NotRetryable,
    Retries,
    Retry,
    RetryIdTaken,
    RetryRefused,
    last_of,
)
from payments.domain.clock import utc_now
from payments.domain.errors import PaymentError
from payments.domain.retry import may_be_retried, retry_id_of
from payments.ports.payment_store import VersionConflict

READS_FOR = timedelta(minutes=5)
"""How long the gateway's list is read for one payment: an operator can wait longer than the API."""


def retry_payment(context: typer.Context, payment_id: str, yes: Yes = False, json: Json = False) -> None:
    """Send a failed payment again, under an id that follows from its own. The gateway is asked about it first."""
    stack = stack_of(context)
    store = adapters.payments(stack)
    payment = store.get(payment_id)
    if payment is None:
        raise Failure(f"there is no payment {payment_id} in {stack.name}")
    if may_be_retried(payment) and last_of(payment, store) == payment and not yes:
        what = f"{payment_id} of {payment.money} in {stack.name} is {payment.status} since {payment.updated_at}"
        prompts.confirm(f"{what}. Send it again as {retry_id_of(payment_id)}?", otherwise=f"{what}; send it again")
    retry, repeated = sent_again(stack, retries(stack), payment_id)
    if repeated:
        show.note(f"{payment_id} was already sent again")
        if may_be_retried(last := last_of(retry, store)):
            show.note(
                f"{last.payment_id} was not charged either; send it again with: payctl payment retry {last.payment_id}"
            )
        elif last != retry:
            show.note(f"its last retry is {last.payment_id}, which is {last.status}")
    if json:
        show.as_json(
            {
                "environment": stack.name,
                "payment_id": payment_id,
                "retried_as": retry.payment_id,
                "status": retry.status.value,
                "repeated": repeated,
            }
        )
        return
    show.facts(
        [
            ("payment", payment_id),
            ("retried as", retry.payment_id),
            ("amount", retry.money),
            ("status", show.status(retry.status)),
            ("environment", stack.name),
            ("outcome", f"payctl payment explain {retry.payment_id}"),
        ]
    )


def retries(stack: Stack) -> Retries:
    """Sends payments of the stack again, as the operator. Raises Failure if the gateway cannot be asked."""
    return Retries(
        adapters.payments(stack, encrypts=True),
        at_gateway.gateway(stack),
        adapters.encryptor(stack),
        adapters.workflow(stack),
        stack.outputs.get("environment_id", ""),
        held=lambda payment: Switches(adapters.batches(stack), utc_now).of(payment).holds,
        reads_for=READS_FOR,
    )


def sent_again(stack: Stack, sender: Retries, payment_id: str) -> Retry:
    """Send a payment again. Raises Failure with what to do instead."""
    try:
        return sender.retry(payment_id, by=adapters.operator(stack), at=utc_now())
    except RetryRefused as refused:
        raise Failure(f"nothing was sent: {refused}", details=[_instead(refused, payment_id)]) from None
    except VersionConflict as conflict:
        raise Failure(f"nothing was sent: {conflict}", details=["run the command again"]) from None
    except PaymentError as error:
        raise Failure(
            f"nothing was sent: the gateway was not asked about {payment_id}: {error.message}",
            details=["run the command again later"],
        ) from None


def _instead(refused: RetryRefused, payment_id: str) -> str:
    match refused:
        case NotRetryable() if refused.asked:
            return f"the gateway is asked about it now; see the answer with: payctl payment explain {payment_id}"
        case ChargeFound():
            return f"compare both, and do not pay it anew: payctl payment explain {payment_id}"
        case ListNotRead():
            return "run the command again later"
        case RetryIdTaken():
            return f"see that payment with: payctl payment explain {retry_id_of(payment_id)}"
    return f"see what to do with: payctl payment explain {payment_id}"
