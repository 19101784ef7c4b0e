"""payctl customer."""

from typing import Annotated

import typer

from payctl import show
from payctl.failures import Exit, Failure
from payctl.options import Json, stack_of
from payments.cards import card_number_in
from payments.payment import CUSTOMER_ID, PAYMENT_METHOD

app = typer.Typer(help="Customers and their default payment methods.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `set-default` a command of its own while it is the only one."""


@app.command("set-default")
def set_default(
    context: typer.Context,
    customer_id: Annotated[str, typer.Argument(help="Your id of the customer.")],
    payment_method: Annotated[str, typer.Argument(help="A payment method at the gateway, such as pm_1AbC.")],
    json: Json = False,
) -> None:
    """Set what a customer's payments are charged on when they name no payment method themselves."""
    if not CUSTOMER_ID.fullmatch(customer_id):
        raise Failure(
            "the customer id is not one; give 1 to 64 letters, digits, '_' or '-', starting with a letter or digit",
            code=Exit.USAGE,
        )
    if not PAYMENT_METHOD.fullmatch(payment_method) or card_number_in(payment_method):
        raise Failure(
            "the payment method is not one; give the gateway's token such as pm_1AbC, never a card number",
            code=Exit.USAGE,
        )
    stack = stack_of(context)
    stack.client("dynamodb").update_item(
        TableName=stack["customers_table"],
        Key={"customer_id": {"S": customer_id}},
        UpdateExpression="SET default_payment_method = :method",
        ExpressionAttributeValues={":method": {"S": payment_method}},
    )
    if json:
        show.as_json({"customer_id": customer_id, "default_payment_method": payment_method})
        return
    show.facts([("customer", customer_id), ("default", payment_method), ("environment", stack.name)])
