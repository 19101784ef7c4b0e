"""The delivery of the queue's messages to the dispatchers: an event source mapping of Lambda's, on or off."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


_ON = ("Creating", "Enabling", "Enabled", "Updating")


class MappingDelivery:
    """The event source mapping."""

    def __init__(self, client: "LambdaClient", mapping_id: str) -> None:
        self._client = client
        self._mapping_id = mapping_id

    def is_on(self) -> bool:
        """Whether messages are delivered, or about to be."""
        return self._client.get_event_source_mapping(UUID=self._mapping_id)["State"] in _ON

    def switch(self, *, on: bool) -> None:
        """Turn it on or off. Lambda takes some seconds, and refuses while it is at an earlier change."""
        try:
            self._client.update_event_source_mapping(UUID=self._mapping_id, Enabled=on)
        except self._client.exceptions.ResourceInUseException:
            return  # the next sweep sees how it stands then
