"""The ports that the operations of the REST API work on."""

from collections.abc import Callable
from dataclasses import dataclass

from payments.access_log import AccessLog
from payments.limits import Limiter
from payments.listing import PaymentListing
from payments.sealing import EmailHasher, Vault
from payments.stores.customers_port import CustomerStore
from payments.stores.port import PaymentStore
from payments.stores.tokens_port import TokenStore
from payments.velocity import Velocity
from payments.workflow import Workflow


@dataclass(frozen=True)
class Services:
    """`new_id` and `new_token` are random, and given so that tests own them."""

    payments: PaymentStore
    listing: PaymentListing
    customers: CustomerStore
    tokens: TokenStore
    workflow: Workflow
    vault: Vault
    email_hasher: EmailHasher
    limiter: Limiter
    velocity: Velocity
    access_log: AccessLog
    new_id: Callable[[], str]
    new_token: Callable[[], str]
