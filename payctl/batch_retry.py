"""payctl batch retry."""

from collections.abc import Iterable, Iterator

import typer

from payctl import adapters, prompts, show
from payctl.failures import Exit, Failure
from payctl.options import Json, stack_of
from payctl.prompts import Yes
from payctl.retry import retries, sent_again
from payments.application.retry import last_of
from payments.domain.payment import Payment
from payments.domain.retry import may_be_retried
from payments.domain.statuses import Status
from payments.ports.payment_store import PaymentStore, require


def retry_batch(context: typer.Context, batch_id: str, yes: Yes = False, json: Json = False) -> None:
    """Send the failed payments of a batch again, each under an id that follows from its own.

    The gateway is asked about each of them first. Of a payment that was sent again before, only a retry that failed is
    sent again, and one that was not stored is created. The retries are payments of their own, and appear in no result
    file. For thousands of rows, upload resubmit.csv instead.
    """
    stack = stack_of(context)
    if adapters.batches(stack).get(batch_id) is None:
        raise Failure(f"there is no batch {batch_id} in {stack.name}; list them with: payctl batch list")
    store = adapters.payments(stack)
    failed = list(_to_send(store, store.of_batch(batch_id)))
    if failed and not yes:
        what = f"{len(failed)} failed payments of batch {batch_id} in {stack.name}"
        prompts.confirm(f"Send {what} again?", otherwise=f"send {what} again")
    sender = retries(stack)
    sent: list[dict[str, str]] = []
    refused: list[tuple[str, str]] = []
    for payment_id in show.progress("sending again", failed):
        try:
            retry, _ = sent_again(stack, sender, payment_id)
        except Failure as failure:
            refused.append((payment_id, failure.message))
        else:
            sent.append({"payment_id": payment_id, "retried_as": retry.payment_id, "status": retry.status.value})
    if json:
        why = [{"payment_id": payment_id, "reason": reason} for payment_id, reason in refused]
        show.as_json({"environment": stack.name, "batch_id": batch_id, "sent": sent, "refused": why})
    else:
        show.table("sent again", ("payment", "retried as", "status"), [tuple(row.values()) for row in sent])
        show.table("refused", ("payment", "reason"), refused)
        show.facts([("batch", batch_id), ("sent again", len(sent)), ("refused", len(refused))])
    if refused:
        raise typer.Exit(Exit.SOME_REFUSED)


def _to_send(store: PaymentStore, payments: Iterable[Payment]) -> Iterator[str]:
    """The ids of what failed last: a failed payment of the batch, or its last retry if that failed as well. The rows
    decide: the index by batch may be behind."""
    for payment in payments:
        if payment.status is Status.FAILED:
            last = last_of(require(store, payment.payment_id), store)
            if may_be_retried(last):
                yield last.payment_id
