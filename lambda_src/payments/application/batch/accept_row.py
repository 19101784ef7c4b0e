"""Accept a row of a batch: store its payment once, or say why it is not a payment of this batch."""

from collections.abc import Callable
from datetime import datetime

from payments.application.batch.file import Row
from payments.application.batch.row_rules import RowRules
from payments.application.velocity import NOT_COUNTED, Counted
from payments.domain.batch.errors import CellError, RejectedRow, masked
from payments.domain.batch.state import Batch, ResultRow, Source
from payments.domain.ownership import may_repeat
from payments.domain.payment import Payment, PaymentRequest, accepted
from payments.domain.sealed_text import is_sealed
from payments.ports.payment_store import AlreadyExists, PaymentStore


def accept_row(
    row: Row,
    batch: Batch,
    rules: RowRules,
    *,
    store: PaymentStore,
    at: datetime,
    metadata_hash: str = "",
    count: Callable[[], Counted] = lambda: NOT_COUNTED,
) -> ResultRow | RejectedRow | None:
    """Store the row's payment. `count` counts its card for the fraud rule: not that of a row that is refused.

    Returns None if this run or an earlier one stored it, a ResultRow if the same payment came from elsewhere, and a
    RejectedRow if its owner may not submit it, or if its payment_id is taken. The payments table remembers the ids: a
    file of any length is checked for repeated ids without using memory.
    """
    line, request = row
    batch_id = batch.batch_id
    if refused := rules.refuses(request):
        stored = store.get(request.payment_id)
        if stored and (stored.batch_id, stored.batch_line) == (batch_id, line):
            return None  # accepted by an earlier run: it may be charged
        column, reason, what_to_do = refused
        value = request.payment_id if column == "payment_id" else request.customer_id
        error = CellError(line, column, masked(column, value), reason, what_to_do)
        return RejectedRow(line, request.payment_id, (error,))
    counted = count()
    payment = accepted(
        request,
        at=at,
        source="batch",
        batch_id=batch_id,
        batch_line=line,
        metadata_hash=metadata_hash,
        submitted_by=rules.owner.subject,
        actor=uploader(batch.source),
        hold=counted.hold,
        card_counters=counted.counters,
    )
    try:
        store.create(payment)
    except AlreadyExists as known:
        there = known.existing
    else:
        return None
    if there.batch_id == batch_id and there.batch_line == line:
        return None
    if there.batch_id == batch_id:
        reason = f"line {there.batch_line} has the same payment_id and was accepted"
        return _refused(row, reason, "remove the row, or give it a payment_id of its own")
    if not may_repeat(rules.owner, there):  # without a word about it: it is another caller's
        return _refused(row, "the payment_id is taken", "use another payment_id")
    if there.was_made_by(request):
        return ResultRow.of(line, there, already_submitted=_origin(there))
    reason = f"the payment_id belongs to a payment {_origin(there)} with other {_differences(there, request)}"
    return _refused(row, reason, "nothing was changed; use a new payment_id for another payment")


def uploader(source: Source) -> str:
    """The actor of the first version of a file's payments: `batch`, and who uploaded it. Clients see only `batch`."""
    return f"batch:{source.uploaded_by}" if source.uploaded_by else "batch"


def _refused(row: Row, reason: str, what_to_do: str) -> RejectedRow:
    payment_id = row.request.payment_id
    error = CellError(row.line, "payment_id", masked("payment_id", payment_id), reason, what_to_do)
    return RejectedRow(row.line, payment_id, (error,))


def _origin(payment: Payment) -> str:
    return f"of batch {payment.batch_id} line {payment.batch_line}" if payment.batch_id else f"over {payment.source}"


def _differences(there: Payment, request: PaymentRequest) -> str:
    """The names of the fields that differ, without their values: the other payment may be another customer's.

    An encrypted field counts as equal unless no other field differs, because this function may not decrypt it.
    """
    method, metadata = request.payment_method, dict(request.metadata)
    if method and is_sealed(there.payment_method):
        method = there.payment_method
    return_url = there.return_url if request.return_url and is_sealed(there.return_url) else request.return_url
    metadata |= {key: text for key, text in there.metadata.items() if key in metadata and is_sealed(text)}
    explicit = request.off_session is not request.usually_off_session
    pairs = {
        "amount": (there.money.minor_units, request.money.minor_units),
        "currency": (there.money.currency, request.money.currency),
        "customer_id": (there.customer_id, request.customer_id),
        # the workflow sets a default if the client gave no payment method
        "payment_method": (there.payment_method if request.payment_method else "", method),
        "description": (there.description, request.description),
        # without the field, the two may differ only because one of them is not from a file
        "off_session": (there.off_session, request.off_session if explicit else there.off_session),
        "metadata": (dict(there.metadata), metadata),
        "return_url": (there.return_url, return_url),
    }
    differ = [name for name, (one, other) in pairs.items() if one != other]
    sealed = {
        "payment_method": [there.payment_method],
        "metadata": there.metadata.values(),
        "return_url": [there.return_url],
    }
    return ", ".join(differ) or " or ".join(name for name in sealed if any(map(is_sealed, sealed[name]))) or "content"
