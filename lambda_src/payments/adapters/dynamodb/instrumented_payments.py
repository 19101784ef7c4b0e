"""The payments table for functions whose log lines and metrics follow its rows."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.observability.logs import bind_log_context
from payments.ports.field_encryptor import FieldEncryptor
from payments.ports.payment_store import AlreadyExists

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class InstrumentedPaymentStore(DynamoPaymentStore):
    """The payments table. Log lines name the payment that was read or stored last. `created` is called with each new
    payment and `saved` with each saved row, after it is stored."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        encryptor: FieldEncryptor | None = None,
        timeouts: RecoveryTimeouts | None = None,
        *,
        created: Callable[[Payment], None] = lambda _: None,
        saved: Callable[[Payment], None] = lambda _: None,
    ) -> None:
        super().__init__(client, table, encryptor, timeouts)
        self._created = created
        self._saved = saved

    def create(self, payment: Payment) -> None:
        """Store version 1, set the log context, and call `created`. Raises AlreadyExists, also with the context set."""
        try:
            super().create(payment)
        except AlreadyExists as known:
            bind_log_context(known.existing)
            raise
        bind_log_context(payment)
        self._created(payment)

    def get(self, payment_id: str) -> Payment | None:
        """The current row, or None; sets the log context."""
        payment = super().get(payment_id)
        bind_log_context(payment)
        return payment

    def save(self, payment: Payment) -> None:
        """Store the next version, then call `saved`. Raises VersionConflict."""
        super().save(payment)
        self._saved(payment)
