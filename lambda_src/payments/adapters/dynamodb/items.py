"""Python values as DynamoDB items, and back."""

from collections.abc import Mapping
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

serialize = TypeSerializer().serialize
deserialize = TypeDeserializer().deserialize


def to_item(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values as DynamoDB attributes. Empty values are left out, which keeps indexes sparse."""
    return {name: serialize(value) for name, value in values.items() if value not in ("", None, {}, [])}


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """DynamoDB attributes as plain values. Numbers are Decimal."""
    return {name: deserialize(value) for name, value in item.items()}


def audited_up_to(version: int, placeholder: str) -> str:
    """The condition that a payment's row is audited up to this version. Rows of before have a 0 where new ones have
    nothing: only the audit function writes this attribute."""
    equal = f"audited_version = {placeholder}"
    return equal if version else f"(attribute_not_exists(audited_version) OR {equal})"
