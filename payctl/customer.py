"""payctl customer."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from payctl import payment_list, prompts, show
from payctl.api import Api, Refused
from payctl.failures import Exit, Failure
from payctl.options import Json, stack_of
from payctl.prompts import Yes
from payctl.stack import Stack
from payments.domain.customer import parse_customer, parse_patch, parse_search
from payments.domain.payment import CUSTOMER_ID, InvalidRequest

app = typer.Typer(help="Customers and their default payment methods.", no_args_is_help=True)

CustomerId = Annotated[str, typer.Argument(metavar="ID", help="Your id for the customer.")]
Email = Annotated[str, typer.Option(metavar="ADDRESS", help="The customer's e-mail address.")]
MOST_PAGES = 50
"""The most pages that `find` asks for: a thousand customers."""
METHOD = "A payment method at the gateway, for example pm_1AbC."


@app.command()
def create(
    context: typer.Context,
    customer_id: CustomerId,
    email: Email,
    name: Annotated[str | None, typer.Option(help="The customer's name.")] = None,
    method: Annotated[str | None, typer.Option(help=METHOD)] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="SUB", help="The `sub` of the user who owns this customer.")
    ] = None,
    json: Json = False,
) -> None:
    """Create a customer, as a merchant or an admin. Repeating the same command changes nothing."""
    given = {"customer_id": customer_id, "email": email, "name": name, "default_payment_method": method}
    body = {field: value for field, value in (given | {"subject": subject}).items() if value is not None}
    _check(parse_customer, body)
    stack = stack_of(context)
    answer = Api(stack).call("POST", "/customers", body)
    if answer.replayed:
        show.note(f"{customer_id} already existed with the same data")
    _print_result(stack, answer.body, json)


@app.command("show")
def show_one(context: typer.Context, customer_id: CustomerId, json: Json = False) -> None:
    """Show a customer. Only the last four characters of the payment method are shown."""
    stack = stack_of(context)
    _print_result(stack, Api(stack).call("GET", _path(customer_id)).body, json)


@app.command()
def cards(context: typer.Context, customer_id: CustomerId, json: Json = False) -> None:
    """List the cards that a customer saved at the gateway, newest first."""
    found = Api(stack_of(context)).call("GET", f"{_path(customer_id)}/payment-methods").body
    if json:
        show.as_json(found)
        return
    rows = [
        [
            card["id"],
            card["brand"],
            f"****{card['last4']}",
            f"{card['exp_month']:02}/{card['exp_year']}",
            "yes" if card["default"] else "",
        ]
        for card in found["payment_methods"]
    ]
    show.table("cards", ("payment method", "brand", "number", "expires", "default"), rows)


app.command("payments")(payment_list.customer_payments)


@app.command("set-default")
def set_default(
    context: typer.Context,
    customer_id: CustomerId,
    payment_method: Annotated[str, typer.Argument(metavar="METHOD", help=METHOD)],
    json: Json = False,
) -> None:
    """Set the payment method for a customer's payments that do not name one."""
    body = {"default_payment_method": payment_method}
    path = _path(customer_id)
    _check(parse_patch, body)
    stack = stack_of(context)
    try:
        answer = Api(stack).call("PATCH", path, body)
    except Refused as refused:
        if refused.status != 404:
            raise
        advice = f"create it with: payctl customer create {customer_id} --email ADDRESS --method METHOD"
        raise Failure(refused.message, details=[advice, *refused.details]) from None
    _print_result(stack, answer.body, json)


@app.command()
def erase(context: typer.Context, customer_id: CustomerId, yes: Yes = False, json: Json = False) -> None:
    """Erase a customer's personal data and saved cards permanently. Payment records are kept."""
    path = _path(customer_id)
    stack = stack_of(context)
    if not yes:
        prompts.confirm(
            f"This permanently erases {customer_id} in {stack.name}, and the id cannot be used again. Continue?",
            otherwise=f"this permanently erases {customer_id} in {stack.name}; confirm",
        )
    Api(stack).call("DELETE", path)
    if json:
        show.as_json({"environment": stack.name, "customer_id": customer_id, "erased": True})
        return
    show.out.print(f"{customer_id} in {stack.name} is erased.")


@app.command()
def find(context: typer.Context, email: Email, json: Json = False) -> None:
    """Find the customers with an e-mail address."""
    from urllib.parse import quote

    address = _check(parse_search, {"email": email})
    api, customers, cursor, complete = Api(stack_of(context)), [], "", False
    for _ in range(MOST_PAGES):
        following = f"&cursor={cursor}" if cursor else ""
        found = api.call("GET", f"/customers?email={quote(address, safe='')}{following}").body
        customers += found["customers"]
        cursor, complete = found.get("next_cursor", ""), found["complete"]
        if complete:
            break
    if json:
        show.as_json({"customers": customers, "complete": complete})
        return
    columns = ("customer_id", "name", "default_payment_method", "created_at")
    rows = [[customer.get(column, "") for column in columns] for customer in customers]
    show.table("customers", ("customer", "name", "default", "at"), rows)
    if not complete:
        show.note("there are more customers with this address; they are not shown")


def _print_result(stack: Stack, customer: dict[str, Any], json: bool) -> None:
    if json:
        show.as_json(customer)
        return
    show.facts(
        [
            ("customer", customer["customer_id"]),
            ("e-mail", customer.get("email", "")),
            ("name", customer.get("name", "")),
            ("default", customer.get("default_payment_method", "")),
            ("created at", customer.get("created_at", "")),
            ("updated at", customer.get("updated_at", "")),
            ("environment", stack.name),
        ]
    )


def _path(customer_id: str) -> str:
    if not CUSTOMER_ID.fullmatch(customer_id):
        raise Failure(
            "the customer id is not valid; give 1 to 64 letters, digits, '_' or '-', starting with a letter or digit",
            code=Exit.USAGE,
        )
    return f"/customers/{customer_id}"


def _check[T](parse: Callable[[dict[str, str]], T], body: dict[str, str]) -> T:
    """Apply the API's own rules before sending: a card number never leaves this machine."""
    try:
        return parse(body)
    except InvalidRequest as invalid:
        errors = [f"{error.field}: {error.message}" for error in invalid.errors]
        raise Failure("nothing was sent: some values are not valid", details=errors, code=Exit.USAGE) from None
