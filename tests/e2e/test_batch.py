"""Batches on the applied stack, with S3, SQS and Lambda."""

import csv
import gzip
import io
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.stack import LocalStack
from payctl.failures import Exit
from payctl.session import sign_in_machine
from payctl.stack import Credentials, Stack
from tests.e2e.conftest import Api, BatchFiles, Events, Gateway, Payctl, json_of
from tests.waiting import eventually

NewId = Callable[[], str]
Client = Callable[[str], Any]
HEADER = "payment_id,amount,currency"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_batch_when_good_and_bad_rows_are_mixed_then_each_has_its_result(
    batch_file: BatchFiles, gateway: Gateway, events: Events, api: Api, new_id: NewId
) -> None:
    good, kuwaiti, declined, twice = (new_id() for _ in range(4))
    name = batch_file.upload(
        "currency,payment_id,amount,payment_method,description\n"
        f'USD,{good},99.99,,"tea, and\ncake"\n'
        f"JPY,{new_id()},10.50,,too fine\n"
        f"KWD,{kuwaiti},1.230,,\n"
        f"EUR,{declined},20,pm_card_visa_chargeDeclined,\n"
        f"USD,{twice},5,,\n"
        f"USD,{twice},5,,again\n"
        f"USD,{new_id()},5,,card 4242424242424242\n"
    )
    results = {row["payment_id"]: row for row in rows(batch_file.result(name, "results"))}
    assert {payment_id: row["status"] for payment_id, row in results.items()} == {
        good: "succeeded",
        kuwaiti: "succeeded",
        declined: "declined",
        twice: "succeeded",
    }
    errors = rows(batch_file.result(name, "errors"))
    assert [(row["line"], row["column"]) for row in errors] == [
        ("4", "amount"),
        ("8", "payment_id"),
        ("9", "description"),
    ]
    assert "line 7" in errors[1]["reason"]
    resubmit = batch_file.result(name, "resubmit")
    assert len(rows(resubmit)) == 3
    assert "4242424242424242" not in resubmit + batch_file.result(name, "errors")

    event, *_ = eventually(
        f"the event of the batch {name}", lambda: [e for e in events.of(event_type="batch") if name in json.dumps(e)]
    )
    assert (event["rows_read"], event["accepted"], event["rejected"]) == (7, 4, 3)
    assert event["attributes"]["event_type"] == "batch"
    assert [charge["amount"] for charge in gateway.charges(kuwaiti)] == [1230]
    view = api.get(f"/payments/{good}").json()
    assert (view["source"], view["references"]["batch_line"]) == ("batch", 2)


@pytest.mark.fault(6)
def test_batch_when_a_payment_came_over_rest_before_then_one_payment(
    batch_file: BatchFiles, api: Api, gateway: Gateway, new_id: NewId
) -> None:
    same, other = new_id(), new_id()
    for payment_id in (same, other):
        api.post({"payment_id": payment_id, "amount": 5, "currency": "USD"})
        api.settled(payment_id)
    name = batch_file.upload(f"{HEADER}\n{same},5,USD\n{other},6,USD\n")
    [row] = rows(batch_file.result(name, "results"))
    assert (row["payment_id"], row["status"]) == (same, "succeeded")
    [error] = rows(batch_file.result(name, "errors"))
    assert error["payment_id"] == other
    assert [len(gateway.charges(payment_id)) for payment_id in (same, other)] == [1, 1]


@pytest.mark.fault(26)
def test_same_file_again_charges_nothing_twice_and_is_reported(
    batch_file: BatchFiles, gateway: Gateway, events: Events, new_id: NewId
) -> None:
    ids = [new_id() for _ in range(12)]
    content = "\n".join([HEADER, *(f"{payment_id},5,USD" for payment_id in ids)])
    name = batch_file.upload(content)
    assert len(rows(batch_file.result(name, "results"))) == 12
    batch_file.upload(content, name)
    again = eventually(
        f"the second event of {name}",
        lambda: [e for e in events.of(event_type="batch") if name in json.dumps(e) and e["already_submitted"] == 12],
    )
    assert len(again) == 1
    assert [len(gateway.charges(payment_id)) for payment_id in ids] == [1] * 12


