"""The payments table with two additions to the plain fake: indexes that lag, and a callback for every write."""

from collections import deque
from collections.abc import Callable, Iterator

from fakes.payments import MemoryPaymentStore
from payments.domain.due import Due
from payments.domain.payment import Payment
from payments.ports.field_encryptor import FieldEncryptor

Watch = Callable[[Payment | None, Payment], None]
"""Called with each write: the row before, and after."""


class _Rows(dict[str, Payment]):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def __setitem__(self, payment_id: str, payment: Payment) -> None:
        before = self.get(payment_id)
        super().__setitem__(payment_id, payment)
        self._watch(before, payment)

    def setdefault(self, payment_id: str, payment: Payment) -> Payment:
        if payment_id not in self:
            self[payment_id] = payment
        return self[payment_id]


class LaggingPayments(MemoryPaymentStore):
    """Reads through an index return the state of `lag_seconds` ago."""

    def __init__(
        self, watch: Watch, monotonic: Callable[[], float], lag_seconds: float, encryptor: FieldEncryptor
    ) -> None:
        super().__init__(encryptor)
        self._watch = watch
        self._monotonic = monotonic
        self._lag_seconds = lag_seconds
        self._behind: deque[tuple[float, Payment]] = deque()
        self._index = MemoryPaymentStore()
        self._index.looks = self.looks
        self.rows = _Rows(self._written)

    def of_batch(self, batch_id: str, after: int = 0) -> Iterator[Payment]:
        """The payments of a batch after a line, in the order of lines, as the index has them."""
        self._catch_up()
        return self._index.of_batch(batch_id, after)

    def keys(self) -> Iterator[tuple[str, Due]]:
        """The due times, as the index has them."""
        self._catch_up()
        return self._index.keys()

    def _written(self, before: Payment | None, after: Payment) -> None:
        self._behind.append((self._monotonic() + self._lag_seconds, after))
        self._watch(before, after)

    def _catch_up(self) -> None:
        now = self._monotonic()
        while self._behind and self._behind[0][0] <= now:
            row = self._behind.popleft()[1]
            self._index.rows[row.payment_id] = row
