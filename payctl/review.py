"""payctl payment approve, payctl payment reject."""

from typing import Annotated

import typer

from payctl import adapters, prompts, show
from payctl.failures import Exit, Failure, from_boto3
from payctl.options import Json, stack_of
from payctl.prompts import Yes
from payctl.stack import Stack
from payments.application.review import decide, execution_suffix_of
from payments.domain.card_data import card_data_in
from payments.domain.clock import utc_now
from payments.domain.fraud_hold import Verdict, decision_on, is_held
from payments.domain.payment import MAX_MESSAGE, Change, Payment
from payments.domain.statuses import Status
from payments.ports.payment_store import VersionConflict

SAID = {
    Verdict.APPROVED: "approved",
    Verdict.REJECTED: "rejected",
    Verdict.EXPIRED: "rejected at the end of its hold",
    Verdict.RELEASED: "released at the end of its hold",
}
QUESTIONS = {Verdict.APPROVED: "charge it", Verdict.REJECTED: "reject it permanently"}


def approve(context: typer.Context, payment_id: str, yes: Yes = False, json: Json = False) -> None:
    """Charge a payment that a fraud rule holds.

    Another execution of the workflow does this under the same rules: a second approval does not charge it twice.
    """
    _review(stack_of(context), payment_id, Verdict.APPROVED, "an operator approved it", yes=yes, json=json)


def reject(
    context: typer.Context,
    payment_id: str,
    reason: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="The reason. It is kept in the payment's history; its customer does not see it."
        ),
    ],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Permanently reject a payment that a fraud rule holds. It is never sent to the gateway."""
    reason = reason.strip()
    if not 1 <= len(reason) <= MAX_MESSAGE or not reason.isprintable():
        raise Failure(f"--reason takes 1 to {MAX_MESSAGE} printable characters on one line", code=Exit.USAGE)
    if looks := card_data_in(reason):
        raise Failure(f"--reason contains what looks like {looks}; remove it", code=Exit.USAGE)
    _review(stack_of(context), payment_id, Verdict.REJECTED, reason, yes=yes, json=json)


def _review(stack: Stack, payment_id: str, verdict: Verdict, message: str, *, yes: bool, json: bool) -> None:
    """Record the decision unless it is recorded already, then start its execution. Raises Failure."""
    payment = _row(stack, payment_id)
    if is_held(payment):
        if not yes:
            what, question = _what(stack, payment), QUESTIONS[verdict]
            prompts.confirm(f"{what}. {question.capitalize()}?", otherwise=f"{what}; {question}")
        payment = _decided(stack, payment, verdict, message)
    decision = decision_on(payment)
    if decision is None or decision.code != verdict or payment.status is Status.IN_REVIEW:
        raise _refused(payment, decision)
    _carry_out(stack, payment_id, decision)
    _print_result(stack, payment, decision, json)


def _row(stack: Stack, payment_id: str) -> Payment:
    payment = adapters.payments(stack).get(payment_id)
    if payment is None:
        raise Failure(f"there is no payment {payment_id} in {stack.name}")
    return payment


def _what(stack: Stack, payment: Payment) -> str:
    whose = f" of customer {payment.customer_id}" if payment.customer_id else ""
    held = f"held since {payment.updated_at} ({payment.hold})"
    return f"{payment.payment_id} of {payment.money}{whose} in {stack.name} is {held}"


def _decided(stack: Stack, payment: Payment, verdict: Verdict, message: str) -> Payment:
    """The row with the decision. If another operator decided at the same time, the row has their decision."""
    try:
        return decide(
            payment, verdict, by=adapters.operator(stack), message=message, store=adapters.payments(stack), at=utc_now()
        )
    except VersionConflict:
        show.note(f"another operator decided on {payment.payment_id} at the same time")
        return _row(stack, payment.payment_id)


def _refused(payment: Payment, decision: Change | None) -> Failure:
    """The reason why there is nothing to decide, and what to do instead."""
    payment_id = payment.payment_id
    if payment.status is Status.IN_REVIEW:
        return Failure(
            f"{payment_id} is held for another reason: {payment.message or 'none was recorded'} ({payment.code})",
            details=[f"correct it in the gateway's dashboard, then run: payctl payment recheck {payment_id}"],
        )
    if decision:
        said = SAID[Verdict(decision.code)]
        return Failure(f"{payment_id} was {said} by {decision.actor} at {decision.at}; it is {payment.status} now")
    return Failure(f"{payment_id} is {payment.status}: no fraud rule holds it")


def _carry_out(stack: Stack, payment_id: str, decision: Change) -> None:
    """Start the decision's execution. A repeated start has no effect. Raises Failure."""
    try:
        adapters.workflow(stack).restart(payment_id, execution_suffix_of(decision))
    except Exception as error:
        problem = from_boto3(error)
        if problem is None:
            raise
        raise Failure(
            f"{payment_id} is {SAID[Verdict(decision.code)]}, but its execution was not started: {problem.message}",
            details=["recovery starts it within minutes; to start it now, run the same command again"],
        ) from None


def _print_result(stack: Stack, payment: Payment, decision: Change, json: bool) -> None:
    execution = f"{payment.payment_id}.{execution_suffix_of(decision)}"
    if json:
        show.as_json(
            {
                "environment": stack.name,
                "payment_id": payment.payment_id,
                "status": payment.status.value,
                "decision": SAID[Verdict(decision.code)],
                "by": decision.actor,
                "at": decision.at,
                "message": decision.message,
                "execution": execution,
            }
        )
        return
    show.facts(
        [
            ("payment", payment.payment_id),
            ("amount", payment.money),
            (SAID[Verdict(decision.code)], f"by {decision.actor} at {decision.at}: {decision.message}"),
            ("status", show.status(payment.status)),
            ("execution", execution),
            ("environment", stack.name),
        ]
    )
    show.note(f"follow it with: payctl status {payment.payment_id}")
