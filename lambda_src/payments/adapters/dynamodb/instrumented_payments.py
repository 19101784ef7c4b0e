"""The payments table as the functions use it that tell of payments: their log lines and metrics go by its rows."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.domain.payment import Payment
from payments.observability.logs import bind_log_context
from payments.ports.field_encryptor import FieldEncryptor
from payments.ports.payment_store import AlreadyExists

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class InstrumentedPaymentStore(DynamoPaymentStore):
    """The payments table. Log lines name the payment that was read or stored last. `created` is told of each new
    payment and `saved` of each row that moved, once that is stored."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        encryptor: FieldEncryptor | None = None,
        *,
        created: Callable[[Payment], None] = lambda _: None,
        saved: Callable[[Payment], None] = lambda _: None,
    ) -> None:
        super().__init__(client, table, encryptor)
        self._created = created
        self._saved = saved

    def create(self, payment: Payment) -> None:
        """See the port."""
        try:
            super().create(payment)
        except AlreadyExists as known:
            bind_log_context(known.existing)
            raise
        bind_log_context(payment)
        self._created(payment)

    def get(self, payment_id: str) -> Payment | None:
        """See the port."""
        payment = super().get(payment_id)
        bind_log_context(payment)
        return payment

    def save(self, payment: Payment) -> None:
        """See the port."""
        super().save(payment)
        self._saved(payment)
