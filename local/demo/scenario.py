"""The requests and rows that the demonstration sends, with their expected outcomes: the two tables below."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from payments.domain.statuses import Status

SAMPLE = Path(__file__).parents[1] / "samples" / "payments.csv"
SAMPLE_ID = "pay_sample"
"""The prefix of ids in the sample. Each run replaces it with its own prefix, to be repeatable."""

CUSTOMER_METHODS = {"cus_sample": "pm_card_mastercard", "cus_broke": "pm_card_chargeDeclinedInsufficientFunds"}
"""Customer → default payment method, set before the first request."""

REFUSED = "refused"
"""The outcome of a row that was rejected before it became a payment."""


@dataclass(frozen=True)
class Expected:
    """An outcome: a status or REFUSED, and a text that the reason must contain."""

    outcome: str
    says: str = ""


@dataclass(frozen=True)
class Call:
    """A POST /payments: a title, the body (the run completes the id), the expected HTTP status and header, and the
    final state of the payment with this id. An empty outcome means that there is no payment."""

    what: str
    body: Mapping[str, str]
    http_status: int
    expected: Expected
    replayed: bool = False
    by_token: bool = False
    """Pay with a token of the customer's payment method. The token is created before."""
    authenticates: bool = False
    """The customer authenticates with the payment's next action once it is `requires_action`."""


def _body(name: str, amount: str, currency: str = "USD", **more: str) -> dict[str, str]:
    return {"payment_id": name, "amount": amount, "currency": currency, **more}


_S = Status

CALLS = (
    Call("a payment", _body("good", "99.99"), 202, Expected(_S.SUCCEEDED)),
    Call("the same request again", _body("good", "99.99"), 202, Expected(_S.SUCCEEDED), replayed=True),
    Call("the same id, another amount", _body("good", "1.00"), 409, Expected(_S.SUCCEEDED, "other content")),
    Call("dinars have 3 digits", _body("dinar", "3.500", "KWD"), 202, Expected(_S.SUCCEEDED)),
    Call("yen have none", _body("yens", "10.50", "JPY"), 400, Expected("", "more digits than JPY has")),
    Call("a card number", _body("pan", "5.00", description="4242424242424242"), 400, Expected("", "card number")),
    Call(
        "a declined card",
        _body("no", "20.00", payment_method="pm_card_visa_chargeDeclined"),
        202,
        Expected(_S.DECLINED, "the card was declined"),
    ),
    Call(
        "a customer without funds",
        _body("broke", "8.00", "EUR", customer_id="cus_broke"),
        202,
        Expected(_S.DECLINED, "insufficient_funds"),
    ),
    Call(
        "a customer's token",
        _body("token", "8.00", "EUR", customer_id="cus_sample"),
        202,
        Expected(_S.SUCCEEDED),
        by_token=True,
    ),
    Call(
        "3-D Secure, authenticated",
        _body("auth", "45.00", "EUR", payment_method="pm_card_authenticationRequired"),
        202,
        Expected(_S.SUCCEEDED),
        authenticates=True,
    ),
    Call(
        "also a row of the file",
        _body("rest", "12.00", description="Submitted over REST as well"),
        202,
        Expected(_S.SUCCEEDED),
    ),
)

ROWS: dict[int, Expected] = {
    2: Expected(_S.SUCCEEDED),
    3: Expected(_S.SUCCEEDED),
    4: Expected(_S.SUCCEEDED),  # its description has a line break and continues in line 5
    6: Expected(_S.SUCCEEDED),
    7: Expected(_S.SUCCEEDED),
    8: Expected(_S.SUCCEEDED),
    9: Expected(_S.DECLINED, "the card was declined"),
    10: Expected(_S.DECLINED, "insufficient_funds"),
    11: Expected(_S.DECLINED, "lost_card"),
    12: Expected(_S.REQUIRES_ACTION),
    13: Expected(_S.DECLINED, "does not know the payment method"),
    14: Expected(_S.REJECTED, "last digit of 0"),
    15: Expected(_S.REJECTED, "IRR"),
    16: Expected(_S.SUCCEEDED),  # the payment of the last call: charged there, only reported here
    17: Expected(REFUSED, "amount: '10.50' has more digits than JPY has"),
    18: Expected(REFUSED, "amount: '9.999' has more digits than USD has"),
    19: Expected(REFUSED, "payment_id: line 2 has the same payment_id"),
    20: Expected(REFUSED, "currency: 'XXZ' is not an ISO 4217 currency code"),
    21: Expected(REFUSED, "description: it looks like a card number"),
    22: Expected(REFUSED, "the row has 2 cells and the header 7"),
    23: Expected(REFUSED, "amount: '-5.00' is not a plain decimal number"),
    24: Expected(REFUSED, "amount: '1,000.00' is not a plain decimal number"),
    25: Expected(REFUSED, "amount: '0' is out of range"),
    26: Expected(REFUSED, "payment_id: "),
    27: Expected(REFUSED, "payment_id: payment_id is missing"),
    28: Expected(REFUSED, "metadata: not a JSON object"),
}
"""Line of the sample → expected outcome."""


@dataclass(frozen=True)
class Run:
    """The names of one run. `id` is its start time, for example 1121-160455."""

    id: str

    def payment_id(self, name: str) -> str:
        """The id of one of the run's payments."""
        return f"pay_{self.id}_{name}"

    def body(self, call: Call) -> dict[str, str]:
        """A call's body with this run's payment id."""
        return {**call.body, "payment_id": self.payment_id(call.body["payment_id"])}

    @property
    def file_name(self) -> str:
        """The name of the uploaded file."""
        return f"demo-{self.id}.csv"

    @property
    def csv(self) -> str:
        """The sample with this run's payment ids."""
        return SAMPLE.read_text(encoding="utf-8").replace(SAMPLE_ID, f"pay_{self.id}")
