"""The gateway's list of charges, read as recovery does."""

from datetime import timedelta

from fakes.gateway import MemoryGateway
from fakes.slots import MemorySlotStore
from payments.application.charge_list import ChargeList
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.domain.clock import Clock
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.ports.field_encryptor import FieldEncryptor
from payments.ports.payment_store import PaymentStore


def charge_list(gateway: MemoryGateway, store: PaymentStore, encryptor: FieldEncryptor, clock: Clock) -> ChargeList:
    """The list with five pages a second, and no real wait for them."""
    slots = GatewayRateLimiter(MemorySlotStore(), timedelta(milliseconds=200), clock, lambda seconds: None)
    return ChargeList(gateway, store, encryptor, slots, clock, RecoveryTimeouts())


def read_the_list(listing: ChargeList, payment: Payment) -> bool:
    """Read it for one payment. False if it cannot answer yet."""
    return listing.can_answer(payment) and bool(list(listing.answer([payment], lambda: True)))
