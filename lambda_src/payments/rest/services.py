"""The ports that the operations of the REST API use."""

from collections.abc import Callable
from dataclasses import dataclass

from payments.application.backlog import BacklogLimit
from payments.application.hold import Hold
from payments.application.id_rules import IdRules
from payments.application.outage_limit import OutageLimit
from payments.application.request_refund import RefundRequests
from payments.application.searchable_metadata import SearchableMetadata
from payments.application.velocity import Velocity
from payments.ports.access_log import AccessLog
from payments.ports.audit_store import AuditStore
from payments.ports.batch_store import BatchStore
from payments.ports.charge_finder import ChargeFinder
from payments.ports.customer_store import CustomerStore
from payments.ports.email_hasher import EmailHasher
from payments.ports.erasure_ledger import ErasureLedger
from payments.ports.field_encryptor import FieldEncryptor
from payments.ports.next_actions import NextActions
from payments.ports.payment_listing import PaymentListing
from payments.ports.payment_store import PaymentStore
from payments.ports.reference_lookup import ReferenceLookup
from payments.ports.saved_methods import SavedMethods
from payments.ports.token_store import TokenStore
from payments.ports.user_directory import UserDirectory
from payments.ports.workflow import Workflow
from payments.rest.rate_limits import Limiter


@dataclass(frozen=True)
class Services:
    """`new_id` and `new_token` return random texts. They are arguments so that tests control them."""

    payments: PaymentStore
    listing: PaymentListing
    refunds: RefundRequests
    batches: BatchStore
    customers: CustomerStore
    erasures: ErasureLedger
    tokens: TokenStore
    workflow: Workflow
    encryptor: FieldEncryptor
    email_hasher: EmailHasher
    limiter: Limiter
    backlog: BacklogLimit
    hold: Hold
    outage: OutageLimit
    velocity: Velocity
    access_log: AccessLog
    audit_log: AuditStore
    ids: IdRules
    users: UserDirectory
    next_actions: NextActions
    saved_methods: SavedMethods
    references: ReferenceLookup
    charges: ChargeFinder
    searchable: SearchableMetadata
    environment_id: str
    new_id: Callable[[], str]
    new_token: Callable[[], str]
