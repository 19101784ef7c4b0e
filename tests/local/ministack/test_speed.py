"""What makes the local AWS quicker changes none of its answers."""

import copy
import gc
import json
import threading
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from ministack.core import iam_actions, iam_evaluator, router
from ministack.services import dynamodb, stepfunctions

from local.ministack import speed
from local.ministack.speed import items, requests, threads

ITEMS = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text() | some.binary(),
    lambda parts: some.lists(parts, max_size=4) | some.dictionaries(some.text(max_size=5), parts, max_size=4),
    max_leaves=20,
)


@given(ITEMS)
def test_copied_when_a_value_is_as_json_has_them_then_equal_to_a_deep_copy(value: Any) -> None:
    assert speed.copied(value) == copy.deepcopy(value)


@pytest.mark.parametrize("kind", [dict, lambda items: defaultdict(dict, items)])
def test_copied_when_the_copy_is_changed_then_the_original_is_not(kind: Any) -> None:
    original = kind({"history": {"L": [{"M": {"version": {"N": "1"}}}]}})
    made = speed.copied(original)
    assert type(made) is type(original)
    made["history"]["L"][0]["M"]["version"]["N"] = "2"
    assert original["history"]["L"][0]["M"]["version"]["N"] == "1"


def test_remembered_list_is_unaffected_by_a_caller_that_changes_it() -> None:
    parsed: list[str] = []

    def parse(text: str) -> list[str]:
        parsed.append(text)
        return text.split()

    remembering = speed._remembering(parse)
    remembering(parse, "a b").clear()
    assert remembering(parse, "a b") == ["a", "b"]
    assert parsed == ["a b"]


def test_keep_survivors_freezes_objects_only_after_a_full_collection() -> None:
    rows: list[Any] = [{"M": {}} for _ in range(10)]
    gc.collect()
    before = gc.get_freeze_count()
    speed._keep_survivors("start", {"generation": 2})
    speed._keep_survivors("stop", {"generation": 1})
    assert gc.get_freeze_count() == before
    speed._keep_survivors("stop", {"generation": 2})
    try:
        assert gc.get_freeze_count() >= before + len(rows)
    finally:
        gc.unfreeze()


NUMBERS = some.integers().map(str) | some.decimals(allow_nan=False).map(str) | some.text(max_size=6)
VALUES: some.SearchStrategy[Any] = some.recursive(
    some.fixed_dictionaries({"S": some.text(max_size=6)})
    | some.fixed_dictionaries({"N": NUMBERS})
    | some.fixed_dictionaries({"B": some.sampled_from(["", "YWJj", "x", b"abc"])})
    | some.fixed_dictionaries({"SS": some.lists(some.text(max_size=4), max_size=3)})
    | some.fixed_dictionaries({"NS": some.lists(NUMBERS, max_size=3)})
    | some.sampled_from([{"BOOL": True}, {"NULL": True}, {}, {"S": 1}, {"S": "a", "N": "1"}, {"M": []}, "text", None]),
    lambda parts: (
        some.fixed_dictionaries({"L": some.lists(parts, max_size=4)})
        | some.fixed_dictionaries({"M": some.dictionaries(some.text(max_size=4), parts, max_size=4)})
    ),
    max_leaves=12,
)


def outcome(function: Any, *arguments: Any) -> Any:
    """What a function returns, or the kind of error that it raises."""
    try:
        return function(*arguments)
    except (AttributeError, TypeError, ValueError) as error:
        return type(error)


@given(VALUES)
def test_value_size_and_nesting_level_are_those_of_ministack(value: Any) -> None:
    assert outcome(items.value_size, value) == outcome(dynamodb._attribute_value_size, value)
    assert outcome(items.nesting_level, value) == outcome(dynamodb._nesting_level, value)


@given(some.dictionaries(some.text(max_size=5), VALUES, max_size=4) | some.none())
def test_item_size_is_that_of_ministack(item: Any) -> None:
    assert outcome(items.item_size, item) == outcome(dynamodb._item_size_bytes, item)


@pytest.mark.parametrize("name", ["_ddb_canonicalize_number", "_number_error", "_number_size_bytes"])
def test_remembered_numbers_are_those_of_ministack(name: str) -> None:
    original = getattr(dynamodb, name)
    remembered = items._remembering(original)
    for value in ["1.50", "1e3", "-0", "1e999", "9" * 40, " 5", "x", "", None, 7, [1]]:
        assert [outcome(remembered, value) for _ in range(2)] == [outcome(original, value)] * 2


