"""The work of a run: payments over REST and in files, valid ones, invalid ones, and repeated ones."""

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from payments.domain.batch.state import Source
from payments.domain.customer import Customer
from payments.domain.statuses import Status

WELL = frozenset({Status.SUCCEEDED, Status.PARTIALLY_REFUNDED, Status.REFUNDED})
NEEDS_CUSTOMER = "pm_card_authenticationRequired"
FIRST_SETUP = "cus_with_card"
"""The customer whose customer at the gateway is made during the run."""
CUSTOMERS = (
    Customer(FIRST_SETUP, default_payment_method="pm_card_mastercard"),
    Customer("cus_saving", default_payment_method="pm_card_visa", gateway_customer="cus_at_gateway"),
    Customer("cus_without"),
)
_KINDS: dict[str, tuple[int, dict[str, str], frozenset[Status]]] = {
    "good card": (10, {"payment_method": "pm_card_visa"}, WELL),
    "card of the customer": (2, {"customer_id": FIRST_SETUP}, WELL),
    "saved card": (2, {"customer_id": "cus_saving"}, WELL),
    # in a file the customer is absent, and the gateway declines the card until they confirm it again
    "saved card authenticates": (
        2,
        {"customer_id": "cus_saving", "payment_method": NEEDS_CUSTOMER},
        WELL | {Status.DECLINED},
    ),
    "settles later": (3, {"payment_method": "pm_card_visa", "metadata": "settles_later"}, WELL | {Status.DECLINED}),
    "authenticates": (4, {"payment_method": NEEDS_CUSTOMER}, WELL | {Status.DECLINED}),
    # the customer may pay with another card before the charge is canceled
    "no money": (2, {"payment_method": "pm_card_chargeDeclinedInsufficientFunds"}, WELL | {Status.DECLINED}),
    "lost card": (1, {"payment_method": "pm_card_visa_chargeDeclinedLostCard"}, WELL | {Status.DECLINED}),
    "unknown card": (1, {"payment_method": "pm_card_unknown"}, frozenset({Status.DECLINED})),
    "no card": (1, {"customer_id": "cus_without"}, frozenset({Status.REJECTED})),
    "not chargeable": (1, {"currency": "KWD", "amount": "1.234"}, frozenset({Status.REJECTED})),
}
"""Kind of payment → its frequency, its fields, and its possible statuses without faults."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One requested payment. `ends_in` are the statuses that its content allows without faults."""

    payment_id: str
    fields: dict[str, str]
    ends_in: frozenset[Status]

    @property
    def body(self) -> dict[str, Any]:
        """The payment as JSON for REST."""
        body: dict[str, Any] = {"payment_id": self.payment_id, **self.fields}
        if "metadata" in body:
            body["metadata"] = {body["metadata"]: "yes"}
        return body

    @property
    def row(self) -> str:
        """The payment as a row of a file."""
        metadata = json.dumps({self.fields["metadata"]: "yes"}).replace('"', '""') if "metadata" in self.fields else ""
        cells = [self.fields.get(name, "") for name in ("amount", "currency", "customer_id", "payment_method")]
        return ",".join([self.payment_id, *cells, f'"{metadata}"' if metadata else ""])


HEADER = "payment_id,amount,currency,customer_id,payment_method,metadata"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file. `rows_read` is the number of rows that the splitter must find; -1 if the file is unreadable."""

    key: str
    version: str
    content: bytes
    rows_read: int


def source_of(upload: Upload) -> Source:
    """The version of a file that an upload creates."""
    return Source("bucket", upload.key, upload.version, "etag", len(upload.content))


@dataclass(slots=True)
class Work:
    """All requests of a run. `ends_in` holds the possible statuses for each payment id."""

    over_rest: list[Ask] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    ends_in: dict[str, frozenset[Status]] = field(default_factory=dict)
    all: list[Ask] = field(default_factory=list)
    """Every request, over REST and in files."""

    def allow(self, ask: Ask) -> None:
        """Allow the statuses of a payment. Of two payments with one id either may come first."""
        self.all.append(ask)
        self.ends_in[ask.payment_id] = self.ends_in.get(ask.payment_id, frozenset()) | ask.ends_in


def work_of(random: Random) -> Work:
    """The work of a run."""
    work = Work()
    for number in range(1, random.randint(3, 8) + 1):
        ask = _ask(random, f"rest_{number}")
        work.over_rest.append(ask)
        if random.random() < 0.15:  # another payment, whose id differs only in case: the gateway's search ignores it
            work.over_rest.append(_ask(random, ask.payment_id.upper()))
        if random.random() < 0.15:  # the same id with other content
            work.over_rest.append(_ask(random, ask.payment_id))
    for number in range(1, random.choice((0, 1, 1, 2)) + 1):
        upload = _upload(random, number, work)
        work.uploads.append(upload)
        if random.random() < 0.25:
            work.uploads.append(Upload(upload.key, "v2", upload.content, upload.rows_read))
    for ask in work.over_rest:
        work.allow(ask)
    return work


def _ask(random: Random, payment_id: str) -> Ask:
    kinds = list(_KINDS.values())
    _, fields, ends_in = random.choices(kinds, [weight for weight, _, _ in kinds])[0]
    money = {"amount": f"{random.randint(1, 900)}.{random.randint(10, 99)}", "currency": random.choice(("USD", "EUR"))}
    return Ask(payment_id, money | fields, ends_in)


def _upload(random: Random, number: int, work: Work) -> Upload:
    key = f"incoming/file{number}.csv"
    if random.random() < 0.05:
        return Upload(key, "v1", b"no,such,columns\n1,2,3\n", -1)
    rows: list[str] = []
    asks: list[Ask] = []
    for line in range(random.randint(3, 12)):
        drawn = random.random()
        if drawn < 0.1:
            rows.append(random.choice((f"bad_{line},-1,USD,,,", f"bad_{line},1.00,USD", ",1.00,USD,,,")))
            continue
        if drawn < 0.2 and asks:
            ask = random.choice(asks)
        elif drawn < 0.3 and work.over_rest:
            ask = random.choice(work.over_rest)
        elif drawn < 0.35:
            ask = _ask(random, random.choice(work.over_rest).payment_id)
        else:
            ask = _ask(random, f"row_{number}_{line}")
        asks.append(ask)
        work.allow(ask)
        rows.append(ask.row)
    return Upload(key, "v1", "\n".join([HEADER, *rows, ""]).encode(), len(rows))