@pytest.mark.fault(68)
def test_batch_when_two_uploads_have_one_key_then_each_has_its_results(
    batch_file: BatchFiles, events: Events, client: Client, new_id: NewId
) -> None:
    first, second = new_id(), new_id()
    name = batch_file.upload(f"{HEADER}\n{first},5,USD\n")
    batch_file.result(name, "results")
    batch_file.upload(f"{HEADER}\n{second},5,USD\n", name)
    batch_file.result(name, "results")
    written = eventually(
        f"the events of both batches of {name}",
        lambda: {event["batch_id"]: event for event in events.of(event_type="batch", file=name)},
        lambda found: len(found) == 2,
    )
    reported = []
    for event in written.values():
        key, version = event["results"]["results.csv"], event["result_versions"]["results.csv"]
        assert event["batch_id"] in key
        body = client("s3").get_object(Bucket=batch_file.bucket, Key=key, VersionId=version)["Body"].read()
        reported += [row["payment_id"] for row in rows(body.decode())]
    assert sorted(reported) == sorted([first, second])


@pytest.mark.fault(28)
@pytest.mark.parametrize(
    ("encode", "name"),
    [
        (lambda text: b"\xef\xbb\xbf" + text.encode(), "bom.csv"),
        (lambda text: text.replace("\n", "\r\n").encode(), "windows.CSV"),
        (lambda text: gzip.compress(text.encode(), mtime=0), "packed.csv.gz"),
        (lambda text: text.encode(), "name with blanks & ümlaut.csv"),
    ],
)
def test_batch_when_the_file_is_written_otherwise_then_it_is_read(
    batch_file: BatchFiles, new_id: NewId, encode: Callable[[str], bytes], name: str
) -> None:
    payment_id = new_id()
    name = batch_file.upload(encode(f"{HEADER}\n{payment_id},5,USD\n\n"), f"{new_id()}-{name}")
    [row] = rows(batch_file.result(name, "results"))
    assert (row["payment_id"], row["status"]) == (payment_id, "succeeded")


@pytest.mark.fault(28)
@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        (b"", "empty.csv", "empty"),
        (b"payment_id,amount\na,1\n", "missing.csv", "currency"),
        (b"payment_id,amount,currency,colour\na,1,USD,red\n", "unknown.csv", "colour"),
        ("payment_id,amount,currency\n".encode("utf-16"), "utf16.csv", "UTF-8"),
        (b"%PDF-1.7", "report.pdf", ".csv"),
    ],
)
def test_batch_when_the_file_cannot_be_read_then_the_uploader_learns_why(
    batch_file: BatchFiles, events: Events, new_id: NewId, content: bytes, name: str, says: str
) -> None:
    name = batch_file.upload(content, f"{new_id()}-{name}")
    [error] = rows(batch_file.result(name, "errors"))
    assert says in error["reason"] + error["what_to_do"]
    event, *_ = eventually(
        f"the event of the batch {name}", lambda: [e for e in events.of(event_type="batch") if name in json.dumps(e)]
    )
    assert event["status"] == "rejected"


@pytest.mark.fault(25)
def test_queue_when_a_message_comes_twice_then_one_payment(
    batch_file: BatchFiles, client: Client, outputs: dict[str, str], gateway: Gateway, api: Api, new_id: NewId
) -> None:
    payment_id = new_id()
    name = batch_file.upload(f"{HEADER}\n{payment_id},5,USD\n")
    batch_file.result(name, "results")
    message = json.dumps({"payment_id": payment_id, "batch_id": "b", "line": 2})
    for _ in range(3):
        client("sqs").send_message(QueueUrl=outputs["payment_queue_url"], MessageBody=message)
    url = outputs["payment_queue_url"]
    eventually("an empty queue", lambda: _messages(client, url), lambda waiting: waiting == 0)
    assert api.settled(payment_id)["status"] == "succeeded"
    assert len(gateway.charges(payment_id)) == 1


@pytest.mark.fault(27)
def test_only_the_poison_message_of_ten_reaches_the_dead_letters(
    client: Client, outputs: dict[str, str], events: Events, api: Api, new_id: NewId
) -> None:
    sqs, queue, dead = client("sqs"), outputs["payment_queue_url"], outputs["dead_letter_queue_url"]
    ids = [new_id() for _ in range(9)]
    for payment_id in ids:
        api.post({"payment_id": payment_id, "amount": 5, "currency": "USD"})
    sqs.purge_queue(QueueUrl=dead)
    visibility = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])["Attributes"]
    sqs.set_queue_attributes(
        QueueUrl=queue, Attributes={"VisibilityTimeout": "150"}
    )  # three seconds at the time scale of these tests: the function that reads all ten ends sooner
    try:
        bodies = [json.dumps({"payment_id": payment_id, "batch_id": "b", "line": 1}) for payment_id in ids]
        bodies.append("poison")
        entries = [{"Id": str(number), "MessageBody": text} for number, text in enumerate(bodies)]
        sqs.send_message_batch(QueueUrl=queue, Entries=entries)
        [message] = eventually(
            "a dead letter", lambda: sqs.receive_message(QueueUrl=dead, VisibilityTimeout=0).get("Messages", [])
        )
        assert message["Body"] == "poison"
        eventually("an empty queue", lambda: _messages(client, queue), lambda waiting: waiting == 0)
        assert _messages(client, dead) == 1
        eventually("the alarm", lambda: events.of(AlarmName="payment-dead-letters-local", NewStateValue="ALARM"))
    finally:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes=visibility)
        sqs.purge_queue(QueueUrl=dead)


