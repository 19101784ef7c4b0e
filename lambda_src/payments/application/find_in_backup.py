"""Read the history of one payment or one customer out of a backup."""

from collections.abc import Callable, Iterator

from payments.application.verify_backup import rows_of
from payments.domain.backup import Manifest, Part, Row
from payments.ports.backup_store import BackupStore

PAYMENTS = "payments"


def find(
    store: BackupStore, manifest: Manifest, wanted: str, on_part: Callable[[Part], object] = lambda _: None
) -> Iterator[tuple[str, Row]]:
    """The rows of a payment or customer, each with its table; of a customer those of its payments as well.

    Payments are read before what refers to them, so that one pass finds all. Raises PartBroken.
    """
    payment_ids = {wanted}
    for table in sorted(manifest.tables, key=lambda table: table.name != PAYMENTS):
        for part in table.parts:
            for row in rows_of(store, manifest.timestamp, part):
                payment_id, customer_id = (row.get(name, {}).get("S") for name in ("payment_id", "customer_id"))
                if wanted == customer_id and payment_id:
                    payment_ids.add(payment_id)
                if wanted == customer_id or payment_id in payment_ids:
                    yield table.name, row
            on_part(part)
