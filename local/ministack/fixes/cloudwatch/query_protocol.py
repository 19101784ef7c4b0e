"""The query protocol: AWS's older wire format, which the Terraform provider 5.x uses for CloudWatch. Form fields in,
XML out."""

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape


def parse(form: Mapping[str, Any]) -> dict[str, Any]:
    """Convert form fields to a tree: {"Metrics.member.1.Id": ["m"]} to {"Metrics": [{"Id": "m"}]}. Leaves are text."""
    tree: dict[str, Any] = {}
    for path, value in form.items():
        *parents, leaf = path.split(".")
        node = tree
        for name in parents:
            node = node.setdefault(name, {})
        node[leaf] = value[0] if isinstance(value, list) else value
    parsed: dict[str, Any] = _with_lists(tree)
    return parsed


def _with_lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node.keys() == {"member"}:
        return [_with_lists(node["member"][number]) for number in sorted(node["member"], key=int)]
    return {name: _with_lists(child) for name, child in node.items()}


def to_xml(name: str, value: Any) -> str:
    """An XML element, or an empty text for None: AWS leaves out values that are not set."""
    match value:
        case None:
            return ""
        case bool():
            content = "true" if value else "false"
        case dict():
            content = "".join(to_xml(child, item) for child, item in value.items())
        case list() | tuple():
            content = "".join(to_xml("member", item) for item in value)
        case _:
            content = escape(str(value))
    return f"<{name}>{content}</{name}>"