def _messages(client: Client, url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)


def test_large_batch_ends_and_charges_every_row_once(batch_file: BatchFiles, gateway: Gateway, new_id: NewId) -> None:
    prefix = new_id()
    name = batch_file.upload("\n".join([HEADER, *(f"{prefix}_{n},{n}.50,USD" for n in range(1, 201))]))
    results = rows(batch_file.result(name, "results", seconds=120))
    assert [row["payment_id"] for row in results] == [f"{prefix}_{n}" for n in range(1, 201)]
    assert {row["status"] for row in results} == {"succeeded"}
    charged = sorted(c["payment_id"] for c in gateway.all_charges() if c["payment_id"].startswith(prefix))
    assert charged == sorted(row["payment_id"] for row in results)


def merchant_api(local_stack: LocalStack, cognito: Any) -> Api:
    """The REST API, called by the machine of the merchant `shop`."""
    outputs = local_stack.outputs
    client_id = outputs["merchant_client_ids"].partition("=")[2]
    app = cognito.describe_user_pool_client(UserPoolId=outputs["user_pool_id"], ClientId=client_id)["UserPoolClient"]
    session = sign_in_machine(Stack(outputs, local_stack.outputs_path), client_id, app["ClientSecret"])
    return Api(outputs, lambda: session.access_token)


@pytest.mark.fault(73)
def test_file_of_a_merchant_obeys_the_rules_of_its_requests(
    local_stack: LocalStack, client: Client, payctl: Payctl, api: Api, new_id: NewId, tmp_path: Path
) -> None:
    outputs, shop = local_stack.outputs, merchant_api(local_stack, client("cognito-idp"))
    own, theirs, over_rest = f"sh_{new_id()}", f"cus_{uuid.uuid4().hex[:12]}", f"sh_{new_id()}"
    assert shop.post({"customer_id": own, "email": "jo@example.com"}, "/customers").status_code == 201
    card = {"email": "sam@example.com", "default_payment_method": "pm_card_visa"}
    assert api.post({"customer_id": theirs} | card, "/customers").status_code == 201
    first = {"payment_id": over_rest, "amount": 20, "currency": "EUR"}
    assert shop.post(first).status_code == 202
    good, bad, old = f"sh_{new_id()}", f"sh_{new_id()}", new_id()
    file = tmp_path / f"{new_id()}.csv"
    file.write_text(
        f"{HEADER},customer_id\n{good},20,EUR,{own}\n{bad},20,EUR,{theirs}\n{old},20,EUR,\n{over_rest},20,EUR,\n"
    )
    ran = payctl("batch", "upload", str(file), "--merchant", "shop", "--download", str(tmp_path / "results"), "--json")
    assert ran.returncode == Exit.NOT_CHARGED, ran.stderr
    printed = json_of(ran)
    assert [(error["line"], error["column"]) for error in printed["errors"]] == [
        ("3", "customer_id"),
        ("4", "payment_id"),
    ]
    assert printed["by_status"] == {"succeeded": 2}
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"results.csv", "errors.csv", "resubmit.csv"}
    assert shop.get(f"/payments/{good}").json()["status"] == "succeeded"
    assert shop.get(f"/payments/{bad}").status_code == 404

    role = client("iam").get_role(RoleName=f"payment-files-shop-{outputs['environment_suffix']}")["Role"]
    batch = json_of(payctl("batch", "show", printed["batch_id"], "--json"))
    assert batch["merchant"] == "shop"
    assert batch["uploaded_by"].startswith(f"AWS:{role['RoleId']}:")
    entries = client("dynamodb").query(
        TableName=outputs["audit_table"],
        KeyConditionExpression="payment_id = :id",
        ExpressionAttributeValues={":id": {"S": good}},
    )["Items"]
    assert entries[0]["actor"]["S"] == f"batch:{batch['uploaded_by']}"

    iam, name = client("iam"), f"stranger-{uuid.uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    stranger = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"]
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(everything))
    given = client("sts").assume_role(RoleArn=stranger["Arn"], RoleSessionName="stranger")["Credentials"]
    keys = Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    s3 = Stack(outputs, local_stack.outputs_path, keys).client("s3")
    place = {"Bucket": outputs["batch_bucket"], "Body": b"payment_id,amount,currency\n"}
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Key="incoming/merchants/shop/forged.csv", **place)
