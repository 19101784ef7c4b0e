"""Client of the REST API. It sends the token of the logged-in user, reads amounts as Decimal, raises Failure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self

from payctl.failures import Failure
from payctl.session import LOG_IN, current
from payctl.stack import Stack

TIMEOUT_SECONDS = (5, 35)  # API Gateway's own timeout is 29 seconds
RETRIES = 4
LONGEST_WAIT_SECONDS = 120
CHECK = "check the connection, that the stack is running, and that its outputs are current"


class Refused(Failure):
    """The API answered with problem details (RFC 9457). `status` is the HTTP status, `problem` the JSON body."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        errors = [f"{error['field']}: {error['message']}" for error in problem.get("errors", [])]
        advice = [LOG_IN] if status == 401 else []
        reference = [f"request {problem['instance']}"] if problem.get("instance") else []
        title = problem.get("title") or problem.get("message") or "the API gave no reason"
        detail = f": {problem['detail']}" if problem.get("detail") else ""
        super().__init__(f"{title} ({status}){detail}", details=errors + advice + reference)


class NoAnswer(Failure):
    """The API was not reachable, or its answer was lost. The outcome of the request is unknown."""


@dataclass(frozen=True)
class Answer:
    """A successful answer: its JSON object and headers."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def replayed(self) -> bool:
        """True if this request was already accepted."""
        return self.headers.get("Idempotent-Replayed") == "true"


class Api:
    """The payment API of a stack. Every call is idempotent. It is retried after 429, 5xx and lost connections."""

    def __init__(self, stack: Stack) -> None:
        import requests
        from requests.adapters import HTTPAdapter
        from urllib3.exceptions import MaxRetryError
        from urllib3.util import Retry

        class BoundedRetry(Retry):
            """Fails at once if Retry-After is longer than LONGEST_WAIT_SECONDS, as with a daily quota."""

            def increment(
                self,
                method: Any = None,
                url: Any = None,
                response: Any = None,
                error: Any = None,
                *rest: Any,
                **more: Any,
            ) -> Self:
                if response is not None and (self.get_retry_after(response) or 0) > LONGEST_WAIT_SECONDS:
                    raise MaxRetryError(more["_pool"], url)
                return super().increment(method, url, response, error, *rest, **more)

        self._stack = stack
        self._session = requests.Session()
        retries = BoundedRetry(
            RETRIES,
            backoff_factor=0.3,
            status_forcelist=(429, 500, 502, 503, 504),
            allowed_methods=None,  # includes POST: the payment_id is the idempotency key
            raise_on_status=False,
        )
        self._session.mount(stack["api_url"], HTTPAdapter(max_retries=retries))
        if stack.is_local:
            self._session.trust_env = False  # the operator's proxies and certificates do not apply to loopback
            self._session.verify = stack["ca_bundle"]

    def submit(self, payment: Mapping[str, Any]) -> Answer:
        """POST /payments. Raises Refused and NoAnswer."""
        return self.call("POST", "/payments", payment)

    def payment(self, payment_id: str) -> dict[str, Any]:
        """GET /payments/{payment_id}. Raises NoAnswer, and Refused: with status 404 if the payment is unknown."""
        from urllib.parse import quote

        return self.call("GET", f"/payments/{quote(payment_id, safe='')}").body

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Call an operation by its path, including the query. An answer without a body becomes an empty object.

        Raises Refused and NoAnswer, and Failure if no user is logged in.
        """
        from requests import RequestException

        url = self._stack["api_url"].rstrip("/") + path
        data = None if body is None else json.dumps(body)
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if data else {})
        if self._stack.outputs.get("auth_mode") == "jwt":
            headers["Authorization"] = f"Bearer {current(self._stack).access_token}"
        try:
            response = self._session.request(method, url, data=data, headers=headers, timeout=TIMEOUT_SECONDS)
        except RequestException as error:
            raise NoAnswer(f"{url} did not answer: {error}", details=[CHECK]) from None
        try:
            content = json.loads(response.text, parse_float=Decimal) if response.content else {}
        except ValueError:
            content = {"title": "the answer is not JSON; check api_url in the outputs"}
            raise Refused(response.status_code, content) from None
        if not response.ok:
            raise Refused(response.status_code, content)
        return Answer(response.status_code, content, response.headers)
