"""The REST layer on in-memory fakes: callers of each role, and their requests."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from fakes.access_log import MemoryAccessLog
from fakes.audit import MemoryAuditStore
from fakes.batch_breaker import MemoryBreakerStore
from fakes.batches import MemoryBatchStore
from fakes.customers import MemoryCustomerStore
from fakes.email_hasher import MemoryEmailHasher
from fakes.erasure_ledger import MemoryErasureLedger
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.gateway import MemoryGateway
from fakes.limits import MemoryLimitStore
from fakes.listing import MemoryPaymentListing
from fakes.next_actions import MemoryNextActions
from fakes.payments import MemoryPaymentStore
from fakes.refund_workflow import MemoryRefundWorkflow
from fakes.refunds import MemoryRefundStore
from fakes.saved_methods import MemorySavedMethods
from fakes.slots import MemorySlotStore
from fakes.text_hasher import MemoryTextHasher
from fakes.tokens import MemoryTokenStore
from fakes.users import MemoryUsers
from fakes.workflow import MemoryWorkflow
from payments.application.backlog import BacklogLimit
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.application.hold import Hold
from payments.application.id_rules import IdRules
from payments.application.outage_limit import OutageLimit
from payments.application.rate_limited_charge_finder import RateLimitedChargeFinder
from payments.application.rate_limited_next_actions import RateLimitedNextActions
from payments.application.rate_limited_reference_lookup import RateLimitedReferenceLookup
from payments.application.rate_limited_saved_methods import RateLimitedSavedMethods
from payments.application.request_refund import RefundRequests
from payments.application.searchable_metadata import SearchableMetadata
from payments.application.velocity import Addresses, MerchantTable, Velocity
from payments.domain.customer import CustomerRequest, created, sealing_context
from payments.domain.identity import Caller, Role
from payments.domain.merchants import Merchants
from payments.rest import batches, customers, legacy, listing, payments, refunds, retries, saved_methods, tokens
from payments.rest.http import Problem, problem_answer
from payments.rest.rate_limits import Kind, Limiter
from payments.rest.request import Request
from payments.rest.services import Services
from tests.unit.builders import NOON

ADMIN = Caller("sub_admin", frozenset({Role.ADMIN}))
OPERATOR = Caller("sub_operator", frozenset({Role.OPERATOR}))
SHOP = Caller("sub_shop", frozenset({Role.MERCHANT}))
OTHER_SHOP = Caller("sub_other_shop", frozenset({Role.MERCHANT}))
JO = Caller("sub_jo", frozenset({Role.CUSTOMER}))
SAM = Caller("sub_sam", frozenset({Role.CUSTOMER}))

PLENTY = 1000
MOST_IN_AN_OUTAGE = 2
SLOT = timedelta(milliseconds=50)
_MODULES = (batches, customers, legacy, listing, payments, refunds, retries, saved_methods, tokens)
REQUEST_ID, IP = "request-1", "192.0.2.1"


def operation_called(name: str) -> Callable[[Request, Services], dict[str, Any]]:
    """The function behind an operation of the contract."""
    (operation,) = [getattr(module, name) for module in _MODULES if hasattr(module, name)]
    found: Callable[[Request, Services], dict[str, Any]] = operation
    return found


NO_MERCHANTS = Merchants()


class RestScenario:
    """All ports of the operations, empty; ids and tokens are counted."""

    def __init__(self, per_customer: int = PLENTY, merchants: Merchants = NO_MERCHANTS) -> None:
        self.encryptor = MemoryFieldEncryptor()
        self.email_hasher = MemoryEmailHasher()
        self.text_hasher = MemoryTextHasher()
        self.payments = MemoryPaymentStore(self.encryptor)
        self.refunds = MemoryRefundStore(self.payments)
        self.refund_workflow = MemoryRefundWorkflow()
        self.batches = MemoryBatchStore(self.payments)
        self.customers = MemoryCustomerStore()
        self.tokens = MemoryTokenStore()
        self.users = MemoryUsers(sub_jo="jo@example.com", sub_sam="sam@example.com")
        self.workflow = MemoryWorkflow()
        self.counters = MemoryLimitStore()
        self.access_log = MemoryAccessLog()
        self.audit_log = MemoryAuditStore(self.payments)
        self.erasures = MemoryErasureLedger()
        self.gateway = MemoryGateway()
        self.next_actions = MemoryNextActions(self.gateway)
        self.saved_methods = MemorySavedMethods()
        self.now = NOON
        self.slots = MemorySlotStore()
        self.breaker = MemoryBreakerStore()
        hold = Hold(self.breaker, lambda: self.now)
        ids, made = count(1), count(1)
        self.services = Services(
            payments=self.payments,
            listing=MemoryPaymentListing(self.payments),
            refunds=RefundRequests(self.payments, self.refunds, self.refund_workflow, self.encryptor),
            batches=self.batches,
            customers=self.customers,
            erasures=self.erasures,
            tokens=self.tokens,
            workflow=self.workflow,
            encryptor=self.encryptor,
            email_hasher=self.email_hasher,
            limiter=Limiter(self.counters, {Kind.IP: PLENTY, Kind.CUSTOMER: per_customer, Kind.READER: PLENTY}),
            backlog=BacklogLimit(GatewayRateLimiter(self.slots, SLOT, lambda: self.now, lambda _: None), 300),
            hold=hold,
            outage=OutageLimit(hold, self.counters, MOST_IN_AN_OUTAGE),
            velocity=Velocity(self.counters, Addresses(self.text_hasher), MerchantTable()),
            access_log=self.access_log,
            audit_log=self.audit_log,
            ids=IdRules(merchants, self.payments, self.customers, self.batches.former_of),
            users=self.users,
            next_actions=RateLimitedNextActions(self.next_actions, self.counters, lambda: NOON),
            saved_methods=RateLimitedSavedMethods(self.saved_methods, self.counters, lambda: self.now),
            references=RateLimitedReferenceLookup(self.gateway, self.counters, lambda: self.now),
            charges=RateLimitedChargeFinder(self.gateway, self.counters, lambda: self.now, self.wait),
            searchable=SearchableMetadata("order", self.text_hasher),
            environment_id="env1",
            new_id=lambda: f"id{next(ids)}",
            new_token=lambda: f"ptok_{next(made):043}",
        )

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def let_payments_wait(self, seconds: float) -> None:
        """Take the gateway's slots of so many seconds."""
        now = int(self.now.timestamp() / SLOT.total_seconds())
        self.slots.take_slot(now + 1, now + 1, int(seconds / SLOT.total_seconds()))

    @property
    def denied(self) -> list[tuple[str, str, str]]:
        """The denied accesses to other callers' data."""
        return [(entry.subject, entry.kind, entry.resource_id) for entry in self.access_log.entries]

    @property
    def stored(self) -> tuple[int, int, int, int]:
        """The numbers of payments, customers, tokens and executions."""
        return len(self.payments.rows), len(self.customers.rows), len(self.tokens.rows), len(self.workflow.started)

    def add_customer(self, customer_id: str = "cus_1", by: Caller = SHOP, subject: str = "", **private: str) -> None:
        """A customer created by a caller and owned by `subject`."""
        asked = CustomerRequest(customer_id, **{"email": "jo@example.com"} | private)
        sealed = self.encryptor.seal(sealing_context(customer_id), asked.private)
        email_hash = self.email_hasher.hash_of(asked.email)
        row = created(asked, sealed, email_hash=email_hash, subject=subject, created_by=by.subject, at=NOON)
        self.customers.create(row)

    def call(
        self,
        operation: str,
        caller: Caller = SHOP,
        body: Any = None,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        at: datetime = NOON,
    ) -> dict[str, Any]:
        """The answer of an operation, or its problem, with parsed JSON."""
        event = {"body": json.dumps(body), "headers": headers}
        request = Request(operation, caller, at, REQUEST_ID, IP, path or {}, query or {}, event)
        try:
            answer = operation_called(operation)(request, self.services)
        except Problem as problem:
            answer = problem_answer(problem, REQUEST_ID)
        return answer | {"body": json.loads(answer["body"]) if answer["body"] else None}
