"""Tables behave as the stores rely on: sparse indexes, transactions, the item behind a refused condition."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.ministack.server import LocalAws

TABLE = "sparse"
ROW = {"id": {"S": "pay_1"}}
LEASED = ROW | {"due": {"S": "sweep"}, "due_at": {"N": "5"}, "status": {"S": "processing"}, "version": {"N": "1"}}
KEYS = {name: LEASED[name] for name in ("id", "due", "due_at")}


@pytest.fixture(scope="module")
def table(aws: LocalAws) -> Any:
    """A client of a table whose index holds the rows with `due` and `due_at`, keys only."""
    client = aws.client("dynamodb")
    client.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": kind}
            for name, kind in (("id", "S"), ("due", "S"), ("due_at", "N"))
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-due",
                "KeySchema": [
                    {"AttributeName": "due", "KeyType": "HASH"},
                    {"AttributeName": "due_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return client


@pytest.fixture(autouse=True)
def row(table: Any) -> Iterator[None]:
    table.put_item(TableName=TABLE, Item=LEASED)
    yield
    table.delete_item(TableName=TABLE, Key=ROW)


def due(table: Any, **options: Any) -> Any:
    values = {":due": {"S": "sweep"}, ":now": {"N": "9"}}
    query = {"KeyConditionExpression": "due = :due AND due_at <= :now", "ExpressionAttributeValues": values}
    return table.query(TableName=TABLE, IndexName="by-due", **query, **options)


def update(expression: str, **values: Any) -> dict[str, Any]:
    """An update of the row; REMOVE needs no values."""
    given = {"ExpressionAttributeValues": {f":{name}": value for name, value in values.items()}} if values else {}
    return {"TableName": TABLE, "Key": ROW, "UpdateExpression": expression, **given}


def test_keys_only_index_returns_keys_only_and_counts_without_items(table: Any) -> None:
    assert due(table)["Items"] == [KEYS]
    counted = due(table, Select="COUNT")
    assert (counted["Count"], "Items" in counted) == (1, False)


def test_row_leaves_an_index_without_its_key_and_returns_with_it(table: Any) -> None:
    table.update_item(**update("REMOVE due_at"))
    assert due(table)["Count"] == 0
    table.update_item(**update("SET due_at = :at", at={"N": "7"}))
    assert due(table)["Items"] == [KEYS | {"due_at": {"N": "7"}}]
    table.update_item(**update("SET due_at = :at", at={"N": "10"}))
    assert due(table)["Count"] == 0


def test_index_when_a_transaction_removes_its_key_then_the_row_leaves_it(table: Any) -> None:
    table.transact_write_items(
        TransactItems=[
            {
                "Update": update("REMOVE due, due_at SET #s = :s", s={"S": "succeeded"})
                | {"ExpressionAttributeNames": {"#s": "status"}}
            }
        ]
    )
    assert due(table)["Count"] == 0
    table.transact_write_items(TransactItems=[{"Put": {"TableName": TABLE, "Item": LEASED}}])
    assert due(table)["Items"] == [KEYS]
    refused = {"Update": update("REMOVE due") | {"ConditionExpression": "attribute_not_exists(id)"}}
    other = {"Put": {"TableName": TABLE, "Item": LEASED | {"id": {"S": "pay_2"}}}}
    with pytest.raises(ClientError, match="TransactionCanceledException"):
        table.transact_write_items(TransactItems=[other, refused])
    assert due(table)["Items"] == [KEYS]


@pytest.mark.parametrize("value", [{"S": ""}, {"N": "5"}, {"NULL": True}])
def test_index_when_its_key_has_a_wrong_value_then_the_write_is_refused(table: Any, value: dict[str, Any]) -> None:
    wrong = update("SET due = :due", due=value)
    with pytest.raises(ClientError, match="ValidationException"):
        table.put_item(TableName=TABLE, Item=LEASED | {"due": value})
    with pytest.raises(ClientError, match="ValidationException"):
        table.update_item(**wrong)
    with pytest.raises(ClientError, match=r"Validation(Exception|Error)"):
        table.transact_write_items(TransactItems=[{"Update": wrong}])
    assert due(table)["Items"] == [KEYS]


def test_failed_condition_returns_the_item_if_requested(table: Any) -> None:
    wrong = update("SET version = :next", next={"N": "3"}, seen={"N": "2"}) | {"ConditionExpression": "version = :seen"}
    with pytest.raises(ClientError) as refused:
        table.update_item(**wrong, ReturnValuesOnConditionCheckFailure="ALL_OLD")
    answer: Any = refused.value.response
    assert (answer["Error"]["Code"], answer["Item"]) == ("ConditionalCheckFailedException", LEASED)
    with pytest.raises(ClientError) as raised:
        table.update_item(**wrong)
    assert "Item" not in raised.value.response


def test_failed_transaction_condition_returns_the_item_if_requested(table: Any) -> None:
    wrong = update("SET version = :next", next={"N": "3"}, seen={"N": "2"}) | {"ConditionExpression": "version = :seen"}
    free = {"Put": {"TableName": TABLE, "Item": {"id": {"S": "pay_2"}}}}
    with pytest.raises(ClientError) as refused:
        table.transact_write_items(
            TransactItems=[free, {"Update": wrong | {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}}]
        )
    reasons = refused.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["None", "ConditionalCheckFailed"]
    assert [reason.get("Item") for reason in reasons] == [None, LEASED]
    with pytest.raises(ClientError) as raised:
        table.transact_write_items(TransactItems=[{"Update": wrong}])
    assert "Item" not in raised.value.response["CancellationReasons"][0]


def test_update_with_add_and_if_not_exists_returns_only_what_it_wrote(table: Any) -> None:
    change = update(
        "SET opened_at = if_not_exists(opened_at, :at), version = if_not_exists(version, :at) ADD tries :one",
        at={"N": "9"},
        one={"N": "1"},
    )
    returned = table.update_item(**change, ReturnValues="UPDATED_NEW")["Attributes"]
    assert returned == {"opened_at": {"N": "9"}, "version": {"N": "1"}, "tries": {"N": "1"}}
    assert table.update_item(**change, ReturnValues="UPDATED_NEW")["Attributes"]["tries"] == {"N": "2"}
    assert table.update_item(**update("REMOVE due"), ReturnValues="UPDATED_OLD")["Attributes"] == {"due": LEASED["due"]}
    assert "Attributes" not in table.update_item(**update("REMOVE nothing"), ReturnValues="UPDATED_NEW")


def test_transaction_when_two_touch_one_item_then_it_is_refused(table: Any) -> None:
    twice = [{"Update": update("SET version = :v", v={"N": "2"})}, {"Delete": {"TableName": TABLE, "Key": ROW}}]
    with pytest.raises(ClientError, match="Transaction request cannot include multiple operations on one item"):
        table.transact_write_items(TransactItems=twice)


def test_transaction_when_its_token_comes_again_then_it_is_done_once(table: Any) -> None:
    add = [{"Update": update("ADD version :one", one={"N": "1"})}]
    for _ in range(2):
        table.transact_write_items(TransactItems=add, ClientRequestToken="repeated")
    assert table.get_item(TableName=TABLE, Key=ROW)["Item"]["version"] == {"N": "2"}
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        table.transact_write_items(
            TransactItems=[{"Update": update("ADD version :one", one={"N": "2"})}], ClientRequestToken="repeated"
        )


def test_limited_index_query_pages_hold_every_row_once(table: Any) -> None:
    for number in range(2, 8):
        item = LEASED | {"id": {"S": f"pay_{number}"}}
        table.put_item(TableName=TABLE, Item=item)
    found: list[str] = []
    page = due(table, Limit=3)
    found += [item["id"]["S"] for item in page["Items"]]
    while "LastEvaluatedKey" in page:
        assert page["LastEvaluatedKey"].keys() == KEYS.keys()
        page = due(table, Limit=3, ExclusiveStartKey=page["LastEvaluatedKey"])
        found += [item["id"]["S"] for item in page["Items"]]
    for number in range(2, 8):
        table.delete_item(TableName=TABLE, Key={"id": {"S": f"pay_{number}"}})
    assert sorted(found) == [f"pay_{number}" for number in range(1, 8)]


def test_index_when_it_is_read_consistently_then_it_is_refused(table: Any) -> None:
    with pytest.raises(ClientError, match="Consistent reads are not supported on global secondary indexes"):
        due(table, ConsistentRead=True)
