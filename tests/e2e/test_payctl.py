"""payctl as an operator runs it: its own process, on the applied stack."""

import uuid
from collections.abc import Callable
from pathlib import Path

from local.stack import LocalStack
from payctl.failures import Exit
from tests.e2e.conftest import Gateway, Payctl, json_of


def test_pay_when_sent_twice_then_shows_the_outcome_and_is_charged_once(
    payctl: Payctl, gateway: Gateway, new_id: Callable[[], str]
) -> None:
    payment_id = new_id()
    pay = ("pay", "--id", payment_id, "--amount", "99.99", "--currency", "USD", "--metadata", "order=A-17", "--json")
    first, second = payctl(*pay), payctl(*pay)
    assert (first.returncode, second.returncode) == (Exit.DONE, Exit.DONE), first.stderr + second.stderr
    assert json_of(first)["status"] == json_of(second)["status"] == "succeeded"
    assert "accepted before" in second.stderr
    assert [charge["amount"] for charge in gateway.charges(payment_id)] == [9999]


def test_pay_declined_exits_3_and_status_shows_the_history(
    payctl: Payctl, gateway: Gateway, new_id: Callable[[], str]
) -> None:
    payment_id = new_id()
    declined = ("--amount", "20", "--currency", "EUR", "--method", "pm_card_visa_chargeDeclined")
    paid = payctl("pay", "--id", payment_id, *declined)
    assert paid.returncode == Exit.NOT_CHARGED
    assert "the card was declined" in paid.stdout
    status = payctl("status", payment_id)
    assert status.returncode == Exit.NOT_CHARGED
    for shown in ("pending", "processing", "declined"):
        assert shown in status.stdout
    assert gateway.charges(payment_id) == []


def test_pay_when_the_id_has_other_content_then_exits_1_with_the_problem(
    payctl: Payctl, new_id: Callable[[], str]
) -> None:
    payment_id = new_id()
    payctl("pay", "--id", payment_id, "--amount", "1.00", "--currency", "USD", "--no-wait")
    refused = payctl("pay", "--id", payment_id, "--amount", "2.00", "--currency", "USD")
    assert refused.returncode == Exit.FAILED
    assert "other content" in refused.stderr
    assert "409" in refused.stderr


def test_customer_default_method_is_used_if_a_payment_names_none(payctl: Payctl) -> None:
    customer_id = f"cus_{uuid.uuid4().hex[:12]}"
    assert payctl("customer", "create", customer_id, "--email", "jo@example.com").returncode == Exit.DONE
    assert payctl("customer", "set-default", customer_id, "pm_card_chargeDeclinedLostCard").returncode == Exit.DONE
    paid = payctl("pay", "--amount", "5", "--currency", "USD", "--customer", customer_id, "--json")
    assert json_of(paid)["reason"]["code"] == "lost_card"


def test_batch_upload_when_watched_then_downloads_the_results_of_every_row(payctl: Payctl, tmp_path: Path) -> None:
    name = uuid.uuid4().hex[:12]
    file = tmp_path / f"{name}.csv"
    file.write_text(f"payment_id,amount,currency\n{name}_1,10.00,USD\n{name}_2,1.5,JPY\n{name}_3,500,JPY\n")
    uploaded = payctl("batch", "upload", file.name, "--watch", "--download", "results", "--json")
    assert uploaded.returncode == Exit.NOT_CHARGED, uploaded.stderr
    batch = json_of(uploaded)
    assert (batch["status"], batch["rows_accepted"], batch["rows_rejected"]) == ("completed", 2, 1)
    assert batch["by_status"] == {"succeeded": 2}
    assert f"{name}_3" in (tmp_path / "results" / "results.csv").read_text()
    assert "JPY" in (tmp_path / "results" / "errors.csv").read_text()
    assert f"{name}_2,1.5,JPY" in (tmp_path / "results" / "resubmit.csv").read_text()

    shown = payctl("batch", "show", batch["batch_id"])
    assert "more digits than JPY has" in shown.stdout
    listed = {entry["batch_id"]: entry["status"] for entry in json_of(payctl("batch", "list", "--json"))}
    assert listed[batch["batch_id"]] == "completed"


def test_gateway_set_key_replaces_the_key_and_payments_still_succeed(payctl: Payctl, local_stack: LocalStack) -> None:
    key = f"sk_test_{uuid.uuid4().hex}"
    assert payctl("gateway", "set-key", stdin=key).returncode == Exit.USAGE
    replaced = payctl("gateway", "set-key", "--yes", stdin=key)
    assert replaced.returncode == Exit.DONE, replaced.stderr
    assert key not in replaced.stdout + replaced.stderr
    secrets = local_stack.aws.client("secretsmanager")
    assert secrets.get_secret_value(SecretId=local_stack.outputs["gateway_secret_arn"])["SecretString"] == key
    assert payctl("pay", "--amount", "1", "--currency", "USD").returncode == Exit.DONE


def test_outputs_when_asked_then_prints_those_of_the_stack(payctl: Payctl, outputs: dict[str, str]) -> None:
    assert json_of(payctl("outputs", "--json")) == outputs