@pytest.mark.parametrize("service", ["dynamodb", "states", "kms", "sqs", "monitoring", "logs", "secretsmanager"])
def test_service_of_a_target_is_that_of_ministack(service: str) -> None:
    for prefix in router.SERVICE_PATTERNS[service].get("target_prefixes", []):
        headers = {"x-amz-target": f"{prefix}.Anything"}
        detected = router.detect_service("POST", "/", headers, {})
        assert requests._service_of_target(headers["x-amz-target"]) == detected
    assert requests._service_of_target("Unknown.Anything") == requests._service_of_target("") == ""


def test_parsed_body_is_parsed_again_only_for_another_body() -> None:
    parsed = requests._Parsed()
    body = b'{"TableName": "t"}'
    assert parsed.loads(body) is parsed.loads(body)
    assert parsed.loads(b'{"TableName": "u"}') == {"TableName": "u"}
    with pytest.raises(json.JSONDecodeError):
        parsed.loads(b"{")
    assert parsed.loads(body) == {"TableName": "t"}


def test_rules_of_iam_do_not_change_the_parsed_body() -> None:
    body = {
        "TableName": "t",
        "IndexName": "i",
        "TransactItems": [{"Put": {"TableName": "t"}}],
        "ProjectionExpression": "#a, b.c",
        "ExpressionAttributeNames": {"#a": "a"},
        "Tags": [{"Key": "k", "Value": "v"}],
    }
    data = json.dumps(body).encode()
    shared = json.loads(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(iam_actions.json, "loads", lambda _: shared)
        iam_actions.dynamodb_resource_arns(data, "r", "1")
        iam_actions.dynamodb_service_context(data)
        iam_actions.dynamodb_transaction_checks("dynamodb:TransactWriteItems", data, "r", "1")
        iam_actions.request_tag_context("dynamodb", "dynamodb:TagResource", data, {})
    assert shared == body


POLICY = {
    "Statement": [
        {"Effect": "Allow", "Action": "dynamodb:Get*", "Resource": "arn:table/a"},
        {"Effect": "Allow", "NotAction": "kms:*", "Resource": "arn:queue"},
        {
            "Effect": "Deny",
            "Action": "*",
            "NotResource": "arn:*",
        },
        {
            "Effect": "Allow",
            "Action": "kms:Decrypt",
            "Resource": "*",
            "Condition": {"StringEquals": {"kms:EncryptionContext:of": "a"}},
        },
    ]
}


@pytest.mark.parametrize("action", ["dynamodb:GetItem", "DynamoDB:getitem", "kms:Decrypt", "sqs:SendMessage"])
@pytest.mark.parametrize("resource", ["arn:table/a", "arn:queue", "*", "other"])
@pytest.mark.parametrize("of", ["a", "b"])
def test_concerning_statements_decide_as_all_statements_do(action: str, resource: str, of: str) -> None:
    policies = [iam_evaluator.parse_policy_document(POLICY)]
    request = iam_evaluator.EvalContext(
        principal_arn="arn:aws:sts::1:assumed-role/r/s",
        principal_type="AssumedRole",
        principal_account="1",
        action=action,
        resource_arn=resource,
        region="r",
        service_context={"kms:encryptioncontext:of": of},
    )
    expected = iam_evaluator.evaluate(request, policies)
    known = speed.Policies(policies)
    for _ in range(2):
        assert speed._evaluate_what_concerns(iam_evaluator.evaluate, request, known) == expected


def test_tasks_of_an_execution_share_a_thread_until_one_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    may_end = threading.Event()

    def task(_: str, how: str) -> str:
        if how == "late":
            may_end.wait()
        if how == "good":
            return threading.current_thread().name
        raise LookupError("if it is late, its result is ignored")

    monkeypatch.setattr(stepfunctions, "_invoke_resource", task)
    first, second = (threads.invoke_with_timeout("arn", "good", None) for _ in range(2))
    assert first == second != threading.current_thread().name
    with pytest.raises(LookupError):
        threads.invoke_with_timeout("arn", "bad", None)
    assert threads.invoke_with_timeout("arn", "good", None) == first
    with pytest.raises(stepfunctions._ExecutionError, match="timed out after"):
        threads.invoke_with_timeout("arn", "late", 0.05)
    assert threads.invoke_with_timeout("arn", "good", None) != first
    may_end.set()


def test_policies_gathered_during_a_change_of_iam_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_role_policies", {})

    def gather_while_iam_changes(_role: str, _account: str) -> list[str]:
        monkeypatch.setattr(speed, "_role_policies", {})
        return ["old"]

    assert speed._known_policies(gather_while_iam_changes, "role", "1") == ["old"]
    assert speed._known_policies(lambda *_: ["new"], "role", "1") == ["new"]
    assert speed._known_policies(lambda *_: ["not read"], "role", "1") == ["new"]
