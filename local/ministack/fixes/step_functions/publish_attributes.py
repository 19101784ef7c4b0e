"""sns:publish in a state machine keeps its MessageAttributes, which subscriptions filter by.

MiniStack drops them.

Probe: `publish_attributes` in tests/local/ministack/test_upstream.py.
"""

from typing import Any

from ministack.services import stepfunctions

PUBLISH = "arn:aws:states:::sns:publish"


def apply() -> None:
    publish = stepfunctions._SERVICE_DISPATCH[PUBLISH]

    def publish_with_attributes(resource: str, arguments: dict[str, Any]) -> Any:
        return publish(resource, as_query_parameters(arguments))

    stepfunctions._SERVICE_DISPATCH[PUBLISH] = publish_with_attributes


def as_query_parameters(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with flattened attributes, as in an SNS request. MiniStack's publish reads only this form."""
    parameters = {name: value for name, value in arguments.items() if name != "MessageAttributes"}
    for number, (name, attribute) in enumerate(arguments.get("MessageAttributes", {}).items(), start=1):
        entry = f"MessageAttributes.entry.{number}"
        parameters[f"{entry}.Name"] = name
        for field, value in attribute.items():
            parameters[f"{entry}.Value.{field}"] = value
    return parameters
