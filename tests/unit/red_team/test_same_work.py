"""Another caller's id and one that does not exist cost the same: neither the answer nor its time tells them apart."""

from typing import Any

import pytest

from payments.domain.identity import Caller
from tests.unit.rest.scenario import JO, OTHER_SHOP, SHOP, RestScenario

TOKEN = {"customer_id": "cus_1", "payment_method": "pm_1"}


class Counted:
    """A port that counts the calls of its methods."""

    def __init__(self, port: Any, calls: list[str]) -> None:
        self._port, self._calls = port, calls

    def __getattr__(self, name: str) -> Any:
        def called(*arguments: Any, **named: Any) -> Any:
            self._calls.append("write" if name in ("count", "denied") else name)
            return getattr(self._port, name)(*arguments, **named)

        return called


def _work(scenario: RestScenario, operation: str, caller: Caller, path: dict[str, str]) -> tuple[Any, list[str]]:
    calls: list[str] = []
    services = scenario.services
    for name in ("payments", "customers", "tokens", "access_log"):
        object.__setattr__(services, name, Counted(getattr(scenario, name), calls))
    services.limiter._store = Counted(scenario.counters, calls)
    return scenario.call(operation, caller, path=path), sorted(calls)


@pytest.mark.parametrize("caller", [OTHER_SHOP, JO])
@pytest.mark.parametrize(
    ("operation", "name"),
    [("get_payment", "payment_id"), ("get_customer", "customer_id"), ("get_token", "token_id")],
)
def test_missing_id_causes_as_much_work_as_one_of_another_caller(operation: str, name: str, caller: Caller) -> None:
    scenario = RestScenario()
    scenario.add_customer("cus_1", by=SHOP)
    scenario.call(
        "create_payment", SHOP, {"payment_id": "pay_1", "amount": 1, "currency": "EUR", "customer_id": "cus_1"}
    )
    token_id = scenario.call("create_token", SHOP, TOKEN)["body"]["token_id"]
    ids = {"payment_id": ("pay_1", "pay_2"), "customer_id": ("cus_1", "cus_2"), "token_id": (token_id, "0" * 64)}

    of_another, missing = (_work(scenario, operation, caller, {name: resource_id}) for resource_id in ids[name])

    assert of_another == missing
    assert of_another[0]["statusCode"] == 404
    assert "write" in of_another[1]
