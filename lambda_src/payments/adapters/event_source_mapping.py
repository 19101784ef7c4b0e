"""Delivery of the queue's messages to the dispatchers: a Lambda event source mapping, on or off."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


_ON = ("Creating", "Enabling", "Enabled", "Updating")


class MappingDelivery:
    """Delivery by the event source mapping of the dispatch function."""

    def __init__(self, client: "LambdaClient", mapping_id: str) -> None:
        self._client = client
        self._mapping_id = mapping_id

    def is_on(self) -> bool:
        """True if the mapping is enabled, or is being created, enabled or updated."""
        return self._client.get_event_source_mapping(UUID=self._mapping_id)["State"] in _ON

    def switch(self, *, on: bool) -> None:
        """Enable or disable the mapping. Lambda needs some seconds, and rejects a change while another one runs."""
        try:
            self._client.update_event_source_mapping(UUID=self._mapping_id, Enabled=on)
        except self._client.exceptions.ResourceInUseException:
            return  # the next recovery run checks the state again
